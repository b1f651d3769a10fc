"""A short soak: kills at random moments, and restarts that end with the files of calm runs. `make soak` has more."""

from soak import COMMANDS, Tally, soak


def test_killed_commands_end_with_the_files_of_calm_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tally = soak(10, Tally(seed=1), tmp_path)
    assert tally.kills.total() == 10
    assert tally.finished.total() == tally.episodes
    assert set(tally.kills) <= set(COMMANDS)
