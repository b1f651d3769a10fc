"""Training the queries alone: the passages, and an index of them, stay bit for bit what they were."""

import copy
import json
import subprocess

import numpy as np
import pytest
import torch
from commands import kill_at, refused, train_command
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from tiny import WORDS, make_encoder, make_training_rows, quiet, settings

from clear_ir import CrossLingualEvaluator
from clear_ir.data.collection import Text
from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.training_rows import TrainingRows, read_training_rows, training_columns
from clear_ir.encode.backends import InProcess
from clear_ir.encode.mixed_weights import merge_encoders
from clear_ir.encode.model_loading import load_encoder, weights_hash
from clear_ir.encode.sides import add_to_sides
from clear_ir.encode.two_encoders import join_encoders, side_of
from clear_ir.recipes.recipe import load_recipe
from clear_ir.train.corpus import PassageSource
from clear_ir.train.fixed_passages import embed_passages
from clear_ir.train.run import train_model
from clear_ir.train.trainer import make_loss, make_trainer, split_rows

TEXTS = [" ".join(WORDS[i : i + 4]) for i in range(0, 40, 2)]


def alone(**changes):
    return settings(**{"side": "queries", "loss": "clear", "distil": 1.0} | changes)


def losses(log):
    return [entry["loss"] for entry in log if "loss" in entry]


def passages_stay(base, folder):
    """Whether passages are what the base makes of them and queries are not."""
    base, model = load_encoder(str(base)), SentenceTransformer(str(folder))
    np.testing.assert_array_equal(model.encode_document(TEXTS), base.encode_document(TEXTS))
    return np.abs(model.encode_query(TEXTS) - base.encode_query(TEXTS)).max() > 0.01


@pytest.mark.parametrize("loss", ["clear", "infonce", "infonce-symmetric"])
@pytest.mark.parametrize("cached", [False, True])
def test_queries_learn_and_passages_stay(tmp_path, tiny_folder, loss, cached):
    chosen = alone(loss=loss, cached=cached, mini_batch_size=3, max_steps=12, learning_rate=3e-3)
    log = train_model(str(tiny_folder), make_training_rows(), chosen, tmp_path / "m")
    assert np.mean(losses(log)[-3:]) < np.mean(losses(log)[:3])
    assert passages_stay(tiny_folder, tmp_path / "m")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m"], "nothing but the model is left"
    assert load_recipe(str(tmp_path / "m" / "recipe.yaml")).train == chosen
    entry = next(entry for entry in log if "loss" in entry)
    assert sum(v for k, v in entry.items() if k.endswith("_weighted")) == pytest.approx(entry["loss"], rel=1e-4)
    card = (tmp_path / "m" / "README.md").read_text()
    assert "2604.05821" in card
    assert "encode_query" in card
    assert log[0]["vocabulary"].startswith("6")


def test_with_and_without_cache_the_same_model(tmp_path, tiny_folder):
    for name, chosen in (
        ("plain", alone(candidates=9)),
        ("cached", alone(candidates=9, cached=True, mini_batch_size=3)),
    ):
        train_model(str(tiny_folder), make_training_rows(), chosen, tmp_path / name)
    plain, cached = (side_of(load_encoder(str(tmp_path / name)), "query").state_dict() for name in ("plain", "cached"))
    for name, tensor in plain.items():
        torch.testing.assert_close(cached[name], tensor, rtol=1e-3, atol=1e-4)


def test_the_scores_of_the_run_are_those_of_the_saved_model_and_of_the_base(tmp_path, tiny_folder, monkeypatch):
    encoded = []
    encode = quiet.__globals__["TextEncoder"].encode

    def counted(self, texts, side):
        encoded.append((side, len(texts)))
        return encode(self, texts, side)

    monkeypatch.setattr("clear_ir.encode.text_encoder.TextEncoder.encode", counted)
    rows, chosen = make_training_rows(), alone(max_seq_length=8, max_steps=6, eval_steps=2)
    dev = train_model(str(tiny_folder), rows, chosen, tmp_path / "m")[0]["dev"]
    of_passages = [count for side, count in encoded if side == "passage"]
    assert len(of_passages) == 2, "those of the rows once, those of the dev questions once"
    collection = split_rows(rows, chosen).dev
    for folder, name in ((tiny_folder, "base"), (tmp_path / "m", "kept")):
        evaluator = CrossLingualEvaluator(collection, base=load_encoder(str(folder)))
        assert evaluator.base_metrics == pytest.approx(dev[name], abs=1e-6)
    assert dev["base"] != dev["kept"], "nothing was learnt, so the test shows nothing"
    with pytest.raises(ValueError, match="fixed_passages needs base"):
        CrossLingualEvaluator(collection, fixed_passages=True)


