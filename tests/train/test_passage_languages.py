"""Training on passages in both languages: which version of a row comes when, and what it is told from."""

import json
import random
import subprocess
from dataclasses import replace

import numpy as np
import pytest
import torch
import yaml
from commands import kill_at, refused, train_command
from reference_loss import clear_loss
from sentence_transformers import SentenceTransformer
from sentence_transformers.base.modules import Dense, Normalize
from tiny import WORDS, make_encoder, quiet, settings

from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.training_rows import TrainingRows, training_columns
from clear_ir.encode.model_loading import load_encoder, weights_hash
from clear_ir.encode.sides import add_to_sides
from clear_ir.train.base_embeddings import embed_by_base, keys_of
from clear_ir.train.batches import LanguageBatchSampler
from clear_ir.train.fixed_passages import embed_passages
from clear_ir.train.passage_languages import are_translated, translate_rows
from clear_ir.train.run import train_model
from clear_ir.train.trainer import make_loss, make_trainer, split_rows


def text(number, count=5):
    return " ".join(random.Random(number).choices(WORDS, k=count))


def make_rows(passages=12, langs=("sw", "de"), lacking=(), n=1):
    """Two questions on each passage in each language; negatives are other rows' passages.

    The passages with the numbers `lacking` have no translation.
    """
    rows = []
    for lang_number, lang in enumerate(langs):
        first_query = 300 + 50 * lang_number
        for i in range(2 * passages):
            p = i // 2
            row = {"anchor": text(100 + i), "positive": text(p, 6), "cross_anchor": text(first_query + i), "lang": lang}
            for k in range(1, n + 1):
                row[f"negative_{k}"] = text((p + k) % passages, 6)
                row[f"neg_query_{k}"] = text(first_query + (i + 2 * k) % (2 * passages))
            rows.append(row if p in lacking else row | {"cross_passage": text(500 + 20 * lang_number + p, 6)})
    return TrainingRows(training_columns(n, n), n, n, rows)


def both(**changes):
    return settings(**{"passage_languages": "both", "dev_share": 0.0} | changes)


def test_of_two_epochs_a_row_has_each_language_once():
    drawn = [are_translated(1000, seed=3, epoch=epoch) for epoch in range(6)]
    for epoch in (0, 2, 4):
        assert (drawn[epoch] != drawn[epoch + 1]).all()
        assert 400 < drawn[epoch].sum() < 600
    assert 400 < (drawn[0] != drawn[2]).sum() < 600, "each pair of epochs has its own draw"
    assert (drawn[0] == are_translated(1000, seed=3, epoch=0)).all()
    assert 400 < (drawn[0] != are_translated(1000, seed=4, epoch=0)).sum() < 600


def test_the_other_version_of_a_row_has_all_its_passages_in_the_target_language():
    rows = make_rows(4, lacking=[1])
    records = rows.records
    translated = translate_rows(records, records, rows.columns)
    assert translated.versions[:8] == [0, 1, None, None, 2, 3, 4, 5]
    for row, version in zip(records, translated.versions, strict=True):
        if version is not None:
            other = translated.records[version]
            assert other["positive"] == row["cross_passage"]
            known = {(r["lang"], r["positive"]): r["cross_passage"] for r in records if "cross_passage" in r}
            assert other["negative_1"] == known.get((row["lang"], row["negative_1"]), row["negative_1"])
            assert {k: v for k, v in other.items() if not k.startswith(("pos", "neg"))} == {
                k: v for k, v in row.items() if not k.startswith(("pos", "neg"))
            }
            assert other["neg_query_1"] == row["neg_query_1"]
    # Passage 0 has passage 1 as its negative, which has no translation: two questions in two languages.
    assert (translated.num_english, translated.num_negatives) == (4, 12)
    assert translated.sentence() == (
        "Passages in both languages: 12 of 16 rows have a cross_passage. 4 of their 12 negatives have no translation "
        "and stay in English."
    )


def test_passages_with_one_translation_are_one_passage():
    records = [
        {"positive": p, "cross_passage": c, "lang": lang}
        for p, c, lang in [("a", "x", "de"), ("a", "y", "sw"), ("b", "z", "de"), ("c", "z", "de"), ("d", "w", "de")]
    ]
    numbers = {name: number for number, name in enumerate("abcdwxyz")}
    shared = translate_rows(records, records, ["positive"]).shared_numbers(numbers)
    groups = {}
    for number, first in shared.items():
        groups.setdefault(first, set()).add("abcdwxyz"[number])
    assert sorted(map(sorted, groups.values())) == [["a", "x", "y"], ["b", "c", "z"], ["d", "w"]]
    assert all(shared[first] == first for first in shared.values())
    del numbers["z"]
    assert len(translate_rows(records, records, ["positive"]).shared_numbers(numbers)) == 5


