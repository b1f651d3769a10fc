import gzip

import pytest

from clear_ir.data.collection import Collection, Text, make_collection
from clear_ir.data.collection_files import read_collection, write_collection
from clear_ir.data.directions import Direction, parse_direction
from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl, write_text


@pytest.fixture
def collection():
    passages = [
        Text(f"p{i}@{lang}", f"text {i} {lang}", lang, "Title", f"p{i}") for lang in ("en", "de") for i in (1, 2)
    ]
    queries = {f"q@{lang}": Text(f"q@{lang}", f"query {lang}", lang, parallel_id="q") for lang in ("en", "de", "sw")}
    qrels = {query: {"p1@en": 1, "p1@de": 1} for query in queries}
    return Collection("small", {p.id: p for p in passages}, queries, qrels)


def test_writing_and_reading_give_the_same(tmp_path, collection):
    write_collection(tmp_path / "small", collection)
    again = read_collection(tmp_path / "small")
    assert (again.passages, again.queries, again.qrels) == (collection.passages, collection.queries, collection.qrels)
    assert again.data_hash == collection.data_hash


def test_directions_are_named_with_both_sides_and_english_comes_first(collection):
    assert list(map(str, collection.directions)) == [
        "q-en.p-en", "q-de.p-en", "q-en.p-de", "q-de.p-de", "q-sw.p-en", "q-sw.p-de",
    ]  # fmt: skip
    crossing = collection.directions[2]
    assert collection.judged_queries(crossing) == {"q@en": {"p1@de": 1}}
    assert [passage.id for passage in collection.pool(crossing)] == ["p1@de", "p2@de"]


def test_mixed_pools_are_english_with_each_language_and_all(collection):
    # With passages in two languages, English + de is the pool of all.
    assert list(map(str, collection.mixed_directions)) == ["q-en.p-en+de", "q-de.p-en+de"]
    collection.passages["p1@ru"] = Text("p1@ru", "text", "ru", parallel_id="p1")
    collection.qrels["q@sw"]["p1@ru"] = 1
    wider = Collection("wider", collection.passages, collection.queries, collection.qrels)
    names = list(map(str, wider.mixed_directions))
    # q@en and q@de have no relevant passage in ru; a query counts where its own language has one, if it is there.
    assert names == ["q-en.p-en+de", "q-de.p-en+de", "q-de.p-all", "q-en.p-all", "q-sw.p-all"]
    [everything] = [direction for direction in wider.mixed_directions if str(direction) == "q-sw.p-all"]
    assert wider.judged_queries(everything) == {"q@sw": {"p1@en": 1, "p1@de": 1, "p1@ru": 1}}
    assert len(wider.pool(everything)) == 5
    assert everything.mixed
    assert not everything.crosses


def test_a_query_without_its_own_language_among_the_relevant_is_left_out_of_mixed_pools():
    # Bitext: a sentence is judged against its translation, never against itself.
    passages = {f"p{i}@{lang}": Text(f"p{i}@{lang}", "x", lang) for lang in ("en", "de", "sw") for i in (1, 2)}
    queries = {f"q1@{lang}": Text(f"q1@{lang}", "x", lang) for lang in ("en", "de", "sw")}
    qrels = {q: {p: 1 for p in passages if p.startswith("p1") and p[-2:] != q[-2:]} for q in queries}
    bitext = Collection("bitext", passages, queries, qrels)
    assert len(bitext.directions) == 6
    assert all(direction.crosses for direction in bitext.directions)
    assert bitext.mixed_directions == []


@pytest.mark.parametrize("name", ["en-de", "q-en", "p-en.q-de", ""])
def test_names_that_are_no_directions(name):
    with pytest.raises(ValueError, match="is not a direction"):
        parse_direction(name)
    assert parse_direction("q-de.p-en+de") == Direction("de", "en+de")


def test_the_hash_tells_any_change(collection):
    before = collection.data_hash
    changed = Collection("small", collection.passages, collection.queries, {**collection.qrels, "q@en": {"p2@en": 1}})
    assert changed.data_hash != before


def test_plain_beir_folder_counts_as_english(tmp_path):
    write_jsonl(tmp_path / "corpus.jsonl", [{"_id": "1", "title": "T", "text": "x"}, {"_id": "2", "text": "y"}])
    write_jsonl(tmp_path / "queries.jsonl", [{"_id": "a", "text": "q"}, {"_id": "unjudged", "text": "r"}])
    write_text(tmp_path / "qrels" / "test.tsv", "query-id\tcorpus-id\tscore\na\t1\t2\n")
    found = read_collection(tmp_path)
    assert list(map(str, found.directions)) == ["q-en.p-en"]
    assert list(found.queries) == ["a"]
    assert found.passages["1"].full_text == "T x"
    assert found.qrels == {"a": {"1": 2}}