def test_a_killed_run_resumes_to_the_same_model(tmp_path, tiny_folder):
    rows_file, corpus = tmp_path / "rows.jsonl", tmp_path / "corpus.jsonl"
    write_jsonl(rows_file, make_training_rows(200).records)
    write_jsonl(corpus, [{"text": f"{text} of the moon"} for text in TEXTS])
    flags = "--batch-size 8 --max-steps 60 --set eval_steps=10 --precision fp32 --learning-rate 1e-3 --distil 1"
    flags += f" --side queries --candidates 30 --corpus {corpus} --set distil_steps=3"

    def command(out, more=""):
        return train_command(tiny_folder, rows_file, out, f"{flags} {more}")

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(**command(whole), check=True, capture_output=True)
    kill_at(command(broken), tmp_path / "broken.partial" / "checkpoints" / "checkpoint-20" / "trainer_state.json")
    assert not broken.exists()
    write_jsonl(tmp_path / "other.jsonl", [{"text": "another"}])
    other = subprocess.run(**command(broken, f"--resume --corpus {tmp_path / 'other.jsonl'}"), capture_output=True)
    assert other.returncode == 2
    assert b"other settings or rows" in other.stderr
    subprocess.run(**command(broken, "--resume"), check=True, capture_output=True)
    assert weights_hash(load_encoder(str(broken))) == weights_hash(load_encoder(str(whole)))
    assert passages_stay(tiny_folder, whole)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "broken", "corpus.jsonl", "other.jsonl", "rows.jsonl", "whole"
    ]  # fmt: skip


def test_a_corpus_gives_more_candidates_and_is_counted(tmp_path, tiny_folder, run):
    records = make_training_rows().records
    write_jsonl(tmp_path / "rows.jsonl", records)
    corpus = [{"text": text} for text in (*TEXTS[:5], TEXTS[0], records[0]["positive"], "")]
    write_jsonl(tmp_path / "corpus.jsonl", [*corpus, {"text": "Mond", "lang": "de"}])
    given = ["train", "--model", tiny_folder, "--rows", tmp_path / "rows.jsonl", "--set", "dev_share=0"]
    given += ["--batch-size", 8, "--max-steps", 2, "--precision", "fp32", "--loss", "infonce"]
    code, plain, err = run(*given, "--side", "queries", "--out", tmp_path / "plain")
    assert code == 0, err
    code, out, err = run(*given, "--side", "queries", "--corpus", tmp_path / "corpus.jsonl", "--out", tmp_path / "m")
    assert code == 0, err
    assert "6 passages from corpus.jsonl, 1 of them known positives." in out
    assert "Left out: 1 not in English, 1 with the text of another, 1 empty." in out
    assert "corpus.jsonl" not in plain
    first = [json.loads((tmp_path / name / "train_log.jsonl").read_text().splitlines()[1]) for name in ("plain", "m")]
    assert first[1]["loss"] > first[0]["loss"] + 0.01, "more candidates are harder"
    assert "# 5 passages of a corpus with SHA-256" in (tmp_path / "m" / "recipe.yaml").read_text()
    result = run(*given, "--corpus", tmp_path / "corpus.jsonl", "--out", tmp_path / "both")
    refused(result, "A corpus gives fixed passages; set side to queries", "--side")
    refused(run(*given, "--candidates", 3, "--out", tmp_path / "both"), "candidates are drawn from fixed passages")
    assert not list(tmp_path.glob("both*"))


def test_candidates_are_the_passages_of_the_rows_once_and_of_the_corpus(tmp_path, tiny_folder):
    base = load_encoder(str(tiny_folder))
    data = split_rows(make_training_rows(), settings(dev_share=0))
    texts = list(dict.fromkeys([*data.dataset["positive"], *data.dataset["negative_1"]]))
    same_tokens = f" {texts[0]} "
    fixed = embed_passages(base, base, data, [*TEXTS, same_tokens], tmp_path / "passages", None)
    assert list(fixed.number_of) == texts
    distinct = list(dict.fromkeys([*texts, *TEXTS]))
    assert len(fixed.vectors) == len(distinct)
    np.testing.assert_allclose(fixed.vectors, quiet(base).encode(distinct, "passage"), atol=1e-6)
    assert [fixed.number_of[text] for text in texts] == list(range(len(texts)))
    for parameter in base.parameters():
        parameter.data.zero_()
    again = embed_passages(base, base, data, [*TEXTS, same_tokens], tmp_path / "passages", None)
    assert torch.equal(again.vectors, fixed.vectors), "they are computed once"


