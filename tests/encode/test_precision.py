"""`precision: auto` is measured with the encoder, and a resumed run keeps what was chosen."""

import pytest
import torch
from tiny import make_encoder, make_training_rows, settings

from clear_ir.encode import precision
from clear_ir.encode.precision import choose_precision
from clear_ir.encode.settings import EncodingSettings
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.train.arguments import make_arguments
from clear_ir.train.run import train_model


@pytest.fixture
def with_bf16(monkeypatch):
    """A processor that has products of bf16 matrices, and takes as many seconds as the test says."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)

    def takes(fp32, bf16):
        monkeypatch.setattr(precision, "_time_once", lambda model, features, half, training: bf16 if half else fp32)

    return takes


def test_the_faster_precision_is_chosen_where_it_leads_clearly(with_bf16):
    encoder = make_encoder(double=False)
    with_bf16(fp32=2.0, bf16=1.0)
    assert choose_precision(encoder) == (
        "bf16",
        "bf16: with this encoder on this processor 2.00 times as fast as fp32.",
    )
    with_bf16(fp32=1.0, bf16=2.0)
    assert choose_precision(encoder)[0] == "fp32"
    with_bf16(fp32=1.05, bf16=1.0)
    assert choose_precision(encoder) == (
        "fp32",
        "fp32: with this encoder on this processor bf16 is 1.05 times as fast.",
    )


def test_without_the_products_nothing_is_timed(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: False)
    monkeypatch.setattr(precision, "_time_once", None)
    assert choose_precision(make_encoder())[0] == "fp32"


def test_timing_is_for_real_and_leaves_the_training_alone(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(precision, "cpu_has_bf16", lambda: True)
    encoder = make_encoder(dropout=0.3, double=False).train()
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    features = precision._random_features(encoder)
    assert features["attention_mask"].shape == features["input_ids"].shape
    assert features["input_ids"].shape[0] == precision.TRIAL_SHAPE[0]
    chosen, sentence = choose_precision(encoder)
    assert chosen in ("fp32", "bf16")
    assert sentence.startswith(f"{chosen}: with this encoder on this processor")
    assert torch.equal(torch.rand(3), expected)
    assert all(parameter.grad is None for parameter in encoder.parameters())


def test_a_run_says_it_and_a_resumed_run_keeps_it(tmp_path, tiny_folder, with_bf16, caplog):
    with_bf16(fp32=2.0, bf16=1.0)
    chosen = settings(precision="auto")

    def fail(*_):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("clear_ir.train.run._write_model", fail)
        with pytest.raises(KeyboardInterrupt):
            train_model(str(tiny_folder), make_training_rows(), chosen, tmp_path / "m")
    with_bf16(fp32=1.0, bf16=2.0)  # another load of the machine
    log = train_model(str(tiny_folder), make_training_rows(), chosen, tmp_path / "m", resume=True)
    assert log[0]["precision"] == "bf16: with this encoder on this processor 2.00 times as fast as fp32."
    assert [r.getMessage() for r in caplog.records].count(f"precision: auto chose {log[0]['precision']}") == 1
    fixed = train_model(str(tiny_folder), make_training_rows(), settings(precision="fp32"), tmp_path / "n")
    assert fixed[0]["precision"] == ""


def test_encoding_is_timed_without_gradients(with_bf16, monkeypatch, caplog):
    asked = []
    monkeypatch.setattr(precision, "_time_once", lambda model, features, half, training: asked.append(training) or 1.0)
    encoder = TextEncoder.from_settings(make_encoder(double=False), EncodingSettings(precision="auto", no_cache=True))
    assert not any(asked)
    assert encoder.precision == "fp32"
    assert "precision: auto chose fp32: with this encoder on this processor bf16 is 1.00 times as fast." in caplog.text
    assert TextEncoder.from_settings(encoder.model, EncodingSettings(precision="bf16")).precision == "bf16"


def test_arguments_need_a_choice(tmp_path):
    with pytest.raises(ValueError, match="precision is auto"):
        make_arguments(settings(precision="auto"), tmp_path, 3)
