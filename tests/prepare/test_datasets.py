"""The loaders on small files in the upstream formats, and on the real data where they are."""

import json
from collections import Counter

import pytest

from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.prepare.afriqa import load_afriqa
from clear_ir.prepare.rows import load_rows
from clear_ir.prepare.xquad import load_xquad


@pytest.fixture
def afriqa(tmp_path):
    def record(i, context):
        return {
            "id": str(i),
            "context": context,
            "title": "t",
            "question_lang": f"wa {i}",
            "question_translated": f"who {i}",
        }

    for lang, split, records in (
        ("hau", "train", [record(0, "a"), record(1, "b"), record(2, None), record(3, "tested")]),
        ("hau", "dev", [record(0, "c")]),
        ("hau", "test", [record(0, "tested"), record(1, "d")]),
        ("swa", "test", [record(0, "e")]),
    ):
        write_jsonl(tmp_path / f"gold_span_passages.afriqa.{lang}.en.{split}.json", records)
    write_jsonl(tmp_path / "gold_span_passages.afriqa.fon.fr.train.json", [record(0, "french")])
    return tmp_path


def test_afriqa_never_trains_on_a_test_passage(afriqa):
    prepared = load_afriqa(afriqa, ["hau"])
    assert [row.passage for row in prepared.rows] == ["a", "b", "c"]
    assert len(prepared.rejected.reasons) == 1
    assert prepared.notes == ["1 training rows dropped: their passage is a test passage."]
    assert sorted(p.text for p in prepared.collection.passages.values()) == ["a", "b", "c", "d", "e", "tested"]
    assert list(map(str, prepared.collection.directions)) == ["q-en.p-en", "q-ha.p-en"]


def test_afriqa_judged_on_dev_does_not_see_test(afriqa):
    prepared = load_afriqa(afriqa, ["hau"], "dev")
    assert [row.id for row in prepared.rows] == ["hau-train-0", "hau-train-1"]
    assert {query.parallel_id for query in prepared.collection.queries.values()} == {"hau-dev-0"}


def test_afriqa_languages(afriqa):
    assert load_afriqa(afriqa, ["swa"]).rows == []
    with pytest.raises(InputError, match="The passages of fon in AfriQA are French; only English passages are sup"):
        load_afriqa(afriqa, ["fon"])
    with pytest.raises(InputError, match="no language 'ig'; choose among fon, ha, sw"):
        load_afriqa(afriqa, ["ibo"])
    everything = load_afriqa(afriqa, ["all"])
    assert everything.collection.name == "afriqa-ha-sw"
    assert everything.notes[0] == "Left out: fon, whose passages are French."
    with pytest.raises(InputError, match="There is no folder .*none") as refused:
        load_afriqa(afriqa / "none", ["hau"])
    assert refused.value.settings == ("data",)


def squad(lang, articles=5):
    return {
        "data": [
            {
                "title": "t",
                "paragraphs": [{"context": f"{lang} {a}", "qas": [{"id": f"q{a}", "question": f"{lang}? {a}"}]}],
            }
            for a in range(articles)
        ]
    }


def test_xquad_splits_by_article(tmp_path):
    for lang in ("en", "de"):
        (tmp_path / f"xquad.{lang}.json").write_text(json.dumps(squad(lang)))
    prepared = load_xquad(tmp_path, ["de"])
    assert [row.passage for row in prepared.rows] == ["en 1", "en 2", "en 3"]
    assert (prepared.rows[0].cross_query, prepared.rows[0].cross_passage) == ("de? 1", "de 1")
    assert set(prepared.collection.queries) == {"q0@en", "q0@de", "q4@en", "q4@de"}
    assert len(prepared.collection.passages) == 10
    dev = load_xquad(tmp_path, ["de"], "dev")
    assert [row.passage for row in dev.rows] == ["en 2", "en 3"]
    assert set(dev.collection.queries) == {"q1@en", "q1@de"}


def test_xquad_bad_files(tmp_path):
    (tmp_path / "xquad.en.json").write_text(json.dumps(squad("en")))
    with pytest.raises(InputError, match=r"no language 'de'; choose among en"):
        load_xquad(tmp_path, ["de"])
    (tmp_path / "xquad.de.json").write_text("{}")
    with pytest.raises(InputError, match="is no SQuAD JSON file"):
        load_xquad(tmp_path, ["de"])
    (tmp_path / "xquad.de.json").write_text(json.dumps(squad("de", articles=4)))
    with pytest.raises(InputError, match="does not run parallel"):
        load_xquad(tmp_path, ["de"])


def test_own_data_holds_passages_out(tmp_path):
    rows = [{"query": f"q{i}", "passage": f"p{i // 2}", "cross_query": f"c{i}"} for i in range(40)]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    prepared = load_rows(tmp_path / "rows.jsonl", lang="de")
    tested = {p for judged in prepared.collection.qrels.values() for p in judged}
    assert len(tested) == 4
    assert not tested & {row.passage_id for row in prepared.rows}
    assert len(prepared.collection.passages) == 20
    assert load_rows(tmp_path / "rows.jsonl", lang="de", test_share=0.0).collection is None
    with pytest.raises(InputError, match="no rows in language 'sw'"):
        load_rows(tmp_path / "rows.jsonl", lang="de", langs=["sw"])


