"""What a run keeps: the dev questions also judge mixtures of the last step and the encoder before training."""

import pytest
import torch
from tiny import make_training_rows, settings

from clear_ir.encode.mixed_weights import merge_encoders
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.two_encoders import side_of
from clear_ir.train.keeping import SHARES
from clear_ir.train.run import train_model
from clear_ir.train.trainer import make_evaluator, split_rows
from clear_ir.train.verdict import describe_verdict, why_base_is_kept


@pytest.fixture(scope="module")
def good(tmp_path_factory, tiny_folder):
    """An encoder that knows its English, so that training can cost some of it."""
    folder = tmp_path_factory.mktemp("good") / "good"
    english = settings(loss="infonce-en", dev_share=0.0, max_steps=60, learning_rate=1e-2)
    train_model(str(tiny_folder), make_training_rows(60), english, folder)
    return folder


def train(good, out, **changes):
    """A run that gains across languages and costs English; its dev questions choose."""
    chosen = settings(
        side="queries",
        loss="infonce",
        dev_share=0.3,
        max_steps=20,
        eval_steps=20,
        learning_rate=1e-2,
        guard=0.0,
        **changes,
    )
    log = train_model(str(good), make_training_rows(60), chosen, out)
    return log[0]["dev"], chosen


def test_a_mixture_is_kept_where_the_last_step_costs_too_much(tmp_path, good, monkeypatch):
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", 4)
    free, chosen = train(good, tmp_path / "free", max_english_loss=100.0)
    assert (free["kept_step"], free.get("share")) == (20, None), "nothing is rejected, and the last step is the best"
    base, last = load_encoder(str(good)), side_of(load_encoder(str(tmp_path / "free")), "query")
    judge = make_evaluator(split_rows(make_training_rows(60), chosen), chosen, base)
    assert len(free["mixtures"]) == len(SHARES), "none is better than the last step, so none beside it is tried"
    for mixture, share in zip(free["mixtures"], SHARES, strict=True):
        assert (mixture["share"], mixture["rejected"]) == (share, False)
        scores = judge(merge_encoders(base, last, share))
        assert mixture["q-en.p-en"] == pytest.approx(scores["q-en.p-en_nDCG@10"])
        assert mixture["mean"] == pytest.approx(scores[judge.primary])

    english = free["base"]["q-en.p-en"]
    limit = 100 * (english - free["mixtures"][2]["q-en.p-en"])
    allowed = [m for m in free["mixtures"] if 100 * (english - m["q-en.p-en"]) <= limit]
    best = max(allowed, key=lambda mixture: mixture["mean"])
    assert best["mean"] > free["base"]["mean"]
    assert 100 * (english - free["last"]["q-en.p-en"]) > limit, "the last step must lose more than is allowed"

    kept, _ = train(good, tmp_path / "kept", max_english_loss=limit)
    shares = [mixture["share"] for mixture in kept["mixtures"]]
    assert shares == pytest.approx([*SHARES, best["share"] + 0.1, best["share"] - 0.1])
    expected = max((m for m in kept["mixtures"] if not m["rejected"]), key=lambda mixture: mixture["mean"])
    for mixture in kept["mixtures"][len(SHARES) :]:
        scores = judge(merge_encoders(base, last, mixture["share"]))
        assert mixture["rejected"] == (100 * (english - scores["q-en.p-en_nDCG@10"]) > limit)
        assert mixture["mean"] == pytest.approx(scores[judge.primary])
    assert (kept["all_vetoed"], kept["kept_step"], kept["share"]) == (True, 20, expected["share"])
    assert kept["kept"] == pytest.approx({name: expected[name] for name in free["base"]})
    assert [m["rejected"] for m in kept["mixtures"][: len(SHARES)]] == [m not in allowed for m in free["mixtures"]]
    model, mixed = load_encoder(str(tmp_path / "kept")), merge_encoders(base, last, expected["share"])
    for name, tensor in side_of(model, "query").state_dict().items():
        torch.testing.assert_close(tensor, mixed.state_dict()[name])
    assert (model.encode_document(["river moon"]) == base.encode_document(["river moon"])).all()
    assert kept["intervals"]["mean"][0] <= kept["kept"]["mean"] - kept["base"]["mean"] <= kept["intervals"]["mean"][1]

    part = f"{100 * expected['share']:.0f} % of step 20 and {100 - 100 * expected['share']:.0f} % of the base"
    assert f"kept {part} {100 * expected['mean']:.1f}, last step 20 " in describe_verdict(kept, "infonce")[0]
    card = " ".join((tmp_path / "kept" / "README.md").read_text(encoding="utf-8").split())
    assert f"{part} was kept, chosen by them." in card


def test_without_a_limit_no_mixture_is_tried(tmp_path, good, monkeypatch):
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", 4)
    dev, _ = train(good, tmp_path / "m")
    assert dev["chosen"]
    assert "mixtures" not in dev


def test_a_base_that_no_mixture_reaches_either():
    verdict = {"all_vetoed": True, "mixtures": []}
    assert "every checkpoint, and every mixture with the base that is better" in why_base_is_kept(verdict, 0.5)
