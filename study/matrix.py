"""A plan of the study, its matrix: objectives, data sets and stages, read from a file in `plans/` and validated."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from clear_ir.align.settings import Method
from clear_ir.data.files import InputError
from clear_ir.mine.settings import MiningSettings

StageName = Literal["dev", "test"]
#: The plans' files, one for each encoder.
PLANS = {path.stem: path for path in sorted((Path(__file__).resolve().parent / "plans").glob("*.yaml"))}


class Objective(BaseModel):
    """What one objective changes. Every further key is a training setting, such as `loss` or `alpha`.

    Args:
        like: Name of the objective whose settings and dev choices hold where this one says nothing.
        distil_on: Texts that the encoder is distilled on before training; with no training setting, instead of it.
        times_the_steps: Factor on the planned training steps.
        costs_like: Name of the objective whose training takes as long, since it computes the same with other numbers.
            Tables show its cost where this one was trained on another kind of machine.
        align: A method of `clear-ir align`, before training; with no training setting, instead of it.
        align_after: The same, after training.
    """

    model_config = ConfigDict(extra="allow")

    like: str | None = None
    distil_on: Literal["queries", "ntrex", "queries and ntrex"] | None = None
    times_the_steps: float = Field(1, gt=0)
    costs_like: str | None = None
    align: Method | None = None
    align_after: Method | None = None

    @property
    def training(self) -> dict[str, Any]:
        """The training settings; empty if the objective only distils or aligns."""
        return dict(self.model_extra or {})

    @property
    def trains(self) -> bool:
        """Whether weights are trained, so that there is a learning rate to choose."""
        return bool(self.training or self.distil_on)


class DataPlan(BaseModel):
    """One data set and how long it is trained on.

    Args:
        title: Name for people.
        dataset: Which loader reads it.
        langs: Languages of the training rows.
        unseen: Languages that are only evaluated.
        max_steps: Training steps of the test stage.
        dev_steps: Training steps of the dev stage; None if the data set has no dev stage.
    """

    model_config = ConfigDict(extra="forbid")

    title: str
    dataset: Literal["afriqa", "xquad"]
    langs: list[str]
    unseen: list[str] = []
    max_steps: int = Field(ge=1)
    dev_steps: int | None = Field(None, ge=1)


class Stage(BaseModel):
    """A block of cells: every objective on every data set with every seed and learning rate.

    Args:
        name: `dev` chooses learning rates and merging weights, `test` uses the choices.
        data: Names of data sets.
        seeds: Of the training runs.
        learning_rates: The candidates; None takes what the dev stage chose.
        objectives: Names of objectives.
    """

    model_config = ConfigDict(extra="forbid")

    name: StageName
    data: list[str]
    seeds: list[int]
    learning_rates: list[float] | None = None
    objectives: list[str]


class Matrix(BaseModel):
    """All that the study plans.

    Args:
        model: The encoder that is adapted: its name, unless the command is given its folder.
        mine: How hard negatives are mined, the same for every objective.
        train: Training settings that hold for every objective that does not set them itself.
        evaluation_max_seq_length: Tokens of a text in evaluation.
        distil_steps: Steps of distillation, where there is one.
        merging_weights: Candidate shares of the trained encoder when it is merged with the base; none merges nothing.
        max_english_loss: Points of nDCG@10 x 100 that a merged encoder may lose in English on dev.
        level: Learning rates count as equal on dev if they are so many points of nDCG@10 x 100 apart or fewer.
        default: The objective of `clear-ir train`.
        figure: The objectives that the plan's figure shows, of merging weights or of costs.
        objectives: By name.
        data: Data sets by name.
        stages: In the order in which they are run.
    """

    model_config = ConfigDict(extra="forbid")

    model: str
    mine: MiningSettings
    train: dict[str, Any]
    evaluation_max_seq_length: int
    distil_steps: int = 0
    merging_weights: list[float] = []
    max_english_loss: float
    level: float
    default: str
    figure: list[str] = []
    objectives: dict[str, Objective]
    data: dict[str, DataPlan]
    stages: list[Stage]

    def objective(self, name: str) -> Objective:
        """An objective with the settings that it takes over from the one that it is `like`."""
        objective = self.objectives[name]
        if objective.like is None:
            return objective
        settings = self.objectives[objective.like].model_dump(exclude_unset=True)
        return Objective.model_validate(settings | objective.model_dump(exclude_unset=True))


def read_matrix(path: Path) -> Matrix:
    """Read and validate a matrix.

    Args:
        path: A YAML file.

    Returns:
        The matrix.

    Raises:
        InputError: If the file does not hold a valid matrix.
    """
    return parse_matrix(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))


def parse_matrix(document: Mapping[str, Any], source: str = "matrix") -> Matrix:
    """Validate a matrix.

    Args:
        document: As the YAML file has it.
        source: Where it comes from, for error messages.

    Returns:
        The matrix.

    Raises:
        InputError: If a field is missing, unknown or of the wrong type.
    """
    try:
        return Matrix.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise InputError(f"{source}, field {field}: {first['msg']}; correct it.") from None
