import numpy as np

from clear_ir.mine.rank_windows import pick_in_windows, score_limits
from clear_ir.mine.settings import MiningSettings

SETTINGS = MiningSettings(num_negatives=5, range_min=10, range_max=60)


def pick(numbers, settings=SETTINGS, depth=80, excluded=None):
    count = len(numbers)
    scores = np.tile(np.linspace(0.9, 0.1, depth, dtype=np.float32), (count, 1))
    columns = np.tile(np.arange(depth), (count, 1))
    positives = np.full(count, 0.95, np.float32)
    excluded = excluded or [[] for _ in range(count)]
    limits = score_limits(positives, settings)
    return pick_in_windows(scores, columns, excluded, limits, np.asarray(numbers), settings)


def test_every_rank_of_the_window_is_drawn_equally_often():
    drawn = pick(range(4000)).columns
    assert all(len(set(row)) == 5 for row in drawn.tolist())
    counts = np.bincount(drawn.ravel(), minlength=80)
    assert counts[:10].sum() == counts[60:].sum() == 0
    expected = 4000 * 5 / 50
    assert abs(counts[10:60] - expected).max() < 5 * np.sqrt(expected)
    # Neighbouring rows draw apart: two rows of five from fifty share half a rank on average.
    shared = [len(set(a) & set(b)) for a, b in zip(drawn[:-1].tolist(), drawn[1:].tolist(), strict=True)]
    assert 0.45 < np.mean(shared) < 0.55


def test_a_draw_depends_on_row_and_seed_alone():
    alone = [pick([number]).columns[0].tolist() for number in range(20)]
    assert pick(range(20)).columns.tolist() == alone
    other = MiningSettings(num_negatives=5, range_min=10, range_max=60, seed=1)
    assert pick(range(20), other).columns.tolist() != alone


def test_excluded_candidates_take_no_rank():
    top = MiningSettings(num_negatives=5, range_min=0, range_max=5, sampling="top")
    picked = pick([0, 1], top, excluded=[[0, 2, 70], []])
    assert picked.columns.tolist() == [[1, 3, 4, 5, 6], [0, 1, 2, 3, 4]]
    assert (np.diff(picked.scores) < 0).all()


def test_margins_leave_the_row_to_a_wider_window():
    # Scores fall by .0101 a rank, so the first 15 of 20 are above .75.
    strict = MiningSettings(num_negatives=6, range_min=0, range_max=20, absolute_margin=0.2, sampling="top")
    assert not pick([0], strict).complete
    loose = MiningSettings(num_negatives=4, range_min=0, range_max=20, absolute_margin=0.2, sampling="top")
    picked = pick([0], loose)
    assert picked.complete
    assert picked.columns.tolist() == [[15, 16, 17, 18]]
    assert picked.filtered == 15


def test_fewer_candidates_than_negatives():
    assert not pick([0, 1], depth=3).complete.any()
