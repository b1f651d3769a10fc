"""A few kills at random moments of `clear-ir translate`. `make soak` has more."""

from translation_soak import WAYS, Tally, soak


def test_after_a_kill_nothing_is_asked_for_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tally = soak(3, Tally(seed=1), tmp_path, num_texts=24)
    assert tally.kills == dict.fromkeys(WAYS, 3)
    assert tally.repeated == dict.fromkeys(WAYS, 0)
    for way, texts in tally.texts.items():
        # A batch of four may have been on its way to the translator when the kill came, and another one to the disk.
        assert texts <= tally.asked[way] <= texts + 12 * tally.kills[way]
