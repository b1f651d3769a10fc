"""Training for real on the tiny encoder: it learns, resumes after a kill, records what it did."""

import copy
import json
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import kill_at, refused, train_command
from datasets import Dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss, MultipleNegativesRankingLoss
from sentence_transformers.util import cos_sim, dot_score
from soak import differences
from tiny import make_encoder, make_training_rows, quiet, settings

from clear_ir import CachedCLEARLoss, CLEARLoss, CrossLingualEvaluator, log_terms
from clear_ir.data.collection import Text, make_collection
from clear_ir.data.directions import parse_direction
from clear_ir.data.files import InputError
from clear_ir.data.output_files import write_jsonl
from clear_ir.data.training_rows import read_training_rows, training_columns
from clear_ir.encode.model_loading import load_encoder, weights_hash
from clear_ir.evaluate.evaluation import Embeddings
from clear_ir.recipes.recipe import load_recipe
from clear_ir.train.arguments import column_prompts, training_arguments
from clear_ir.train.batches import LanguageBatchSampler
from clear_ir.train.run import train_model
from clear_ir.train.run_folder import RunFolder
from clear_ir.train.settings import LOSSES
from clear_ir.train.trainer import (
    make_evaluator,
    make_loss,
    make_trainer,
    split_rows,
    trained_vocabulary,
)


def trainer_for(encoder, rows, chosen, folder):
    data = split_rows(rows, chosen)
    return make_trainer(encoder, data, chosen, folder, make_evaluator(data, chosen, encoder))


@pytest.mark.parametrize("vocabulary", ["used", "full"])
def test_the_embedding_table_has_a_learning_rate_of_its_own(tmp_path, encoder, vocabulary):
    chosen = settings(vocabulary=vocabulary, embedding_rate=20)
    data = split_rows(make_training_rows(), chosen)
    with trained_vocabulary(encoder, data, chosen):
        trainer = make_trainer(encoder, data, chosen, tmp_path)
        rates = {id(p): group["lr"] for group in trainer.create_optimizer().param_groups for p in group["params"]}
        by_name = {name: rates[id(parameter)] for name, parameter in encoder.named_parameters()}
    tables = {name: rate for name, rate in by_name.items() if "word_embeddings" in name}
    assert list(tables.values()) == [pytest.approx(20 * chosen.learning_rate)]
    assert {rate for name, rate in by_name.items() if name not in tables} == {chosen.learning_rate}


@pytest.mark.parametrize("loss", list(LOSSES))
@pytest.mark.parametrize("cached", [False, True])
def test_every_loss_trains_and_records_its_recipe(tmp_path, tiny_folder, loss, cached):
    chosen = settings(loss=loss, cached=cached, mini_batch_size=3)
    log = train_model(str(tiny_folder), make_training_rows(), chosen, tmp_path / "m")
    losses = [entry["loss"] for entry in log if "loss" in entry]
    assert len(losses) == 6
    assert losses[-1] < losses[0]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"], "nothing but the model is left"
    assert load_recipe(str(tmp_path / "m" / "recipe.yaml")).train == chosen
    assert "# Prompts, of the encoder: query '', passage ''" in (tmp_path / "m" / "recipe.yaml").read_text()
    trained = load_encoder(str(tmp_path / "m"))
    assert weights_hash(trained) != weights_hash(load_encoder(str(tiny_folder)))
    card = (tmp_path / "m" / "README.md").read_text()
    assert "CachedCLEARLoss" in card if cached else "CLEARLoss" in card
    assert "2604.05821" in card
    assert [json.loads(line) for line in (tmp_path / "m" / "train_log.jsonl").read_text().splitlines()] == log