def test_own_data_has_a_dev_split_that_shares_nothing_with_the_others(tmp_path):
    # Chains: question i has the passages i and, for every third, i + 1, so neighbours are connected.
    rows = [
        {"query": f"q{i}", "passage": f"p{p}", "cross_query": f"c{i}", "lang": "de"}
        for i in range(60)
        for p in ((i, i + 1) if i % 3 == 0 else (i,))
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    without = load_rows(tmp_path / "rows.jsonl")
    assert without.dev is None
    prepared = load_rows(tmp_path / "rows.jsonl", dev_share=0.3)
    assert prepared.collection.data_hash == without.collection.data_hash, "the test split stays as it was"
    assert (prepared.dev.split, prepared.dev.passages) == ("dev", prepared.collection.passages)
    asked, answered = [{row.query for row in prepared.rows}], [{row.passage_id for row in prepared.rows}]
    for collection in (prepared.collection, prepared.dev):
        asked.append({query.text for query in collection.queries.values() if query.lang == "en"})
        answered.append({passage for judged in collection.qrels.values() for passage in judged})
    assert [len(part) for part in asked] == [30, 13, 17], "about half, a fifth and 30 percent"
    for parts in (asked, answered):
        assert sum(map(len, parts)) == len(set().union(*parts)), "a question or passage is on two sides"
    with pytest.raises(InputError, match="nothing is left to train on after holding out 100%"):
        load_rows(tmp_path / "rows.jsonl", dev_share=0.8)


def test_own_data_with_passages_in_both_languages_have_every_direction(tmp_path):
    rows = [
        {"query": f"q{i}", "passage": f"p{i // 2}", "passage_id": f"id{i // 2}@en", "cross_query": f"{lang} {i}",
         "lang": lang, "cross_passage": f"{lang} p{i // 2}" if lang == "de" or i > 8 else None}
        for lang in ("de", "sw")
        for i in range(40)
    ]  # fmt: skip
    write_jsonl(tmp_path / "rows.jsonl", rows)
    prepared = load_rows(tmp_path / "rows.jsonl", test_share=0.5)
    collection = prepared.collection
    assert "Rows without a cross_passage, which others have: 9 of 80." in prepared.notes
    directions = "q-en.p-en q-de.p-en q-en.p-de q-de.p-de q-sw.p-en q-en.p-sw q-sw.p-sw q-de.p-sw q-sw.p-de"
    assert list(map(str, collection.directions)) == directions.split()
    langs = Counter(passage.lang for passage in collection.passages.values())
    assert langs == {"en": 20, "de": 20, "sw": 16}, "id4 has a Swahili question with and one without the passage"
    for query, judged in collection.qrels.items():
        number = int(collection.queries[query].text.split()[-1].removeprefix("q")) // 2
        versions = {f"id{number}@{lang}" for lang in ("en", "de", *(["sw"] if number >= 4 else []))}
        assert set(judged) == versions
    assert {row.passage_id for row in prepared.rows}.isdisjoint(
        p for judged in collection.qrels.values() for p in judged
    )
    german = load_rows(tmp_path / "rows.jsonl", test_share=0.5, langs=["de"]).collection
    assert {passage.lang for passage in german.passages.values()} == {"en", "de"}


def test_passages_of_one_id_have_one_translation_in_the_pool(tmp_path):
    rows = [
        {"query": f"q{i}", "passage": "p", "passage_id": f"p{i // 2}", "cross_query": f"c{i}", "lang": "de",
         "cross_passage": f"version {i}"}
        for i in range(8)
    ]  # fmt: skip
    write_jsonl(tmp_path / "rows.jsonl", rows)
    prepared = load_rows(tmp_path / "rows.jsonl", test_share=0.3)
    assert [p.text for p in prepared.collection.passages.values() if p.lang == "de"] == [
        "version 0", "version 2", "version 4", "version 6",
    ]  # fmt: skip
    assert any("has another translation in an earlier row" in note and ": 4." in note for note in prepared.notes)
    write_jsonl(tmp_path / "rows.jsonl", [*rows, rows[0] | {"passage_id": "p0@de"}])
    with pytest.raises(InputError, match="the passage_id 'p0@de' is used for two different passages"):
        load_rows(tmp_path / "rows.jsonl")


def test_real_afriqa(shared_data):
    prepared = load_afriqa(shared_data / "afriqa", ["hau", "kin"])
    assert len(prepared.collection.passages) == 3187
    assert sum(query.lang == "ha" for query in prepared.collection.queries.values()) == 300
    tested = {p for judged in prepared.collection.qrels.values() for p in judged}
    assert not tested & {row.passage_id for row in prepared.rows}
    assert len(prepared.rejected.reasons) == 82


def test_real_xquad(shared_data):
    prepared = load_xquad(shared_data / "xquad", ["de", "zh"])
    assert len(prepared.collection.passages) == 3 * 240
    assert len(prepared.rows) == 2 * 836
    assert sum(query.lang == "en" for query in prepared.collection.queries.values()) == 354


def test_translations_and_several_passages_of_one_question_are_one_question(tmp_path):
    rows = [
        {"query": f"what {q}", "passage": f"passage {q}{p}", "cross_query": f"{lang} {q}", "lang": lang}
        for lang in ("sw", "de")
        for q in range(12)
        for p in range(1 + q % 2)
    ]
    rows[0]["query"] = "what  0 "  # other white space is no other question
    write_jsonl(tmp_path / "rows.jsonl", rows)
    prepared = load_rows(tmp_path / "rows.jsonl", test_share=0.5)
    collection = prepared.collection
    questions = {text.parallel_id for text in collection.queries.values()}
    assert len(questions) == 6
    assert len(collection.queries) == 3 * 6, "one English query a question, and one translation in each language"
    for query, judged in collection.qrels.items():
        number = int(collection.queries[query].text.split()[-1])
        expected = {f"passage {number}{p}" for p in range(1 + number % 2)}
        assert {collection.passages[p].text for p in judged} == expected
    assert {row.query for row in prepared.rows}.isdisjoint({text.text for text in collection.queries.values()})
