import json

import numpy as np
import pytest
from commands import refused
from test_corpus import text
from test_hard_negatives import make_rows
from tiny import make_encoder, quiet

from clear_ir.data.output_files import write_jsonl
from clear_ir.data.rows import write_parallel_rows
from clear_ir.encode.search import top_k
from clear_ir.mine import candidate_search
from clear_ir.mine.candidate_search import open_search
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.mine.settings import MiningSettings
from clear_ir.mine.vectors import Vectors

pytest.importorskip("faiss", reason="the extra faiss is not installed")

WINDOW = {"num_negatives": 5, "range_min": 10, "range_max": 30}


@pytest.fixture(autouse=True)
def small_pools(monkeypatch):
    monkeypatch.setattr(candidate_search, "MIN_INDEXED", 100)


def unit(count, seed, dim=64):
    vectors = np.random.default_rng(seed).standard_normal((count, dim), dtype=np.float32)
    return Vectors(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


@pytest.mark.parametrize(("index", "dim", "wanted"), [("ivf", 8, 0.8), ("hnsw", 64, 0.95)])
def test_the_recall_is_that_of_the_window_and_no_more_is_searched_than_it_takes(index, dim, wanted):
    anchors = unit(60, 0, dim)
    candidates = unit(3000, 1, dim).select(np.random.default_rng(2).permutation(3000)[:2500])
    settings = MiningSettings(index=index, index_recall=wanted, **WINDOW)
    search, recall = open_search(anchors, candidates, settings, "passages")
    [(_, exact)] = top_k(anchors.matrix, candidates.matrix, 30, 60, candidates.rows)

    def shared(begin):
        found = search(anchors.matrix, 30)[1]
        return np.mean([len(set(a[begin:]) & set(b[begin:])) for a, b in zip(exact, found, strict=True)]) / (30 - begin)

    assert recall.window == pytest.approx(shared(10))
    assert recall.best == pytest.approx(shared(0))
    assert wanted <= recall.window < recall.best < 1
    assert (recall.rows, recall.candidates, recall.index) == (60, 2500, index)
    assert recall.effort > 1
    search.__self__.effort = recall.effort // 2
    assert shared(10) < wanted


def test_low_recall_is_said(monkeypatch):
    monkeypatch.setattr(candidate_search.ApproximateIndex, "top_k", lambda self, queries, k: (None, ranks_reversed(k)))

    def ranks_reversed(k):
        return np.tile(np.arange(k), (60, 1))

    anchors, candidates = unit(60, 0), unit(500, 1)
    _, recall = open_search(anchors, candidates, MiningSettings(index="hnsw", **WINDOW), "passages")
    assert recall.window < 0.2
    assert "less than the 95 % of index_recall, so the negatives are others" in recall.sentence()
    assert f"{100 * recall.window:.1f} % of the exact window is in its window" in recall.sentence()


@pytest.mark.parametrize("index", ["flat", "hnsw"])
def test_mining_gives_what_exact_mining_does(index):
    rows, corpus = make_rows(), [text(100 + i) for i in range(200)]
    encoder = quiet(make_encoder(double=False))
    mined = {
        kind: mine_hard_negatives(encoder, rows, MiningSettings(index=kind, index_recall=1.0, **WINDOW), iter(corpus))
        for kind in ("exact", index)
    }
    same = [one == other for one, other in zip(mined[index].records, mined["exact"].records, strict=True)]
    assert np.mean(same) >= (1 if index == "flat" else 0.8)
    assert not mined["exact"].recalls
    # The queries, 20, are too few for an index.
    assert [recall.pool for recall in mined[index].recalls] == (["passages"] if index == "hnsw" else [])


def test_small_pools_need_no_index(monkeypatch):
    monkeypatch.setattr(candidate_search, "MIN_INDEXED", 20_000)
    settings = MiningSettings(index="ivf", num_negatives=2, range_min=1, range_max=6)
    mined = mine_hard_negatives(quiet(make_encoder(double=False)), make_rows(), settings)
    assert mined.notes == ["All pools have fewer than 20,000 candidates, so they were searched exactly."]


def test_the_command_prints_and_keeps_the_recall(run, tmp_path, tiny_folder):
    write_parallel_rows(tmp_path / "rows.jsonl", make_rows())
    write_jsonl(tmp_path / "corpus.jsonl", [{"_id": f"c{i}", "text": text(i).text} for i in range(200)])
    command = ["mine", "--model", tiny_folder, "--rows", tmp_path / "rows.jsonl", "--corpus", tmp_path / "corpus.jsonl"]
    window = ["--num-negatives", 2, "--range-min", 1, "--range-max", 18]
    out = tmp_path / "train.jsonl"
    code, printed, _ = run(*command, *window, "--out", out, "--index", "hnsw")
    assert code == 0
    assert "Index hnsw of 210 passages: " in printed
    kept = json.loads((tmp_path / "train.mining.json").read_text())
    assert (kept["made_by"], kept["settings"]["index"], kept["model"]) == ("clear-ir mine", "hnsw", str(tiny_folder))
    [recall] = kept["indexes"]
    assert f"{100 * recall['window']:.1f} % of the exact window" in printed
    assert kept["corpus"]["passages"] == 200
    # Mined again exactly, nothing is left of the index.
    assert run(*command, *window, "--out", out, "--overwrite")[0] == 0
    assert not json.loads((tmp_path / "train.mining.json").read_text())["indexes"]
    # A file of somebody else is not replaced.
    (tmp_path / "own.mining.json").write_text("{}")
    refused(run(*command, *window, "--out", tmp_path / "own.jsonl"), "own.mining.json exists, and this command did not")
