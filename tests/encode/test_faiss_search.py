import sys

import numpy as np
import pytest

from clear_ir.data.files import InputError
from clear_ir.encode import faiss_search
from clear_ir.encode.faiss_search import ApproximateIndex, flat_top_k
from clear_ir.encode.search import top_k


def exact(queries, passages, k, order=None):
    [found] = top_k(queries, passages, k, len(queries), order)
    return found


def small_integers(count, seed):
    """Vectors whose products are exact in any order of additions, and often equal."""
    return np.random.default_rng(seed).integers(-1, 2, (count, 4)).astype(np.float32)


def unit(count, seed, dim=24):
    vectors = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def faiss():
    return pytest.importorskip("faiss", reason="the extra faiss is not installed")


@pytest.fixture(params=["cpu", "gpu"])
def device(request, faiss, monkeypatch):
    """No machine of the tests has a GPU: what FAISS is told there is answered on the CPU."""
    if request.param == "gpu":
        told = []

        def knn_gpu(resources, *args, **options):
            told.append(resources)
            return faiss.knn(*args, **options)

        monkeypatch.setattr(faiss, "get_num_gpus", lambda: 1, raising=False)
        monkeypatch.setattr(faiss, "StandardGpuResources", lambda: "resources", raising=False)
        monkeypatch.setattr(faiss, "knn_gpu", knn_gpu, raising=False)
        yield
        assert set(told) == {"resources"}
    else:
        yield


@pytest.mark.usefixtures("device")
@pytest.mark.parametrize("block", [7, 30, 2**17])
@pytest.mark.parametrize("k", [1, 5, 40])
@pytest.mark.parametrize("ordered", [False, True])
def test_flat_finds_what_the_exact_search_does_in_its_order(monkeypatch, block, k, ordered):
    monkeypatch.setattr(faiss_search, "PASSAGES_AT_ONCE", block)
    order = np.random.default_rng(2).permutation(60)[:50] if ordered else None
    queries, passages = small_integers(30, 0), small_integers(60, 1)
    scores, rows = exact(queries, passages, k, order)
    # Equal scores are what this is about.
    assert k == 1 or (scores[:, 1:] == scores[:, :-1]).mean() > 0.3
    found_scores, found_rows = flat_top_k(queries, passages, k, order)
    np.testing.assert_array_equal(found_rows, rows)
    np.testing.assert_array_equal(found_scores, scores)


def test_flat_on_vectors_of_an_encoder(faiss):
    queries, passages = unit(40, 0), unit(3000, 1)
    scores, rows = flat_top_k(queries, passages, 100)
    expected_scores, expected_rows = exact(queries, passages, 100)
    np.testing.assert_allclose(scores, expected_scores, atol=1e-6)
    assert (rows == expected_rows).mean() > 0.999  # other rounding may swap scores that are almost equal


@pytest.mark.parametrize("kind", ["ivf", "hnsw"])
@pytest.mark.parametrize("ordered", [False, True])
def test_an_index_that_searches_everything_is_exact(faiss, kind, ordered):
    order = np.random.default_rng(2).permutation(4000)[:3000] if ordered else None
    queries, passages = unit(50, 0), unit(4000, 1)
    index = ApproximateIndex(kind, passages, order)
    _, rows = exact(queries, passages, 30, order)
    recall = []
    for effort in (1, 4000):
        index.effort = effort
        found_scores, found_rows = index.top_k(queries, 30)
        recall.append(np.mean([len(set(a) & set(b)) / 30 for a, b in zip(rows, found_rows, strict=True)]))
        assert (np.diff(found_scores) <= 0).all()
        of_rows = passages[found_rows if order is None else order[found_rows]]
        np.testing.assert_allclose(found_scores, np.einsum("qd,qkd->qk", queries, of_rows), atol=1e-6)
    assert recall[0] < 0.985  # random vectors are hard: the index leaves passages out
    assert recall[1] > 0.999


def test_queries_for_which_an_index_finds_too_few_are_searched_exactly(faiss):
    passages = unit(4000, 1)
    index = ApproximateIndex("ivf", passages)  # lists of 40 passages, of which one is searched
    queries = unit(20, 0)
    _, rows = index.top_k(queries, 500)
    np.testing.assert_array_equal(rows, exact(queries, passages, 500)[1])
    assert index.top_k(queries, 5000)[1].shape == (20, 4000)


def test_ties_in_an_index_go_to_the_earlier_passage(faiss):
    passages = np.repeat(unit(50, 1), 4, axis=0)
    index = ApproximateIndex("hnsw", passages)
    index.effort = 4000
    _, rows = index.top_k(unit(9, 0), 8)
    np.testing.assert_array_equal(rows, exact(unit(9, 0), passages, 8)[1])


def test_without_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(InputError, match=r"FAISS is not installed.*clear-ir\[faiss\]"):
        flat_top_k(unit(1, 0), unit(2, 1), 1)
