"""Translation models of every family: tiny ones that have learned a translation for each of two languages."""

import json
import shutil
import sys

import pytest
import torch
from commands import refused
from safetensors.torch import load_file, save_file
from tiny_translators import FAMILIES, TEXTS, translation_of
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import read_parallel_rows
from clear_ir.translate import precision, seq2seq
from clear_ir.translate.kinds import load_translator
from clear_ir.translate.seq2seq import NO_END, TOO_LONG, load_translation_model
from clear_ir.translate.settings import TranslationSettings
from clear_ir.translate.translator import Choice

#: Texts that no model has learned: what it makes of them depends on every weight.
OTHERS = [" ".join(words) for text in TEXTS for words in ((text.split() * 2)[k : k + 3 + 2 * k] for k in range(4))]
MULTI = [family for family in FAMILIES if family != "marian-one"]


def loaded(folder, kind="fp32", **settings):
    return load_translation_model(str(folder), TranslationSettings(**{"max_tokens": 60, **settings}), kind)


@pytest.mark.parametrize("num_beams", [1, 4])
@pytest.mark.parametrize("family", FAMILIES)
def test_it_translates_as_it_has_learned(tiny_translator, family, num_beams):
    """Labels were made by transformers' tokenizers, so tokens, places and languages are as the models expect them."""
    translator = loaded(tiny_translator(family), num_beams=num_beams)
    for lang in ("de", "sw") if family != "marian-one" else ("de",):
        translator.check([lang])
        made = dict(translator.translate(TEXTS, lang))
        assert made == {i: translation_of(text, lang) for i, text in enumerate(TEXTS)}
    assert not translator.problems


@pytest.mark.parametrize("num_beams", [1, 3])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_gives_what_one_text_at_a_time_gives(tiny_translator, family, num_beams):
    """Padding changes nothing, nor do the longer texts beside a text."""
    folder = tiny_translator(family)
    texts = list(dict.fromkeys(TEXTS + OTHERS))
    alone = loaded(folder, num_beams=num_beams, batch_size=1)
    batched = loaded(folder, num_beams=num_beams, batch_size=len(texts))
    made = [dict(translator.translate(texts, "de")) for translator in (alone, batched)]
    ended = [i for i, text in enumerate(texts) if text not in alone.problems]
    assert len(ended) > len(TEXTS), "some of what is new to it must come to an end"
    assert {i: made[1][i] for i in ended} == {i: made[0][i] for i in ended}
    assert alone.problems == batched.problems
    assert len(set(made[0].values())) >= len(TEXTS), "what it gives depends on the text"


@pytest.mark.parametrize("family", MULTI)
def test_transformers_gives_the_same(tiny_translator, family):
    """Each text alone, by the calls in the cards of the published models."""
    folder = tiny_translator(family)
    model, tokenizer = AutoModelForSeq2SeqLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    model.eval()
    code = {"marian": ">>swa<< ", "madlad": "<2sw> ", "nllb": "swh_Latn", "m2m": "sw", "seamless": "swh"}[family]
    sources = {"nllb": "eng_Latn", "m2m": "en", "seamless": "eng"}
    expected = []
    for text in TEXTS + OTHERS[:8]:
        options = {"num_beams": 2, "max_new_tokens": 40, "early_stopping": False}
        if family in sources:
            tokenizer.src_lang = sources[family]
            if family == "seamless":
                options["tgt_lang"] = code
            else:
                options["forced_bos_token_id"] = (
                    tokenizer.get_lang_id(code) if family == "m2m" else tokenizer.convert_tokens_to_ids(code)
                )
        else:
            text = code + text
        ids = model.generate(**tokenizer(text, return_tensors="pt"), **options)[0]
        said = tokenizer.decode(ids, skip_special_tokens=True)
        expected.append(said.removeprefix(f"__{code}__").strip())
    translator = loaded(folder, num_beams=2)
    made = dict(translator.translate(TEXTS + OTHERS[:8], "sw"))
    same = [i for i, text in enumerate(TEXTS + OTHERS[:8]) if text not in translator.problems]
    assert len(same) >= len(TEXTS)
    assert [made[i] for i in same] == [expected[i] for i in same]


