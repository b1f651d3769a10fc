"""Data sets of which no copy is at hand, on tiny files in the formats of their releases; NTREX on the real ones."""

import json

import pytest

from clear_ir.data.collection_files import read_collection
from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.prepare.belebele import load_belebele
from clear_ir.prepare.mlqa import load_mlqa
from clear_ir.prepare.ntrex import load_ntrex
from clear_ir.prepare.source import hub_records, is_local
from clear_ir.prepare.xor_tydi import load_xor_tydi
from clear_ir.prepare.xquad import load_xquad
from clear_ir.prepare.xquad_r import load_xquad_r


def relevant(collection, query):
    return {passage for passage, relevance in collection.qrels[query].items() if relevance > 0}


def names(collection):
    return set(map(str, collection.directions))


# XQuAD-R


def paragraph(lang, *, sentences, answers):
    """Sentences joined by a space, with their first and last characters, as LAReQA's files have them."""
    context, breaks = "", []
    for sentence in sentences:
        context += " " if context else ""
        breaks.append([len(context), len(context) + len(sentence)])
        context += sentence
    asked = [
        {"id": name, "question": f"{lang} {name}? ", "answers": [{"text": text, "answer_start": context.index(text)}]}
        for name, text in answers.items()
    ]
    return {"context": context, "qas": asked, "sentences": list(sentences), "sentence_breaks": breaks}


@pytest.fixture
def xquad_r(tmp_path):
    for lang, sentences in (("en", ["One is red.", "Two is blue."]), ("de", ["Eins ist rot.", "Zwei.", "Ist blau."])):
        colours = {"en": ("red", "blue"), "de": ("rot", "blau")}[lang]
        first = paragraph(lang, sentences=sentences, answers=dict(zip(("q1", "q2"), colours, strict=True)))
        second = paragraph(lang, sentences=[f"{lang} only"], answers={"q3": lang})
        document = {"data": [{"title": "t", "paragraphs": [first]}, {"title": "u", "paragraphs": [second]}]}
        (tmp_path / f"{lang}.json").write_text(json.dumps(document))
    return tmp_path


def test_xquad_r_pools_are_sentences(xquad_r):
    prepared = load_xquad_r(xquad_r, ["de"])
    collection = prepared.collection
    assert prepared.rows == []
    assert sorted(p.text for p in collection.passages.values() if p.lang == "de") == [
        "Eins ist rot.", "Ist blau.", "Zwei.", "de only",
    ]  # fmt: skip
    assert {collection.passages[p].text for p in relevant(collection, "q2@de")} == {"Two is blue.", "Ist blau."}
    assert {collection.passages[p].text for p in relevant(collection, "q1@en")} == {"One is red.", "Eins ist rot."}
    assert names(collection) == {"q-en.p-en", "q-de.p-en", "q-en.p-de", "q-de.p-de"}
    assert collection.queries["q1@de"].parallel_id == collection.queries["q1@en"].parallel_id == "q1"


def test_xquad_r_bad_files(xquad_r):
    with pytest.raises(InputError, match=r"has no language 'es'; choose among de, en\."):
        load_xquad_r(xquad_r, ["es"])
    document = json.loads((xquad_r / "de.json").read_text())
    document["data"].pop()
    (xquad_r / "de.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"de\.json has other questions than en\.json"):
        load_xquad_r(xquad_r, ["de"])
    del document["data"][0]["paragraphs"][0]["sentences"]
    (xquad_r / "de.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"de\.json, article 1, paragraph 1: 'sentences' is missing"):
        load_xquad_r(xquad_r, ["all"])


# Belebele


def belebele_record(lang, passage, number, question):
    return {
        "link": f"https://example.org/{passage}",
        "question_number": number,
        "flores_passage": f"{lang} passage {passage}",
        "question": f"{lang} question {question}",
        **{f"mc_answer{i}": f"answer {i}" for i in range(1, 5)},
        "correct_answer_num": "1",
        "dialect": lang,
        "ds": "2023-05-03",
    }


@pytest.fixture
def belebele(tmp_path):
    for lang in ("eng_Latn", "hau_Latn", "deu_Latn"):
        records = [belebele_record(lang, p, n, f"{p}{n}") for p in "abc" for n in (1, 2)]
        # Another order, and one question less.
        write_jsonl(tmp_path / f"{lang}.jsonl", records if lang != "hau_Latn" else records[::-1][1:])
    return tmp_path


def test_belebele_pairs_questions_by_link_and_number(belebele):
    prepared = load_belebele(belebele, ["ha"])
    collection = prepared.collection
    assert prepared.notes == ["1 questions left out: not there exactly once in every language."]
    assert sum(p.lang == "ha" for p in collection.passages.values()) == 3
    [query] = [q for q in collection.queries.values() if q.text == "hau_Latn question b2"]
    assert {collection.passages[p].text for p in relevant(collection, query.id)} == {
        "eng_Latn passage b", "hau_Latn passage b",
    }  # fmt: skip
    [english] = [q for q in collection.queries.values() if q.text == "eng_Latn question b2"]
    assert english.lang == "en"
    assert english.parallel_id == query.parallel_id
    assert len(names(load_belebele(belebele, ["all"]).collection)) == 9
    assert names(collection) == {"q-en.p-en", "q-ha.p-en", "q-en.p-ha", "q-ha.p-ha"}


def test_belebele_bad_files(belebele):
    with pytest.raises(InputError, match="no language 'fr'; choose among de, en, ha"):
        load_belebele(belebele, ["fra_Latn"])
    write_jsonl(belebele / "deu_Latn.jsonl", [{**belebele_record("deu_Latn", "a", 1, "a1"), "question": ""}])
    with pytest.raises(InputError, match=r"deu_Latn\.jsonl, line 1: 'question' is missing or empty"):
        load_belebele(belebele, ["deu_Latn"])
    write_jsonl(belebele / "deu_Latn.jsonl", [belebele_record("deu_Latn", "z", 1, "z1")])
    with pytest.raises(InputError, match="No question .* is in all of en, de"):
        load_belebele(belebele, ["deu_Latn"])


# MLQA


@pytest.fixture
def mlqa(tmp_path):
    questions = {"en": ("q1", "q2", "q3"), "de": ("q1", "q3")}
    for context_lang in questions:
        for query_lang in questions:
            shared = [q for q in questions[context_lang] if q in questions[query_lang]]
            paragraphs = [
                {"context": f"{context_lang} context of {q}", "qas": [{"id": q, "question": f"{query_lang} {q}"}]}
                for q in shared
            ]
            name = f"test-context-{context_lang}-question-{query_lang}.json"
            (tmp_path / name).write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}]}))
    return tmp_path


