import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import refused
from pydantic import ValidationError
from sentence_transformers import CrossEncoder
from test_hard_negatives import make_rows
from tiny import make_encoder, quiet
from transformers import AutoTokenizer, BertConfig, BertForSequenceClassification

from clear_ir.data.files import InputError
from clear_ir.data.rows import write_parallel_rows
from clear_ir.data.training_rows import columns_of, read_training_rows, training_columns
from clear_ir.encode.cross_encoder import PairScorer, load_cross_encoder
from clear_ir.mine import choosing
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.mine.settings import MiningSettings


def make_cross_encoder(folder, labels=1):
    """A random cross-encoder with the vocabulary of the tiny encoder."""
    torch.manual_seed(0)
    make_encoder(double=False)  # writes its tokenizer
    tokenizer = AutoTokenizer.from_pretrained(Path(os.environ["CLEAR_IR_TEST_TMP"]) / "bert-0.0-0")
    config = BertConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        num_hidden_layers=1,
        num_attention_heads=4,
        intermediate_size=64,
        num_labels=labels,
        initializer_range=0.5,  # so that the scores of pairs differ
    )
    BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def reranker(tmp_path_factory):
    return make_cross_encoder(tmp_path_factory.mktemp("reranker"))


class Counting(PairScorer):
    """Remembers the pairs that it scored."""

    def score(self, pairs):
        seen.extend(pairs)
        return super().score(pairs)


seen: list[tuple[str, str]] = []


def mine(rows, reranker, **settings):
    seen.clear()
    defaults = {"num_negatives": 2, "range_min": 1, "range_max": 6, "rescore": str(reranker)}
    scorer = Counting(load_cross_encoder(str(reranker)))
    return mine_hard_negatives(
        quiet(make_encoder(double=False)), rows, MiningSettings(**defaults | settings), scorer=scorer
    )


def probability(logit):
    return 1 / (1 + np.exp(-np.float64(logit)))


def test_scores_are_logits_of_the_pairs(reranker):
    pairs = [("what river", "the moon of bread"), ("who", "bird " * 60), ("what river", "the sound of light")]
    theirs = CrossEncoder(str(reranker)).predict(pairs)  # with the sigmoid, its default
    scores = PairScorer(load_cross_encoder(str(reranker))).score(pairs)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(probability(scores), theirs, atol=1e-6)
    half = PairScorer(load_cross_encoder(str(reranker)), precision="bf16").score(pairs)
    assert 0 < np.abs(half - scores).max() < 0.2
    assert PairScorer(load_cross_encoder(str(reranker))).score([]).shape == (0,)


@pytest.mark.parametrize("sampling", ["random", "top"])
def test_negatives_score_below_the_share_of_the_positive(reranker, sampling):
    rows = make_rows(40)
    mined = mine(rows, reranker, rescore_margin=0.2, sampling=sampling, write_scores=True)
    scorer = PairScorer(load_cross_encoder(str(reranker)))
    assert len(mined.records) > 10
    assert mined.passages.rejected.sum() > 0, "the test needs candidates that are removed"
    for record in mined.records:
        passages = [record[name] for name in ("positive", "negative_1", "negative_2")]
        logits = scorer.score([(record["anchor"], passage) for passage in passages])
        names = ("score_positive", "score_negative_1", "score_negative_2")
        np.testing.assert_allclose([record[name] for name in names], logits, atol=1e-5)
        positive, *negatives = probability(logits)
        assert max(negatives) <= 0.8 * positive + 1e-6


def test_it_chooses_as_if_it_scored_every_candidate(reranker):
    """Only the scores that are needed are asked for; the negatives are those of all scores."""
    rows = make_rows(40)
    mined = mine(rows, reranker, range_max=12, sampling="top", rescore_margin=0.1)
    encoder, scorer = quiet(make_encoder(double=False)), PairScorer(load_cross_encoder(str(reranker)))
    passages = list(dict.fromkeys(row.passage for row in rows))
    ranking = np.argsort(
        -(encoder.encode([row.query for row in rows], "query") @ encoder.encode(passages, "passage").T)
    )
    expected = {}
    for row, ranked in zip(rows, ranking, strict=True):
        others = [passages[j] for j in ranked if passages[j] != row.passage]
        positive, *scores = probability(scorer.score([(row.query, text) for text in (row.passage, *others)]))
        kept = [rank for rank, score in enumerate(scores) if score <= 0.9 * positive and rank < 13]
        nearest = sorted(kept, key=lambda rank: (max(1 - rank, rank - 11, 0), rank))[:2]
        if len(nearest) == 2:
            expected[row.id] = [others[rank] for rank in sorted(nearest)]
    found = {record["id"]: [record["negative_1"], record["negative_2"]] for record in mined.records}
    assert found == expected
    assert sorted(mined.left_out) == sorted({row.id for row in rows} - set(expected))


