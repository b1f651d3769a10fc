"""The data set that ships: complete, parallel, without leaks, and not solved by shared words."""

import re
import unicodedata
from collections import Counter

import pytest

from clear_ir.data.directions import Direction
from clear_ir.data.files import InputError, read_jsonl
from clear_ir.evaluate.measures import score_run
from clear_ir.prepare.atlas import FOLDER, load_atlas, load_split

QUERY_LANGS = {"en", "de", "es", "sw", "ha", "id", "hi", "ru"}
PASSAGE_LANGS = {"en", "de", "sw"}
SPLITS = {"train": 130, "dev": 20, "test": 50}


@pytest.fixture(scope="module")
def splits():
    return {split: load_split(split) for split in SPLITS}


@pytest.fixture(scope="module")
def corpus():
    return [record for split in SPLITS for _, record in read_jsonl(FOLDER / split / "corpus.jsonl")]


def words(text):
    return re.findall(r"\w+", text.lower())


def test_every_text_exists_in_every_language(splits, corpus):
    assert Counter(record["lang"] for record in corpus) == dict.fromkeys(PASSAGE_LANGS, 200)
    passages = {lang: {r["parallel_id"] for r in corpus if r["lang"] == lang} for lang in PASSAGE_LANGS}
    assert passages["en"] == passages["de"] == passages["sw"]
    queries = [query for split in splits.values() for query in split.queries.values()]
    assert Counter(query.lang for query in queries) == dict.fromkeys(QUERY_LANGS, 400)
    assert len({query.parallel_id for query in queries}) == 400


def test_splits_are_by_passage(splits):
    judged = {name: {p.split("@")[0] for j in split.qrels.values() for p in j} for name, split in splits.items()}
    assert {name: len(passages) for name, passages in judged.items()} == SPLITS
    assert not judged["train"] & judged["test"]
    assert not judged["train"] & judged["dev"]
    assert not judged["dev"] & judged["test"]
    for name, split in splits.items():
        assert {passage.parallel_id for passage in split.passages.values()} == judged[name]
        for query, found in split.qrels.items():
            assert {p.split("@")[0] for p in found} == {query.split(".")[0]}
            assert {p.split("@")[1] for p in found} == PASSAGE_LANGS


def test_every_passage_has_four_neighbours_spread_over_the_splits(corpus, splits):
    english = [record for record in corpus if record["lang"] == "en"]
    assert set(Counter(record["group"] for record in english).values()) == {5}
    assert len({record["field"] for record in english}) >= 12
    for name in ("dev", "test"):
        pool = {passage.parallel_id for passage in splits[name].passages.values()}
        for group in {record["group"] for record in english if record["parallel_id"] in pool}:
            members = {record["parallel_id"] for record in english if record["group"] == group}
            assert len(members & pool) == 2, "a neighbour to tell apart in the pool"
            assert len(members - pool) == 3, "neighbours that were trained on"


def test_no_text_is_empty_or_stands_twice(splits, corpus):
    texts = [(query.lang, query.text) for split in splits.values() for query in split.queries.values()]
    texts += [(record["lang"], record["text"]) for record in corpus]
    assert all(text.strip() == text and text for _, text in texts)
    assert len(set(texts)) == len(texts)


def test_scripts_match_languages(splits):
    script = {"hi": "DEVANAGARI", "ru": "CYRILLIC"}
    for split in splits.values():
        for query in split.queries.values():
            letters = [unicodedata.name(c).split()[0] for c in query.text if c.isalpha()]
            share = Counter(letters)[script.get(query.lang, "LATIN")] / len(letters)
            assert share > 0.9, query


def test_lengths(corpus, splits):
    for record in corpus:
        count = len(record["text"].split())
        assert (40 <= count <= 70) if record["lang"] == "en" else (25 <= count <= 90), record["_id"]
    for split in splits.values():
        for query in split.queries.values():
            assert 3 <= len(query.text.split()) <= 30, query
            assert query.text.endswith("?"), query


def test_no_question_repeats_more_than_three_words_of_its_passage(splits):
    for split in splits.values():
        for query_id, found in split.qrels.items():
            query = split.queries[query_id]
            asked = words(query.text)
            for passage in (split.passages[p] for p in found):
                told = words(passage.text)
                runs = {tuple(told[i : i + 4]) for i in range(len(told) - 3)}
                hit = [asked[i : i + 4] for i in range(len(asked) - 3) if tuple(asked[i : i + 4]) in runs]
                assert passage.lang != query.lang or not hit, (query_id, hit)


def test_words_alone_do_not_solve_it(splits):
    from sklearn.feature_extraction.text import TfidfVectorizer

    test = splits["test"]
    pool = test.pool(Direction("en", "en"))
    asked = [query for query in test.queries.values() if query.lang == "en"]
    vectorizer = TfidfVectorizer(stop_words="english", sublinear_tf=True).fit([p.full_text for p in pool])
    scores = (
        vectorizer.transform([q.text for q in asked]) @ vectorizer.transform([p.full_text for p in pool]).T
    ).toarray()
    run = {q.id: {p.id: float(s) for p, s in zip(pool, row, strict=True)} for q, row in zip(asked, scores, strict=True)}
    judged = {q.id: {p: 1 for p in test.qrels[q.id] if p.endswith("@en")} for q in asked}
    ndcg = sum(values["nDCG@10"] for values in score_run(run, judged).values()) / len(asked)
    assert 0.05 < ndcg < 0.85


def test_loading():
    prepared = load_atlas()
    assert Counter(row.lang for row in prepared.rows) == {"de": 260, "sw": 260}
    assert list(map(str, prepared.collection.directions)) == [
        "q-en.p-en", "q-de.p-en", "q-en.p-de", "q-de.p-de", "q-sw.p-en", "q-en.p-sw", "q-sw.p-sw",
        "q-de.p-sw", "q-sw.p-de",
    ]  # fmt: skip
    assert len(prepared.collection.pool(Direction("en", "en"))) == 50
    tested = {p.split("@")[0] for j in prepared.collection.qrels.values() for p in j}
    assert not tested & {row.passage_id.split("@")[0] for row in prepared.rows}
    hausa = load_atlas(["ha"], judge="dev")
    assert list(map(str, hausa.collection.directions)) == ["q-en.p-en", "q-ha.p-en"]
    with pytest.raises(InputError, match="no language 'fr'; choose among de, es, ha, hi, id, ru, sw"):
        load_atlas(["fr"])


def test_rows_have_the_passage_in_their_language_where_atlas_has_it():
    rows = load_atlas(["de", "es"]).rows
    train = load_split("train").passages
    assert {bool(row.cross_passage) for row in rows if row.lang == "es"} == {False}
    german = [row for row in rows if row.lang == "de"]
    assert german
    assert all(row.cross_passage == train[row.passage_id.replace("@en", "@de")].full_text for row in german)