def test_mlqa_judges_what_exists(mlqa):
    collection = load_mlqa(mlqa, ["de"]).collection
    assert len(relevant(collection, "q2@en")) == 1
    assert {collection.passages[p].text for p in relevant(collection, "q3@de")} == {
        "en context of q3", "de context of q3",
    }  # fmt: skip
    pools = {lang: sum(p.lang == lang for p in collection.passages.values()) for lang in ("en", "de")}
    assert pools == {"en": 3, "de": 2}
    assert "q2@de" not in collection.queries
    assert len(names(collection)) == 4


def test_mlqa_bad_files(mlqa):
    with pytest.raises(InputError, match="holds no files of MLQA, such as dev-context-en") as refused:
        load_mlqa(mlqa, ["de"], "dev")
    assert refused.value.settings == ("data",)
    (mlqa / "test-context-en-question-de.json").unlink()
    with pytest.raises(InputError, match=r"holds no test-context-en-question-de\.json; check"):
        load_mlqa(mlqa, ["de"])


# XOR-TyDi


@pytest.fixture
def xor_tydi(tmp_path):
    def asked(name, lang):
        return {"id": name, "question": f"{lang} {name}", "answers": [], "lang": lang, "split": "dev"}

    paragraphs = [
        {"context": "about one ", "qas": [asked("1", "fi")]},
        {"context": "about two", "qas": [asked("2", "ko"), asked("1", "fi")]},
    ]
    path = tmp_path / "gp_squad_dev_data.json"
    path.write_text(json.dumps({"data": [{"title": "t", "paragraphs": paragraphs}], "version": "1"}))
    return tmp_path


def test_xor_tydi_is_labelled_and_english_passages_only(xor_tydi):
    prepared = load_xor_tydi(xor_tydi, ["fi"])
    collection = prepared.collection
    assert collection.name == "xor-tydi-gold-pool-fi"
    assert "not the official R@2kt" in prepared.notes[0]
    assert names(collection) == {"q-fi.p-en"}
    assert len(collection.passages) == 2, "the pool holds the other languages' paragraphs too"
    assert {collection.passages[p].text for p in relevant(collection, "1")} == {"about one", "about two"}
    assert names(load_xor_tydi(xor_tydi / "gp_squad_dev_data.json", ["all"]).collection) == {"q-fi.p-en", "q-ko.p-en"}


def test_xor_tydi_bad_files(xor_tydi):
    with pytest.raises(InputError, match="no questions in 'te'; choose among fi, ko"):
        load_xor_tydi(xor_tydi, ["te"])
    path = xor_tydi / "gp_squad_dev_data.json"
    path.write_text(path.read_text().replace('"lang": "ko"', '"lang": null'))
    with pytest.raises(InputError, match="article 1: a question has no 'lang'"):
        load_xor_tydi(xor_tydi, ["fi"])
    with pytest.raises(InputError, match="There is no folder"):
        load_xor_tydi(xor_tydi / "none", ["fi"])


# NTREX


def write_ntrex(folder, **lines):
    for code, found in lines.items():
        kind = "src" if code == "eng" else "ref"
        (folder / f"newstest2019-{kind}.{code}.txt").write_text("\n".join(found) + "\n", encoding="utf-8")


