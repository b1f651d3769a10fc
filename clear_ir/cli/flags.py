"""Settings as flags: options made from the fields of a pydantic model, and errors that name the flag to change."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin

import typer
from typer.core import TyperGroup

from clear_ir.cli.options import parse_langs, parse_pairs
from clear_ir.data.files import InputError

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pydantic.fields import FieldInfo

SEQUENCES, MAPPINGS = (list, Sequence), (dict, Mapping)


class Commands(TyperGroup):
    """A group of commands. An error's settings become the flags of the command that was running."""

    def invoke(self, ctx: Any) -> Any:
        """Run the command that the user named."""
        try:
            return super().invoke(ctx)
        except InputError as error:
            command = self.get_command(ctx, ctx.invoked_subcommand or "")
            if command is None or not error.settings:
                raise
            raise InputError(name_flags(error, command.params)) from error


def name_flags(error: InputError, parameters: Iterable[Any]) -> str:
    """The sentence of an error, with the flags that set what is wrong.

    Args:
        error: Its ``settings`` name parameters of the command; those that the command does not have are ignored.
        parameters: The parameters of the command.

    Returns:
        ``--judge is 'x'; ...`` where the sentence starts with the setting's name, else the sentence with the flags
        at its end: ``... has no language 'xyz'; choose among hau, ibo (--langs).``
    """
    options = {parameter.name: parameter for parameter in parameters if parameter.opts[0].startswith("--")}
    sentence, flags = str(error), []
    for setting in error.settings:
        if option := options.get(setting):
            flag = option.opts[0]
            if sentence.startswith(f"{setting} "):
                sentence = flag + sentence.removeprefix(setting)
            else:
                flags.append(f"{flag} {option.metavar}" if option.metavar else flag)
    return f"{sentence.removesuffix('.')} ({', '.join(flags)})." if flags else sentence


def options_of(model: type[BaseModel]) -> list[inspect.Parameter]:
    """An option for each field of a model. Flag, help and default come from the field.

    Args:
        model: A sequence of texts becomes one option with commas between them. A mapping becomes an option that is
            repeated, ``NAME=VALUE`` each time. A ``Literal`` becomes an option that shows its choices.

    Returns:
        Parameters of a function that Typer can make a command of.
    """
    parameters = []
    for name, field in model.model_fields.items():
        kind, default, help_text, metavar = _kind_of(field.annotation), field.default, field.description or "", None
        value_type: Any = kind if kind in (int, float, bool, Path) else str
        if get_origin(kind) in SEQUENCES:
            help_text += " Put commas between several."
            default = default if field.is_required() else ",".join(default)
        elif get_origin(kind) in MAPPINGS:
            value_type, metavar = list[str], "OURS=THEIRS"
        elif get_origin(kind) is Literal:
            metavar = "|".join(map(str, get_args(kind)))
        option = typer.Option(
            ... if field.is_required() else default, _flag_of(name, field), help=help_text, metavar=metavar
        )
        annotation = value_type | None if default is None else value_type
        parameters.append(
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation)
        )
    return parameters


def values_of(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """What the user gave for the fields of a model, ready to be validated. Fields without a value are left out."""
    values: dict[str, Any] = {}
    for name, field in model.model_fields.items():
        if given[name] is not None:
            origin = get_origin(_kind_of(field.annotation))
            if origin in SEQUENCES:
                values[name] = parse_langs(given[name])
            elif origin in MAPPINGS:
                values[name] = parse_pairs(_flag_of(name, field), given[name])
            else:
                values[name] = given[name]
    return values


def _flag_of(name: str, field: FieldInfo) -> str:
    """The flag that the field's ``json_schema_extra`` names, else one made from the field's name."""
    extra = field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}
    return str(extra.get("flag", "--" + name.replace("_", "-")))


def _kind_of(annotation: Any) -> Any:
    """A field's type; the first of a union, ``str`` of ``str | None``."""
    return get_args(annotation)[0] if get_origin(annotation) in (Union, UnionType) else annotation
