"""What the settings of all stages share: each field documents itself.

A field of a `Settings` has a default, and a docstring below it. Its flag, its line in `--help` and its key in
a recipe are made from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Settings(BaseModel):
    """The settings of a stage.

    Attributes:
        groups: Headings by the name of the first field below each.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)

    groups: ClassVar[dict[str, str]] = {}


@dataclass(frozen=True)
class Setting:
    """One field of a model, as `--help` shows it.

    Args:
        name: Name of the field.
        flag: Flag on the command line.
        type: Type of the value, or of each value in a container. `str` if several types are allowed.
        container: Empty for a single value, else the kind of container that holds several values.
        choices: The allowed values, if the type lists them.
        required: Whether the user must give a value.
        default: The value if the user gives none.
        description: What the setting does, in a sentence or two.
        group: The heading above the field.
    """

    name: str
    flag: str
    type: type
    container: Literal["", "sequence", "mapping"]
    choices: tuple[str, ...]
    required: bool
    default: Any
    description: str
    group: str

    @property
    def default_text(self) -> str:
        """The default as a recipe writes it."""
        if self.default is None:
            return "none"
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if isinstance(self.default, float):
            return f"{self.default:g}"
        return ",".join(map(str, self.default)) if self.container else str(self.default)


def describe_settings(model: type[BaseModel]) -> list[Setting]:
    """The fields of a model, in their order.

    Args:
        model: The settings of a stage, or the options of a data set.

    Returns:
        One entry per field.
    """
    groups: dict[str, str] = getattr(model, "groups", {})
    settings, group = [], ""
    for name, field in model.model_fields.items():
        group = groups.get(name, group)
        value_type, container, choices = _type_of(field.annotation)
        settings.append(
            Setting(
                name=name,
                flag=_flag_of(name, field, value_type),
                type=value_type,
                container=container,
                choices=choices,
                required=field.is_required(),
                default=None if field.is_required() else field.get_default(call_default_factory=True),
                description=" ".join((field.description or "").split()),
                group=group,
            )
        )
    return settings


def _flag_of(name: str, field: FieldInfo, value_type: type) -> str:
    """The flag in the field's `json_schema_extra`, else one made from the field's name."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    dashed = name.replace("_", "-")
    return str(extra.get("flag") or (f"--{dashed}/--no-{dashed}" if value_type is bool else f"--{dashed}"))


def _type_of(annotation: Any) -> tuple[type, Literal["", "sequence", "mapping"], tuple[str, ...]]:
    """Type of the value, the container, and the choices."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        parts = [_type_of(part) for part in arguments if part is not NoneType]
        types = {value_type for value_type, _, _ in parts}
        choices = parts[0][2]
        if len(types) > 1 and any(listed for _, _, listed in parts):
            # Such as int | Literal["auto"]: the choices are INT, which stands for any number, and auto.
            choices = sum((listed or (each.__name__.upper(),) for each, _, listed in parts), ())
        return types.pop() if len(types) == 1 else str, parts[0][1], choices
    if origin is Literal:
        return str, "", tuple(map(str, arguments))
    if origin in (list, Sequence):
        return arguments[0], "sequence", ()
    if origin in (dict, Mapping):
        return arguments[1], "mapping", ()
    return annotation, "", ()
