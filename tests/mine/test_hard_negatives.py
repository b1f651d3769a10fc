from dataclasses import replace

import numpy as np
import pytest
from datasets import Dataset
from pydantic import ValidationError
from sentence_transformers.util import mine_hard_negatives as st_mine
from tiny import WORDS, make_encoder, quiet
from tqdm import tqdm

from clear_ir.data.files import InputError
from clear_ir.data.rows import ParallelRow
from clear_ir.data.texts import text_key
from clear_ir.encode import search
from clear_ir.mine import candidate_search, choosing
from clear_ir.mine.hard_negatives import mine_hard_negatives
from clear_ir.mine.settings import MiningSettings
from clear_ir.mine.vectors import Vectors


def make_rows(count=20, langs=("sw",)):
    rng = np.random.default_rng(0)
    rows = []
    for lang in langs:
        for i in range(count):
            # Two questions each on the same passage.
            passage = " ".join(rng.permutation(WORDS)[:8]) if i % 2 == 0 else rows[-1].passage
            query, cross = (f"{' '.join(rng.permutation(WORDS)[:4])} {word}" for word in ("what", lang))
            rows.append(ParallelRow(f"{lang}{i}", query, passage, f"p{lang}{i // 2}", cross, lang))
    return rows


def mine(rows, **settings):
    encoder = make_encoder(double=False)
    defaults = {"num_negatives": 2, "range_min": 1, "range_max": 6}
    return mine_hard_negatives(quiet(encoder), rows, MiningSettings(**defaults | settings)), encoder


def test_negatives_come_from_the_window_of_an_exhaustive_ranking():
    rows = make_rows()
    mined, encoder = mine(rows)
    passages = list(dict.fromkeys(row.passage for row in rows))
    unit = lambda texts: encoder.encode(list(texts), normalize_embeddings=True)  # noqa: E731
    passage_scores = unit([row.query for row in rows]) @ unit(passages).T
    query_scores = unit([row.passage for row in rows]) @ unit([row.query for row in rows]).T
    for i, (row, record) in enumerate(zip(rows, mined.records, strict=True)):
        ranked = [passages[j] for j in np.argsort(-passage_scores[i]) if passages[j] != row.passage]
        assert {record["negative_1"], record["negative_2"]} <= set(ranked[1:6])
        others = [rows[j] for j in np.argsort(-query_scores[i]) if rows[j].passage_id != row.passage_id]
        assert {record["neg_query_1"], record["neg_query_2"]} <= {other.cross_query for other in others[1:6]}
        assert record["negative_1"] != record["negative_2"]
        assert (record["anchor"], record["positive"], record["cross_anchor"]) == (
            row.query,
            row.passage,
            row.cross_query,
        )


def test_the_same_negatives_are_eligible_as_in_sentence_transformers():
    rows = make_rows(40)[::2]  # one question a passage: other questions on it are known to us alone
    mined, encoder = mine(rows, num_negatives=5, range_min=2, range_max=7, sampling="top")
    sides = {
        "negative": ([row.query for row in rows], [row.passage for row in rows]),
        "neg_query": ([row.passage for row in rows], [row.query for row in rows]),
    }
    cross_of = {row.query: row.cross_query for row in rows}
    for name, (anchors, positives) in sides.items():
        theirs = st_mine(
            Dataset.from_dict({"anchor": anchors, "positive": positives}),
            encoder,
            range_min=2,
            range_max=7,
            num_negatives=5,
            sampling_strategy="top",
            output_format="n-tuple",
            verbose=False,
        )
        assert len(theirs) == len(mined.records) == 20
        for found, record in zip(theirs, mined.records, strict=True):
            expected = {found[f"negative_{i}"] for i in range(1, 6)}
            ours = {record[f"{name}_{i}"] for i in range(1, 6)}
            assert ours == ({cross_of[query] for query in expected} if name == "neg_query" else expected)


