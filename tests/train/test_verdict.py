"""A run says what the dev questions say of it: it never passes the base off as trained, and warns of harm."""

from types import MappingProxyType

import pytest
from tiny import make_encoder, make_training_rows, settings

from clear_ir.data.output_files import write_jsonl
from clear_ir.encode.model_loading import load_encoder, weights_hash
from clear_ir.train.run import train_model
from clear_ir.train.trainer import make_evaluator, split_rows
from clear_ir.train.verdict import describe_cut, describe_verdict, judge_run, measure_cut


def test_few_dev_questions_choose_nothing_and_the_base_is_not_returned(tmp_path, tiny_folder):
    # Four questions: the first checkpoint, at which nothing has moved, often is the luckiest.
    rows = make_training_rows()
    chosen = settings(max_steps=10, eval_steps=None, learning_rate=1e-2, warmup_ratio=0.1)
    log = train_model(str(tiny_folder), rows, chosen, tmp_path / "m")
    assert weights_hash(load_encoder(str(tmp_path / "m"))) != weights_hash(load_encoder(str(tiny_folder)))
    dev = log[0]["dev"]
    assert (dev["questions"], dev["chosen"], dev["kept_step"], dev["last_step"]) == (4, False, 10, 10)
    base = load_encoder(str(tiny_folder))
    judge = make_evaluator(split_rows(rows, chosen), chosen, base)
    assert dev["base"] == judge.base_metrics
    assert dev["kept"]["mean"] == pytest.approx(judge(load_encoder(str(tmp_path / "m")))[judge.primary])
    sentences = describe_verdict(dev, "clear")
    assert sentences[0].startswith("Dev questions: 4; mean nDCG@10 x 100: base ")
    assert "the last was kept: fewer than 50" in sentences[1]


def test_no_checkpoint_is_judged_before_anything_moved(tmp_path, tiny_folder):
    log = train_model(str(tiny_folder), make_training_rows(), settings(max_steps=6, eval_steps=None), tmp_path / "m")
    assert [entry["step"] for entry in log if "eval_q-sw.p-en_nDCG@10" in entry] == [2, 4, 6]


def warning_after_ruin(tmp_path, tiny_folder, run, good, *flags):
    """The one warning of a run whose learning rate ruins an encoder that was trained with the settings `good`."""
    rows = make_training_rows()
    train_model(str(tiny_folder), rows, settings(dev_share=0.0, **good), tmp_path / "good")
    write_jsonl(tmp_path / "rows.jsonl", rows.records)
    train = ["train", "--model", tmp_path / "good", "--rows", tmp_path / "rows.jsonl", "--out", tmp_path / "ruined"]
    ruin = ["--batch-size", 8, "--max-steps", 8, "--learning-rate", 1, "--precision", "fp32"]
    code, out, _ = run(*train, *ruin, *flags)
    assert code == 0
    [warning] = [line for line in out.splitlines() if line.startswith("Warning: ")]
    return warning


def test_training_that_makes_the_encoder_worse_says_so(tmp_path, tiny_folder, run):
    warning = warning_after_ruin(tmp_path, tiny_folder, run, {"max_steps": 20}, "--side", "both", "--scale", "20")
    assert "training with the loss clear made the encoder worse: q-en.p-en " in warning, "English first"
    assert "q-sw.p-en " in warning
    for way in ("fewer steps", "lower learning rate", "guard", "merging"):
        assert way in warning


def test_a_base_that_no_checkpoint_reaches_is_kept_and_said_to_be_kept(tmp_path, tiny_folder, run, monkeypatch):
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", 4)
    good = {"max_steps": 60, "learning_rate": 1e-2}
    warning = warning_after_ruin(tmp_path, tiny_folder, run, good, "--side", "both")
    assert "the encoder was kept as it was before training. The last step made it worse: q-" in warning
    assert weights_hash(load_encoder(str(tmp_path / "ruined"))) == weights_hash(load_encoder(str(tmp_path / "good")))


