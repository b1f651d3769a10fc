"""The settings of `clear-ir mine`."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, model_validator

from clear_ir.data.settings import Settings


class MiningSettings(Settings):
    """How hard negatives are chosen."""

    groups: ClassVar[dict[str, str]] = {
        "num_negatives": "Negatives",
        "range_min": "Window and margins",
        "query_side": "Ranking",
        "index": "Search",
        "rescore": "Cross-encoder",
    }

    num_negatives: int = Field(5, ge=1)
    """Number of negative passages per row, and number of negative queries per row. It is lowered, with a notice, if
    most rows have fewer candidates."""
    range_min: int = Field(30, ge=0)
    """Skip this many of the best candidates: they are likely false negatives."""
    range_max: int = Field(100, ge=1)
    """Choose among the best candidates up to this rank; lower ranks are easy negatives. A window that ends
    beyond the last candidate is scaled, with a notice. A row with too few candidates left takes the nearest ranks
    outside."""
    absolute_margin: float | None = None
    """A negative must score at least this much lower than the positive. None: no such limit."""
    relative_margin: float | None = Field(None, ge=0, le=1)
    """A negative must score lower than the positive by at least this share of the positive's score: with 0.05, at most
    95 percent of it. None: no such limit."""
    query_side: Literal["english", "target"] = "english"
    """How candidate queries are ranked. english: by their English text. target: by their target-language text."""
    sampling: Literal["random", "top"] = "random"
    """How negatives are chosen from the window. random: drawn at random. top: those with the best ranks."""
    seed: int = 0
    """Seed of the random draw."""
    index: Literal["exact", "flat", "ivf", "hnsw"] = "exact"
    """How candidates are searched. exact: all are scored. flat: the same by FAISS, on a GPU if it finds one. ivf, hnsw:
    by an approximate index of FAISS, for very many rows. It misses candidates, so that others move into the window; its
    recall is measured and printed. A pool of fewer than 20,000 candidates is searched exactly. All but exact need
    `pip install 'clear-ir[faiss]'`."""
    index_recall: float = Field(0.95, gt=0, le=1)
    """How much of the exact window an approximate index must have in its own, as a mean over rows. It searches as much
    as that takes."""
    rescore: str | None = None
    """A cross-encoder, as model folder or hub name, that scores the passage of each row and its candidates. It removes
    likely false negatives among the passages. None: the encoder's scores decide alone."""
    rescore_margin: float = Field(0.05, ge=0, le=1)
    """A negative passage must score lower than the positive by at least this share, in probabilities by the
    cross-encoder: with 0.05, at most 95 percent of the positive's, as in NV-Retriever (arXiv 2407.15831)."""
    write_scores: bool = Field(False, json_schema_extra={"flag": "--write-scores"})
    """Write the cross-encoder's logits as columns score_positive, score_negative_1 and so on, for a training that
    learns from them."""

    @model_validator(mode="after")
    def _fits_together(self) -> MiningSettings:
        if self.range_max - self.range_min < self.num_negatives:
            raise ValueError(
                f"the window from range_min {self.range_min} to range_max {self.range_max} is smaller than "
                f"num_negatives {self.num_negatives}"
            )
        if self.write_scores and not self.rescore:
            raise ValueError("write_scores needs scores to write; name a cross-encoder by rescore")
        return self
