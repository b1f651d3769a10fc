"""What a run keeps: the dev questions also judge mixtures of the last step and the encoder before training."""

import pytest
import torch
from tiny import make_training_rows, settings

from clear_ir.encode.mixed_weights import merge_encoders
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.two_encoders import side_of
from clear_ir.train.keeping import SHARES, RunWeights, _could_keep_last, _prefer_last
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
        guard=0.0,
        **{"learning_rate": 1e-2, **changes},
    )
    log = train_model(str(good), make_training_rows(60), chosen, out)
    return log[0]["dev"], chosen


@pytest.mark.parametrize("trained", [{}, {"lora_r": 8, "learning_rate": 1e-2}], ids=["all weights", "adapter"])
def test_a_mixture_is_kept_where_the_last_step_costs_too_much(tmp_path, good, monkeypatch, trained):
    if trained:
        pytest.importorskip("peft", reason="the extra lora is not installed")
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", 4)
    dev, chosen = train(good, tmp_path / "last", **trained)
    assert dev["kept_step"] == 20
    base, last = load_encoder(str(good)), side_of(load_encoder(str(tmp_path / "last")), "query")
    judge = make_evaluator(split_rows(make_training_rows(60), chosen), chosen, base)
    scores = {share / 10: judge(merge_encoders(base, last, share / 10)) for share in range(1, 10)}
    loss = {share: 100 * (dev["base"]["q-en.p-en"] - of["q-en.p-en_nDCG@10"]) for share, of in scores.items()}
    limit = loss[0.4] + 0.01
    assert 100 * (dev["base"]["q-en.p-en"] - dev["last"]["q-en.p-en"]) > limit, "the last step must lose too much"
    assert scores[0.4][judge.primary] > dev["base"]["mean"]

    kept, _ = train(good, tmp_path / "kept", max_english_loss=limit, **trained)
    shares = [mixture["share"] for mixture in kept["mixtures"]]
    best = max((share for share in SHARES if loss[share] <= limit), key=lambda share: scores[share][judge.primary])
    assert shares == pytest.approx([*SHARES, best + 0.1, best - 0.1])
    for mixture in kept["mixtures"]:
        assert mixture["rejected"] == (loss[mixture["share"]] > limit)
        assert mixture["q-en.p-en"] == pytest.approx(scores[mixture["share"]]["q-en.p-en_nDCG@10"])
        assert mixture["mean"] == pytest.approx(scores[mixture["share"]][judge.primary])
    expected = max((m for m in kept["mixtures"] if not m["rejected"]), key=lambda mixture: mixture["mean"])
    assert (kept["all_vetoed"], kept["kept_step"], kept["share"]) == (True, 20, expected["share"])
    assert kept["kept"] == pytest.approx({name: expected[name] for name in kept["base"]})
    model, mixed = load_encoder(str(tmp_path / "kept")), merge_encoders(base, last, expected["share"])
    for name, tensor in side_of(model, "query").state_dict().items():
        torch.testing.assert_close(tensor, mixed.state_dict()[name])
    assert (model.encode_document(["river moon"]) == base.encode_document(["river moon"])).all()
    assert kept["intervals"]["mean"][0] <= kept["kept"]["mean"] - kept["base"]["mean"] <= kept["intervals"]["mean"][1]

    part = f"{100 * expected['share']:.0f} % of step 20 and {100 - 100 * expected['share']:.0f} % of the base"
    assert f"kept {part} {100 * expected['mean']:.1f}, last step 20 " in describe_verdict(kept, "infonce")[0]
    card = " ".join((tmp_path / "kept" / "README.md").read_text(encoding="utf-8").split())
    assert f"{part} was kept, chosen by them." in card


@pytest.mark.parametrize(("last_is", "kept"), [("level", 20), ("ruined", 10)])
def test_an_earlier_step_is_kept_only_if_it_is_clearly_better(good, last_is, kept):
    rows, chosen = make_training_rows(60), settings(dev_share=0.3)
    evaluator = make_evaluator(split_rows(rows, chosen), chosen, load_encoder(str(good)))
    weights = RunWeights(load_encoder(str(good)), str(good), load_encoder, None, new_adapter=False)
    best = weights.now(weights.of_base())
    torch.manual_seed(0)
    noise = {"level": 1e-3, "ruined": 1.0}[last_is]
    last = {name: tensor + noise * torch.randn_like(tensor) for name, tensor in best.items()}
    after_last = {"mean": 0.1}
    verdict = {"kept_step": 10, "last_step": 20, "kept": {"mean": 0.2}, "last": after_last}
    verdict = _prefer_last(evaluator, weights, last, verdict)
    assert verdict["kept_step"] == kept
    expected = best if kept == 10 else last
    for name, tensor in weights.model.state_dict().items():
        assert torch.equal(tensor, expected[name])
    if kept == 20:
        assert verdict["kept"] is after_last
        assert verdict["higher"] == {"kept_step": 10, "mean": 0.2}
        said = {"base": {"mean": 0.05}, "questions": 60, "chosen": True}
        assert "preferred to step 10, 20.0, which is higher by" in describe_verdict(verdict | said, "infonce")[1]
    else:
        assert "higher" not in verdict


@pytest.mark.parametrize(
    ("verdict", "could"),
    [
        ({"kept_step": 10}, True),
        ({"kept_step": 20, "share": 0.8}, True),
        ({"kept_step": 20}, False),
        ({"kept_step": 0}, False),
        ({"kept_step": 20, "share": 0.8, "last_vetoed": True}, False),
        ({"kept_step": 20, "share": 0.8, "last": {"mean": 0.4}}, False),
    ],
)
def test_the_last_step_is_no_choice_where_it_is_rejected_or_worse_than_the_base(verdict, could):
    of_run = {"last_step": 20, "last_vetoed": False, "base": {"mean": 0.5}, "last": {"mean": 0.6}}
    assert _could_keep_last(of_run | verdict) == could


def test_none_beside_is_tried_where_the_last_step_is_better(tmp_path, good, monkeypatch):
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", 4)
    last, _ = train(good, tmp_path / "last")
    free, _ = train(good, tmp_path / "free", max_english_loss=100.0)
    assert (free["kept_step"], free.get("share")) == (20, None), "nothing is rejected, and the last step is the best"
    assert [(mixture["share"], mixture["rejected"]) for mixture in free["mixtures"]] == [(s, False) for s in SHARES]
    assert max(mixture["mean"] for mixture in free["mixtures"]) <= last["kept"]["mean"]
    models = [load_encoder(str(tmp_path / name)).state_dict() for name in ("last", "free")]
    for name, tensor in models[0].items():
        assert torch.equal(tensor, models[1][name]), "the last step's weights are back after the mixtures"


def test_without_a_limit_no_mixture_is_tried(tmp_path, good, monkeypatch):
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", 4)
    dev, _ = train(good, tmp_path / "m")
    assert dev["chosen"]
    assert "mixtures" not in dev


def test_a_base_that_no_mixture_reaches_either():
    verdict = {"all_vetoed": True, "mixtures": []}
    assert "every checkpoint, and every mixture with the base that is better" in why_base_is_kept(verdict, 0.5)
