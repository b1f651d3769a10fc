"""Maps of vectors, fitted in closed form, in float64.

`x` is a vector of length 1 that the encoder gives, as a row. A map makes `A x + b` of it, which is scaled to length 1
again. Queries and passages may have different maps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from clear_ir.evaluate.space import unit

#: Shorter differences between the means of languages, relative to the longest, are numerical noise.
SHORTEST = 1e-6


@dataclass(frozen=True)
class AffineMap:
    """A map `x -> A x + b`.

    Args:
        matrix: A, shape (dim, dim).
        offset: b, shape (dim,).
    """

    matrix: np.ndarray
    offset: np.ndarray

    def __call__(self, vectors: np.ndarray) -> np.ndarray:
        """Map vectors, shape (num_vectors, dim), each scaled to length 1 before and after, in float64."""
        return unit(self.unscaled(unit(vectors)))

    def unscaled(self, vectors: np.ndarray) -> np.ndarray:
        """Map vectors, shape (num_vectors, dim), without scaling them."""
        return np.asarray(np.asarray(vectors, np.float64) @ self.matrix.T + self.offset)

    def after(self, first: AffineMap) -> AffineMap:
        """The map that does `first`, then this one."""
        return AffineMap(self.matrix @ first.matrix, self.matrix @ first.offset + self.offset)


@dataclass(frozen=True)
class SideMaps:
    """The maps of queries and of passages. None: vectors of that side stay as the encoder gives them.

    Args:
        query: Of queries.
        passage: Of passages.
    """

    query: AffineMap | None = None
    passage: AffineMap | None = None

    def after(self, first: SideMaps) -> SideMaps:
        """The maps that do `first`, then these."""
        return SideMaps(_after(self.query, first.query), _after(self.passage, first.passage))


def _after(last: AffineMap | None, first: AffineMap | None) -> AffineMap | None:
    return last.after(first) if last and first else last or first


def map_vectors(of_side: AffineMap | None, vectors: np.ndarray) -> np.ndarray:
    """The vectors of a side, mapped, in float32.

    Args:
        of_side: The map. None: the vectors stay as they are.
        vectors: Shape (num_vectors, dim).
    """
    return vectors if of_side is None else of_side(vectors).astype(np.float32)


def language_directions(*means: Mapping[str, np.ndarray]) -> np.ndarray:
    """The directions in which the means of languages differ, the strongest first (Yang et al. 2021, arXiv 2109.04727).

    Args:
        means: The mean vector of each language, English included, shape (dim,). Several mappings, such as one of
            queries and one of passages, are each centred by themselves.

    Returns:
        Orthonormal directions, shape (num_directions, dim): at most the number of languages less one, of each mapping.
    """
    differences = []
    for of_kind in means:
        matrix = np.stack([np.asarray(mean, np.float64) for mean in of_kind.values()])
        differences.append(matrix - matrix.mean(axis=0))
    _, sizes, directions = np.linalg.svd(np.concatenate(differences), full_matrices=False)
    return np.asarray(directions[sizes > SHORTEST * max(float(sizes[0]), np.finfo(np.float64).tiny)])


def fit_projection(directions: np.ndarray) -> AffineMap:
    """Remove directions: `x - U^T U x`.

    Args:
        directions: U, orthonormal rows, shape (num_directions, dim).
    """
    dim = directions.shape[1]
    return AffineMap(np.eye(dim) - directions.T @ directions, np.zeros(dim))


def fit_shift(directions: np.ndarray, english: np.ndarray) -> AffineMap:
    """Give every vector the English part in some directions: `x - U^T U x + U^T U m`. No language has to be known.

    Args:
        directions: U, see `fit_projection`.
        english: m, the mean of the English vectors, shape (dim,).
    """
    return AffineMap(fit_projection(directions).matrix, directions.T @ (directions @ english))


def fit_ridge(
    sources: np.ndarray, targets: np.ndarray, strength: float, weights: Sequence[float] | np.ndarray | None = None
) -> AffineMap:
    """The map of sources near their targets that is held near the identity.

    It minimizes `sum w |A x + b - y|^2 + s |A - I|^2` over A and b, where s is `strength` times the mean variance of a
    coordinate of the sources. So a strength means the same for few rows and many, and at every length of the vectors.

    Args:
        sources: x, shape (num_pairs, dim).
        targets: y, shape (num_pairs, dim).
        strength: Above 0.
        weights: w of each pair; scaled to the sum 1. None: all equal.
    """
    sources, targets = np.asarray(sources, np.float64), np.asarray(targets, np.float64)
    shares = np.full(len(sources), 1.0) if weights is None else np.asarray(weights, np.float64)
    shares = (shares / shares.sum())[:, None]
    mean, mean_step = (shares * sources).sum(axis=0), (shares * (targets - sources)).sum(axis=0)
    centred, steps = sources - mean, targets - sources - mean_step
    dim = sources.shape[1]
    covariance = (shares * centred).T @ centred
    held = covariance + strength * np.trace(covariance) / dim * np.eye(dim)
    change = np.linalg.solve(held, centred.T @ (shares * steps)).T
    return AffineMap(np.eye(dim) + change, mean_step - change @ mean)


def fit_procrustes(sources: np.ndarray, targets: np.ndarray) -> AffineMap:
    """The rotation, with an offset, of sources nearest to their targets (orthogonal Procrustes after centring).

    Args:
        sources: Shape (num_pairs, dim).
        targets: Shape (num_pairs, dim).
    """
    sources, targets = np.asarray(sources, np.float64), np.asarray(targets, np.float64)
    source_mean, target_mean = sources.mean(axis=0), targets.mean(axis=0)
    left, _, right = np.linalg.svd((targets - target_mean).T @ (sources - source_mean))
    rotation = left @ right
    return AffineMap(rotation, target_mean - rotation @ source_mean)
