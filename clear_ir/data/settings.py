"""What every stage's settings share: a field says itself what it is.

A field of a :class:`Settings` has a default, and a docstring below it. Its flag, its line in ``--help``, its key in a
recipe and its row in docs/settings.md are made from them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Settings(BaseModel):
    """What a stage can be told.

    Attributes:
        groups: Headings, each by the name of the first field below it.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, defer_build=True)

    groups: ClassVar[dict[str, str]] = {}


@dataclass(frozen=True)
class Setting:
    """One field of a model, as people see it.

    Args:
        name: Its name.
        flag: Its flag on the command line.
        type: Of its value, or of each of several values; text where it may have several types.
        several: Whether it holds one value, a sequence, or a mapping.
        choices: The values that it may take, where they are listed.
        required: Whether it must be given.
        default: Its value where it is not given.
        description: What it is, in a sentence or two.
        group: The heading that it stands under.
    """

    name: str
    flag: str
    type: type
    several: Literal["", "sequence", "mapping"]
    choices: tuple[str, ...]
    required: bool
    default: Any
    description: str
    group: str

    @property
    def default_text(self) -> str:
        """The default as a recipe would have it."""
        if self.default is None:
            return "none"
        if isinstance(self.default, bool):
            return str(self.default).lower()
        if isinstance(self.default, float):
            return f"{self.default:g}"
        return ",".join(map(str, self.default)) if self.several else str(self.default)


def describe_settings(model: type[BaseModel]) -> list[Setting]:
    """The fields of a model, in their order.

    Args:
        model: The settings of a stage, or the options of a data set.

    Returns:
        One entry a field.
    """
    groups: dict[str, str] = getattr(model, "groups", {})
    settings, group = [], ""
    for name, field in model.model_fields.items():
        group = groups.get(name, group)
        kind, several, choices = _type_of(field.annotation)
        settings.append(
            Setting(
                name=name,
                flag=_flag_of(name, field, kind),
                type=kind,
                several=several,
                choices=choices,
                required=field.is_required(),
                default=None if field.is_required() else field.get_default(call_default_factory=True),
                description=" ".join((field.description or "").split()),
                group=group,
            )
        )
    return settings


def _flag_of(name: str, field: FieldInfo, kind: type) -> str:
    """The flag that the field's ``json_schema_extra`` names, else one made from the field's name."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    dashed = name.replace("_", "-")
    return str(extra.get("flag") or (f"--{dashed}/--no-{dashed}" if kind is bool else f"--{dashed}"))


def _type_of(annotation: Any) -> tuple[type, Literal["", "sequence", "mapping"], tuple[str, ...]]:
    """Type of the value, whether there are several, and the choices."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        parts = [_type_of(part) for part in arguments if part is not NoneType]
        kinds = {kind for kind, _, _ in parts}
        # A number or a word: the number has no name of its own among the choices.
        choices = parts[0][2]
        if len(kinds) > 1 and any(listed for _, _, listed in parts):
            choices = sum((listed or (each.__name__.upper(),) for each, _, listed in parts), ())
        return kinds.pop() if len(kinds) == 1 else str, parts[0][1], choices
    if origin is Literal:
        return str, "", tuple(map(str, arguments))
    if origin in (list, Sequence):
        return arguments[0], "sequence", ()
    if origin in (dict, Mapping):
        return arguments[1], "mapping", ()
    return annotation, "", ()
