import gzip
import json

import numpy as np
import pytest
from commands import refused
from test_hard_negatives import make_rows
from tiny import WORDS, make_encoder, quiet

from clear_ir.data.collection import Text
from clear_ir.data.corpus import read_corpus
from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import write_parallel_rows
from clear_ir.data.training_rows import read_training_rows
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.mine.pools import PassagePool, RowKeys
from clear_ir.mine.settings import MiningSettings


def text(number, **changes):
    words = np.random.default_rng(number).permutation(WORDS)[:9]
    return Text(**{"id": f"c{number}", "text": " ".join(words), "lang": "en"} | changes)


def pool_of(rows, corpus):
    return PassagePool(rows, list(map(RowKeys.of, rows)), corpus)


def test_negatives_come_from_the_corpus_and_from_the_rows():
    rows = make_rows()
    corpus = [text(100 + i) for i in range(80)]
    settings = MiningSettings(num_negatives=5, range_min=0, range_max=40)
    mined = mine_hard_negatives(quiet(make_encoder(double=False)), rows, settings, iter(corpus))
    negatives = {record[f"negative_{i}"] for record in mined.records for i in range(1, 6)}
    of_corpus = {passage.text for passage in corpus}
    assert negatives & of_corpus
    assert negatives - of_corpus
    assert negatives <= of_corpus | {row.passage for row in rows}
    assert mined.summary()["corpus"]["passages"] == 80


def test_known_positives_of_the_corpus_are_no_negatives():
    rows = make_rows(4)  # rows 0 and 1 have one passage, rows 2 and 3 another
    own = rows[0].passage
    corpus = [
        text(1, text=own),
        text(2, text=own.replace(" ", "  "), title="River"),  # the rows have it without its title
        text(3, id=rows[2].passage_id),  # another form of a passage of the rows
        text(4),
        text(5, text=text(3).text),  # the same again, and no row has this id
        text(6, id=rows[0].passage_id, text=text(7).text),
        text(7),  # known by its text, which the one before has
        text(8, title="Moon"),
    ]
    for order in (corpus, corpus[::-1]):
        pool = pool_of(rows, order)
        assert sorted(pool.texts[2:]) == sorted([text(4).text, f"Moon {text(8).text}"])
        assert pool.texts[:2] == [own, rows[2].passage]
        assert (pool.counts.passages, pool.counts.known, pool.counts.repeated) == (6, 4, 2)


def test_what_is_left_out_is_counted():
    corpus = [text(1), text(2, text=""), text(3, lang="de"), text(4, lang="sw"), text(5, lang="sw"), text(1)]
    counts = pool_of(make_rows(4), corpus).counts
    assert counts.other_langs == {"de": 1, "sw": 2}
    assert counts.sentence("corpus.jsonl") == (
        "1 passages from corpus.jsonl, 0 of them known positives. "
        "Left out: 3 not in English, 1 with the text of another, 1 empty."
    )
    many = pool_of(make_rows(4), (text(1, text=f"passage {i}") for i in range(1200))).counts
    assert many.sentence("c.jsonl") == "1,200 passages from c.jsonl, 0 of them known positives."


def test_corpora_as_people_have_them(tmp_path):
    beir = {"_id": "1", "title": "River", "text": "It is long."}
    write_jsonl(tmp_path / "beir" / "corpus.jsonl", [beir, {"_id": "2", "title": None, "text": "", "lang": "eng_Latn"}])
    packed = tmp_path / "packed" / "corpus.jsonl.gz"
    packed.parent.mkdir()
    packed.write_bytes(gzip.compress((tmp_path / "beir" / "corpus.jsonl").read_bytes()))
    for path in (tmp_path / "beir", tmp_path / "beir" / "corpus.jsonl", packed, packed.parent):
        assert [(p.id, p.full_text, p.lang) for p in read_corpus(path)] == [
            ("1", "River It is long.", "en"),
            ("2", "", "en"),
        ]
    write_jsonl(tmp_path / "own.jsonl", [{"id": 7, "passage": "x", "language": "deu"}, {"docid": "8", "contents": "y"}])
    assert [(p.id, p.text, p.lang) for p in read_corpus(tmp_path / "own.jsonl")] == [("7", "x", "de"), ("8", "y", "en")]
    (tmp_path / "own.tsv").write_text("pid\ttext\n1\tThe moon\n")
    assert [(p.id, p.text) for p in read_corpus(tmp_path / "own.tsv")] == [("1", "The moon")]


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"_id": "1", "words": "x"}, r"line 1 has _id, words; name the column that holds the passage text"),
        ({"_id": "1", "text": ["x"]}, r"line 1: 'text' holds a list"),
        ({"_id": "1", "text": "x", "lang": "german"}, r"line 1: 'lang' is 'german', which is no language code"),
    ],
)
def test_a_corpus_that_cannot_be_read(tmp_path, record, sentence):
    write_jsonl(tmp_path / "c.jsonl", [record])
    with pytest.raises(InputError, match=sentence):
        list(read_corpus(tmp_path / "c.jsonl"))
    with pytest.raises(InputError, match=r"has no corpus.jsonl; give a collection"):
        list(read_corpus(tmp_path))


def test_the_command(run, tmp_path, tiny_folder):
    write_parallel_rows(tmp_path / "rows.jsonl", make_rows())
    passages = [{"_id": f"c{i}", "text": text(i).text, "lang": "en" if i % 3 else "sw"} for i in range(60)]
    passages.append({"_id": "own", "text": make_rows()[0].passage})
    write_jsonl(tmp_path / "corpus.jsonl", passages)
    command = ["mine", "--model", tiny_folder, "--rows", tmp_path / "rows.jsonl", "--corpus", tmp_path / "corpus.jsonl"]
    flags = ["--num-negatives", 2, "--range-min", 1, "--range-max", 18]
    code, out, _ = run(*command, *flags, "--out", tmp_path / "train.jsonl")
    assert code == 0
    sentence = "41 passages from corpus.jsonl, 1 of them known positives. Left out: 20 not in English."
    assert sentence in out
    rows = read_training_rows(tmp_path / "train.jsonl")
    assert {record["negative_1"] for record in rows.records} & {passage["text"] for passage in passages}
    document = json.loads(run(*command, *flags, "--out", tmp_path / "again.jsonl", "--json")[1])
    assert document["corpus"]["other_langs"] == {"sw": 20}
    refused(run(*command[:-1], tmp_path / "nothing", "--out", tmp_path / "t"), "nothing does not exist")
    assert not (tmp_path / "t").exists()