def test_a_run_of_which_every_checkpoint_costs_english_keeps_the_base(tmp_path, tiny_folder, run, monkeypatch):
    monkeypatch.setattr("clear_ir.train.verdict.MIN_DEV_QUESTIONS", 4)
    good = {"loss": "infonce-en", "max_steps": 60, "learning_rate": 1e-2}
    warning = warning_after_ruin(tmp_path, tiny_folder, run, good, "--guard", 0)
    assert "every checkpoint, and every mixture with the base that is better across languages, " in warning
    assert "lost more than 0.5 points in English or within languages, so the encoder" in warning
    assert "the encoder was kept as it was before training" in warning
    base, kept = (load_encoder(str(tmp_path / name)) for name in ("good", "ruined"))
    assert (base.encode_query(["river moon"]) == kept.encode_query(["river moon"])).all()


def test_a_verdict_by_hand():
    class Judge:
        primary, num_questions = "cross_lingual_nDCG@10", 60
        base_metrics = MappingProxyType({"mean": 0.4, "q-en.p-en": 0.9, "q-sw.p-en": 0.4})

    def entry(step, english, swahili, vetoed):
        scores = {"eval_q-en.p-en_nDCG@10": english, "eval_q-sw.p-en_nDCG@10": swahili}
        return {"step": step, "eval_cross_lingual_nDCG@10": swahili - vetoed, "eval_vetoed": vetoed, **scores}

    log = [{"step": 0}, {"step": 2, "loss": 1.0}, entry(2, 0.895, 0.5, 0.0), entry(4, 0.8, 0.6, 1.0)]
    verdict = judge_run(Judge, log, 2, True)
    assert verdict["kept"] == {"mean": 0.5, "q-en.p-en": 0.895, "q-sw.p-en": 0.5}
    assert verdict["last"]["mean"] == 0.6, "without the penalty of a veto"
    assert describe_verdict(verdict, "clear") == [
        "Dev questions: 60; mean nDCG@10 x 100: base 40.0, kept step 2 50.0, last step 4 60.0."
    ]
    [_, warning] = describe_verdict(judge_run(Judge, log, 4, True), "infonce")
    assert "q-en.p-en 90.0 -> 80.0" in warning
    assert "q-sw.p-en" not in warning
    below = [{"step": 0}, entry(2, 0.95, 0.39, 0.0), entry(4, 0.8, 0.3, 0.0)]
    kept = judge_run(Judge, below, 2, True)
    assert (kept["kept_step"], kept["kept"]) == (0, Judge.base_metrics)
    [scores, warning] = describe_verdict(kept, "infonce")
    assert scores == "Dev questions: 60; mean nDCG@10 x 100: base 40.0, last step 4 30.0."
    assert "as good as the base across languages" in warning
    assert "q-en.p-en 90.0 -> 80.0, q-sw.p-en 40.0 -> 30.0" in warning
    assert judge_run(Judge, below, 2, False)["kept_step"] == 2, "too few questions choose nothing"
    assert judge_run(Judge, [{"step": 0}], 0, False) == {}


def test_what_is_cut_is_measured_and_said(tmp_path, tiny_folder, caplog, monkeypatch):
    encoder = make_encoder(double=False)
    data = split_rows(make_training_rows(), settings())
    encoder.max_seq_length = 7
    assert measure_cut(encoder, data) == {"max_seq_length": 7, "passages_cut": 0.0, "tokens_unseen": 0.0}
    encoder.max_seq_length = 4  # five words and two special tokens
    cut = measure_cut(encoder, data)
    assert cut == {"max_seq_length": 4, "passages_cut": 1.0, "tokens_unseen": pytest.approx(3 / 7)}
    assert "max_seq_length 4 cuts 100% of the passages: 43% of their tokens are never seen" in describe_cut(cut)
    monkeypatch.setattr("clear_ir.train.verdict.CUT_SAMPLE", 20)
    sampled = measure_cut(encoder, data)
    assert sampled == cut | {"sample_of": len(set(data.dataset["positive"]) | set(data.dataset["negative_1"]))}
    assert f"100% of the passages (a sample of 20 of {sampled['sample_of']} was counted): 43%" in describe_cut(sampled)
    short = settings(max_seq_length=8, max_steps=2)
    rows = make_training_rows()
    for record in rows.records:
        record["positive"] += " river" * 20
    with caplog.at_level("WARNING", "clear_ir"):
        log = train_model(str(tiny_folder), rows, short, tmp_path / "m")
    assert log[0]["cut"]["passages_cut"] > 0.3
    assert "max_seq_length 8 cuts" in caplog.text