def test_all_that_answers_a_question_answers_its_translations(tmp_path, tiny_folder):
    base = load_encoder(str(tiny_folder))
    rows = make_training_rows(4)
    for record in rows.records:
        record["anchor"] = rows.records[0]["anchor"]
    rows.records[3] |= {"anchor": "another question"}
    data = split_rows(rows, settings(dev_share=0, batch_size=2))
    fixed = embed_passages(base, base, data, [], tmp_path / "passages", None)
    query_keys, passage_keys = fixed.known_pairs
    assert len(query_keys) == 3 * (1 + 3) + 2
    assert len(set(query_keys.tolist())) == 6
    assert len(set(passage_keys.tolist())) == 4


def test_rows_without_negatives_train(tmp_path, tiny_folder):
    columns = training_columns(0, 0)
    records = [{name: record[name] for name in columns} for record in make_training_rows().records]
    write_jsonl(tmp_path / "rows.jsonl", records)
    for loss in ("clear", "infonce"):
        rows = read_training_rows(tmp_path / "rows.jsonl")
        train_model(str(tiny_folder), rows, alone(loss=loss), tmp_path / loss)
        assert passages_stay(tiny_folder, tmp_path / loss)


def test_the_maximum_length_is_that_of_queries_alone(tmp_path, tiny_folder):
    rows = make_training_rows()
    for i, record in enumerate(rows.records):  # passages that begin alike
        record["positive"] = f"{' '.join(WORDS[:10])} {record['positive']} {WORDS[i]}"
    log = train_model(str(tiny_folder), rows, alone(max_seq_length=8), tmp_path / "m")
    assert log[0]["cut"] == {"max_seq_length": 32, "passages_cut": 0.0, "tokens_unseen": 0.0}
    assert passages_stay(tiny_folder, tmp_path / "m")
    model = load_encoder(str(tmp_path / "m"))
    assert [side_of(model, side).max_seq_length for side in ("query", "passage")] == [8, 32]
    # All have candidates of their own: cut at 8 tokens, all passages would be one.
    entry = next(entry for entry in log if "loss" in entry)
    assert entry["clear/cross"] > 2


def test_prompts_reach_the_queries_and_the_passages(tmp_path):
    base = make_encoder(double=False)
    base.prompts = {"query": "query : ", "document": "river : "}
    base.save_pretrained(str(tmp_path / "base"))
    chosen = alone(dev_share=0.0)
    train_model(str(tmp_path / "base"), make_training_rows(), chosen, tmp_path / "m")
    assert passages_stay(tmp_path / "base", tmp_path / "m")
    base = load_encoder(str(tmp_path / "base"))
    data = split_rows(make_training_rows(), chosen)
    fixed = embed_passages(base, base, data, [], tmp_path / "passages", None)
    trainer = make_trainer(base, data, chosen, tmp_path / "run", passages=fixed)
    batch = next(iter(trainer.get_train_dataloader()))
    assert base.tokenizer.convert_ids_to_tokens(batch["cross_anchor_input_ids"][0])[1:3] == ["query", ":"]
    numbers = batch["positive_input_ids"]
    assert numbers.shape == (8, 1)
    text_of = {number: text for text, number in fixed.number_of.items()}
    texts = [text_of[number] for number in numbers.flatten().tolist()]
    expected = base.encode_document(texts, normalize_embeddings=True)
    np.testing.assert_allclose(fixed.vectors[numbers.flatten()], expected, atol=1e-6)