def test_never_the_own_passage_the_same_text_or_a_question_on_the_passage():
    rows = make_rows()
    # Another row answers row 0's query too, and a question on another passage has row 2's text.
    rows.append(ParallelRow("extra", rows[0].query, "drum tree bird", "pextra", "swali jipya", "sw"))
    rows.append(ParallelRow("twin", "what is new", "metal light", "ptwin", rows[2].cross_query, "sw"))
    mined, _ = mine(rows, num_negatives=8, range_min=0, range_max=100)
    for row, record in zip(rows, mined.records, strict=True):
        negatives = {record[f"negative_{i}"] for i in range(1, 9)}
        queries = {record[f"neg_query_{i}"] for i in range(1, 9)}
        assert len(negatives) == len(queries) == 8
        assert not negatives & {other.passage for other in rows if other.query == row.query}
        assert not queries & {other.cross_query for other in rows if other.passage == row.passage}


def test_the_own_passage_in_another_spelling_is_no_negative():
    rows = make_rows(12)
    rows = [replace(row, passage=f"\u00e9 {row.passage}") for row in rows]
    rows[1] = replace(
        rows[1], passage_id="other", passage=rows[0].passage.replace("\u00e9", "e\u0301").replace(" ", "  ")
    )
    mined, _ = mine(rows, num_negatives=3, range_min=0, range_max=100)
    for record in mined.records:
        texts = [record["positive"], *(record[f"negative_{i}"] for i in (1, 2, 3))]
        assert len({text_key(text) for text in texts}) == 4
    own = text_key(rows[0].cross_query), text_key(rows[1].cross_query)
    for record in mined.records[:2]:  # questions on one passage, however it is written
        assert not {text_key(record[f"neg_query_{i}"]) for i in (1, 2, 3)} & set(own)


def test_another_text_of_the_same_passage_id_is_no_negative():
    rows = make_rows(12)
    rows[0] = replace(rows[0], passage=f"short {rows[0].passage}")  # rows 0 and 1 have one passage id
    mined, _ = mine(rows, num_negatives=5, range_min=0, range_max=100)
    for record, other in zip(mined.records[:2], (rows[1], rows[0]), strict=True):
        assert other.passage not in {record[f"negative_{i}"] for i in range(1, 6)}


@pytest.mark.parametrize("same", ["query", "cross_query"])
def test_a_question_that_is_asked_of_two_passages_has_both_as_positives(same):
    rows = make_rows(12)[::2]  # six passages, a question each
    rows[4] = replace(rows[4], **{same: getattr(rows[0], same)})
    mined, _ = mine(rows, num_negatives=4, range_min=0, range_max=100)
    others = [rows[i] for i in (1, 2, 3, 5)]
    for record in (mined.records[0], mined.records[4]):
        assert {record[f"negative_{i}"] for i in range(1, 5)} == {other.passage for other in others}
        assert {record[f"neg_query_{i}"] for i in range(1, 5)} == {other.cross_query for other in others}


def test_queries_are_of_the_rows_language():
    rows = make_rows(langs=("sw", "de"))
    mined, _ = mine(rows)
    of_lang = {lang: {row.cross_query for row in rows if row.lang == lang} for lang in ("sw", "de")}
    assert all(record["neg_query_1"] in of_lang[record["lang"]] for record in mined.records)


def test_target_side_ranks_the_target_language_text():
    rows = make_rows()
    english, encoder = mine(rows, sampling="top", num_negatives=1, range_min=0)
    target, _ = mine(rows, sampling="top", num_negatives=1, range_min=0, query_side="target")
    assert [r["neg_query_1"] for r in english.records] != [r["neg_query_1"] for r in target.records]
    vectors = encoder.encode([row.cross_query for row in rows], normalize_embeddings=True)
    scores = vectors @ encoder.encode([rows[0].passage], normalize_embeddings=True)[0]
    best = next(rows[j] for j in np.argsort(-scores) if rows[j].passage != rows[0].passage)
    assert target.records[0]["neg_query_1"] == best.cross_query


