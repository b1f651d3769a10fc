"""Matryoshka: embeddings are trained at several dimensions, and the dev questions judge each."""

import json

import numpy as np
import pytest
import torch
from sentence_transformers.sentence_transformer.losses import MatryoshkaLoss
from tiny import WORDS, make_encoder, make_training_rows, settings

from clear_ir import CrossLingualEvaluator
from clear_ir.data.collection import Text, make_collection
from clear_ir.data.collection_files import write_collection
from clear_ir.data.files import InputError
from clear_ir.encode.model_loading import load_encoder
from clear_ir.train.dimensions import at_dimensions, chosen_dims, citations_of, describe_dimensions
from clear_ir.train.run import train_model
from clear_ir.train.settings import TrainingSettings
from clear_ir.train.trainer import make_loss, split_rows

DIMS = [8, 16]


def losses(log):
    return [entry["loss"] for entry in log if "loss" in entry]


@pytest.mark.parametrize(
    "options", [{"side": "both"}, {"side": "both", "cached": True, "mini_batch_num_tokens": 40}, {"side": "queries"}],
    ids=["both", "cached", "queries"],
)  # fmt: skip
def test_each_dimension_is_trained_and_judged(tmp_path, tiny_folder, options):
    chosen = settings(**options, guard=1, max_steps=40, learning_rate=1e-2, matryoshka_dims=DIMS)
    log = train_model(str(tiny_folder), make_training_rows(), chosen, tmp_path / "m")
    assert np.mean(losses(log)[-5:]) < np.mean(losses(log)[:5]) - 0.5, "nothing was learned"
    assert {name for entry in log for name in entry} >= {"clear/guard", "clear/guard_weighted"}
    measured = log[0]["dimensions"]
    assert list(measured) == ["32", "16", "8"], "the encoder's own comes first"
    assert measured["32"]["base"] == log[0]["dev"]["base"]["mean"]
    assert measured["32"]["kept"] == log[0]["dev"]["kept"]["mean"]
    dev = split_rows(make_training_rows(), chosen).dev
    for dim in ("16", "8"):
        for name, folder in (("base", tiny_folder), ("kept", tmp_path / "m")):
            model = load_encoder(str(folder))
            model.truncate_dim = int(dim)
            scores = CrossLingualEvaluator(dev)(model)
            assert measured[dim][name] == pytest.approx(scores["cross_lingual_nDCG@10"], abs=1e-6)
    assert len({scores["base"] for scores in measured.values()}) > 1, "no dimension matters, so the test shows nothing"
    card = (tmp_path / "m" / "README.md").read_text()
    assert "Embeddings may be cut to 16, 8 numbers" in card
    assert describe_dimensions(measured) in card
    assert card.count("kusupati2024matryoshka") == 1
    if options["side"] == "queries":
        model, base = load_encoder(str(tmp_path / "m")), load_encoder(str(tiny_folder))
        np.testing.assert_array_equal(model.encode_document(["river"]), base.encode_document(["river"]))


def test_the_loss_is_the_sum_over_the_dimensions():
    encoder, chosen = make_encoder(), settings(loss="infonce", matryoshka_dims=DIMS)
    loss = at_dimensions(make_loss(encoder, chosen, 1), encoder, chosen.matryoshka_dims)
    assert isinstance(loss, MatryoshkaLoss)
    assert len(citations_of(loss)) == 2
    texts = [["river", "moon"], ["river desert", "moon bread"], ["tree", "bird"], ["mto", "mwezi"], ["mti", "ndege"]]
    value = loss([encoder.preprocess(column) for column in texts], None)
    passages, negatives, queries = (
        torch.tensor(encoder.encode(texts[column]), dtype=torch.float64) for column in (1, 2, 3)
    )
    expected = 0.0
    for dim in (32, 16, 8):
        candidates = torch.nn.functional.normalize(torch.cat([passages, negatives])[:, :dim], dim=1)
        scores = 20 * torch.nn.functional.normalize(queries[:, :dim], dim=1) @ candidates.T
        expected += torch.nn.functional.cross_entropy(scores, torch.arange(2)).item()
    assert value.item() == pytest.approx(expected, rel=1e-6)
    assert at_dimensions(loss.loss, encoder, None) is loss.loss


def test_dimensions_that_the_encoder_has_not_are_refused(tmp_path, tiny_folder):
    with pytest.raises(InputError, match="matryoshka_dims has 64, but the encoder's embeddings have 32 numbers"):
        train_model(str(tiny_folder), make_training_rows(), settings(matryoshka_dims=[64]), tmp_path / "m")
    assert not list(tmp_path.iterdir())
    with pytest.raises(ValueError, match="at least 1"):
        TrainingSettings(matryoshka_dims=[])
    assert chosen_dims(make_encoder(), [8, 8, 32]) == [32, 8]


def test_without_dev_questions_nothing_is_measured(tmp_path, tiny_folder):
    chosen = settings(matryoshka_dims=DIMS, dev_share=0, max_steps=2)
    log = train_model(str(tiny_folder), make_training_rows(), chosen, tmp_path / "m")
    assert "dimensions" not in log[0]


def test_evaluate_cuts_embeddings(tmp_path, tiny_folder, run):
    passages = [Text(f"p{i}", f"{WORDS[2 * i]} {WORDS[2 * i + 1]}", "en") for i in range(20)]
    questions = [(str(i), f"p{i}", {"en": WORDS[2 * i], "sw": WORDS[2 * i + 1]}) for i in range(20)]
    collection = make_collection("c", passages, questions)
    write_collection(tmp_path / "c", collection)
    command = ["evaluate", "--model", tiny_folder, "--data", tmp_path / "c", "--out"]
    code, out, _ = run(*command, tmp_path / "r", "--truncate-dim", 4)
    assert code == 0
    assert "tiny, 4 numbers" in out
    document = json.loads((tmp_path / "r" / "results.json").read_text())
    model = load_encoder(str(tiny_folder))
    whole = CrossLingualEvaluator(collection)(model)
    model.truncate_dim = 4
    expected = CrossLingualEvaluator(collection)(model)
    assert expected != whole, "no dimension matters, so the test shows nothing"
    for score in document["scores"]["test"]:
        assert score["nDCG@10"] == pytest.approx(expected[f"{score['direction']}_nDCG@10"], abs=1e-6)
    code, _, err = run(*command, tmp_path / "more", "--truncate-dim", 33)
    assert code == 2
    assert "--truncate-dim is 33, but the encoder's embeddings have 32 numbers; give fewer." in err