def test_the_longest_texts_come_first_and_batches_have_a_budget(tiny_translator, monkeypatch):
    translator = loaded(tiny_translator("nllb"))
    monkeypatch.setitem(seq2seq.NUM_TOKENS, "cpu", 30)
    sizes = []
    generate = translator._generate
    monkeypatch.setattr(
        translator, "_generate", lambda batch, lang: (sizes.append([len(x) for x in batch]), generate(batch, lang))[1]
    )
    made = [number for number, _ in translator.translate(TEXTS, "de")]
    assert sorted(made) == list(range(len(TEXTS)))
    lengths = [length for batch in sizes for length in batch]
    assert lengths == sorted(lengths, reverse=True)
    assert all(len(batch) * max(batch) <= 30 or len(batch) == 1 for batch in sizes)
    assert len(sizes) > 2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_text_that_is_too_long_is_not_cut_but_left_out(tiny_translator, family):
    translator = loaded(tiny_translator(family), max_tokens=40)
    long = " ".join(TEXTS)
    made = dict(translator.translate([TEXTS[7], long], "de"))
    assert made == {0: translation_of(TEXTS[7], "de"), 1: ""}
    assert list(translator.problems) == [long]
    assert translator.problems[long].startswith(f"{TOO_LONG}: ")
    assert translator.problems[long].endswith("tokens, and it reads 40")


@pytest.mark.parametrize("family", FAMILIES)
def test_what_looks_like_a_token_of_the_tokenizer_is_text(tiny_translator, family):
    translator = loaded(tiny_translator(family))
    translator._set_source("en")
    special = {*translator.tokenizer.all_special_tokens, *translator.languages.tokens.values()}
    plain, marked = translator._tokenize(["is it far", f"is it {' '.join(sorted(special))} far"], "de")
    numbers = {i for token in special for i in [translator.tokenizer.convert_tokens_to_ids(token)]}
    numbers.discard(translator.tokenizer.unk_token_id)
    assert [i for i in marked if i in numbers] == [i for i in plain if i in numbers]
    assert len(marked) > len(plain)


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("full"), MemoryError()])
def test_a_batch_that_does_not_fit_is_split(tiny_translator, monkeypatch, error):
    translator = loaded(tiny_translator("nllb"), num_beams=1, batch_size=8)
    generate, sizes, most = translator.model.generate, [], 2

    def small(ids, **options):
        sizes.append(len(ids))
        if len(ids) > most:
            raise error
        return generate(ids, **options)

    monkeypatch.setattr(translator.model, "generate", small)
    made = dict(translator.translate(TEXTS, "de"))
    assert made == {i: translation_of(text, "de") for i, text in enumerate(TEXTS)}
    assert sizes == [8, 4, 2, 2, 4, 2, 2]
    most = 0
    with pytest.raises(InputError, match="Memory is too small for a text of") as said:
        list(translator.translate(TEXTS, "de"))
    assert said.value.settings == ("num_beams", "max_tokens", "precision")


def test_the_models_own_limit_counts(tiny_translator):
    translator = loaded(tiny_translator("nllb"), max_tokens=5000)
    long = " ".join(TEXTS * 9)
    assert dict(translator.translate([long], "de")) == {0: ""}
    assert translator.problems[long].endswith("and it reads 126")


def test_a_translation_without_an_end_is_a_problem(tiny_translator, tmp_path):
    """The bias keeps Marian from its end."""
    folder = shutil.copytree(tiny_translator("marian"), tmp_path / "endless")
    weights = load_file(folder / "model.safetensors")
    weights["final_logits_bias"][0, 0] = -1e4
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    translator = loaded(folder, num_beams=1)
    made = dict(translator.translate(TEXTS, "de"))
    assert set(translator.problems.values()) == {NO_END}
    assert len(translator.problems) == len(made) == len(TEXTS)


