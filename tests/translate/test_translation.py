"""Rows in, parallel rows out: what is read, translated once, left out with its reason, and written."""

import json
import os
from collections import Counter

import pytest
from commands import refused

from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import read_parallel_rows
from clear_ir.translate.english_rows import read_english_rows
from clear_ir.translate.languages import target_languages
from clear_ir.translate.samples import sample_rows
from clear_ir.translate.store import Kept, TranslationStore
from clear_ir.translate.translation import translate_rows


class Backwards:
    """Turns texts round, the last text first. It gives up "bad" and cuts "long"."""

    name = "backwards"

    def __init__(self, fails_after=10**9):
        self.problems = {}
        self.asked = Counter()
        self.fails_after = fails_after

    def check(self, langs):
        if "tlh" in langs:
            raise InputError("It does not translate into tlh.", "to")

    def identity(self, lang):
        return {"name": self.name}

    def translate(self, texts, lang, source="en"):
        for number in reversed(range(len(texts))):
            text = texts[number]
            if self.asked.total() == self.fails_after:
                raise InputError("It broke.")
            self.asked[lang, text] += 1
            if text == "bad":
                self.problems[text] = "given up: 3 tries"
                yield number, ""
            elif text == "long":
                self.problems[text] = "longer than the model reads"
                yield number, "gn"
            elif text != "silent":
                yield number, f" {text[::-1]} "


def rows_of(tmp_path, *records):
    path = tmp_path / "rows.jsonl"
    write_jsonl(path, records)
    return path


def english(tmp_path, *queries):
    path = rows_of(tmp_path, *({"query": q, "passage": f"about {i}"} for i, q in enumerate(queries)))
    return read_english_rows(path)[0]


def test_each_row_gets_its_translation_in_each_language(tmp_path):
    rows = english(tmp_path, "what is it", "who is it", "what is it", "where is it")
    translator = Backwards()
    made = translate_rows(rows, ["de", "sw"], translator, TranslationStore(None))
    assert [row.id for row in made.rows] == [f"{i}-{lang}" for lang in ("de", "sw") for i in (1, 2, 3, 4)]
    assert all(row.cross_query == row.query[::-1] for row in made.rows)
    assert [row.lang for row in made.rows] == ["de"] * 4 + ["sw"] * 4
    assert [row.passage for row in made.rows[:4]] == [f"about {i}" for i in range(4)]
    assert set(translator.asked.values()) == {1}, "a query of two rows is translated once"
    assert len(translator.asked) == 6


def test_what_cannot_be_used_is_left_out_with_its_reason(tmp_path):
    rows = english(tmp_path, "bad", "fine", "long", "silent", "bad")
    made = translate_rows(
        rows, ["de"], Backwards(), TranslationStore(tmp_path), lambda found, lang: {"fine": "too: fine"}
    )
    assert not made.rows
    assert [(r.text, r.translation, r.reason, r.rows) for r in made.rejected] == [
        ("bad", "", "given up: 3 tries", ["1-de", "5-de"]),
        ("fine", "enif", "too: fine", ["2-de"]),
        ("long", "gn", "longer than the model reads", ["3-de"]),
        ("silent", "", "the translator gave nothing", ["4-de"]),
    ]
    assert made.counts()["de"]["left out"] == {
        "given up": 1, "longer than the model reads": 1, "the translator gave nothing": 1, "too": 1,
    }  # fmt: skip


def test_the_next_run_asks_only_for_what_is_not_kept(tmp_path):
    rows = english(tmp_path, *(f"text {i}" for i in range(10)), "bad", "long")
    broken = Backwards(fails_after=7)
    with pytest.raises(InputError, match="It broke"):
        translate_rows(rows, ["de"], broken, TranslationStore(tmp_path))
    again = Backwards()
    made = translate_rows(rows, ["de"], again, TranslationStore(tmp_path))
    assert broken.asked.total() == 7
    assert again.asked.total() == 5 + 1
    assert set(broken.asked) & set(again.asked) == {("de", "bad")}, "what was given up is tried again"
    calm = translate_rows(rows, ["de"], Backwards(), TranslationStore(None))
    assert (made.rows, made.rejected) == (calm.rows, calm.rejected)
    assert made.num_known == {"de": 6}
    last = Backwards()
    translate_rows(rows, ["de"], last, TranslationStore(tmp_path))
    assert set(last.asked) == {("de", "bad")}


