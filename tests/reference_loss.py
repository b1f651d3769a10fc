"""A second implementation of the CLEAR loss: plain NumPy loops in float64 that share no code with the package."""

from __future__ import annotations

import numpy as np


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def softmax_over(scores: list[float], left_out: set[int]) -> dict[int, float]:
    exponentials = {j: np.exp(score) for j, score in enumerate(scores) if j not in left_out}
    total = sum(exponentials.values())
    return {j: value / total for j, value in exponentials.items()}


def kl(p: dict[int, float], q: dict[int, float]) -> float:
    return sum(p[j] * (np.log(p[j]) - np.log(q[j])) for j in p)


def clear_loss(
    columns: list[np.ndarray],
    n: int,
    alpha: float = 0.4,
    beta: float = 0.2,
    gamma: float = 0.0,
    scale: float = 20.0,
    left_out_forward: dict[int, set[int]] | None = None,
    left_out_reverse: dict[int, set[int]] | None = None,
    kind: str = "kl",
    teacher: list[np.ndarray] | None = None,
    guard: float = 0.0,
    base: list[np.ndarray] | None = None,
    distil: float = 0.0,
    cross_guard: float = 0.0,
    own_base: np.ndarray | None = None,
) -> float:
    """columns: anchor, positive, negative_1..n, cross_anchor, neg_query_1..m, each (rows, dim).

    teacher: the columns that kind kl-detached takes the forward side from; base: anchor and positive of the guard,
    and the anchor of distil; own_base: the cross_anchor of cross_guard.
    """
    anchor, positive = columns[0], columns[1]
    cross_anchor = columns[2 + n]
    passages = [vector for column in [positive, *columns[2 : 2 + n]] for vector in column]
    queries = [vector for column in [cross_anchor, *columns[3 + n :]] for vector in column]
    total = 0.0
    for i in range(len(anchor)):
        out_f = (left_out_forward or {}).get(i, set())
        out_r = (left_out_reverse or {}).get(i, set())
        f = [scale * cosine(anchor[i], passage) for passage in passages]
        r = [scale * cosine(positive[i], query) for query in queries]
        x = [scale * cosine(cross_anchor[i], passage) for passage in passages]
        row = (1 - alpha - beta - gamma) * -np.log(softmax_over(f, out_f)[i])
        row += alpha * -np.log(softmax_over(r, out_r)[i])
        if beta:
            if teacher is not None:
                fixed = [vector for column in teacher[1 : 2 + n] for vector in column]
                f = [scale * cosine(teacher[0][i], passage) for passage in fixed]
            p, q = softmax_over(r, out_f | out_r), softmax_over(f, out_f | out_r)
            if kind == "js":
                middle = {j: (p[j] + q[j]) / 2 for j in p}
                row += beta * (kl(p, middle) + kl(q, middle)) / 2
            else:
                row += beta * (kl(q, p) if kind == "kl-reversed" else kl(p, q))
        if guard:
            row += guard * (1 - (cosine(anchor[i], base[0][i]) + cosine(positive[i], base[1][i])) / 2)
        if distil:
            row += distil * (1 - cosine(cross_anchor[i], base[0][i]))
        if cross_guard:
            row += cross_guard * (1 - cosine(cross_anchor[i], own_base[i]))
        if gamma:
            row += gamma * -np.log(softmax_over(x, out_f)[i])
        total += row
    return total / len(anchor)


def numerical_gradient(function, columns: list[np.ndarray], step: float = 1e-6) -> list[np.ndarray]:
    gradients = []
    for column in columns:
        gradient = np.zeros_like(column)
        for index in np.ndindex(column.shape):
            original = column[index]
            column[index] = original + step
            above = function(columns)
            column[index] = original - step
            below = function(columns)
            column[index] = original
            gradient[index] = (above - below) / (2 * step)
        gradients.append(gradient)
    return gradients