def test_the_records_of_a_model_from_minilm_say_what_that_is(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr("clear_ir.encode.model_loading._minilm_folder", lambda: tiny_folder)
    train_model("minilm", make_training_rows(), settings(max_steps=2, distil_steps=2, dev_share=0.0), tmp_path / "m")
    hub_name = "sentence-transformers/all-MiniLM-L6-v2"
    assert f"base_model: {hub_name}" in (tmp_path / "m" / "README.md").read_text()
    recipe = (tmp_path / "m" / "recipe.yaml").read_text()
    assert f"# minilm is clear-ir's name for {hub_name}" in recipe
    assert load_recipe(str(tmp_path / "m" / "recipe.yaml")).model == "minilm"


def test_terms_and_dev_scores_are_logged_at_every_step(tmp_path, tiny_folder):
    log = train_model(str(tiny_folder), make_training_rows(), settings(gamma=0.1), tmp_path / "m")
    steps = [entry for entry in log if "loss" in entry]
    for entry in steps:
        weighted = sum(value for name, value in entry.items() if name.endswith("_weighted"))
        assert weighted == pytest.approx(entry["loss"], rel=1e-4)
    assert {"clear/forward", "clear/reverse", "clear/kl", "clear/cross"} <= set(steps[0])
    dev = [entry for entry in log if "eval_cross_lingual_nDCG@10" in entry]
    assert [entry["step"] for entry in dev] == [3, 6]
    assert {"eval_q-en.p-en_nDCG@10", "eval_q-sw.p-en_nDCG@10"} <= set(dev[0])


def test_the_best_checkpoint_is_kept(tmp_path, tiny_folder, monkeypatch):
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", 1)
    # A learning rate that ruins the encoder at once: whatever is kept must score what the log's best scored.
    rows = make_training_rows()
    log = train_model(str(tiny_folder), rows, settings(max_steps=8, eval_steps=2, learning_rate=5e-2), tmp_path / "m")
    scores = [entry["eval_cross_lingual_nDCG@10"] for entry in log if "eval_cross_lingual_nDCG@10" in entry]
    assert len(set(scores)) > 1, "all checkpoints are alike, so the test shows nothing"
    kept = load_encoder(str(tmp_path / "m"))
    trainer = trainer_for(kept, rows, settings(), tmp_path / "again")
    assert trainer.evaluator(kept)["cross_lingual_nDCG@10"] == pytest.approx(max(scores), abs=1e-6)
    dev = log[0]["dev"]
    assert dev["kept"]["mean"] == max(scores)
    assert dev["chosen"]
    card = (tmp_path / "m" / "README.md").read_text()
    assert f"Step {dev['kept_step']} of 8 was kept, chosen by them." in card
    assert f" | {100 * dev['kept']['q-sw.p-en']:.1f} | " in card, "the card shows the kept step"


def test_the_same_seed_gives_the_same_model(tmp_path, tiny_folder):
    rows = make_training_rows()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train_model(str(tiny_folder), rows, settings(seed=seed, dev_share=0.0), tmp_path / name)
    a, b, c = (weights_hash(load_encoder(str(tmp_path / name))) for name in "abc")
    assert a == b
    assert a != c


def test_a_killed_run_resumes_to_the_same_model(tmp_path, tiny_folder):
    rows_file = tmp_path / "rows.jsonl"
    write_jsonl(rows_file, make_training_rows(400).records)
    flags = "--batch-size 8 --max-steps 60 --set eval_steps=10 --precision fp32 --learning-rate 1e-3"
    flags += " --set distil_steps=3"

    def command(out, more=""):
        return train_command(tiny_folder, rows_file, out, f"{flags} {more}")

    whole, broken = tmp_path / "whole", tmp_path / "broken"
    subprocess.run(**command(whole), check=True, capture_output=True)
    kill_at(command(broken), tmp_path / "broken.partial" / "checkpoints" / "checkpoint-20" / "trainer_state.json")
    assert not broken.exists()

    # A checkpoint that the kill cut short is passed over.
    (broken.with_name("broken.partial") / "checkpoints" / "checkpoint-999").mkdir()
    again = subprocess.run(**command(broken), capture_output=True, text=True)
    assert again.returncode == 2
    assert "resume it, or overwrite it" in again.stderr
    changed = command(broken, "--resume --alpha 0.1")
    other = subprocess.run(**changed, capture_output=True, text=True)
    assert other.returncode == 2
    assert "other settings" in other.stderr
    subprocess.run(**command(broken, "--resume"), check=True, capture_output=True)
    assert weights_hash(load_encoder(str(broken))) == weights_hash(load_encoder(str(whole)))
    assert (broken / "README.md").read_bytes() == (whole / "README.md").read_bytes()
    steps = [json.loads(line)["step"] for line in (broken / "train_log.jsonl").read_text().splitlines()]
    assert steps[-1] == 60
    finished = subprocess.run(**command(broken, "--resume"), capture_output=True, text=True)
    assert finished.returncode == 2
    assert "is finished, so there is nothing to resume" in finished.stderr
    nothing = subprocess.run(**command(tmp_path / "new", "--resume"), capture_output=True, text=True)
    assert nothing.returncode == 2
    assert "no interrupted run" in nothing.stderr


def test_a_second_run_into_one_folder_is_refused_while_the_first_lives(tmp_path, tiny_folder):
    write_jsonl(tmp_path / "rows.jsonl", make_training_rows(400).records)
    command = train_command(tiny_folder, tmp_path / "rows.jsonl", tmp_path / "m", "--batch-size 8 --max-steps 3000")
    pipe = {"stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(**command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        limit = time.monotonic() + 120
        while not (tmp_path / "m.partial" / "checkpoints").exists() and time.monotonic() < limit:
            time.sleep(0.01)
        for flags in ([], ["--resume"], ["--overwrite"]):
            second = subprocess.run([*command["args"], *flags], env=command["env"], **pipe)
            refused((second.returncode, "", second.stderr), "Another run is writing to", tmp_path / "m", "wait until")
            assert "--resume" not in second.stderr
        assert first.poll() is None, "the first run ended, so nothing was shown"
        first.kill()
    short = train_command(tiny_folder, tmp_path / "rows.jsonl", tmp_path / "m", "--batch-size 8 --max-steps 2")
    again = subprocess.run([*short["args"], "--overwrite"], env=short["env"], **pipe)
    assert again.returncode == 0, again.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m", "rows.jsonl"]


def test_a_run_stopped_after_its_last_step_makes_no_more(tmp_path, tiny_folder, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    rows, chosen = make_training_rows(), settings()
    train_model(str(tiny_folder), rows, chosen, tmp_path / "calm")
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr("clear_ir.train.run._write_model", stop)
        train_model(str(tiny_folder), rows, chosen, tmp_path / "stopped")
    log = train_model(str(tiny_folder), rows, chosen, tmp_path / "stopped", resume=True)
    assert log[-1]["step"] == 6
    assert not differences(tmp_path / "calm", tmp_path / "stopped")


def test_files_of_others_where_the_run_would_lie_are_kept(tmp_path, tiny_folder):
    (tmp_path / "m.partial").mkdir()
    (tmp_path / "m.partial" / "letter.txt").write_text("dear")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds files that this command did not make"):
            train_model(str(tiny_folder), make_training_rows(), settings(), tmp_path / "m", overwrite=overwrite)
    assert (tmp_path / "m.partial" / "letter.txt").read_text() == "dear"


def test_training_into_the_folder_that_one_stands_in(tmp_path, tiny_folder, monkeypatch):
    (tmp_path / "m").mkdir()
    monkeypatch.chdir(tmp_path / "m")
    for overwrite in (False, True):
        train_model(str(tiny_folder), make_training_rows(), settings(max_steps=2), Path(), overwrite=overwrite)
        assert {"recipe.yaml", "model.safetensors"} < {path.name for path in (tmp_path / "m").iterdir()}
        assert not list((tmp_path / "m").glob(".*"))
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_fewer_negatives_than_the_rows_have(tmp_path, tiny_folder):
    encoder = load_encoder(str(tiny_folder))
    trainer = trainer_for(encoder, make_training_rows(n=3), settings(num_negatives=1), tmp_path)
    assert trainer.train_dataset.column_names == training_columns(1, 1)


def test_rows_without_negative_queries_need_beta_zero(tmp_path, tiny_folder):
    columns = training_columns(2, 0)
    records = [
        {column: f"{record['anchor']} {column}" for column in columns} for record in make_training_rows().records
    ]
    write_jsonl(tmp_path / "rows.jsonl", records)
    rows = read_training_rows(tmp_path / "rows.jsonl")
    encoder = load_encoder(str(tiny_folder))
    with pytest.raises(InputError, match="as many negative queries"):
        trainer_for(encoder, rows, settings(), tmp_path)
    trainer_for(encoder, rows, settings(loss="infonce"), tmp_path).train()


def test_prompts_of_the_encoder_reach_their_columns(tmp_path):
    encoder = make_encoder(double=False)
    encoder.prompts = {"query": "query: ", "document": "the "}
    trainer = trainer_for(encoder, make_training_rows(), settings(), tmp_path)
    assert trainer.args.prompts == {
        "anchor": "query: ",
        "positive": "the ",
        "negative_1": "the ",
        "cross_anchor": "query: ",
        "neg_query_1": "query: ",
    }
    batch = next(iter(trainer.get_train_dataloader()))
    words = encoder.tokenizer.convert_ids_to_tokens(batch["cross_anchor_input_ids"][0])
    assert words[1:3] == ["query", ":"]


def test_batches_hold_no_anchor_or_positive_twice_and_lose_no_row():
    from datasets import Dataset

    rows = make_training_rows(64).records
    for i in range(0, 64, 4):  # pairs of rows with one passage, all rows with one hard negative
        rows[i + 1]["positive"] = rows[i]["positive"]
    for row in rows:
        row["negative_1"] = "the same"
    dataset = Dataset.from_list(rows).select_columns(training_columns(1, 1))
    sampler = LanguageBatchSampler(dataset, batch_size=8, drop_last=False, generator=torch.Generator(), seed=0)
    batches = list(sampler)
    assert sorted(i for batch in batches for i in batch) == list(range(64))
    for batch in batches:
        assert len({rows[i]["positive"] for i in batch}) == len(batch)
    assert max(map(len, batches)) == 8


@pytest.mark.parametrize("cached", [False, True])
def test_several_languages_in_one_run(tmp_path, tiny_folder, cached):
    rows = make_training_rows(40)
    for i, record in enumerate(rows.records):
        record["lang"] = "hau" if i % 3 else "ibo"
    chosen = settings(cached=cached, sampling="uniform", mini_batch_size=3 if cached else None)
    log = train_model(str(tiny_folder), rows, chosen, tmp_path / "m")
    assert log[0]["step"] == 0
    counts = log[0]["rows_by_language"]
    assert counts["hau"] == counts["ibo"], "as many of each"
    assert log[0]["rows_left_out"] == 0
    entries = [entry for entry in log if "loss" in entry]
    for entry in entries:
        # Each language's mean, weighted by its rows, would be the loss; the loss lies between them.
        low, high = sorted(entry[f"clear/loss_{lang}"] for lang in ("hau", "ibo"))
        assert low - 1e-4 <= entry["loss"] <= high + 1e-4
        assert low < high
    assert "eval_q-ibo.p-en_nDCG@10" in next(entry for entry in log if "eval_q-hau.p-en_nDCG@10" in entry)


def test_losses_by_name(encoder):
    assert type(make_loss(encoder, settings(), 2)) is CLEARLoss
    cached = make_loss(encoder, settings(loss="infonce-both", cached=True, mini_batch_num_tokens=50), 2)
    assert isinstance(cached, CachedCLEARLoss)
    assert cached.weights.by_term() == {"forward": 0.5, "cross": 0.5}
    assert cached.mini_batch_num_tokens == 50
    guarded = make_loss(encoder, settings(loss="infonce-symmetric", guard=0.5, divergence="js"), 2)
    assert guarded.weights.by_term() == {"reverse": 0.5, "cross": 0.5, "guard": 0.5}
    assert guarded.divergence == "js"
    assert make_loss(encoder, settings(loss="infonce-en"), 2).weights.by_term() == {"forward": 1.0}


def test_terms_of_a_loss_in_any_trainer(tmp_path):
    from datasets import Dataset

    encoder = make_encoder(double=False)
    rows = make_training_rows()
    dataset = Dataset.from_list(rows.records).select_columns(rows.columns)
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(tmp_path), max_steps=2, per_device_train_batch_size=8, logging_steps=1, report_to=[],
        save_strategy="no", use_cpu=True, dataloader_pin_memory=False,
    )  # fmt: skip
    loss = MatryoshkaLoss(encoder, CachedCLEARLoss(encoder, mini_batch_size=3), [32, 16])
    trainer = SentenceTransformerTrainer(encoder, arguments, train_dataset=dataset, loss=loss)
    log_terms(trainer)
    trainer.train()
    assert [set(e) >= {"clear/forward", "clear/kl_weighted"} for e in trainer.state.log_history if "loss" in e] == [
        True
    ] * 2
    plain = SentenceTransformerTrainer(
        encoder, arguments, train_dataset=dataset, loss=MultipleNegativesRankingLoss(encoder)
    )
    with pytest.raises(ValueError, match="no CLEARLoss"):
        log_terms(plain)


def test_evaluator_scores_each_direction(encoder):
    passages = [Text("p0", "river desert", "en"), Text("p1", "moon bread", "en")]
    questions = [("a", "p0", {"en": "river", "sw": "mto"}), ("b", "p1", {"en": "moon", "sw": "mwezi"})]
    scores = CrossLingualEvaluator(make_collection("c", passages, questions))(encoder)
    assert set(scores) == {"q-en.p-en_nDCG@10", "q-sw.p-en_nDCG@10", "cross_lingual_nDCG@10"}
    assert scores["cross_lingual_nDCG@10"] == scores["q-sw.p-en_nDCG@10"]
    assert 0 < scores["q-en.p-en_nDCG@10"] <= 1


def test_evaluator_vetoes_what_costs_english(encoder):
    passages = [Text(f"p{i}", text, "en") for i, text in enumerate(("river desert", "moon bread", "tree bird"))]
    questions = [(str(i), f"p{i}", {"en": p.text, "sw": "mto"}) for i, p in enumerate(passages)]
    judged = make_collection("c", passages, questions)
    evaluator = CrossLingualEvaluator(judged, max_english_loss=5.0, base=encoder)
    free = CrossLingualEvaluator(judged)
    scores = evaluator(encoder)
    assert scores["vetoed"] == 0.0
    assert scores["cross_lingual_nDCG@10"] == free(encoder)["cross_lingual_nDCG@10"]
    for parameter in encoder.parameters():
        parameter.data.zero_()
    ruined = evaluator(encoder)
    assert ruined["q-en.p-en_nDCG@10"] < scores["q-en.p-en_nDCG@10"] - 0.05
    assert ruined["vetoed"] == 1.0
    assert ruined["cross_lingual_nDCG@10"] == free(encoder)["cross_lingual_nDCG@10"] - 1
    assert "vetoed" not in free(encoder)
    with pytest.raises(ValueError, match="needs base"):
        CrossLingualEvaluator(judged, max_english_loss=1.0)


def test_the_intervals_of_the_change_are_a_paired_bootstrap(tiny_folder):
    base, model = load_encoder(str(tiny_folder)), make_encoder(seed=5)
    data = split_rows(make_training_rows(60), settings(dev_share=0.5))
    evaluator = CrossLingualEvaluator(data.dev, base=base)
    found = evaluator.intervals(model)
    assert CrossLingualEvaluator(data.dev).intervals(model) == {}
    assert evaluator.intervals(base) == dict.fromkeys(found, (0.0, 0.0))
    assert found.keys() == evaluator.base_metrics.keys()
    kept = CrossLingualEvaluator(data.dev, base=model).base_metrics
    direction = parse_direction("q-sw.p-en")
    scores = [Embeddings(quiet(one), data.dev, [direction]).evaluate(direction).per_query for one in (base, model)]
    changes = np.array([scores[1][query]["nDCG@10"] - scores[0][query]["nDCG@10"] for query in scores[0]])
    assert changes.mean() == pytest.approx(kept["q-sw.p-en"] - evaluator.base_metrics["q-sw.p-en"], abs=1e-6)
    draws = np.random.default_rng(9).integers(0, len(changes), (20_000, len(changes)))
    ends = np.percentile(changes[draws].mean(axis=1), [2.5, 97.5])
    assert ends[1] - ends[0] > 0.02
    np.testing.assert_allclose(found["q-sw.p-en"], ends, atol=0.02)
    assert found["mean"] == found["q-sw.p-en"], "one direction crosses"


def test_training_keeps_no_checkpoint_that_costs_english(tmp_path, tiny_folder):
    rows = make_training_rows()
    train_model(str(tiny_folder), rows, settings(max_steps=20, eval_steps=20), tmp_path / "good")
    # A learning rate that ruins what was learnt.
    ruin = settings(max_steps=8, eval_steps=2, learning_rate=1.0, max_english_loss=0.0)
    log = train_model(str(tmp_path / "good"), rows, ruin, tmp_path / "ruined")
    dev = [entry for entry in log if "eval_vetoed" in entry]
    assert len(dev) == 4
    assert any(entry["eval_vetoed"] for entry in dev), "nothing was vetoed, so the test shows nothing"
    for entry in dev:
        assert (entry["eval_cross_lingual_nDCG@10"] < 0) == bool(entry["eval_vetoed"])
    with pytest.raises(ValueError, match="dev_share above 0"):
        settings(max_english_loss=1.0, dev_share=0.0)


def test_only_safetensors_are_loaded(tmp_path, tiny_folder):
    import shutil

    folder = tmp_path / "pickled"
    shutil.copytree(tiny_folder, folder)
    weights = next(folder.rglob("*.safetensors"))
    weights.rename(weights.with_name("pytorch_model.bin"))
    with pytest.raises(InputError, match=r"no weights \(\*\.safetensors\); pytorch_model\.bin is not read"):
        load_encoder(str(folder))
    assert isinstance(load_encoder(str(tiny_folder)), SentenceTransformer)
    with pytest.raises(InputError, match="There is no folder"):
        load_encoder(str(Path(tmp_path / "none")))


def test_dev_questions_in_several_languages_are_one_question_each():
    rows = make_training_rows(40)
    for i, record in enumerate(rows.records):  # each question in two languages
        record["lang"] = "sw" if i % 2 else "de"
        record["anchor"] = rows.records[i - i % 2]["anchor"]
        record["positive"] = rows.records[i - i % 2]["positive"]
    data = split_rows(rows, settings(dev_share=0.2))
    english = [text for text in data.dev.queries.values() if text.lang == "en"]
    assert len(english) == len({text.text for text in english}) == 4
    assert len(data.dev.queries) == 12
    assert {text.text for text in english}.isdisjoint(data.dataset["anchor"])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_models_stored_in_half_precision_train_in_full(tmp_path, tiny_folder, dtype, precision):
    load_encoder(str(tiny_folder)).to(dtype).save_pretrained(str(tmp_path / "half"))
    # So small a rate that bf16 weights, which have eight bits, would not move at all.
    small = settings(learning_rate=1e-5, max_steps=4, precision=precision, dev_share=0.0)
    train_model(str(tmp_path / "half"), make_training_rows(), small, tmp_path / "m")
    before, after = (load_encoder(str(tmp_path / name)).float().state_dict() for name in ("half", "m"))
    assert all(tensor.dtype == torch.float32 for tensor in load_encoder(str(tmp_path / "m")).parameters())
    moved = [(before[name] - after[name]).abs().max().item() for name in after if after[name].is_floating_point()]
    assert max(moved) > 5e-6
    assert sum(change > 0 for change in moved) > len(moved) / 2


def test_encoders_that_compare_by_dot_product_are_trained_so(tmp_path, encoder):
    assert make_loss(encoder, settings(), 1).similarity_fct is cos_sim
    encoder.similarity_fn_name = "dot"
    loss = make_loss(encoder, settings(scale=None), 1)
    assert (loss.similarity_fct, loss.scale) == (dot_score, 1.0)
    assert make_loss(encoder, settings(scale=3.0), 1).scale == 3.0


@pytest.mark.parametrize(
    ("prompts", "default"),
    [
        ({"query": "query: ", "passage": "the "}, None),
        ({"query": "query: ", "document": "", "passage": "the "}, None),
        ({"query": "query: ", "corpus": "the "}, None),
        ({"other": "query: "}, "other"),
        ({"query": "", "document": ""}, None),
    ],
)
def test_prompts_in_training_are_those_of_encoding(prompts, default):
    encoder = make_encoder(double=False)
    encoder.prompts, encoder.default_prompt_name = prompts, default
    of_columns = column_prompts(encoder, ["anchor", "positive"]) or {}
    for column, encode in (("anchor", encoder.encode_query), ("positive", encoder.encode_document)):
        expected = encoder.encode(["river"], prompt=of_columns.get(column, ""))
        np.testing.assert_array_equal(encode(["river"]), expected)
    sides = [quiet(encoder).encode(["river"], side) for side in ("query", "passage")]
    for side, encode in zip(sides, (encoder.encode_query, encoder.encode_document), strict=True):
        np.testing.assert_allclose(side, encode(["river"], normalize_embeddings=True), atol=1e-6)


def test_arguments_of_a_script_have_prompts_evaluation_and_what_the_user_adds(encoder, tmp_path, monkeypatch, caplog):
    encoder.prompts = {"query": "query: ", "document": "passage: "}
    names = ("en_question", "paragraphs", "neg_1", "lang_question", "neg_query_1")  # the authors'
    dataset = Dataset.from_dict({name: ["a"] for name in names})
    evaluator = make_evaluator(split_rows(make_training_rows(40), settings()), settings(), encoder)

    def arguments(*evaluator, **options):
        return training_arguments(encoder, dataset, str(tmp_path), *evaluator, **options)

    for name, warned in (("intfloat/multilingual-e5-small", True), ("BAAI/bge-m3", False)):
        caplog.clear()
        bare = copy.deepcopy(encoder)
        bare.prompts, bare.transformers_model.name_or_path = {}, name
        assert training_arguments(bare, dataset, str(tmp_path)).prompts is None
        assert ("load_encoder, which adds them" in caplog.text) == warned
    plain = arguments()
    assert plain.prompts == dict(zip(names, ["query: ", "passage: ", "passage: ", "query: ", "query: "], strict=True))
    assert (plain.eval_strategy, plain.report_to, plain.router_mapping) == ("no", [], {})
    assert (plain.per_device_train_batch_size, plain.num_train_epochs, plain.learning_rate) == (64, 5, 5e-5)
    assert not arguments(evaluator).load_best_model_at_end  # too few questions
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", evaluator.num_questions)
    chosen = arguments(evaluator, eval_steps=7, learning_rate=1e-3)
    assert (chosen.eval_strategy, chosen.eval_steps, chosen.save_steps) == ("steps", 7, 7)
    assert (chosen.load_best_model_at_end, chosen.metric_for_best_model) == (True, "eval_cross_lingual_nDCG@10")
    assert chosen.learning_rate == 1e-3


def test_one_text_in_two_forms_of_unicode_is_no_negative_of_itself():
    rows = make_training_rows(16)
    plain = split_rows(rows, settings(dev_share=0.0)).dataset
    for i, record in enumerate(rows.records):
        record["positive"] = f"Z\u00fcrich number {i // 2}" if i % 2 else f"Zu\u0308rich  number {i // 2}"
        record["negative_1"] = f" Z\u00fcrich number {i // 2}"
    rows.records[0] |= {"anchor": plain["anchor"][0].replace(" ", "\u00a0")}
    rows.records[1] |= {"anchor": plain["anchor"][0]}
    dataset = split_rows(rows, settings(dev_share=0.0)).dataset
    assert dataset["positive"] == [f"Zu\u0308rich  number {i // 2}" for i in range(16)]
    assert dataset["negative_1"] == dataset["positive"]
    assert dataset["anchor"][0] == dataset["anchor"][1]
    for batch in LanguageBatchSampler(dataset, batch_size=4):
        assert len({dataset["positive"][row] for row in batch}) == 4
    assert dataset["cross_anchor"] == plain["cross_anchor"], "other texts stay as they are"


def test_a_loss_that_is_no_number_ends_the_run(tmp_path):
    encoder = make_encoder(double=False)
    with torch.no_grad():
        next(encoder.parameters()).fill_(float("nan"))
    encoder.save_pretrained(str(tmp_path / "broken"), create_model_card=False)
    with pytest.raises(InputError, match="The loss is no number .* at step 1"):
        train_model(str(tmp_path / "broken"), make_training_rows(), settings(dev_share=0, guard=0), tmp_path / "m")
    # The guard's embeddings are computed before the first step.
    with pytest.raises(InputError, match="gives vectors that are no numbers"):
        train_model(str(tmp_path / "broken"), make_training_rows(), settings(dev_share=0), tmp_path / "m")
    assert not list(tmp_path.glob("m*"))


def test_a_checkpoint_that_was_being_written_does_not_count(tmp_path):
    folder = RunFolder(tmp_path / "m", "recipe")
    assert folder.last_checkpoint() is None
    for step, state in [(2, "{}"), (4, "{}"), (6, ""), (8, '{"epoch": 1, "log_'), (10, None)]:
        checkpoint = folder.checkpoints / f"checkpoint-{step}"
        checkpoint.mkdir(parents=True)
        (checkpoint / "rng_state.pth").touch()
        if state is not None:
            (checkpoint / "trainer_state.json").write_text(state)
    assert folder.last_checkpoint() == folder.checkpoints / "checkpoint-4"
