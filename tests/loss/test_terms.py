import numpy as np
import pytest
import torch
from reference_loss import clear_loss, numerical_gradient
from sentence_transformers.util import cos_sim

from clear_ir.loss.terms import Batch, Rows, Weights, clear_terms, divergence, info_nce, margin_mask

ROWS, DIM = 4, 6


def make_columns(n, m=None, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((ROWS, DIM)) for _ in range(3 + n + (n if m is None else m))]


def loss_of(tensors, n, weights, margin=None, keys=None, scale=20.0, own=None, kind="kl", base=()):
    keys = keys or {}
    batch = Batch(
        ROWS,
        torch.cat(tensors[1 : 2 + n]),
        tensors[0],
        torch.cat(tensors[2 + n :]),
        keys.get("passages"),
        keys.get("anchors"),
        keys.get("queries"),
        base if isinstance(base, dict) else dict(zip(("anchor", "positive"), base, strict=False)),
    )
    own = torch.arange(ROWS) if own is None else own
    terms = clear_terms(Rows(batch, own, scale=scale, similarity=cos_sim, margin=margin, kind=kind), weights)
    assert set(terms) == set(weights.by_term())
    return sum(weight * terms[name].sum() / ROWS for name, weight in weights.by_term().items())


@pytest.mark.parametrize("n", [0, 1, 5])
@pytest.mark.parametrize(
    ("alpha", "beta", "gamma"), [(0.4, 0.2, 0.0), (0.4, 0.0, 0.0), (0.3, 0.1, 0.3), (0.0, 0.0, 1.0), (0.2, 0.8, 0.0)]
)
def test_value_and_gradient_equal_the_float64_formula(n, alpha, beta, gamma):
    columns = make_columns(n)
    tensors = [torch.tensor(column, requires_grad=True) for column in columns]
    loss = loss_of(tensors, n, Weights(alpha, beta, gamma))
    loss.backward()

    def reference(changed):
        return clear_loss(changed, n, alpha, beta, gamma)

    assert loss.item() == pytest.approx(reference(columns), rel=1e-12)
    expected = numerical_gradient(reference, columns)
    total = 0.0
    for tensor, gradient in zip(tensors, expected, strict=True):
        found = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        np.testing.assert_allclose(found.numpy(), gradient, atol=2e-7, rtol=1e-5)
        total += float(np.abs(gradient).sum())
    assert total > 0.1, "the gradient vanished, so the comparison shows nothing"


def check_gradient(loss, tensors, reference, columns):
    loss.backward()
    assert loss.item() == pytest.approx(reference(columns), rel=1e-12)
    for tensor, gradient in zip(tensors, numerical_gradient(reference, columns), strict=True):
        found = torch.zeros_like(tensor) if tensor.grad is None else tensor.grad
        np.testing.assert_allclose(found.numpy(), gradient, atol=2e-7, rtol=1e-5)


@pytest.mark.parametrize("kind", ["kl", "kl-detached", "kl-reversed", "js"])
def test_what_stands_in_the_place_of_the_kl(kind):
    columns = make_columns(1)
    tensors = [torch.tensor(column, requires_grad=True) for column in columns]
    teacher = [column.copy() for column in columns] if kind == "kl-detached" else None

    def reference(changed):
        return clear_loss(changed, 1, 0.3, 0.5, kind=kind, teacher=teacher)

    loss = loss_of(tensors, 1, Weights(0.3, 0.5), kind=kind)
    check_gradient(loss, tensors, reference, columns)
    if kind in ("kl-reversed", "js"):
        assert loss.item() != pytest.approx(clear_loss(columns, 1, 0.3, 0.5), rel=1e-4)


