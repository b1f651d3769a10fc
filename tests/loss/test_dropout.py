"""Fast dropout masks: right in number, replayed by a seed, gone after the block."""

import pytest
import torch
from torch.utils.checkpoint import checkpoint

from clear_ir.loss import dropout as module
from clear_ir.loss.dropout import fast_dropout

MEASURE = module.is_faster.__wrapped__


@pytest.fixture(autouse=True)
def any_processor(monkeypatch):
    monkeypatch.setattr(module, "is_faster", lambda: True)


def mask(seed=0, p=0.3, dtype=torch.float32, count=200_000):
    torch.manual_seed(seed)
    return torch.empty(count, dtype=dtype).bernoulli_(p)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.bool])
@pytest.mark.parametrize("p", [0.0, 0.001, 0.3, 0.9, 0.99999, 1.0])
def test_as_many_ones_as_asked_for(dtype, p):
    plain = mask(p=p, dtype=dtype)
    with fast_dropout():
        found = mask(p=p, dtype=dtype)
    assert set(found.double().unique().tolist()) <= {0.0, 1.0}
    if 0.001 <= p <= 0.9:
        assert not torch.equal(found, plain), "the kernel was not replaced"
    deviation = (p * (1 - p) / len(found)) ** 0.5
    assert abs(float(found.double().mean()) - p) <= 5 * deviation + 2**-17


def test_numbers_side_by_side_are_independent():
    with fast_dropout():
        found = mask(p=0.5).double() - 0.5
    for lag in (1, 2, 3, 4, 5):
        assert abs(float((found[lag:] * found[:-lag]).mean())) < 5 * 0.25 / len(found) ** 0.5


def test_a_seed_gives_a_mask_in_any_layout_and_from_any_generator():
    with fast_dropout():
        assert torch.equal(mask(seed=3), mask(seed=3))
        assert not torch.equal(mask(seed=3), mask(seed=4))
        torch.manual_seed(1)
        first = torch.empty(7, 5).t().bernoulli_(0.4)
        second = torch.empty(5, 7).bernoulli_(0.4, generator=torch.Generator().manual_seed(1))
        assert torch.equal(first, second)
        assert torch.empty(0, 3).bernoulli_(0.4).shape == (0, 3)
        with pytest.raises(RuntimeError, match="p=1.5"):
            torch.empty(3).bernoulli_(1.5)


def test_pytorchs_kernel_is_back_after_the_block_and_after_an_error():
    plain = mask()
    with pytest.raises(KeyError), fast_dropout():
        assert not torch.equal(mask(), plain)
        raise KeyError
    assert torch.equal(mask(), plain)


def test_where_pytorch_is_as_fast_nothing_changes(monkeypatch):
    monkeypatch.setattr(module, "is_faster", lambda: False)
    plain = mask()
    with fast_dropout():
        assert torch.equal(mask(), plain)


def test_timing_draws_no_numbers_of_the_training():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    assert MEASURE() in (True, False)
    assert torch.equal(torch.rand(3), expected)


def test_gradients_go_through_the_mask_and_checkpointing_draws_it_again():
    layers = torch.nn.Sequential(torch.nn.Linear(8, 64), torch.nn.Dropout(0.5), torch.nn.Linear(64, 1))
    x = torch.randn(4, 8)
    gradients = []
    with fast_dropout():
        for run in (layers, lambda x: checkpoint(layers, x, use_reentrant=False)):
            layers.zero_grad()
            torch.manual_seed(0)
            run(x).sum().backward()
            gradients.append(torch.cat([p.grad.flatten() for p in layers.parameters()]))
        dropped = torch.nn.functional.dropout(torch.ones(1000, requires_grad=True), 0.5)
    assert torch.equal(*gradients)
    assert gradients[0].norm() > 0
    assert set(dropped.tolist()) == {0.0, 2.0}
