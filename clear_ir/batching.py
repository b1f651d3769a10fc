"""Batches in which no anchor and no positive stands twice."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from sentence_transformers.base.sampler import NoDuplicatesBatchSampler


class DistinctRowsBatchSampler(NoDuplicatesBatchSampler):
    """sentence-transformers' no-duplicates sampler, comparing anchors and positives only.

    The original compares every column, so rows that share a hard negative never meet and many are put off.
    Shared negatives are harmless: the loss masks those that are a row's own positive.
    """

    def __init__(self, dataset: Dataset, *args: Any, **kwargs: Any) -> None:
        compared = [name for name in ("anchor", "positive") if name in dataset.column_names]
        super().__init__(dataset.select_columns(compared), *args, **kwargs)
