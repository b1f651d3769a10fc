"""The closed forms against independent computations in float64."""

import numpy as np
import pytest
import torch

from clear_ir.align.maps import (
    AffineMap,
    SideMaps,
    fit_procrustes,
    fit_projection,
    fit_ridge,
    fit_shift,
    language_directions,
)
from clear_ir.evaluate.space import unit

DIM = 6


@pytest.fixture
def draw():
    return np.random.default_rng(0)


def objective(matrix, offset, sources, targets, weights, strength):
    """What `fit_ridge` minimizes, written out."""
    shares = weights / weights.sum()
    mean = (shares[:, None] * sources).sum(0)
    variance = (shares[:, None] * (sources - mean) ** 2).sum() / DIM
    errors = ((sources @ matrix.T + offset - targets) ** 2).sum(1)
    return (shares * errors).sum() + strength * variance * ((matrix - torch.eye(DIM, dtype=torch.float64)) ** 2).sum()


@pytest.mark.parametrize("strength", [0.01, 1.0, 100.0])
def test_the_ridge_map_is_where_the_gradient_is_zero(draw, strength):
    sources, targets = (torch.tensor(draw.normal(size=(9, DIM))) for _ in range(2))
    weights = torch.tensor(draw.uniform(0.1, 2, size=9))
    found = fit_ridge(sources.numpy(), targets.numpy(), strength, weights.numpy())
    parts = [torch.tensor(part, requires_grad=True) for part in (found.matrix, found.offset)]
    value = objective(*parts, sources, targets, weights, strength)
    value.backward()
    assert max(float(part.grad.abs().max()) for part in parts) < 1e-12
    start = [torch.eye(DIM, dtype=torch.float64, requires_grad=True), torch.zeros(DIM, dtype=torch.float64)]
    before = objective(*start, sources, targets, weights, strength)
    before.backward()
    assert float(start[0].grad.abs().max()) > 0.1, "the identity is no minimum"
    assert value.item() < before.item()


def test_a_strength_means_the_same_for_more_rows_and_longer_vectors(draw):
    sources, targets = draw.normal(size=(9, DIM)), draw.normal(size=(9, DIM))
    one = fit_ridge(sources, targets, 1.0)
    thrice = fit_ridge(np.tile(sources, (3, 1)), np.tile(targets, (3, 1)), 1.0)
    longer = fit_ridge(5 * sources, 5 * targets, 1.0)
    for other in (thrice, longer):
        np.testing.assert_allclose(other.matrix, one.matrix, atol=1e-12)
    np.testing.assert_allclose(longer.offset, 5 * one.offset, atol=1e-12)
    assert np.abs(one.matrix - np.eye(DIM)).max() > 0.1


def test_the_ridge_map_between_its_limits(draw):
    sources, targets = draw.normal(size=(50, DIM)), draw.normal(size=(50, DIM))
    loose = fit_ridge(sources, targets, 1e-12)
    ones = np.concatenate([sources, np.ones((50, 1))], axis=1)
    solution = np.linalg.lstsq(ones, targets, rcond=None)[0]
    np.testing.assert_allclose(loose.matrix, solution[:DIM].T, atol=1e-8)
    np.testing.assert_allclose(loose.offset, solution[DIM], atol=1e-8)
    tight = fit_ridge(sources, targets, 1e12)
    np.testing.assert_allclose(tight.matrix, np.eye(DIM), atol=1e-8)
    np.testing.assert_allclose(tight.offset, (targets - sources).mean(0), atol=1e-8)


def test_directions_span_the_differences_between_means(draw):
    means = {lang: draw.normal(size=DIM) for lang in ("en", "de", "sw", "ru")}
    directions = language_directions(means)
    assert directions.shape == (3, DIM)
    np.testing.assert_allclose(directions @ directions.T, np.eye(3), atol=1e-12)
    for one in means.values():
        difference = one - means["en"]
        np.testing.assert_allclose(directions.T @ (directions @ difference), difference, atol=1e-12)
    # The strongest first: the sum of the squares of the centred means along a direction.
    centred = np.stack(list(means.values())) - np.mean(list(means.values()), axis=0)
    strengths = ((centred @ directions.T) ** 2).sum(0)
    assert list(strengths) == sorted(strengths, reverse=True)
    assert strengths[0] == pytest.approx(np.linalg.eigvalsh(centred.T @ centred)[-1])
    passages = {lang: draw.normal(size=DIM) for lang in ("en", "de")}
    assert language_directions(means, passages).shape == (4, DIM)
    assert language_directions({"en": means["en"], "de": means["en"]}).shape == (0, DIM)


def test_after_projection_the_means_coincide(draw):
    means = {lang: draw.normal(size=DIM) for lang in ("en", "de", "sw")}
    project = fit_projection(language_directions(means))
    moved = [project.unscaled(mean[None])[0] for mean in means.values()]
    np.testing.assert_allclose(moved[1], moved[0], atol=1e-12)
    np.testing.assert_allclose(moved[2], moved[0], atol=1e-12)
    np.testing.assert_allclose(project.matrix @ project.matrix, project.matrix, atol=1e-12)
    assert np.abs(moved[0] - means["en"]).max() > 0.1


def test_the_shift_moves_each_mean_to_the_english_one(draw):
    means = {lang: draw.normal(size=DIM) for lang in ("en", "de", "sw")}
    shift = fit_shift(language_directions(means), means["en"])
    spread = draw.normal(size=DIM) * 0.1
    spread -= language_directions(means).T @ (language_directions(means) @ spread)
    for mean in means.values():
        # With a label at hand it is q - m_L + m_en.
        np.testing.assert_allclose(shift.unscaled((mean + spread)[None])[0], means["en"] + spread, atol=1e-12)


def test_procrustes_finds_a_rotation(draw):
    rotation = np.linalg.qr(draw.normal(size=(DIM, DIM)))[0]
    sources, offset = draw.normal(size=(20, DIM)), draw.normal(size=DIM)
    found = fit_procrustes(sources, sources @ rotation.T + offset)
    np.testing.assert_allclose(found.matrix, rotation, atol=1e-10)
    np.testing.assert_allclose(found.offset, offset, atol=1e-10)
    noisy = fit_procrustes(sources, draw.normal(size=(20, DIM)))
    np.testing.assert_allclose(noisy.matrix @ noisy.matrix.T, np.eye(DIM), atol=1e-10)


def test_one_map_after_another_and_vectors_of_length_one(draw):
    one, two = (AffineMap(draw.normal(size=(DIM, DIM)), draw.normal(size=DIM)) for _ in range(2))
    vectors = draw.normal(size=(4, DIM)).astype(np.float32)
    np.testing.assert_allclose(two.after(one).unscaled(vectors), two.unscaled(one.unscaled(vectors)), atol=1e-12)
    expected = [one.matrix @ (row / np.linalg.norm(row)) + one.offset for row in vectors.astype(np.float64)]
    np.testing.assert_allclose(one(vectors), [row / np.linalg.norm(row) for row in expected], atol=1e-12)
    both = SideMaps(two).after(SideMaps(one, one))
    assert both.passage is one
    np.testing.assert_allclose(both.query.matrix, two.matrix @ one.matrix)
    assert np.array_equal(unit(np.zeros((1, DIM))), np.zeros((1, DIM)))