def test_margins_hold_and_are_counted():
    rows = make_rows()
    mined, encoder = mine(rows, absolute_margin=0.02, relative_margin=0.01, range_min=0, range_max=19)
    vector = lambda text: encoder.encode(text, normalize_embeddings=True)  # noqa: E731
    assert mined.passages.filtered.sum() > 0
    for record in mined.records:
        positive = vector(record["anchor"]) @ vector(record["positive"])
        for i in (1, 2):
            negative = vector(record["anchor"]) @ vector(record[f"negative_{i}"])
            assert negative <= min(positive - 0.02, positive * 0.99) + 1e-5


def test_rows_without_enough_in_the_window_rank_no_more_than_they_need(monkeypatch):
    rng = np.random.default_rng(0)
    vectors = Vectors(rng.standard_normal((30, 8)).astype(np.float32))
    pool = Vectors(rng.standard_normal((4000, 8)).astype(np.float32)).select(rng.permutation(4000)[:3000])
    excluded = [[int(column)] for column in rng.integers(0, 3000, 30)]
    settings = MiningSettings(num_negatives=3, range_min=4, range_max=9, absolute_margin=0.0)
    # From none to all of the candidates score too high.
    ranks = np.geomspace(1, 3000, 30).astype(int)
    positives = np.sort(vectors.matrix @ pool[:].T, axis=1)[np.arange(30), -ranks]

    def mined():
        side = choosing.SideNegatives.empty(positives, 3)
        choosing.Chooser(settings, 0, tqdm(disable=True), []).fill(side, np.arange(30), vectors, pool, excluded, "")
        return side

    depths = []
    rank = choosing._rank
    monkeypatch.setattr(choosing, "_rank", lambda *given: depths.append((len(given[0]), given[2])) or rank(*given))
    side = mined()
    assert [depth for _, depth in depths] == [80, 3000]
    assert 0 < depths[1][0] < depths[0][0] < 30
    monkeypatch.setattr(choosing, "DEEPER", 3000)
    at_once = mined()
    assert depths[2:] == [(depths[0][0], 3000)]
    for name, values in vars(side).items():
        if name != "scores":
            np.testing.assert_array_equal(values, vars(at_once)[name])
    np.testing.assert_allclose(side.scores, at_once.scores, atol=1e-5)
    assert side.widened.any()
    assert not side.complete.all()


@pytest.mark.parametrize("margin", [None, 0.03])
def test_ranking_in_blocks_and_no_deeper_than_needed_changes_nothing(monkeypatch, margin):
    rows = make_rows(40, langs=("sw", "de"))
    settings = {"absolute_margin": margin, "range_min": 2, "range_max": 5}
    mined, _ = mine(rows, **settings)
    assert mined.passages.widened.any() == (margin is not None), "the margin shall make some rows go deeper"
    monkeypatch.setattr(choosing, "ANCHORS_AT_ONCE", 7)
    monkeypatch.setattr(search, "PASSAGE_BLOCK", 11)
    blocks, _ = mine(rows, **settings)
    monkeypatch.setattr(
        candidate_search,
        "top_k",
        lambda anchors, candidates, k, size, order: search.top_k(anchors, candidates, 999, order=order),
    )
    whole, _ = mine(rows, **settings)
    assert mined.records == blocks.records == whole.records
    assert mined.left_out == blocks.left_out == whole.left_out
    assert mined.passages.widened.tolist() == whole.passages.widened.tolist()
    assert mined.queries.filtered.tolist() == whole.queries.filtered.tolist()


def test_the_seed_decides():
    rows = make_rows()
    assert mine(rows)[0].records == mine(rows)[0].records
    assert mine(rows)[0].records != mine(rows, seed=1)[0].records