@pytest.mark.parametrize("kind", ["kl-detached", "kl-reversed", "js"])
def test_masked_columns_leave_every_divergence(kind):
    scores = torch.randn(2, 3, 5, dtype=torch.float64, generator=torch.manual_seed(0)).requires_grad_()
    masked = torch.zeros(3, 5, dtype=torch.bool)
    masked[:, 3:] = True
    found = divergence(scores[0], scores[1], masked, kind)
    torch.testing.assert_close(found, divergence(scores[0, :, :3], scores[1, :, :3], None, kind))
    found.sum().backward()
    assert torch.isfinite(scores.grad).all()
    assert scores.grad[0, :, :3].abs().sum() > 0.01
    assert (scores.grad[:, :, 3:] == 0).all()


def test_the_guard_draws_english_to_the_base():
    columns, base = make_columns(1), make_columns(0, seed=1)[:2]
    tensors = [torch.tensor(column, requires_grad=True) for column in columns]

    def reference(changed):
        return clear_loss(changed, 1, 0.3, 0.1, 0.3, guard=2.0, base=base)

    loss = loss_of(tensors, 1, Weights(0.3, 0.1, 0.3, 2.0), base=[torch.tensor(side) for side in base])
    check_gradient(loss, tensors, reference, columns)
    alone = loss_of(tensors, 1, Weights(0, 0, 0, 1.0), base=[tensor.detach() for tensor in tensors[:2]])
    assert alone.item() == pytest.approx(clear_loss(columns, 1, 0, 0), rel=1e-12), "where nothing moved it is zero"


def test_distil_draws_the_target_language_query_to_the_bases_english_one():
    columns, base = make_columns(1), make_columns(0, seed=1)[:1]
    tensors = [torch.tensor(column, requires_grad=True) for column in columns]

    def reference(changed):
        return clear_loss(changed, 1, 0.3, 0.1, 0.3, base=base, distil=3.0)

    loss = loss_of(tensors, 1, Weights(0.3, 0.1, 0.3, distil=3.0), base=[torch.tensor(base[0])])
    check_gradient(loss, tensors, reference, columns)
    assert loss.item() > clear_loss(columns, 1, 0.3, 0.1, 0.3) + 0.1


def test_cross_guard_keeps_the_target_language_query_where_it_was():
    columns, base = make_columns(1), make_columns(0, seed=1)[0]
    tensors = [torch.tensor(column, requires_grad=True) for column in columns]

    def reference(changed):
        return clear_loss(changed, 1, 0.3, 0.1, 0.3, cross_guard=3.0, own_base=base)

    weights = Weights(0.3, 0.1, 0.3, cross_guard=3.0)
    loss = loss_of(tensors, 1, weights, base={"cross_anchor": torch.tensor(base)})
    check_gradient(loss, tensors, reference, columns)
    assert loss.item() > clear_loss(columns, 1, 0.3, 0.1, 0.3) + 0.1
    still = loss_of(tensors, 1, Weights(0, 0, 0, cross_guard=3.0), base={"cross_anchor": tensors[3].detach()})
    assert still.item() == pytest.approx(clear_loss(columns, 1, 0, 0), rel=1e-12), "where nothing moved it is zero"


def test_without_kl_the_counts_of_negatives_may_differ():
    columns = make_columns(2, m=1)
    loss = loss_of([torch.tensor(column) for column in columns], 2, Weights(0.4, 0.0))
    assert loss.item() == pytest.approx(clear_loss(columns, 2, beta=0.0), rel=1e-12)


def test_rows_in_chunks_add_up_to_the_whole():
    tensors = [torch.tensor(column) for column in make_columns(1)]
    weights = Weights(0.4, 0.2, 0.1)
    parts = [loss_of(tensors, 1, weights, own=torch.tensor(own)) for own in ([0, 1, 2], [3])]
    assert sum(parts).item() == pytest.approx(loss_of(tensors, 1, weights).item(), rel=1e-12)