def test_make_collection_pairs_languages():
    made = make_collection("m", [Text("p", "x", "en")], [("q1", "p", {"en": "what", "sw": "nini"})])
    assert made.qrels == {"q1@en": {"p": 1}, "q1@sw": {"p": 1}}
    assert {query.parallel_id for query in made.queries.values()} == {"q1"}


@pytest.mark.parametrize(
    ("corpus", "queries", "qrels", "message"),
    [
        (
            [{"_id": "1", "text": None}],
            [{"_id": "a", "text": "q"}],
            "a\t1\t1\n",
            "corpus.jsonl, line 1: 'text' is null",
        ),
        ([{"id": "1", "text": "x"}], [{"_id": "a", "text": "q"}], "a\t1\t1\n", "'_id' is missing among id, text"),
        ([{"_id": "1", "text": "x"}] * 2, [{"_id": "a", "text": "q"}], "a\t1\t1\n", "line 2: the _id '1' is used"),
        ([{"_id": "1 2", "text": "x"}], [{"_id": "a", "text": "q"}], "a\t1\t1\n", "white space"),
        ([{"_id": "1", "text": "x"}], [{"_id": "a", "text": "q"}], "a\t9\t1\n", "line 1: the passage '9' is not in"),
        ([{"_id": "1", "text": "x"}], [{"_id": "a", "text": "q"}], "b\t1\t1\n", "line 1: the query 'b' is not in"),
        ([{"_id": "1", "text": "x"}], [{"_id": "a", "text": "q"}], "a,1,1\n", "between tabs"),
        ([{"_id": "1", "text": "x"}], [{"_id": "a", "text": "q"}], "a\t1\t0\n", "judges no passage relevant"),
    ],
)
def test_bad_collections(tmp_path, corpus, queries, qrels, message):
    write_jsonl(tmp_path / "corpus.jsonl", corpus)
    write_jsonl(tmp_path / "queries.jsonl", queries)
    write_text(tmp_path / "qrels" / "test.tsv", qrels)
    with pytest.raises(InputError, match=message):
        read_collection(tmp_path, strict=True)


def test_missing_parts(tmp_path):
    with pytest.raises(InputError, match="is not a folder"):
        read_collection(tmp_path / "none")
    with pytest.raises(InputError, match="corpus.jsonl does not exist"):
        read_collection(tmp_path)


def test_ids_with_white_space_are_not_written(tmp_path):
    made = make_collection("c", [Text("p 1", "text", "en")], [("q", "p 1", {"en": "what"})])
    with pytest.raises(InputError, match="The passage id 'p 1' contains white space"):
        write_collection(tmp_path / "c", made)
    assert not (tmp_path / "c").exists()


def write_beir(folder, corpus, queries, qrels, header="query-id\tcorpus-id\tscore\n"):
    write_jsonl(folder / "corpus.jsonl", corpus)
    write_jsonl(folder / "queries.jsonl", queries)
    write_text(folder / "qrels" / "test.tsv", header + qrels)
    return read_collection(folder)


def test_what_beir_holds_is_read_and_counted(tmp_path):
    corpus = [
        {"_id": "1", "title": "moon", "text": ""},
        {"_id": "2", "title": "", "text": None},
        {"_id": "3", "title": None, "text": 0},
        {"_id": "4", "text": float("nan")},
    ]
    queries = [{"_id": "a", "text": "q"}, {"_id": "b", "text": "r"}]
    read = write_beir(tmp_path, corpus, queries, "a\t1\t1\na\tgone\t1\nlost\t1\t1\nb\tgone\t1\n")
    assert [text.full_text for text in read.passages.values()] == ["moon", "", "0", ""]
    assert read.qrels == {"a": {"1": 1, "gone": 1}, "b": {"gone": 1}}, "what is gone is a miss"
    assert [str(d) for d in read.directions] == ["q-en.p-en"]
    assert read.notes == [
        "Empty passages, which stay in the pool: 2.",
        "Judgments of queries that are not in queries.jsonl, left out: 1.",
        "Judgments of passages that are not in corpus.jsonl, misses where relevant: 2.",
    ]
    corpus[0]["lang"] = "de"
    several = write_beir(tmp_path, corpus, queries, "a\t1\t1\na\tgone\t1\n")
    assert several.qrels == {"a": {"1": 1}}
    assert several.notes[-1].endswith("corpus.jsonl, left out: 1.")