@pytest.mark.parametrize("soft", [0.0, 0.5])
@pytest.mark.parametrize("kind", ["routes", "half", "dot", "cut"])
def test_kinds_of_encoders(tmp_path, kind, soft):
    base = make_encoder(double=False)
    if kind == "routes":
        torch.manual_seed(0)
        base = add_to_sides(base, [Dense(32, 32, activation_function=None), Normalize()], [])
    elif kind == "half":
        base = base.half()
    elif kind == "dot":
        base.similarity_fn_name = "dot"
    else:
        base.truncate_dim = 8
    base.save_pretrained(str(tmp_path / "base"))
    log = train_model(
        str(tmp_path / "base"), make_training_rows(), alone(max_steps=12, soft_labels=soft), tmp_path / "m"
    )
    assert passages_stay(tmp_path / "base", tmp_path / "m")
    assert np.isfinite(losses(log)).all()
    model = load_encoder(str(tmp_path / "m"))
    assert str(model.similarity_fn_name) == ("dot" if kind == "dot" else "cosine")
    assert quiet(model).encode(TEXTS, "query").shape == quiet(model).encode(TEXTS, "passage").shape
    if kind == "routes":
        # What was trained can be trained again, both ways.
        train_model(str(tmp_path / "m"), make_training_rows(), alone(), tmp_path / "again")
        assert passages_stay(tmp_path / "m", tmp_path / "again")
        assert passages_stay(tmp_path / "base", tmp_path / "again")
        train_model(str(tmp_path / "m"), make_training_rows(), settings(), tmp_path / "both")


def test_merged_with_its_base_the_passages_stay(tmp_path, tiny_folder):
    train_model(str(tiny_folder), make_training_rows(), alone(learning_rate=1e-2), tmp_path / "m")
    base, model = load_encoder(str(tiny_folder)), load_encoder(str(tmp_path / "m"))
    for weight in (0.0, 0.3, 1.0):
        merged = merge_encoders(base, model, weight)
        np.testing.assert_array_equal(merged.encode_document(TEXTS), base.encode_document(TEXTS))
        expected = merge_encoders(base, side_of(model, "query"), weight)
        np.testing.assert_array_equal(merged.encode_query(TEXTS), expected.encode_query(TEXTS))
    np.testing.assert_array_equal(merged.encode_query(TEXTS), model.encode_query(TEXTS))
    merged = merge_encoders(base, model, 0.5)
    merged.save_pretrained(str(tmp_path / "merged"))
    assert passages_stay(tiny_folder, tmp_path / "merged")


@pytest.mark.parametrize("side", ["both", "queries"])
def test_of_an_adapter_only_the_adapter_is_trained(tmp_path, tiny_folder, side):
    peft = pytest.importorskip("peft")
    encoder = load_encoder(str(tiny_folder))
    encoder.add_adapter(peft.LoraConfig(r=4, target_modules=["query", "value", "dense"], lora_alpha=8))
    encoder.save_pretrained(str(tmp_path / "adapter"))
    chosen = settings(side=side, max_steps=30, learning_rate=1e-2)
    log = train_model(str(tmp_path / "adapter"), make_training_rows(), chosen, tmp_path / "m")
    assert np.mean(losses(log)[-5:]) < np.mean(losses(log)[:5]) - 0.05
    assert log[0]["vocabulary"] == "", "the table is not trained"
    # Behind a route the adapter is in the weights, so they are held against those without it.
    before = load_encoder(str(tmp_path / "adapter" if side == "both" else tiny_folder))
    moved = side_of(load_encoder(str(tmp_path / "m")), "query").state_dict()
    changed = {name for name, tensor in before.state_dict().items() if not torch.equal(tensor, moved.get(name, tensor))}
    assert changed
    if side == "queries":
        assert passages_stay(tiny_folder, tmp_path / "m")
        assert all(name.endswith(("query.weight", "value.weight", "dense.weight")) for name in changed)
    else:
        assert all("lora" in name for name in changed)


def test_an_adapter_in_the_weights_embeds_the_same(tmp_path, tiny_folder):
    peft = pytest.importorskip("peft")
    base = load_encoder(str(tiny_folder))
    encoder = copy.deepcopy(base)
    encoder.add_adapter(peft.LoraConfig(r=4, target_modules=["query", "value"], lora_alpha=8))
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if "lora" in name:
                parameter += 0.3 * torch.randn(parameter.shape, generator=torch.manual_seed(0))
    join_encoders(encoder, base).save_pretrained(str(tmp_path / "joined"))
    joined = load_encoder(str(tmp_path / "joined"))
    np.testing.assert_allclose(joined.encode_query(TEXTS), encoder.encode_query(TEXTS), atol=1e-5)
    assert passages_stay(tiny_folder, tmp_path / "joined")
    assert any("lora" in name for name in encoder.state_dict()), "the encoder stays as it is"