def test_a_window_beyond_the_pool_is_scaled_and_says_so():
    rows = make_rows()  # 10 passages, 20 queries
    mined, _ = mine(rows, range_min=50, range_max=100)
    assert mined.notes == [
        "A row has at most 9 other passages as candidates: range_min 50 -> 5, range_max 100 -> 9.",
        "A row has at most 19 other queries in sw as candidates: range_min 50 -> 10, range_max 100 -> 19.",
    ]
    assert not mined.passages.widened.any()
    exact, _ = mine(rows, range_min=5, range_max=9)
    columns = ["negative_1", "negative_2"]
    assert [[r[c] for c in columns] for r in mined.records] == [[r[c] for c in columns] for r in exact.records]
    inside, _ = mine(rows, range_min=5, range_max=9)
    assert inside.notes == []


def test_each_language_has_its_own_window():
    rows = make_rows(40, ("sw",)) + make_rows(12, ("de",))
    mined, _ = mine(rows, range_min=5, range_max=19, sampling="top")
    notice = "A row has at most 11 other queries in de as candidates: range_min 5 -> 3, range_max 19 -> 11."
    assert mined.notes == [notice]
    alone, _ = mine(rows[:40], range_min=5, range_max=19, sampling="top")
    sides = ["neg_query_1", "neg_query_2"]
    assert [[r[c] for c in sides] for r in mined.records[:40]] == [[r[c] for c in sides] for r in alone.records]


def test_more_negatives_than_most_rows_have_candidates_are_fitted():
    rows = make_rows(8)  # each has 3 other passages and 6 other queries
    mined, _ = mine(rows, num_negatives=5, range_min=0, range_max=10)
    assert mined.notes[0] == "Most rows have no more than 3 candidates: num_negatives 5 -> 3."
    assert [sum(name.startswith("negative_") for name in record) for record in mined.records] == [3] * 8
    two, _ = mine(make_rows(4), num_negatives=2, range_min=0)
    assert two.notes[0] == "Most rows have no more than 1 candidate: num_negatives 2 -> 1."
    # Few rows in a language do not cost the others their negatives: they are left out, by name.
    both = make_rows(20) + make_rows(4, ("de",))
    mined, _ = mine(both, num_negatives=4, range_min=0)
    assert mined.left_out == ["de0", "de1", "de2", "de3"]
    assert "negative_4" in mined.records[0]


def test_margins_widen_the_window_of_their_rows():
    for margin in np.linspace(0.0, 0.05, 50):
        mined, _ = mine(make_rows(), absolute_margin=margin, range_min=0, range_max=3)
        if mined.passages.widened.any():
            break
    assert mined.passages.widened.any()
    assert mined.summary()["negative passages"]["rows with widened window"] == mined.passages.widened.sum()


def test_rows_without_enough_candidates_are_left_out_by_name():
    rows = make_rows(20)
    # The tiny encoder's scores lie close together: the margin at which half the rows lack candidates is searched.
    for margin in np.linspace(0.001, 0.05, 50):
        mined, _ = mine(rows, absolute_margin=margin, range_min=0, range_max=20)
        if mined.left_out:
            break
    assert 0 < len(mined.left_out) < len(rows)
    assert [row.id for row in rows if row.id not in mined.left_out] == [record["id"] for record in mined.records]
    assert len(mined.passages.positives) == len(mined.records)
    with pytest.raises(InputError, match="None of the 2 rows"):
        mine(rows[:2])


def test_a_window_smaller_than_the_number_is_refused():
    with pytest.raises(ValidationError, match="smaller than num_negatives"):
        MiningSettings(num_negatives=5, range_min=3, range_max=7)


def test_translated_passages_are_kept_and_never_chosen():
    rows = make_rows()
    translated = [replace(row, cross_passage=f"kifungu {row.passage_id}" if i else "") for i, row in enumerate(rows)]
    mined, _ = mine(translated)
    kept = [record.pop("cross_passage") for record in mined.records]
    assert kept == [row.cross_passage or None for row in translated]
    assert kept[0] is None
    assert mined.records == mine(rows)[0].records