def test_packed_files_are_read(tmp_path):
    plain = write_beir(tmp_path, [{"_id": "1", "text": "x"}], [{"_id": "a", "text": "q"}], "a\t1\t1\n")
    for path in list(tmp_path.rglob("*.jsonl")) + list(tmp_path.rglob("*.tsv")):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert read_collection(tmp_path) == plain
    (tmp_path / "corpus.jsonl.gz").write_bytes((tmp_path / "corpus.jsonl.gz").read_bytes()[:-9])
    with pytest.raises(InputError, match="cannot be unpacked"):
        read_collection(tmp_path)
    (tmp_path / "corpus.jsonl.gz").write_text('{"_id": "1", "text": "x"}\n')  # unpacked, but not renamed
    assert read_collection(tmp_path) == plain


@pytest.mark.parametrize(
    "lines",
    [
        "a\t1\t1\n",
        "query-id\tcorpus-id\tscore\na\t1\t1.0\n",
        "Query_ID\tDoc_ID\tRelevance\n\na\t1\t1\r\n",
        "corpus-id\tquery-id\tscore\tannotator\n1\ta\t1\tX Y\n",
        "query-id corpus-id score\na 1 1\n",
        "a 0 1 1\n",
        "a\tQ0\t1\t1\n",
        "a\t1\t1\t\n",
    ],
)
def test_judgments_as_programs_write_them(tmp_path, lines):
    collection = write_beir(tmp_path, [{"_id": "1", "text": "x"}], [{"_id": "a", "text": "q"}], lines, header="")
    assert collection.qrels == {"a": {"1": 1}}
    assert collection.notes == []


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("a\t1\t0.5\n", "line 1: expected query-id"),
        ("a\t1\n", "line 1: expected query-id"),
        ("query-id\tcorpus-id\na\t1\n", "line 1: expected query-id"),
        ("a\t1\t1\na\t0\t1\t1\n", "line 2: expected query-id"),
        ("a,1,1\n", "line 1: expected query-id"),
        ("a\t1\t0\n", "judges no passage relevant; give"),
        ("b\t1\t1\n", "judges no passage of corpus.jsonl relevant for a query of queries.jsonl; write ids as they are"),
        ("a\t1.0\t1\n", "line 1 has 'a' and '1.0', but the first ids there are 'a' and '1'"),
    ],
)
def test_judgments_that_cannot_be_used(tmp_path, lines, message):
    with pytest.raises(InputError, match=message):
        write_beir(tmp_path, [{"_id": "1", "text": "x"}], [{"_id": "a", "text": "q"}], lines, header="")


def test_judgments_that_contradict_each_other_are_counted(tmp_path):
    lines = "a\t1\t1\na\t1\t1\na\t1\t2\n"
    collection = write_beir(tmp_path, [{"_id": "1", "text": "x"}], [{"_id": "a", "text": "q"}], lines, header="")
    assert collection.qrels == {"a": {"1": 2}}
    assert collection.notes == ["Judgments that contradict an earlier line, which they replace: 1."]


def test_languages_of_a_collection_have_one_code(tmp_path):
    write_jsonl(tmp_path / "corpus.jsonl", [{"_id": "d", "text": "x", "lang": "eng_Latn"}])
    queries = [{"_id": f"q{i}", "text": "y", "lang": lang} for i, lang in enumerate(["deu_Latn", "ger", "EN"])]
    write_jsonl(tmp_path / "queries.jsonl", queries)
    (tmp_path / "qrels").mkdir()
    (tmp_path / "qrels" / "test.tsv").write_text("".join(f"q{i}\td\t1\n" for i in range(3)))
    assert list(map(str, read_collection(tmp_path).directions)) == ["q-en.p-en", "q-de.p-en"]
    for lang, message in (("all", "stands for all languages"), ("German", "no language code; did you mean de?")):
        write_jsonl(tmp_path / "corpus.jsonl", [{"_id": "d", "text": "x", "lang": lang}])
        with pytest.raises(InputError, match=rf"corpus.jsonl, line 1: 'lang' is '{lang}', which .*{message}"):
            read_collection(tmp_path)


def test_finding_either_of_two_passages_with_one_text_is_right(tmp_path):
    passages = [
        ("a", "Z\u00fcrich noir", "fr"),
        ("b", "Zu\u0308rich  noir", "fr"),
        ("c", "Z\u00fcrich noir", "en"),
        ("d", "", "fr"),
    ]
    corpus = [
        {"_id": i, "text": text, "lang": lang} for i, text, lang in (*passages, ("e", "", "fr"), ("f", "x", "fr"))
    ]
    queries = [{"_id": i, "text": i, "lang": "en"} for i in ("q", "r")]
    qrels = "q\ta\t2\nq\td\t1\nq\tf\t0\nr\tb\t1\nr\ta\t0\n"
    collection = write_beir(tmp_path, corpus, queries, qrels)
    # Not the text in another language, not empty passages, and no judgment is changed.
    assert collection.qrels == {"q": {"a": 2, "d": 1, "f": 0, "b": 2}, "r": {"b": 1, "a": 0}}
    assert "Judgments added, of passages with the text of a relevant one: 1." in collection.notes
