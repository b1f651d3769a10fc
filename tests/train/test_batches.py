"""Batches of several languages: shares, duplicates, and rows that are left out."""

from collections import Counter

import pytest
from datasets import Dataset

from clear_ir.train.batches import LanguageBatchSampler, rows_by_lang

LANGS = ["hau"] * 60 + ["ibo"] * 15 + ["zul"] * 5


def rows(positives=None):
    count = len(LANGS)
    return Dataset.from_dict(
        {"anchor": [f"a{i}" for i in range(count)], "positive": positives or [f"p{i}" for i in range(count)]}
    )


def sampler(dataset=None, **options):
    return LanguageBatchSampler(dataset or rows(), 8, langs=LANGS, **options)


def test_shares_by_hand():
    assert rows_by_lang(LANGS, "proportional", 0.5) == {"hau": 60, "ibo": 15, "zul": 5}
    assert rows_by_lang(LANGS, "uniform", 0.5) == {"hau": 27, "ibo": 27, "zul": 27}
    # Square roots 7.75, 3.87 and 2.24, together 13.86, of 80 rows.
    assert rows_by_lang(LANGS, "temperature", 0.5) == {"hau": 45, "ibo": 22, "zul": 13}
    assert rows_by_lang(LANGS, "temperature", 1.0) == rows_by_lang(LANGS, "proportional", 0.5)
    assert rows_by_lang(["a"] * 1000 + ["b"], "proportional", 0.5) == {"a": 1000, "b": 1}


@pytest.mark.parametrize("batch_languages", ["mixed", "single"])
@pytest.mark.parametrize("sampling", ["proportional", "uniform", "temperature"])
def test_an_epoch_holds_each_languages_share(sampling, batch_languages):
    made = LanguageBatchSampler(
        rows(), 5, langs=LANGS, sampling=sampling, batch_languages=batch_languages, temperature=0.5
    )
    batches = list(made)
    assert len(batches) == len(made)
    assert {len(batch) for batch in batches} == {5}
    assert made.num_left_out == 0
    drawn = Counter(LANGS[row] for batch in batches for row in batch)
    for lang, share in made.rows_by_lang.items():
        assert share <= drawn[lang] < share + 5, "the share, and less than a batch of topping up"
    times = Counter(row for batch in batches for row in batch)
    if sampling == "proportional":
        assert set(times) == set(range(80)), "every row has its place"
    if batch_languages == "single":
        assert all(len({LANGS[row] for row in batch}) == 1 for batch in batches)
    else:
        assert any(len({LANGS[row] for row in batch}) > 1 for batch in batches)


def test_every_row_of_a_language_comes_before_any_comes_twice():
    made = sampler(sampling="uniform")
    times = Counter(row for batch in made for row in batch)
    zul = [times[row] for row in range(75, 80)]
    assert min(zul) >= 5
    assert sum(times[row] > 0 for row in range(60)) >= 27


def test_no_text_is_twice_in_a_batch():
    # Ten rows on each of eight passages: in every batch of eight each passage once.
    dataset = rows([f"p{i % 8}" for i in range(80)])
    made = sampler(dataset)
    for epoch in range(3):
        made.set_epoch(epoch)
        for batch in made:
            assert len({dataset[row]["positive"] for row in batch}) == len(batch)


def test_rows_left_out_are_counted_and_come_in_another_epoch():
    # Thirty rows share one passage, but an epoch has ten batches.
    dataset = rows(["shared"] * 30 + [f"p{i}" for i in range(50)])
    made = sampler(dataset)
    seen = set()
    for epoch in range(40):
        made.set_epoch(epoch)
        batches = list(made)
        assert len(batches) == len(made) == 10
        assert made.num_left_out == 20
        seen |= {row for batch in batches for row in batch}
    assert seen == set(range(80))


def test_seed_and_epoch_decide():
    assert list(sampler(seed=1)) == list(sampler(seed=1))
    assert list(sampler(seed=1)) != list(sampler(seed=2))
    made = sampler()
    first = list(made)
    made.set_epoch(1)
    assert list(made) != first
    made.set_epoch(0)
    assert list(made) == first