def test_a_kept_problem_stays_one(tmp_path):
    rows = english(tmp_path, "long")
    translate_rows(rows, ["de"], Backwards(), TranslationStore(tmp_path))
    again = Backwards()
    made = translate_rows(rows, ["de"], again, TranslationStore(tmp_path))
    assert not again.asked
    assert [r.reason for r in made.rejected] == ["longer than the model reads"]


def test_a_language_that_it_does_not_know_is_refused_first(tmp_path):
    translator = Backwards()
    with pytest.raises(InputError, match="tlh"):
        translate_rows(english(tmp_path, "x"), ["de", "tlh"], translator, TranslationStore(None))
    assert not translator.asked


def test_columns_are_found_and_translations_not_read(tmp_path):
    path = rows_of(
        tmp_path,
        {"id": "a", "question_en": "what is it", "question_de": "was gibt es", "context": "the p", "lang": "de"},
        {"id": "a", "question_en": "what is it", "question_de": "nini", "context": "the p", "lang": "sw"},
    )
    notes = []
    rows, rejected = read_english_rows(path, notes=notes)
    assert [(row.id, row.query, row.passage) for row in rows] == [("a", "what is it", "the p")]
    assert not rejected.reasons
    assert "Rows with the query and the passage of an earlier row, left out: 1." in notes


def test_rows_that_are_not_english_are_left_out(tmp_path):
    path = rows_of(
        tmp_path,
        {"query": "what is it", "passage": "p", "lang": "en"},
        {"query": "was gibt es", "passage": "p", "lang": "deu"},
        {"query": "what is a list", "passage": "p", "lang": "python"},
        {"query": None, "passage": "p", "lang": "en"},
        {"query": "what", "passage": ["", "q", "r"], "lang": "en"},
    )
    rows, rejected = read_english_rows(path)
    assert [(row.id, row.passage) for row in rows] == [("1", "p"), ("3", "p"), ("5", "q"), ("5-2", "r")]
    assert [reason for _, reason in rejected.reasons] == [
        "'lang' is 'deu', but the query must be English",
        "'query' is null or empty",
    ]


@pytest.mark.parametrize(
    ("records", "says"),
    [
        ([{"passage": "p"}], "no column 'query' among passage"),
        ([{"query": "q"}], "no column 'passage' among query"),
        ([{"query": "यह क्या है", "passage": "p"}] * 3, "the queries are not English, such as"),
        ([{"query": "", "passage": "p"}], "holds no usable row"),
        (
            [{"id": "a", "query": "q", "passage": "p"}, {"id": "a", "query": "r", "passage": "p"}],
            "'a' was already used",
        ),
        ([{"id": "a b", "query": "q", "passage": "p"}], "contains white space"),
    ],
)
def test_rows_that_cannot_be_translated(tmp_path, records, says):
    with pytest.raises(InputError, match=says):
        read_english_rows(rows_of(tmp_path, *records))


def test_target_languages():
    assert target_languages("de, swh_Latn zh-TW") == ["de", "sw", "zh-Hant"]
    for text, says in {
        "": "No language", " , ": "No language", "en": "English already", "de,eng_Latn": "English already",
        "de,de": "twice (de)", "de,deu": "twice (de and deu)", "german": "no language code", "all": "all languages",
    }.items():  # fmt: skip
        with pytest.raises(InputError) as error:
            target_languages(text)
        assert says in str(error.value), text
        assert error.value.settings == ("to",)