def test_ntrex_pairs_lines_and_forgives_equal_texts(tmp_path):
    write_ntrex(
        tmp_path, eng=["yes", "no", "maybe", "no"], deu=["ja", "nein", "ja", "nee"], hau=["eh", "a'a", "kila", "a'a "]
    )
    collection = load_ntrex(tmp_path, ["de", "ha"]).collection
    assert len(names(collection)) == 6
    assert all(direction.crosses for direction in collection.directions)
    # "no" is on two lines, so both translations are right; "ja" translates two lines, so both find it.
    assert relevant(collection, "s0002@en") == {"s0002@de", "s0004@de", "s0002@ha", "s0004@ha"}
    assert relevant(collection, "s0001@en") == {"s0001@de", "s0003@de", "s0001@ha"}
    assert relevant(collection, "s0001@de") == {"s0001@en", "s0003@en", "s0001@ha", "s0003@ha"}
    assert collection.mixed_directions == []


def test_ntrex_bad_files(tmp_path):
    write_ntrex(tmp_path, eng=["one", "two"], deu=["eins"], spa=["uno", " "])
    with pytest.raises(InputError, match=r"deu\.txt has 1 lines, .*eng\.txt has 2"):
        load_ntrex(tmp_path, ["deu"])
    with pytest.raises(InputError, match=r"spa\.txt, line 2 is empty"):
        load_ntrex(tmp_path, ["es"])
    with pytest.raises(InputError, match="no language 'fr'; choose among de, en, es"):
        load_ntrex(tmp_path, ["fra"])


def test_real_ntrex(shared_data):
    collection = load_ntrex(shared_data / "ntrex", ["de", "zh"]).collection
    assert len(collection.queries) == len(collection.passages) == 3 * 1997
    assert {"q-de.p-en", "q-zh.p-de"} <= names(collection)
    judged = [len(found) for found in collection.qrels.values()]
    assert min(judged) == 2, "each sentence has its translation in both other languages"
    assert 2 < max(judged) < 40, "and some sentences stand on several lines"


def test_real_xquad_in_all_languages(shared_data):
    collection = load_xquad(shared_data / "xquad", ["all"], "all").collection
    assert len(collection.queries) == 8 * 1190
    assert len(collection.passages) == 8 * 240
    assert len(names(collection)) == 64


# Where data come from


def test_what_is_local(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert is_local(tmp_path)
    assert is_local("./google/xquad")
    assert is_local("xquad")
    assert not is_local("google/xquad")
    (tmp_path / "google").mkdir()
    assert is_local("google/xquad")  # a mistyped folder, rather than a name on the hub


@pytest.fixture
def hub(tmp_path):
    """A folder as `datasets` reads it from the hub, with XQuAD's configurations."""
    configs = []
    for lang in ("en", "de"):
        records = [
            {"id": f"q{i}", "context": f"{lang} {i // 2}", "question": f"{lang}? {i}", "answers": {"text": ["x"]}}
            for i in range(4)
        ]
        write_jsonl(tmp_path / lang / "validation.jsonl", records)
        split = f"  - split: validation\n    path: {lang}/validation.jsonl\n"
        configs.append(f"- config_name: xquad.{lang}\n  data_files:\n{split}")
    (tmp_path / "README.md").write_text("---\nconfigs:\n" + "".join(configs) + "---\n")
    return tmp_path


def test_flat_records_become_paragraphs(hub, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
    assert [record["id"] for record in hub_records(str(hub), "xquad.de", "validation")] == ["q0", "q1", "q2", "q3"]
    # The hub cannot be reached from a test, so the name stands for the folder.
    monkeypatch.setattr("clear_ir.prepare.xquad.hub_records", lambda _, *rest: hub_records(str(hub), *rest))
    collection = load_xquad("google/xquad", ["de"], "all").collection
    assert len(collection.passages) == 4
    assert {collection.passages[p].text for p in relevant(collection, "q3@de")} == {"en 1", "de 1"}
    with pytest.raises(InputError, match="only 'all' can be judged") as refused:
        load_xquad("google/xquad", ["de"])
    assert refused.value.settings == ("judge",)


def test_what_cannot_be_loaded_is_one_sentence(hub, monkeypatch, tmp_path_factory):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path_factory.mktemp("cache")))
    with pytest.raises(
        InputError, match=r"The data set .* \(xquad\.es\) cannot be loaded: .*give their folder\."
    ) as told:
        hub_records(str(hub), "xquad.es", "validation")
    assert "\n" not in str(told.value)
    with pytest.raises(InputError, match=r"nobody/nothing \(x\) cannot be loaded"):
        hub_records("nobody/nothing", "x", "test")


def test_a_plain_beir_folder_is_english(tmp_path):
    write_jsonl(tmp_path / "corpus.jsonl", [{"_id": "d1", "title": "T", "text": "x"}, {"_id": "d2", "text": "y"}])
    write_jsonl(tmp_path / "queries.jsonl", [{"_id": "q1", "text": "x?", "metadata": {}}])
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("query-id\tcorpus-id\tscore\nq1\td1\t1\n")
    collection = read_collection(tmp_path)
    assert names(collection) == {"q-en.p-en"}
    assert collection.passages["d1"].full_text == "T x"