def test_the_loss_has_the_settings_candidates(tmp_path, tiny_folder):
    base = load_encoder(str(tiny_folder))
    data = split_rows(make_training_rows(), settings(dev_share=0))
    fixed = embed_passages(base, base, data, [], tmp_path / "passages", None)
    loss = make_loss(base, alone(candidates=5), 1, passages=fixed)
    assert loss.get_config_dict() | {"fixed_passages": len(fixed.vectors), "candidates": 5} == loss.get_config_dict()


def test_a_corpus_may_have_what_the_rows_have(tmp_path, tiny_folder):
    rows = make_training_rows()
    for i, record in enumerate(rows.records):
        record["passage_id"] = f"p{i}"
    with_ids = TrainingRows(rows.columns, 1, 1, rows.records)
    corpus = [Text("p3", "the passage of a row under its id", "en"), Text("x", "river", "en", "moon")]
    log = train_model(
        str(tiny_folder),
        with_ids,
        alone(max_steps=2),
        tmp_path / "m",
        passages=PassageSource(corpus, tmp_path / "cache"),
    )
    assert log[0]["corpus"] == {"passages": 2, "known": 1, "repeated": 0, "empty": 0, "other_langs": {}}
    assert list((tmp_path / "cache").rglob("*.safetensors")), "passages are kept for other runs"
    with pytest.raises(InputError, match="A corpus gives fixed passages"):
        train_model(str(tiny_folder), rows, settings(), tmp_path / "b", passages=PassageSource(corpus))


def test_after_distillation_english_is_held_where_the_passages_are(tmp_path, tiny_folder):
    for steps in (0, 4):
        chosen = alone(distil_steps=steps, guard=1.0, learning_rate=1e-2, max_steps=2, dev_share=0.0)
        log = train_model(str(tiny_folder), make_training_rows(), chosen, tmp_path / f"m{steps}")
        first = next(entry for entry in log if "loss" in entry)
        assert (first["clear/guard"] > 1e-3) == (steps > 0), "distillation has moved English"
        assert passages_stay(tiny_folder, tmp_path / f"m{steps}")


def test_every_command_takes_the_model(tmp_path, tiny_folder, run, monkeypatch):
    """And none of them encodes a passage again that the base has encoded."""
    monkeypatch.setenv("CLEAR_IR_CACHE", str(tmp_path / "cache"))
    encoded = []
    encode = InProcess.encode

    def counted(self, model, texts, side, precision):
        encoded.append((side, len(texts)))
        return encode(self, model, texts, side, precision)

    monkeypatch.setattr(InProcess, "encode", counted)
    names = {"query": "anchor", "passage": "positive", "cross_query": "cross_anchor", "lang": "lang"}
    rows = [{name: record[ours] for name, ours in names.items()} for record in make_training_rows().records]
    write_jsonl(tmp_path / "own.jsonl", rows)
    data, model = tmp_path / "data", tmp_path / "model"
    collection, flags = (
        data / "collection",
        ["--batch-size", 8, "--max-steps", 2, "--precision", "fp32", "--dev-share", 0],
    )
    window = ["--num-negatives", 1, "--range-min", 1]
    commands = [
        ["prepare", "rows", "--rows", tmp_path / "own.jsonl", "--out", data],
        ["evaluate", "--model", tiny_folder, "--data", collection, "--out", tmp_path / "base"],
        ["train", "--side", "queries", "--model", tiny_folder, "--rows", data / "rows.jsonl", "--out", model, *flags],
        ["evaluate", "--model", model, "--data", collection, "--out", tmp_path / "trained"],
        ["mine", "--model", model, "--rows", data / "rows.jsonl", "--out", tmp_path / "mined.jsonl", *window],
        ["merge", tiny_folder, model, "--data", collection, "--out", tmp_path / "merged", "--weights", "0,0.5,1"],
        ["evaluate", "--model", tmp_path / "merged", "--data", collection, "--out", tmp_path / "between"],
        ["compare", tmp_path / "base", tmp_path / "trained"],
        ["report", tmp_path / "base", tmp_path / "trained", "--out", tmp_path / "report", "--data", collection],
    ]
    passages = {}
    for command in commands:
        encoded.clear()
        code, _, err = run(*command)
        assert code == 0, f"{command}: {err}"
        passages[str(command[-1])] = sum(count for side, count in encoded if side == "passage")
    counts = list(passages.values())
    assert counts[1] > 20
    assert counts[3:] == [0] * len(counts[3:]), passages
    passages_stay(tiny_folder, tmp_path / "merged")