def test_samples_are_of_all_languages_and_the_same_each_time(tmp_path):
    rows = english(tmp_path, *(f"text {i}" for i in range(50)), *(f"text {i}" for i in range(50)))
    made = translate_rows(rows, ["de", "sw", "fr"], Backwards(), TranslationStore(None))
    drawn = sample_rows(made.rows)
    assert Counter(row.lang for row in drawn) == {"de": 7, "sw": 7, "fr": 6}
    assert len({(row.lang, row.query) for row in drawn}) == 20
    assert drawn == sample_rows(made.rows)
    assert len(sample_rows(made.rows[:3])) == 3


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.csv"
    lines = [f"what is {i},the passage {i}" for i in range(12)]
    path.write_text("\n".join(["question,answer", *lines]) + "\n")
    return path


def test_the_command_from_a_csv_to_rows_that_mine_takes(run, tmp_path, own, tiny_folder):
    out = tmp_path / "rows.jsonl"
    arguments = (
        "--rows",
        own,
        "--to",
        "de,sw",
        "--command",
        "sed s/^/{lang}-/",
        "--no-checks",
        "--cache",
        tmp_path,
        "--out",
        out,
    )
    code, said, _ = run("translate", *arguments)
    assert code == 0
    assert "24 parallel rows" in said
    assert f"clear-ir prepare rows --rows {out} --out {tmp_path}/rows-data" in said
    rows, _ = read_parallel_rows(out)
    assert (len(rows), rows[0].cross_query, rows[0].lang) == (24, "de-what is 0", "de")
    origin = json.loads((tmp_path / "rows.translation.json").read_text())
    assert origin["translator"]["sw"] == {"command": ["sed", "s/^/sw-/"]}
    assert origin["languages"]["sw"] == {"texts": 12, "rows": 12, "left out": {}}
    assert not (tmp_path / "rows.rejected.jsonl").exists()
    code, said, err = run(
        "mine", "--model", tiny_folder, "--rows", out, "--num-negatives", 1, "--out", tmp_path / "t.jsonl"
    )
    assert code == 0, err


def translation_of(own, out, command, *more):
    """The arguments that translate a file into German by a command, whatever its translations are like."""
    return ("translate", "--rows", own, "--to", "de", "--command", command, "--no-checks", "--out", out, *more)


def test_the_command_as_json_and_again(run, tmp_path, own):
    out = tmp_path / "rows.jsonl"
    arguments = translation_of(own, out, "cat", "--cache", tmp_path)
    assert run(*arguments)[0] == 0
    first = out.read_bytes()
    refused(run(*arguments), out, "exists", "--overwrite")
    code, said, _ = run(*arguments, "--overwrite", "--json")
    assert code == 0
    assert json.loads(said)["known"] == {"de": 12}
    assert out.read_bytes() == first
    assert all("known" not in path.read_text() for path in tmp_path.glob("rows.*"))


def test_what_lies_beside_the_rows_is_not_lost(run, tmp_path, own):
    (tmp_path / "rows.rejected.jsonl").write_text("mine")
    arguments = ("translate", "--rows", own, "--to", "de", "--command", "cat", "--no-cache")
    refused(run(*arguments, "--out", tmp_path / "rows.jsonl", "--overwrite"), "did not make it")
    assert (tmp_path / "rows.rejected.jsonl").read_text() == "mine"
    assert not (tmp_path / "rows.jsonl").exists()


def test_what_was_left_out_is_written(run, tmp_path, own):
    out = tmp_path / "rows.jsonl"
    own.write_text(own.read_text() + ",no question\n")
    arguments = translation_of(own, out, "sed s/.*5$//", "--no-cache")
    code, said, _ = run(*arguments)
    assert code == 0
    assert f"Left out: 2; {tmp_path}/rows.rejected.jsonl says why." in said
    left_out = [json.loads(line) for line in (tmp_path / "rows.rejected.jsonl").read_text().splitlines()]
    assert left_out[0] == {
        "text": "what is 5",
        "translation": "",
        "lang": "de",
        "reason": "the command gave an empty line",
        "rows": ["6-de"],
        "column": "query",
    }
    assert left_out[1]["reason"] == "'question' is null or empty"
    own.write_text("".join(own.read_text().splitlines(keepends=True)[:-1]))
    again = translation_of(own, out, "cat", "--no-cache", "--overwrite")
    assert run(*again)[0] == 0
    assert not (tmp_path / "rows.rejected.jsonl").exists(), "nothing was left out this time"


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--to en --command cat", "English already"),
        ("--to de,de --command cat", "twice"),
        ("--to klingonish --command cat", "no language code"),
        ("--to de,sw --command cat", "--command"),
        ("--to de --command no-such-program", "not installed"),
        ("--to de --command cat --map cross_query=x", "The mapping names"),
        ("--to de --command false", "failed"),
        ("--to de --command cat --model m", "(--command, --model)"),
    ],
)
def test_bad_input_is_one_sentence_and_nothing_is_written(run, tmp_path, own, flags, says):
    refused(run("translate", "--rows", own, *flags.split(), "--out", tmp_path / "o" / "r.jsonl", "--no-cache"), says)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["own.csv"]


