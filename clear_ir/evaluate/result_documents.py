"""The shapes of the files in a results folder, checked when they are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, ValidationError, model_validator

from clear_ir.data.files import InputError, not_utf8, parse_json

_STRICT = ConfigDict(strict=True, protected_namespaces=())


class DirectionEntry(BaseModel):
    """One direction in `results.json`."""

    model_config = _STRICT
    direction: str
    num_passages: int


class ResultsDocument(BaseModel):
    """`results.json`."""

    model_config = _STRICT
    task_name: str
    dataset_revision: str
    model_name: str
    model_revision: str
    evaluation_time: FiniteFloat
    scores: dict[str, list[DirectionEntry]] = Field(min_length=1, max_length=1)
    #: By side and language.
    space: dict[str, dict[str, dict[str, FiniteFloat]]]
    origin: dict[str, Any] = {}
    # What is needed to repeat the evaluation; older results lack the date.
    date: str | None = None
    max_seq_length: int | FiniteFloat | None = None
    similarity: str | None = None
    precision: str | None = None
    device: str | None = None
    versions: dict[str, str] = {}


class QueryScores(BaseModel):
    """One line of `per_query.jsonl`; the other fields are measures."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, FiniteFloat]
    direction: str
    query_id: str
    question: str


class DevVerdict(BaseModel):
    """What the dev questions say of a training; empty without any."""

    model_config = _STRICT
    kept_step: int | None = None
    base: dict[str, FiniteFloat] = {}
    share: FiniteFloat | None = None
    kept: dict[str, FiniteFloat] = {}

    @model_validator(mode="after")
    def _is_whole(self) -> DevVerdict:
        if self.base and ("mean" not in self.base or self.kept_step is None):
            raise ValueError("the step that was kept or the mean of the base is missing")
        if self.share is not None and "mean" not in self.kept:
            raise ValueError("the mean of what was kept is missing")
        return self


class LogEntry(BaseModel):
    """One line of `train_log.jsonl`; the first has `rows_by_language` and `dev`."""

    model_config = _STRICT
    step: int = Field(ge=0, lt=10**12)
    rows_by_language: dict[str, int] = {}
    dev: DevVerdict = DevVerdict()


class NumbersEntry(LogEntry):
    """One of numbers alone: the loss of a step, or scores on dev questions. A run that went wrong logs NaN."""

    model_config = ConfigDict(strict=True, extra="allow")
    __pydantic_extra__: dict[str, float]


class MapPoint(BaseModel):
    """One text in `map.json`."""

    model_config = _STRICT
    text: str
    lang: str
    x: FiniteFloat
    y: FiniteFloat


class MapDocument(BaseModel):
    """`map.json`; empty where no texts are parallel."""

    model_config = _STRICT
    points: list[MapPoint] = []
    explained: list[FiniteFloat] = Field([0.0, 0.0], max_length=2)


Document = TypeVar("Document", bound=BaseModel)


def read_document(path: Path, model: type[Document]) -> Document:
    """Read a file with one JSON document.

    Raises:
        InputError: If it is missing or damaged.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise not_utf8(str(path), error) from None
    return check_document(str(path), parse_json(text, str(path)), model)


def check_document(where: str, value: Any, model: type[Document]) -> Document:
    """Check a parsed document.

    Args:
        where: The file, with the line if it is one, to begin the error's sentence.
        value: The parsed JSON.
        model: The shape that it should have.

    Returns:
        The document.

    Raises:
        InputError: If it has another shape.
    """
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "the document"
        raise InputError(f"{where} is damaged ({name}: {first['msg']}); evaluate again.") from None