def test_the_identity_is_of_all_that_translations_depend_on(tiny_translator, tmp_path):
    folder = tiny_translator("marian")
    identity = loaded(folder).identity("de")
    assert json.loads(json.dumps(identity)) == identity
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert loaded(copy).identity("de") == identity, "wherever the folder is"
    others = [
        loaded(folder).identity("sw"),
        loaded(folder, num_beams=2).identity("de"),
        loaded(folder, kind="bf16").identity("de"),
    ]
    weights = load_file(copy / "model.safetensors")
    weights["final_logits_bias"][0, 5] += 1e-3
    save_file(weights, copy / "model.safetensors", {"format": "pt"})
    others.append(loaded(copy).identity("de"))
    shutil.copy(tiny_translator("marian-one") / "vocab.json", copy)
    others.append(loaded(copy).identity("de"))
    assert all(other != identity for other in others)
    assert len({json.dumps(other) for other in others}) == len(others)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_identity_is_the_same_before_and_after_it_translates(tiny_translator, family):
    folder = tiny_translator(family)
    before, used = loaded(folder), loaded(folder)
    list(used.translate(TEXTS, "de"))
    assert used.identity("de") == before.identity("de")


@pytest.mark.parametrize("family", FAMILIES)
def test_bf16_translates_too(tiny_translator, family):
    translator = loaded(tiny_translator(family), kind="bf16", num_beams=1)
    assert translator.model.dtype == torch.bfloat16
    made = dict(translator.translate(TEXTS, "de"))
    right = sum(made[i] == translation_of(text, "de") for i, text in enumerate(TEXTS))
    assert right >= len(TEXTS) - 2


@pytest.mark.parametrize(
    ("seconds", "chosen"), [((3.0, 1.0), "bfloat16"), ((1.0, 3.0), "float32"), ((1.05, 1.0), "float32")]
)
def test_auto_takes_the_faster_precision_and_says_so(tiny_translator, monkeypatch, caplog, seconds, chosen):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "seconds_of", lambda it, texts, lang: seconds[it.model.dtype == torch.bfloat16])
    choice = Choice(str(tiny_translator("nllb")), TranslationSettings(precision="auto"))
    assert load_translator(choice).identity("de")["precision"] == chosen
    assert "precision: auto chose" in caplog.text


def test_auto_measures(tiny_translator, monkeypatch):
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    for family in ("m2m", "marian-one"):
        choice = Choice(str(tiny_translator(family)), TranslationSettings(precision="auto", num_beams=1))
        assert dict(load_translator(choice).translate(TEXTS[:1], "de"))


@pytest.mark.parametrize(
    ("family", "lang", "says"),
    [
        ("nllb", "fr", "does not translate into fr: choose another model"),
        ("nllb", "zh-Hant", None),
        ("madlad", "zh-Hant", "does not translate into zh-Hant: it has zh"),
        ("marian", "fr", "does not translate into fr"),
        ("marian-one", "sw", "translates into de, not into sw"),
        ("marian-one", "de-AT", None),
        ("seamless", "zh-Hant", "it has zh"),
    ],
)
def test_languages_of_a_model(tiny_translator, family, lang, says):
    translator = loaded(tiny_translator(family))
    if says is None:
        translator.check([lang])
        return
    with pytest.raises(InputError, match=says) as error:
        translator.check([lang])
    assert "to" in error.value.settings


def test_a_model_for_one_language_takes_one(tiny_translator, tmp_path):
    folder = shutil.copytree(tiny_translator("marian-one"), tmp_path / "one")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "target_lang": None}))
    loaded(folder).check(["sw"])
    with pytest.raises(InputError, match="translates into one language, and 2 are asked for"):
        loaded(folder).check(["sw", "de"])
    (folder / "tokenizer_config.json").write_text(json.dumps({**config, "source_lang": "fi", "target_lang": None}))
    finnish = loaded(folder)
    finnish.check(["en"])
    with pytest.raises(InputError, match="translates from fi, but the texts are en"):
        finnish.check(["sw"])
    with pytest.raises(InputError, match="translates from fi, but the texts are en"):
        list(finnish.translate(TEXTS, "sw"))
    assert dict(finnish.translate(TEXTS[:1], "sw", "fi"))