def test_the_cache_of_the_user(run, tmp_path, own, monkeypatch):
    monkeypatch.setenv("CLEAR_IR_CACHE", str(tmp_path / "kept"))
    assert (
        run("translate", "--rows", own, "--to", "de", "--command", "rev", "--no-checks", "--out", tmp_path / "r.jsonl")[
            0
        ]
        == 0
    )
    assert os.listdir(tmp_path / "kept") == ["translations.sqlite"]  # noqa: PTH208


def test_a_kept_translation_is_what_was_yielded(tmp_path):
    store = TranslationStore(tmp_path)
    translator = Backwards()
    translate_rows(english(tmp_path, "abc"), ["de"], translator, store)
    from clear_ir.translate.store import Target

    assert store.read(["abc"], Target("de", translator.identity("de"))) == {"abc": Kept("cba")}


def test_bad_translations_are_left_out_counted_and_written(run, tmp_path):
    own, out = tmp_path / "own.csv", tmp_path / "rows.jsonl"
    words = {"when was it built": "Wann wurde es gebaut?", "who won in 1988": "Wer hat gewonnen?"}
    own.write_text("question,answer\n" + "".join(f"{question},the passage\n" for question in words))
    (tmp_path / "answers.sed").write_text("".join(f"s/^{en}$/{de}/\n" for en, de in words.items()))
    command = f"sed -f {tmp_path}/answers.sed"
    code, said, _ = run("translate", "--rows", own, "--to", "de", "--command", command, "--no-cache", "--out", out)
    assert code == 0
    assert "de: 1 translation left out: lost number." in said
    assert f"Left out: 1; {tmp_path}/rows.rejected.jsonl says why." in said
    assert [row.cross_query for row in read_parallel_rows(out)[0]] == ["Wann wurde es gebaut?"]
    [rejected] = map(json.loads, (tmp_path / "rows.rejected.jsonl").read_text().splitlines())
    assert (rejected["text"], rejected["reason"]) == ("who won in 1988", "lost number: 1988 is missing")
    origin = json.loads((tmp_path / "rows.translation.json").read_text())
    assert origin["languages"]["de"]["left out"] == {"lost number": 1}


def test_nothing_but_bad_translations_is_an_error(run, tmp_path, own):
    out = tmp_path / "rows.jsonl"
    arguments = ("translate", "--rows", own, "--to", "de", "--command", "cat", "--no-cache", "--out", out)
    refused(run(*arguments), "None of the 12 translations can be used", "'what is 0'", "same as the source")
    assert not list(tmp_path.glob("rows.*"))


def test_code_switching_from_a_word_list(run, tmp_path, own):
    out = tmp_path / "rows.jsonl"
    (tmp_path / "list.tsv").write_text("what\twas\nwhat is\twas ist\n")
    arguments = ("--model", f"dictionary:{tmp_path}/list.tsv", "--no-cache", "--out", out)
    code, said, _ = run("translate", "--rows", own, "--to", "de", *arguments)
    assert code == 0, said
    assert read_parallel_rows(out)[0][0].cross_query == "was ist 0"
    origin = json.loads((tmp_path / "rows.translation.json").read_text())
    assert origin["translator"]["de"]["method"] == "code-switching by a word list, not translation"
