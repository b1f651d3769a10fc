"""The data sets that `clear-ir prepare` offers. The module of each data set ends in its registration."""

from __future__ import annotations

import inspect
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import Any

from pydantic import BaseModel, ConfigDict, create_model

from clear_ir.data.files import InputError
from clear_ir.data.validation import validate
from clear_ir.prepare.prepared import Prepared


@dataclass(frozen=True)
class DataSet:
    """A data set, as the command line and the documentation present it.

    Args:
        name: Name of its command, such as `xquad-r`. Its module has the same name, with `_` for `-`.
        title: Name that its authors use, such as `XQuAD-R`.
        what: What it holds, in one line without a full stop.
        rows: Whether it has rows to train on; otherwise it is only for testing.
        directions: The directions of its collection.
        source: Where its files come from, as an address without `https://`; empty if it needs no download.
        licence: Licence of the data; empty if it depends on the user's files.
        example: Arguments of an example, as they follow the name on the command line.
        load: The loader. Its parameters are the options of the command: each is typed
            `Annotated[..., Field(description=...)]`, and the description is the help.
        aliases: Other names of its command. No list shows them.
    """

    name: str
    title: str
    what: str
    rows: bool
    directions: str
    source: str
    licence: str
    example: str
    load: Callable[..., Prepared]
    aliases: tuple[str, ...] = ()

    @cached_property
    def options(self) -> type[BaseModel]:
        """The parameters of the loader as a pydantic model. It is made when it is first needed, which takes time."""
        # Not typing.get_type_hints: Python 3.10 makes Optional[...] of a default None, and the description is lost.
        parameters = inspect.signature(self.load, eval_str=True).parameters
        fields: dict[str, Any] = {
            name: (parameter.annotation, ... if parameter.default is parameter.empty else parameter.default)
            for name, parameter in parameters.items()
        }
        return create_model(f"{self.title} options", __config__=ConfigDict(extra="forbid"), **fields)

    def prepare(self, values: Mapping[str, Any]) -> Prepared:
        """Load the data set.

        Args:
            values: Values of the loader's parameters, by name. They are validated first.

        Returns:
            What the loader returns.

        Raises:
            InputError: If a value is wrong or missing, the loader cannot use the files, or they hold no questions.
        """
        options = validate(self.options, values)
        prepared = self.load(**dict(options))
        if not prepared.rows and not any(collection.queries for collection in prepared.collections.values()):
            raise InputError(f"The files of {self.title} hold no questions; get them again.", "data")
        return prepared


#: The registered data sets by name. Read them through `data_sets`.
DATA_SETS: dict[str, DataSet] = {}


def register(data_set: DataSet) -> None:
    """Add a data set.

    Args:
        data_set: The data set.

    Raises:
        ValueError: If another data set has its name.
    """
    if data_set.name in DATA_SETS:
        raise ValueError(f"two data sets are named {data_set.name!r}")
    DATA_SETS[data_set.name] = data_set


def data_sets() -> dict[str, DataSet]:
    """All data sets by name, in alphabetical order. Imports each module of this folder, so that it registers."""
    package = import_module("clear_ir.prepare")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"clear_ir.prepare.{module.name}")
    return dict(sorted(DATA_SETS.items()))


def find_data_set(name: str) -> DataSet | None:
    """The data set of a command: by its name or another name of it; None if there is none."""
    return next((each for each in data_sets().values() if name in (each.name, *each.aliases)), None)