@pytest.mark.parametrize("family", ["nllb", "m2m", "seamless"])
def test_the_language_of_the_texts_is_told(tiny_translator, family):
    """The token of the source stands among the ids, whatever was translated before."""
    translator = loaded(tiny_translator(family))
    seen = []
    for source in ("en", "sw", "en"):
        translator._set_source(source)
        [ids] = translator._tokenize(["is it far"], "de")
        code = translator.tokenizer.convert_tokens_to_ids(
            translator.languages.tokens[translator.languages.code(source)]
        )
        seen.append((code in ids, len(ids)))
    assert seen == [(True, seen[0][1])] * 3
    fresh = loaded(tiny_translator(family))
    list(translator.translate(TEXTS[:1], "de", "sw"))
    assert translator.identity("de") == fresh.identity("de")


def test_a_model_that_is_none(tiny_translator, tmp_path, run, tiny_folder):
    rows = tmp_path / "rows.jsonl"
    write_jsonl(rows, [{"query": text, "passage": f"p {text}"} for text in TEXTS])

    def refuses(model, *says, to="de"):
        out = tmp_path / "out.jsonl"
        result = run(
            "translate", "--rows", rows, "--to", to, "--out", out, "--no-cache", *(["--model", model] if model else [])
        )
        refused(result, *says)
        assert not out.exists()

    refuses(None, "Nothing is named that translates")
    refuses(tiny_folder, "does not translate: it is a BertModel", "--model")
    refuses(tmp_path / "missing", "There is no folder")
    refuses(rows, "is not a model folder; give a folder, a hub name.")
    refuses("Helsinki-NLP/opus-mt-en-xy", "cannot be loaded", "without a network")
    refuses(tiny_translator("nllb"), "does not translate into fr", to="de,fr")
    (tmp_path / "empty").mkdir()
    refuses(tmp_path / "empty", "holds no model")

    broken = shutil.copytree(tiny_translator("nllb"), tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    save_file({k: v for k, v in weights.items() if "decoder" not in k}, broken / "model.safetensors", {"format": "pt"})
    refuses(broken, "lack", "weights of a translation model, such as model.decoder")

    plain = shutil.copytree(tiny_translator("madlad"), tmp_path / "t5")
    for file in ("tokenizer.json", "tokenizer_config.json"):
        (plain / file).write_text((plain / file).read_text().replace("<2", "<3"))
    refuses(plain, "has no tokens for target languages")

    encoder = json.loads((plain / "config.json").read_text()) | {"architectures": ["T5EncoderModel"]}
    (plain / "config.json").write_text(json.dumps(encoder))
    refuses(plain, "it is a T5EncoderModel")


def test_sentencepiece_is_named_where_it_lacks(tiny_translator, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "sentencepiece" else sys)
    with pytest.raises(InputError, match=r"needs the package sentencepiece; run: pip install 'clear-ir\[translate\]'"):
        loaded(tiny_translator("marian"))


def test_the_command(tiny_translator, run, tmp_path):
    rows, out = tmp_path / "rows.jsonl", tmp_path / "out.jsonl"
    write_jsonl(rows, [{"query": text, "passage": f"about {text}"} for text in TEXTS])
    arguments = ("translate", "--rows", rows, "--to", "de,sw", "--model", tiny_translator("m2m"), "--cache", tmp_path)
    code, said, err = run(*arguments, "--max-tokens", "60", "--no-checks", "--out", out)
    assert code == 0, err
    made, _ = read_parallel_rows(out)
    assert [row.cross_query for row in made] == [translation_of(text, lang) for lang in ("de", "sw") for text in TEXTS]
    document = json.loads((tmp_path / "out.translation.json").read_text())
    assert document["translator"]["sw"]["code"] == "sw"
    assert "16 parallel rows" in said
