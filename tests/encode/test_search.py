import numpy as np
import pytest

from clear_ir.encode import search
from clear_ir.encode.search import rank_passages, search_top_k


@pytest.mark.parametrize("block", [1, 4, 8192])
@pytest.mark.parametrize("k", [1, 3, 50])
def test_equals_a_full_sort_with_ties_by_higher_id(k, block, monkeypatch):
    monkeypatch.setattr(search, "PASSAGE_BLOCK", block)
    rng = np.random.default_rng(0)
    queries = rng.integers(-1, 2, (7, 4)).astype(np.float32)  # small integers force ties
    passages = rng.integers(-1, 2, (30, 4)).astype(np.float32)
    ids = [f"p{i}" for i in rng.permutation(30)]
    run = search_top_k(queries, passages, [f"q{i}" for i in range(7)], ids, k=k, block_size=3)
    for i in range(7):
        scores = dict(zip(ids, (passages @ queries[i]).tolist(), strict=True))
        # Sorted twice, since Python's sort is stable: by id, highest first, then by score.
        expected = sorted(sorted(ids, reverse=True), key=lambda p: -scores[p])[:k]
        assert list(run[f"q{i}"]) == expected
        assert run[f"q{i}"] == {p: scores[p] for p in expected}


def test_ranks_are_the_places_in_a_full_search(monkeypatch):
    monkeypatch.setattr(search, "SCORES_AT_ONCE", 160)  # four queries at once
    rng = np.random.default_rng(1)
    queries = rng.integers(-1, 2, (9, 4)).astype(np.float32)
    passages = rng.integers(-1, 2, (40, 4)).astype(np.float32)
    ids = [f"p{i}" for i in rng.permutation(40)]
    names = [f"q{i}" for i in range(9)]
    wanted = {name: [str(p) for p in rng.choice(ids, 5, replace=False)] for name in names}
    ranks = rank_passages(queries, passages, names, ids, wanted)
    run = search_top_k(queries, passages, names, ids, k=40)
    for name in names:
        order = list(run[name])
        assert ranks[name] == {p: order.index(p) + 1 for p in wanted[name]}
