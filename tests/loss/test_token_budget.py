"""`mini_batch_num_tokens="auto"`, and what happens when memory runs out."""

import logging

import pytest
import torch
from loss_batches import features_of, make_texts, value_and_gradient
from tiny import make_encoder

from clear_ir import CachedCLEARLoss, CLEARLoss
from clear_ir.loss import token_budget as budget
from clear_ir.loss.packing import pack_columns, text_keys


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
    features = group_of(encoder, ["river desert moon bread bank", "moon"])
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
    features = group_of(encoder, ["river desert moon bread bank", "moon"])
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


def group_of(encoder, texts):
    features = encoder.preprocess(texts)
    return pack_columns({0: features}, {0: text_keys(features)}, deduplicate=False).groups[0]


class Cramped(torch.nn.Module):
    """An encoder on a device with room for so many tokens: memory cannot be made to run out at will."""

    def __init__(self, encoder, most, only_with_activations=False):
        super().__init__()
        self.encoder, self.most, self.refused = encoder, most, 0
        self.only_with_activations = only_with_activations

    def forward(self, features):
        keeps_activations = torch.is_grad_enabled() or not self.only_with_activations
        if keeps_activations and features["attention_mask"].sum() > self.most:
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


@pytest.mark.parametrize("bf16", [False, True])
def test_out_of_memory_in_the_second_pass_does_the_step_again(monkeypatch, encoder, caplog, bf16):
    texts = make_texts(2)
    plain = CLEARLoss(encoder)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        value, gradient = value_and_gradient(plain, encoder, texts)
    monkeypatch.setattr("clear_ir.loss.cached_clear_loss.MIN_NUM_TOKENS", 10)
    loss = CachedCLEARLoss(encoder, mini_batch_num_tokens="auto")
    loss.model = cramped = Cramped(encoder, most=25, only_with_activations=True)
    loss.mini_batch_num_tokens = 80
    encoder.zero_grad()
    features = features_of(encoder, texts)
    with caplog.at_level(logging.WARNING, "clear_ir"):
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            second_value = loss(features)
        assert cramped.refused == 0
        (3 * second_value).backward()  # as a scaler of gradients does it
    assert cramped.refused == 2
    assert loss.mini_batch_num_tokens == 20
    found = torch.cat([p.grad.flatten() for p in encoder.parameters() if p.grad is not None]) / 3
    assert second_value.item() == pytest.approx(value, rel=1e-2 if bf16 else 1e-12)
    torch.testing.assert_close(found, gradient, rtol=1e-7, atol=1e-2 if bf16 else 1e-11)
    assert loss.pop_terms() == pytest.approx(plain.pop_terms(), rel=1e-2 if bf16 else 1e-9)
    # A second batch adds to these gradients, so nothing may be undone.
    loss.mini_batch_num_tokens = 80
    with pytest.raises(torch.OutOfMemoryError):
        loss(features).backward()


def test_no_trial_is_larger_than_the_batch(encoder, monkeypatch):
    tried = []
    measure = budget._measure
    monkeypatch.setattr(budget, "_measure", lambda *given: tried.append(given[2]) or measure(*given))
    features = group_of(encoder, ["river desert moon bread bank", "moon"] * 8)
    assert features.lengths.sum() < 512
    assert budget.choose_num_tokens(encoder, features) == 512
    assert tried == [512]
    assert budget._worth_trying((512, 1024, 2048), 1024) == [512, 1024]
    assert budget._worth_trying((512, 1024, 2048), 1025) == [512, 1024, 2048]


def test_a_budget_leaves_room_for_the_optimizer(small, encoder, monkeypatch):
    features = group_of(encoder, ["river desert moon bread bank", "moon"] * 8)
    # Each budget is faster than the one before, and takes a byte for each token.
    monkeypatch.setattr(budget, "_measure", lambda model, features, tokens, device: (float(tokens), tokens))
    monkeypatch.setattr(budget, "_room", lambda model, device: 40)
    assert budget.choose_num_tokens(encoder, features) == 32
    monkeypatch.undo()
    cuda = torch.device("cuda:0")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (10_000_000, 20_000_000))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 5_000_000)
    trained = sum(parameter.numel() for parameter in encoder.parameters())
    assert budget._room(encoder, cuda) == pytest.approx(0.9 * 15_000_000 - 8 * trained)


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