def test_each_pair_is_scored_once_and_only_if_it_is_needed(reranker, monkeypatch):
    rows = make_rows(20)
    twice = rows + [
        type(row)(f"de-{row.id}", row.query, row.passage, row.passage_id, f"was {row.id}", "de") for row in rows
    ]
    whole = mine(twice, reranker, range_max=9)
    assert len(seen) == len(set(seen))
    assert len(seen) < 20 * 10, "not all candidates of all rows"
    monkeypatch.setattr(choosing, "RESCORED_AT_ONCE", 7)
    assert mine(twice, reranker, range_max=9).records == whole.records


def test_margins_of_the_encoder_hold_too(reranker):
    mined = mine(make_rows(40), reranker, range_min=0, range_max=19, absolute_margin=0.02, rescore_margin=0)
    passages = mined.passages
    assert passages.filtered.sum() > 0
    assert (passages.scores <= passages.positives[:, None] - 0.02 + 1e-6).all()


def test_columns_of_scores_are_no_texts(reranker, tmp_path, run, tiny_folder):
    write_parallel_rows(tmp_path / "rows.jsonl", make_rows(40))
    flags = ["--num-negatives", 2, "--range-min", 1, "--range-max", 9, "--rescore", reranker, "--write-scores"]
    out = tmp_path / "train.jsonl"
    code, said, _ = run("mine", "--model", tiny_folder, "--rows", tmp_path / "rows.jsonl", "--out", out, *flags)
    assert code == 0
    assert "filtered by the cross-encoder: " in said
    written = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(isinstance(record["score_negative_2"], float) for record in written)
    rows = read_training_rows(out)
    assert rows.columns == training_columns(2, 2)
    assert len(rows.records) == len(written)
    assert not [note for note in rows.notes if "score" in note]
    from datasets import Dataset

    assert columns_of(Dataset.from_list(written)) == training_columns(2, 2)
    model = tmp_path / "model"
    train = ["train", "--model", tiny_folder, "--rows", out, "--out", model, "--batch-size", 8, "--max-steps", 2]
    assert run(*train)[0] == 0


def test_models_that_are_no_cross_encoder(tmp_path, tiny_folder, run):
    with pytest.raises(InputError, match=r"is no cross-encoder \(its architecture is BertModel\); give a model that"):
        load_cross_encoder(str(tiny_folder))
    labels = make_cross_encoder(tmp_path / "labels", labels=3)
    with pytest.raises(InputError, match=r"labels gives 3 scores for a pair; give a cross-encoder with one"):
        load_cross_encoder(str(labels))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="empty holds no model"):
        load_cross_encoder(str(tmp_path / "empty"))
    write_parallel_rows(tmp_path / "rows.jsonl", make_rows())
    command = ["mine", "--model", tiny_folder, "--rows", tmp_path / "rows.jsonl", "--out", tmp_path / "t.jsonl"]
    refused(run(*command, "--rescore", tiny_folder), "is no cross-encoder", "--rescore")
    refused(run(*command, "--rescore", tmp_path / "none"), "There is no folder")
    assert not (tmp_path / "t.jsonl").exists()


def test_scores_without_a_cross_encoder_are_refused():
    with pytest.raises(ValidationError, match="write_scores needs scores to write; name a cross-encoder by rescore"):
        MiningSettings(write_scores=True)


def test_without_a_cross_encoder_nothing_is_rescored():
    encoder = quiet(make_encoder(double=False))
    mined = mine_hard_negatives(encoder, make_rows(), MiningSettings(num_negatives=2, range_min=1, range_max=6))
    assert "filtered by the cross-encoder" not in mined.summary()["negative passages"]
    assert not [name for name in mined.records[0] if name.startswith("score")]
