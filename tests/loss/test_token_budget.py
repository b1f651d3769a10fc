"""`mini_batch_num_tokens="auto"`, and what happens when memory runs out."""

import logging

import pytest
import torch
from loss_batches import features_of, make_texts, value_and_gradient
from tiny import make_encoder

from clear_ir import CachedCLEARLoss, CLEARLoss
from clear_ir.loss import token_budget as budget


@pytest.fixture
def small(monkeypatch):
    """Budgets that fit the tiny batches of the tests."""
    monkeypatch.setattr(budget, "BUDGETS", {"cpu": (16, 32, 64)})


def test_auto_chooses_says_so_and_changes_no_gradient(small, encoder, caplog):
    texts = make_texts(2)
    value, gradient = value_and_gradient(CLEARLoss(encoder), encoder, texts)
    loss = CachedCLEARLoss(encoder, mini_batch_num_tokens="auto")
    with caplog.at_level(logging.WARNING, "clear_ir"):
        chosen, chosen_gradient = value_and_gradient(loss, encoder, texts)
        loss(features_of(encoder, texts))
    assert chosen == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(chosen_gradient, gradient, rtol=1e-9, atol=1e-11)
    assert loss.mini_batch_num_tokens in (16, 32, 64)
    [said] = [record.getMessage() for record in caplog.records]
    assert f"auto chose {loss.mini_batch_num_tokens} (16: " in said
    assert loss.get_config_dict()["mini_batch_num_tokens"] == loss.mini_batch_num_tokens


def test_a_trial_leaves_gradients_and_random_numbers_alone(small):
    encoder = make_encoder(dropout=0.3).train()
    features = features_of(encoder, [["river desert moon bread bank", "moon"]])[0]
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    assert budget.choose_num_tokens(encoder, features) in (16, 32, 64)
    assert torch.equal(torch.rand(3), expected)
    assert all(parameter.grad is None for parameter in encoder.parameters())


@pytest.mark.filterwarnings("ignore:.*gradient_checkpointing_enable:FutureWarning")  # sentence-transformers' own call
def test_a_trial_works_with_gradient_checkpointing(small, encoder):
    encoder.gradient_checkpointing_enable()
    encoder.train()
    features = features_of(encoder, [["river desert moon bread bank", "moon"]])[0]
    assert budget.choose_num_tokens(encoder, features) in (16, 32, 64)


def test_auto_waits_for_training(small, encoder):
    loss = CachedCLEARLoss(encoder, mini_batch_num_tokens="auto")
    with torch.no_grad():
        loss(features_of(encoder, make_texts(1)))
    assert loss.mini_batch_num_tokens is None
    loss(features_of(encoder, make_texts(1)))
    assert loss.mini_batch_num_tokens in (16, 32, 64)


def test_the_default_follows_the_device(encoder):
    loss = CachedCLEARLoss(encoder)
    loss(features_of(encoder, make_texts(1)))
    assert loss.mini_batch_num_tokens == budget.NUM_TOKENS["cpu"]
    by_texts = CachedCLEARLoss(encoder, mini_batch_size=3)
    by_texts(features_of(encoder, make_texts(1)))
    assert by_texts.mini_batch_num_tokens is None


class Cramped(torch.nn.Module):
    """An encoder on a device with room for so many tokens: memory cannot be made to run out at will."""

    def __init__(self, encoder, most):
        super().__init__()
        self.encoder, self.most, self.refused = encoder, most, 0

    def forward(self, features):
        if features["attention_mask"].sum() > self.most:
            self.refused += 1
            raise torch.OutOfMemoryError("out of memory")
        return self.encoder(features)

    def __getattr__(self, name):
        return super().__getattr__(name) if name in ("encoder", "_modules") else getattr(self.encoder, name)

    def __getitem__(self, index):
        return self.encoder[index]


def test_out_of_memory_halves_the_budget_and_the_step_is_exact(small, monkeypatch, encoder, caplog):
    texts = make_texts(2)
    plain = CLEARLoss(encoder)
    value, gradient = value_and_gradient(plain, encoder, texts)
    monkeypatch.setattr("clear_ir.loss.cached_clear_loss.MIN_NUM_TOKENS", 20)
    loss = CachedCLEARLoss(encoder, mini_batch_num_tokens="auto")
    loss.model = cramped = Cramped(encoder, most=50)
    loss.mini_batch_num_tokens = 160  # as if chosen when there was more memory
    with caplog.at_level(logging.WARNING, "clear_ir"):
        cramped_value, cramped_gradient = value_and_gradient(loss, encoder, texts)
    assert cramped.refused == 2
    assert loss.mini_batch_num_tokens == 40
    assert [r.getMessage().split("going on with ")[1] for r in caplog.records] == ["80.", "40."]
    assert cramped_value == pytest.approx(value, rel=1e-12)
    torch.testing.assert_close(cramped_gradient, gradient, rtol=1e-9, atol=1e-11)
    # The failed attempts left no trace in the log of the terms.
    assert loss.pop_terms() == pytest.approx(plain.pop_terms())


def test_out_of_memory_is_not_hidden_where_nothing_can_be_done(monkeypatch, encoder):
    asked = CachedCLEARLoss(encoder, mini_batch_num_tokens=160)
    asked.model = Cramped(encoder, most=50)
    with pytest.raises(torch.OutOfMemoryError):
        asked(features_of(encoder, make_texts(1)))
    monkeypatch.setattr(budget, "BUDGETS", {"cpu": (16, 32)})
    auto = CachedCLEARLoss(encoder, mini_batch_num_tokens="auto")
    auto.model = Cramped(encoder, most=1)
    with pytest.raises(torch.OutOfMemoryError):
        auto(features_of(encoder, make_texts(1)))


def test_what_counts_as_out_of_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert budget.is_out_of_memory(caught.value)
    assert budget.is_out_of_memory(torch.OutOfMemoryError())
    assert budget.is_out_of_memory(MemoryError())
    assert not budget.is_out_of_memory(RuntimeError("shapes do not fit"))
