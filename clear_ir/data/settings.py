"""What every stage's settings share: fields that say themselves what they are.

A field of a :class:`Settings` has a default and a docstring below it. Its flag, its line in ``--help``, its key in a
recipe and its row in docs/settings.md are made from them.
"""

from __future__ import annotations

from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, NamedTuple, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo


class Settings(BaseModel):
    """What a stage can be told.

    Attributes:
        groups: Headings, each by the first field below it.
    """

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True)

    groups: ClassVar[dict[str, str]] = {}


class Setting(NamedTuple):
    """One field of a :class:`Settings`, for people.

    Args:
        name: Its name.
        type: The type of a value that is given.
        choices: The values that it may take; empty where they are not listed.
        default: Its default, as text.
        description: Its docstring.
        group: The heading that it stands under.
        flag: Its flag on the command line.
    """

    name: str
    type: type
    choices: tuple[str, ...]
    default: str
    description: str
    group: str
    flag: str


def describe_settings(settings: type[Settings]) -> list[Setting]:
    """The fields of a stage's settings, in their order.

    Args:
        settings: The stage's class.

    Returns:
        One entry a field.
    """
    described = []
    group = ""
    for name, field in settings.model_fields.items():
        group = settings.groups.get(name, group)
        kind, choices = _value_type(field.annotation)
        extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
        flag = str(extra.get("flag") or _flag(name, kind))
        description = " ".join((field.description or "").split())
        described.append(Setting(name, kind, choices, _default(field), description, group, flag))
    return described


def _flag(name: str, kind: type) -> str:
    dashed = name.replace("_", "-")
    return f"--{dashed}/--no-{dashed}" if kind is bool else f"--{dashed}"


def _value_type(annotation: Any) -> tuple[type, tuple[str, ...]]:
    """The one type of a value, text where there are several; and its choices."""
    if get_origin(annotation) in (Union, UnionType):
        parts = [_value_type(part) for part in get_args(annotation) if part is not NoneType]
        kinds = {kind for kind, _ in parts}
        return (kinds.pop() if len(kinds) == 1 else str), sum((choices for _, choices in parts), ())
    if get_origin(annotation) is Literal:
        return str, tuple(map(str, get_args(annotation)))
    return annotation, ()


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True)
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)