def test_hand_worked_two_rows():
    # Two orthogonal unit vectors, scale ln 3: right pairs score ln 3, wrong ones 0, so every softmax is (3/4, 1/4).
    unit = torch.eye(2, dtype=torch.float64)
    batch = Batch(2, unit, unit, unit)
    rows = Rows(batch, torch.arange(2), scale=float(np.log(3)), similarity=cos_sim)
    terms = clear_terms(rows, Weights(0.2, 0.2, 0.2))
    for name in ("forward", "reverse", "cross"):
        np.testing.assert_allclose(terms[name], np.log(4 / 3))
    np.testing.assert_allclose(terms["kl"], 0, atol=1e-15)


def test_kl_direction_is_reverse_against_forward():
    p, q = torch.tensor([[0.7, 0.3]]), torch.tensor([[0.4, 0.6]])
    expected = 0.7 * np.log(0.7 / 0.4) + 0.3 * np.log(0.3 / 0.6)
    assert divergence(p.log(), q.log()).item() == pytest.approx(expected, rel=1e-6)


def test_duplicates_leave_the_terms_and_both_sides_of_the_kl():
    columns = make_columns(1)
    # Row 2's positive is row 0's passage, row 3's negative is row 1's passage,
    # and row 3's neg_query is row 0's cross_anchor.
    columns[1][2] = columns[1][0]
    columns[2][3] = columns[1][1]
    columns[4][3] = columns[3][0]
    keys = {
        "anchors": torch.tensor([1, 2, 3, 4]),
        "passages": torch.tensor([10, 11, 10, 13, 20, 21, 22, 11]),
        "queries": torch.tensor([30, 31, 32, 33, 40, 41, 42, 30]),
    }
    out_f = {0: {2}, 2: {0}, 1: {7}}
    # The reverse anchors of rows 0 and 2 are one passage, so each one's query is right for the other.
    # Column 7 is a copy of row 0's query.
    out_r = {0: {2, 7}, 2: {0, 7}}
    tensors = [torch.tensor(column, requires_grad=True) for column in columns]
    weights = Weights(0.3, 0.2, 0.2)
    loss = loss_of(tensors, 1, weights, keys=keys)
    expected = clear_loss(columns, 1, 0.3, 0.2, 0.2, left_out_forward=out_f, left_out_reverse=out_r)
    assert loss.item() == pytest.approx(expected, rel=1e-12)
    assert loss.item() != pytest.approx(loss_of(tensors, 1, weights).item(), rel=1e-7)
    loss.backward()
    assert all(torch.isfinite(tensor.grad).all() for tensor in tensors)


def test_margin_masks_what_exceeds_the_positive_by_more():
    similarities = torch.tensor([[0.5, 0.61, 0.59, 0.1]])
    own = torch.tensor([0])
    assert margin_mask(similarities, own, 0.1).tolist() == [[False, True, False, False]]
    assert margin_mask(similarities, own, -5.0).tolist() == [[False, True, True, True]], "the positive always stays"


def test_a_fully_masked_row_is_zero_and_never_nan():
    tensors = [torch.tensor(column, requires_grad=True) for column in make_columns(2)]
    loss = loss_of(tensors, 2, Weights(0.3, 0.3, 0.2), margin=-10.0)
    assert loss.item() == 0.0
    loss.backward()
    assert all((tensor.grad == 0).all() for tensor in tensors)
    scores = torch.randn(1, 3, requires_grad=True)
    masked = torch.tensor([[False, True, True]])
    assert info_nce(scores, torch.tensor([0]), masked).item() == 0.0


@pytest.mark.parametrize(("alpha", "beta", "gamma"), [(-0.1, 0, 0), (0.5, 0.4, 0.2), (float("nan"), 0, 0)])
def test_weights_out_of_range(alpha, beta, gamma):
    with pytest.raises(ValueError, match=r"weight|sum"):
        Weights(alpha, beta, gamma)


def test_weights_may_sum_to_one_in_floating_point():
    weights = Weights(0.7, 0.2, 0.1)
    assert weights.forward == 0.0
    assert "forward" not in weights.by_term()
