"""A batch size or a number of negatives that the rows do not have is fitted to them, and every record says so."""

import json

import pytest
import yaml
from commands import refused
from tiny import make_training_rows, settings

from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.train.fitting import fit_settings
from clear_ir.train.run import train_model
from clear_ir.train.trainer import split_rows


def test_a_batch_larger_than_the_rows_is_fitted_and_every_record_shows_it(tmp_path, tiny_folder, caplog):
    notice = "36 rows are left for training: batch_size 64 -> 36."
    rows = make_training_rows(40)
    with caplog.at_level("WARNING", "clear_ir"):
        log = train_model(str(tiny_folder), rows, settings(batch_size=64, max_steps=2), tmp_path / "m")
    assert notice in caplog.messages
    assert log[0]["fitted"] == [notice]
    recipe = yaml.safe_load((tmp_path / "m" / "recipe.yaml").read_text())
    assert recipe["train"]["batch_size"] == 36
    assert "\nbatch_size: 36\n" in (tmp_path / "m" / "README.md").read_text()
    assert (log[0]["batches"], log[0]["rows_left_out"]) == (1, 0)
    exact = train_model(str(tiny_folder), rows, settings(batch_size=36, max_steps=2), tmp_path / "exact")
    assert "fitted" not in exact[0]
    assert [entry["loss"] for entry in exact if "loss" in entry] == [entry["loss"] for entry in log if "loss" in entry]


def test_the_command_fits_and_says_so(tmp_path, tiny_folder, run):
    write_jsonl(tmp_path / "rows.jsonl", make_training_rows(12).records)
    given = ["--rows", tmp_path / "rows.jsonl", "--model", tiny_folder, "--max-steps", 2, "--dev-share", 0]
    assert run("train", *given, "--out", tmp_path / "m", "--num-negatives", 3)[0] == 0
    plan = json.loads((tmp_path / "m" / "train_log.jsonl").read_text().splitlines()[0])
    assert plan["fitted"] == [
        "12 rows are left for training: batch_size 64 -> 12.",
        "The rows have no more: num_negatives 3 -> 1.",
    ]
    write_jsonl(tmp_path / "rows.jsonl", make_training_rows(1).records)
    refused(
        run("train", *given, "--out", tmp_path / "n"), "1 row is left for training, too few for a batch of 2", "--rows"
    )
    assert not list(tmp_path.glob("n*"))


def test_texts_that_a_batch_has_once_count_once():
    rows = make_training_rows(40)
    for i, record in enumerate(rows.records):
        record["positive"] = f"passage {i % 10}"
    data = split_rows(rows, settings(batch_size=16, dev_share=0.0))
    assert data.notes == ["40 rows (distinct passages: 10) are left for training: batch_size 16 -> 10."]
    assert (data.settings.batch_size, len(data.dataset)) == (10, 40)
    assert split_rows(rows, settings(batch_size=10, dev_share=0.0)).notes == []
    for record in rows.records:
        record["positive"] = "the same"
    with pytest.raises(InputError, match=r"40 rows \(distinct passages: 1\) are left for training, too few"):
        split_rows(rows, settings(dev_share=0.0))


def test_batches_of_one_language_fit_the_smallest_language():
    rows = make_training_rows(40)
    for i, record in enumerate(rows.records):
        record["lang"] = "hau" if i < 34 else "ibo"
    single = settings(batch_languages="single", batch_size=16, dev_share=0.0)
    data = split_rows(rows, single)
    notice = "6 rows are left for training in ibo, and each batch has one language: batch_size 16 -> 6."
    assert (data.settings.batch_size, data.notes) == (6, [notice])
    assert split_rows(rows, settings(batch_size=16, dev_share=0.0)).notes == []
    rows.records[34:] = rows.records[34:35]
    with pytest.raises(InputError, match="1 row is left for training in ibo, and each .*, too few") as caught:
        split_rows(rows, single)
    assert "batch_languages" in caught.value.settings


def test_what_fits_stays():
    rows = make_training_rows(40).records
    chosen = settings(batch_size=40, num_negatives=1)
    assert fit_settings(chosen, rows, ["sw"] * 40, 1) == (chosen, [])


def test_rows_that_are_all_held_out_together_say_so():
    rows = make_training_rows(20)
    for record in rows.records:
        record["positive"] = "the moon"
    with pytest.raises(InputError, match="0 rows are left .* hold out none, since rows that share a text are held out"):
        split_rows(rows, settings(dev_share=0.1))
