"""Rows say who translated their queries, from `clear-ir translate` to the model card."""

import csv
import json
from collections import Counter

from tiny import make_training_rows, settings

from clear_ir.data.rows import read_parallel_rows, write_parallel_rows
from clear_ir.data.training_rows import read_training_rows
from clear_ir.train.run import train_model
from clear_ir.train.translated_rows import translated_by

WORDS = "river mountain moon sun sea road house bird bread winter king ship".split()


def test_from_the_word_list_to_the_model_card(run, tmp_path, tiny_folder):
    switched = "code-switching with the word list list.tsv, share 1"
    with (tmp_path / "own.csv").open("w", newline="") as file:
        rows = [(f"where is the {word}", f"The {word} is there, not here.") for word in WORDS]
        csv.writer(file).writerows([("query", "passage"), *rows])
    (tmp_path / "list.tsv").write_text("where\two\nthe\tdas\n")
    arguments = ("--rows", tmp_path / "own.csv", "--to", "de", "--model", f"dictionary:{tmp_path}/list.tsv")
    code, _, err = run("translate", *arguments, "--switch-share", 1, "--no-cache", "--out", tmp_path / "rows.jsonl")
    assert code == 0, err
    rows, _ = read_parallel_rows(tmp_path / "rows.jsonl")
    assert Counter(row.translated_by for row in rows) == {switched: len(WORDS)}
    write_parallel_rows(tmp_path / "again.jsonl", rows)
    assert read_parallel_rows(tmp_path / "again.jsonl")[0] == rows
    mined = ("--model", tiny_folder, "--rows", tmp_path / "again.jsonl", "--num-negatives", 1, "--range-min", 1)
    code, _, err = run("mine", *mined, "--out", tmp_path / "train.jsonl", "--no-cache")
    assert code == 0, err
    rows = read_training_rows(tmp_path / "train.jsonl")
    train_model(str(tiny_folder), rows, settings(max_steps=1, batch_size=4, dev_share=0.0), tmp_path / "m")
    card = (tmp_path / "m" / "README.md").read_text()
    lines = f"## Queries that people did not ask\n\n- de: {len(WORDS)} of {len(WORDS)} training rows, by {switched}\n"
    assert lines in card


def test_human_rows_have_no_such_column_and_no_such_section(tmp_path, tiny_folder):
    rows = make_training_rows()
    train_model(str(tiny_folder), rows, settings(max_steps=1, dev_share=0.0), tmp_path / "m")
    assert "did not ask" not in (tmp_path / "m" / "README.md").read_text()
    human = [{"lang": "sw"}] * 3
    assert translated_by(human) == []
    mixed = [*human, {"lang": "sw", "translated_by": "nllb"}, {"translated_by": "nllb"}, {"lang": "de"}]
    assert translated_by(mixed) == ["sw: 1 of 4 training rows, by nllb", "xx: 1 of 1 training rows, by nllb"]


def test_only_some_rows_are_translated(tmp_path):
    lines = [{"query": f"q{i}", "passage": f"p{i}", "cross_query": f"c{i}", "lang": "sw", "id": str(i)} for i in "ab"]
    lines[1]["translated_by"] = "nllb"
    (tmp_path / "r.jsonl").write_text("\n".join(map(json.dumps, lines)))
    rows, _ = read_parallel_rows(tmp_path / "r.jsonl")
    assert [row.translated_by for row in rows] == ["", "nllb"]
    write_parallel_rows(tmp_path / "w.jsonl", rows)
    written = [json.loads(line)["translated_by"] for line in (tmp_path / "w.jsonl").read_text().splitlines()]
    assert written == [None, "nllb"]
