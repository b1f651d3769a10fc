"""The scale of the scores that fits an encoder."""

import json

import numpy as np
import pytest
import torch
from tiny import make_training_rows, settings

from clear_ir.encode.model_loading import load_encoder
from clear_ir.recipes.recipe import load_recipe
from clear_ir.train.base_embeddings import embed_by_base
from clear_ir.train.fixed_passages import embed_passages
from clear_ir.train.run import train_model
from clear_ir.train.scale import LARGEST, best_scale, fit_scale
from clear_ir.train.trainer import split_rows


def cross_entropy(similarities, positives, left_out, scale):
    total = 0.0
    for row, positive in enumerate(positives):
        kept = [scale * value for value, out in zip(similarities[row], left_out[row], strict=True) if not out]
        total += np.log(np.exp(np.array(kept) - max(kept)).sum()) + max(kept) - scale * similarities[row, positive]
    return total / len(positives)


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_no_other_scale_has_a_lower_cross_entropy(noise):
    rng = np.random.default_rng(0)
    passages = rng.standard_normal((20, 8))
    positives = rng.integers(0, 20, 40)
    queries = passages[positives] + 10 * noise * rng.standard_normal((40, 8))
    unit = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in (queries, passages)]
    similarities = unit[0] @ unit[1].T
    # What each question is most easily taken in by: left in, it would ask for a smaller scale.
    wrong = similarities.copy()
    wrong[np.arange(40), positives] = -1
    left_out = np.zeros((40, 20), dtype=bool)
    left_out[np.arange(40), wrong.argmax(axis=1)] = True
    tensors = torch.tensor(similarities), torch.tensor(positives), torch.tensor(left_out)
    found = best_scale(*tensors)
    assert 1 < found < LARGEST
    costs = {scale: cross_entropy(similarities, positives, left_out, scale) for scale in np.arange(1, 60, 0.1)}
    assert found == pytest.approx(min(costs, key=costs.get), abs=0.11)
    assert found > best_scale(tensors[0], tensors[1], torch.zeros_like(tensors[2]))


def test_where_every_question_finds_its_passage_the_scale_has_a_limit():
    nothing = torch.zeros(3, 3, dtype=torch.bool)
    assert best_scale(torch.eye(3), torch.arange(3), nothing) == LARGEST
    assert best_scale(-torch.eye(3), torch.arange(3), nothing) == pytest.approx(1.0, abs=0.1)


def test_the_rows_decide_the_scale_and_a_resumed_run_has_the_same(tmp_path, tiny_folder):
    base, rows = load_encoder(str(tiny_folder)), make_training_rows()
    data = split_rows(rows, settings(side="queries", dev_share=0.0))
    passages = embed_passages(base, base, data, [], tmp_path / "passages", None)
    file = tmp_path / "scale.json"
    found = fit_scale(base, data, file, passages)
    questions = list(dict.fromkeys(data.dataset["anchor"]))
    similarities = base.similarity(base.encode_query(questions), base.encode_document(data.passages)).numpy()
    answers = [[row["positive"] for row in data.dataset if row["anchor"] == question] for question in questions]
    positives = [data.passages.index(known[0]) for known in answers]
    left_out = np.array([[text in known[1:] for text in data.passages] for known in answers])
    costs = {
        scale: cross_entropy(similarities.astype(float), positives, left_out, scale) for scale in np.arange(1, 100, 0.1)
    }
    assert found == pytest.approx(min(costs, key=costs.get), abs=0.11)
    english = embed_by_base(base, data, tmp_path / "base.safetensors", ["anchor"])
    assert fit_scale(base, data, tmp_path / "again.json", passages, english[1]) == found
    file.write_text("12.5")
    assert fit_scale(base, data, file, passages) == 12.5


def test_where_passages_are_trained_some_of_the_rows_decide(tmp_path, tiny_folder, monkeypatch):
    base, rows = load_encoder(str(tiny_folder)), make_training_rows()
    data = split_rows(rows, settings(side="both", dev_share=0.0))
    fixed = embed_passages(base, base, data, [], tmp_path / "passages", None)
    all_rows = fit_scale(base, data, tmp_path / "fixed.json", fixed)
    assert fit_scale(base, data, tmp_path / "trained.json") == pytest.approx(all_rows, abs=0.11)
    # Of fewer questions, the passages of their own rows alone.
    monkeypatch.setattr("clear_ir.train.scale.QUESTIONS", 5)
    questions = list(dict.fromkeys(data.dataset["anchor"]))
    chosen = questions[:: -(-len(questions) // 5)]
    kept = [row for row in data.dataset if row["anchor"] in chosen]
    passages = list(dict.fromkeys(row[column] for column in data.passage_columns for row in kept))
    assert 1 < len(chosen) <= 5 < len(passages) < len(data.passages)
    similarities = base.similarity(base.encode_query(chosen), base.encode_document(passages)).double()
    answers = [[row["positive"] for row in kept if row["anchor"] == question] for question in chosen]
    positives = torch.tensor([passages.index(known[0]) for known in answers])
    left_out = torch.tensor([[text in known[1:] for text in passages] for known in answers])
    expected = best_scale(similarities, positives, left_out)
    assert fit_scale(base, data, tmp_path / "few.json") == pytest.approx(expected, abs=0.11)


@pytest.mark.parametrize("side", ["queries", "both"])
@pytest.mark.parametrize(("given", "fitted"), [({}, True), ({"scale": 7.0}, False)])
def test_a_scale_that_is_given_counts(tmp_path, tiny_folder, side, given, fitted):
    chosen = settings(side=side, max_steps=2, dev_share=0.0, **{"scale": None, **given})
    log = train_model(str(tiny_folder), make_training_rows(), chosen, tmp_path / "m")
    assert ("scale" in log[0]) == fitted
    if fitted:
        assert 1 <= log[0]["scale"] <= LARGEST
        assert f"multiplied by {log[0]['scale']:g}, with" in (tmp_path / "m" / "README.md").read_text()
    # The recipe repeats the run: it has what was given.
    assert load_recipe(str(tmp_path / "m" / "recipe.yaml")).train.scale == given.get("scale")
    assert json.loads((tmp_path / "m" / "train_log.jsonl").read_text().splitlines()[0]) == log[0]