@pytest.mark.parametrize("num_processes", [1, 2])
def test_batches_have_the_same_rows_and_every_row_each_language_in_two_epochs(num_processes):
    data = split_rows(make_rows(lacking=[2]), both())
    count = len(data.dataset)
    assert (count, len(data.versions)) == (48, 48 + 44)
    options = {"langs": data.langs, "num_processes": num_processes}
    english = LanguageBatchSampler(data.dataset, 8 // num_processes, **options)
    made = LanguageBatchSampler(data.versions, 8 // num_processes, versions=data.version_numbers, **options)
    lacking = {row for row, version in enumerate(data.version_numbers) if version is None}
    assert len(lacking) == 4
    row_of = {version: row for row, version in enumerate(data.version_numbers) if version is not None}
    seen = []
    for epoch in range(2):
        for sampler in (english, made):
            sampler.set_epoch(epoch)
        batches = list(made)
        assert [[row_of.get(row, row) for row in batch] for batch in batches] == list(english)
        seen.append({row for batch in batches for row in batch})
        assert 15 < sum(row in row_of for row in seen[-1]) < 33
    assert seen[0] & seen[1] <= lacking, "no row comes twice in one language"
    assert len(seen[0] | seen[1]) > 80


def test_english_is_what_it_was_without_the_column(tmp_path, tiny_folder):
    rows = make_rows()
    records = [{name: one for name, one in row.items() if name != "cross_passage"} for row in rows.records]
    without = TrainingRows(rows.columns, 1, 1, records)
    hashes = {}
    for name, given, chosen in (
        ("with", rows, both(passage_languages="english", dev_share=0.2)),
        ("without", without, both(passage_languages="english", dev_share=0.2)),
        ("both", rows, both(dev_share=0.2)),
    ):
        log = train_model(str(tiny_folder), given, chosen, tmp_path / name)
        assert ("passage_languages" in log[0]) == (name == "both")
        hashes[name] = weights_hash(load_encoder(str(tmp_path / name)))
    assert hashes["with"] == hashes["without"] != hashes["both"]


@pytest.mark.parametrize("cached", [False, True])
@pytest.mark.parametrize("loss", ["infonce", "clear"])
def test_no_translation_of_a_positive_is_a_negative_in_any_batch(tmp_path, loss, cached):
    """The loss of each batch of the trainer against the plain formula, which knows which passages are one."""
    encoder, rows = make_encoder(), make_rows(5)
    chosen = both(batch_size=4, guard=0.5, divergence="kl", loss=loss, cached=cached, mini_batch_size=3)
    data = split_rows(rows, chosen)
    english = embed_by_base(encoder, data, tmp_path / "base.safetensors", {"anchor", "positive"})
    trainer = make_trainer(encoder, data, data.settings, tmp_path, base_embeddings=english)
    passage_of = {}
    for row in rows.records:
        passage_of[row["positive"]] = passage_of[row["cross_passage"]] = row["positive"]
    english_of = {row["cross_passage"]: row["positive"] for row in rows.records}
    before = make_encoder()
    with torch.no_grad():  # so that the base is no longer what the encoder makes of a text
        for parameter in encoder.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.manual_seed(1))
    names, num_left_out, num_mixed = data.columns, 0, 0
    weights = {name: chosen.weights[name] for name in ("alpha", "beta", "gamma", "guard")}
    assert (weights["alpha"] > 0) == (loss == "clear")
    text_of = {tokens_of(encoder.preprocess([one]), 0): one for column in names for one in data.versions[column]}
    sampler = trainer.get_train_dataloader().batch_sampler
    for epoch in range(2):
        sampler.set_epoch(epoch)
        for batch in sampler:
            features = [encoder.preprocess(data.versions[batch][name]) for name in names]
            texts = [[text_of[tokens_of(f, i)] for i in range(len(batch))] for f in features]
            passages = [one for column in texts[1:3] for one in column]
            left_out = {
                i: {j for j, one in enumerate(passages) if j != i and passage_of[one] == passage_of[passages[i]]}
                for i in range(len(batch))
            }
            asked = [one for column in texts[3:] for one in column]
            known = {i: {j for j, one in enumerate(asked) if j != i and one == asked[i]} for i in range(len(batch))}
            num_left_out += sum(passages[j] != passages[i] for i, js in left_out.items() for j in js)
            num_mixed += 0 < sum(one in english_of for one in texts[1]) < len(batch)
            columns = [encoder.encode(column).astype(np.float64) for column in texts]
            base = [before.encode(texts[0]), before.encode([english_of.get(one, one) for one in texts[1]])]
            expected = clear_loss(columns, 1, **weights, left_out_forward=left_out, left_out_reverse=known, base=base)
            value = trainer.loss([dict(f) for f in features], torch.zeros(len(batch), dtype=torch.int64))
            assert value.item() == pytest.approx(expected, rel=1e-6)  # the base is kept in float32
    assert num_left_out > 5
    assert num_mixed > 5


def tokens_of(features, row):
    return tuple(features["input_ids"][row][features["attention_mask"][row].bool()].tolist())


def test_the_guard_draws_a_translated_passage_to_its_english_original(tmp_path):
    encoder, rows = make_encoder(), make_rows()
    data = split_rows(rows, both())
    keys, vectors = embed_by_base(encoder, data, tmp_path / "base.safetensors", {"positive"})
    vector_of = dict(zip(keys.tolist(), vectors, strict=True))
    english = data.dataset["positive"]
    expected = dict(zip(english, quiet(encoder).encode(english, "passage"), strict=True))
    english_of = {row["cross_passage"]: row["positive"] for row in rows.records}
    texts = list(dict.fromkeys(data.versions["positive"]))
    assert sum(one in english_of for one in texts) == 24
    for one, key in zip(texts, keys_of(encoder, texts, "").tolist(), strict=True):
        torch.testing.assert_close(vector_of[key].numpy(), expected[english_of.get(one, one)], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("side", ["both", "queries"])
def test_queries_learn_to_find_passages_in_their_language(tmp_path, tiny_folder, side):
    chosen = both(side=side, max_steps=60, learning_rate=3e-3, dev_share=0.3, eval_steps=20, guard=0.0)
    log = train_model(str(tiny_folder), make_rows(30, langs=["sw"]), chosen, tmp_path / "m")
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.2
    assert log[0]["passage_languages"] == "Passages in both languages: 42 of 42 rows have a cross_passage."
    assert log[0]["dev"]["base"].keys() == {"mean", "q-en.p-en", "q-sw.p-en", "q-en.p-sw", "q-sw.p-sw"}
    texts = list(dict.fromkeys(row["cross_passage"] for row in make_rows(30, langs=["sw"]).records))
    base, model = load_encoder(str(tiny_folder)), SentenceTransformer(str(tmp_path / "m"))
    moved = np.abs(model.encode_document(texts) - base.encode_document(texts)).max()
    assert (moved == 0) == (side == "queries")


def test_queries_whose_language_has_passages_stay_near_where_they_were(tmp_path, tiny_folder):
    rows = make_rows(30, langs=["sw"])
    base, texts = load_encoder(str(tiny_folder)), list(dict.fromkeys(row["cross_anchor"] for row in rows.records))
    before = base.encode_query(texts)
    closeness = {}
    for to in (None, "own", "english"):
        chosen = both(side="queries", distil=5.0, distil_to=to, max_steps=30, learning_rate=1e-3, precision="fp32")
        log = train_model(str(tiny_folder), rows, chosen, tmp_path / str(to))
        now = SentenceTransformer(str(tmp_path / str(to))).encode_query(texts)
        cosines = (now * before).sum(axis=1) / np.linalg.norm(now, axis=1) / np.linalg.norm(before, axis=1)
        closeness[to] = cosines.mean()
        term = "distil" if to == "english" else "cross_guard"
        assert sum(f"clear/{term}" in entry for entry in log) > 20, "the term is in the log"
    recipe = yaml.safe_load((tmp_path / "None" / "recipe.yaml").read_text())
    assert recipe["train"]["distil_to"] == "own"
    assert closeness[None] == pytest.approx(closeness["own"], abs=1e-6)
    assert closeness["english"] + 0.01 < closeness["own"] < 0.9999, "they moved, but less"


def test_with_soft_labels_queries_learn_the_ranking_of_the_base(tmp_path, tiny_folder):
    rows = make_rows(30, langs=["sw"])
    base = load_encoder(str(tiny_folder))
    passages = base.encode_document(list(dict.fromkeys(row["positive"] for row in rows.records)))
    english, swahili = ([row[column] for row in rows.records] for column in ("anchor", "cross_anchor"))

    def ranked(encoder, queries):
        scores = 20 * encoder.similarity(encoder.encode_query(queries), passages)
        return scores.softmax(dim=1)

    labels = ranked(base, english)
    entropy = -(labels * labels.log()).sum(dim=1).mean()
    excess = {"before": -(labels * ranked(base, swahili).log()).sum(dim=1).mean() - entropy}
    for soft in (0.0, 1.0):
        plan = both(side="queries", loss="infonce", soft_labels=soft, scale=20, max_steps=60, learning_rate=3e-3)
        train_model(str(tiny_folder), rows, plan, tmp_path / str(soft))
        model = SentenceTransformer(str(tmp_path / str(soft)))
        excess[soft] = -(labels * ranked(model, swahili).log()).sum(dim=1).mean() - entropy
    assert excess[1.0] < excess["before"] / 2, "they learned it"
    assert excess[0.0] > 2 * excess[1.0], "hard labels teach another"


def test_queries_alone_take_what_translations_there_are():
    rows, english = make_rows(6), [{**row, "cross_passage": ""} for row in make_rows(6).records]
    for chosen, records, expected in [
        (settings(side="queries", dev_share=0.0), rows.records, True),
        (settings(side="queries", dev_share=0.0), english, False),
        (settings(side="both", dev_share=0.0), rows.records, False),
        (both(side="queries", passage_languages="english"), rows.records, False),
    ]:
        found = split_rows(replace(rows, records=records), chosen).translated
        assert (found is not None) == expected


def test_fixed_passages_are_there_in_both_languages_and_never_against_their_own_question(tmp_path):
    encoder, rows = make_encoder(), make_rows(6, lacking=[5])
    data = split_rows(rows, both(side="queries"))
    passages = embed_passages(encoder, encoder, data, [], tmp_path / "passages", None)
    assert passages.number_of.keys() == {
        one for row in rows.records for one in (row["positive"], row.get("cross_passage")) if one
    }
    loss = make_loss(encoder, data.settings, 1, passages=passages)
    answers = {}
    for row in rows.records:
        for query in (row["anchor"], row["cross_anchor"]):
            versions = [r for r in rows.records if r["positive"] == row["positive"]]
            answers[query] = {one for r in versions for one in (r["positive"], r.get("cross_passage")) if one}
    assert {len(found) for found in answers.values()} == {1, 3}
    number_of = passages.number_of
    for query, expected in answers.items():
        keys = keys_of(encoder, [query], "")
        _, found = loss._fixed._pairs.of(keys)
        assert set(found.tolist()) == {number_of[one] for one in expected}


def test_a_killed_run_resumes_to_the_same_model(tmp_path, tiny_folder):
    write_jsonl(tmp_path / "rows.jsonl", make_rows(60).records)
    flags = "--batch-size 8 --max-steps 60 --set eval_steps=10 --precision fp32 --learning-rate 1e-3"

    def command(out, more=""):
        return train_command(
            tiny_folder, tmp_path / "rows.jsonl", out, f"{flags} --dev-share 0.1 --passage-languages both {more}"
        )

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    done = subprocess.run(**command(whole), check=True, capture_output=True, text=True)
    assert "Passages in both languages: " in done.stdout
    kill_at(command(broken), tmp_path / "broken.partial" / "checkpoints" / "checkpoint-20" / "trainer_state.json")
    assert not broken.exists()
    subprocess.run(**command(broken, "--resume"), check=True, capture_output=True)
    assert weights_hash(load_encoder(str(broken))) == weights_hash(load_encoder(str(whole)))
    logs = [map(json.loads, (out / "train_log.jsonl").read_text().splitlines()) for out in (whole, broken)]
    losses = [[entry["loss"] for entry in log if "loss" in entry] for log in logs]
    assert losses[0] == losses[1]
    assert len(losses[0]) == 60


def test_what_cannot_be_trained_so_is_one_sentence(tmp_path, tiny_folder, run):
    rows = make_rows()
    with pytest.raises(InputError, match="No row has a cross_passage") as error:
        split_rows(make_rows(lacking=range(12)), both())
    assert error.value.settings == ("passage_languages",)
    write_jsonl(tmp_path / "rows.jsonl", make_rows(lacking=range(12)).records)
    command = ["train", "--model", tiny_folder, "--rows", tmp_path / "rows.jsonl", "--out", tmp_path / "m"]
    refused(run(*command, "--passage-languages", "both"), "No row has a cross_passage", "--passage-languages")
    assert not (tmp_path / "m").exists()
    routed = add_to_sides(make_encoder(double=False), [Dense(32, 32, bias=False)], [Normalize()])
    routed.save_pretrained(str(tmp_path / "a"))
    with pytest.raises(InputError, match="the guard cannot hold the passages of .* set the guard to 0"):
        train_model(str(tmp_path / "a"), rows, both(), tmp_path / "m")
    train_model(str(tmp_path / "a"), rows, both(guard=0.0, max_steps=2), tmp_path / "m")
