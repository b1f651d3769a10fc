"""Make commands from settings: a flag for each field, and errors that name the flag to change."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperGroup

from clear_ir.cli.shared_options import Settings, parse_langs, parse_pairs
from clear_ir.data.files import InputError, parse_yaml
from clear_ir.data.settings import Setting, describe_settings

if TYPE_CHECKING:
    from pydantic import BaseModel

#: The values that the user's flags give to settings: by stage, then by name of the field.
Flags = dict[str, dict[str, Any]]

#: Choices longer than this are listed in the help text and not beside the flag: a terminal has 80 columns.
LONGEST_METAVAR = 16


class Commands(TyperGroup):
    """A group of commands. If a command fails, the error's sentence gets the flags of the settings that it names."""

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
    """Put the flags of the wrong settings into the sentence of an error.

    Args:
        error: An error. Those of its `settings` that are no parameters of the command are ignored.
        parameters: The parameters of the command.

    Returns:
        The sentence. If it starts with the setting's name, the flag replaces the name: `--judge is 'x'; ...`. Else
        the flags are at the end: `... has no language 'xyz'; choose among ha, ig (--langs).`
    """
    options = {parameter.name: parameter for parameter in parameters if parameter.opts[0].startswith("--")}
    sentence, flags = str(error), []
    for place, setting in enumerate(error.settings):
        if option := options.get(setting):
            flag = option.opts[0]
            if error.begins_with_setting and place == 0:
                sentence = flag + sentence.removeprefix(setting)
            else:
                flags.append(flag if option.metavar in (None, "NAME") else f"{flag} {option.metavar}")
    return f"{sentence.removesuffix('.')} ({', '.join(flags)})." if flags else sentence


def takes(**stages: type[BaseModel]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the settings of stages: a flag for each field, and `--set` to write settings as in a recipe.

    Args:
        stages: The settings of each stage, by its name in a recipe.

    Returns:
        A decorator. The command's parameter `flags` gets `Flags`: only the values that the user gave.
    """

    def decorated(command: Callable[..., None]) -> Callable[..., None]:
        signature = inspect.signature(command, eval_str=True)
        added = [option for model in stages.values() for option in options_of(model, optional=True)]
        added.append(inspect.Parameter("settings", inspect.Parameter.KEYWORD_ONLY, annotation=Settings, default=None))

        def run(**given: Any) -> None:
            flags = {stage: values_of(model, given) for stage, model in stages.items()}
            for key, value in _read_values(given["settings"]).items():
                stage = next(
                    (stage for stage, model in stages.items() if key in model.model_fields), next(iter(stages))
                )
                flags[stage][key] = value
            command(**{name: given[name] for name in signature.parameters if name != "flags"}, flags=flags)

        parameters = [parameter for parameter in signature.parameters.values() if parameter.name != "flags"]
        # Switches, such as --overwrite, come last in --help.
        switches = [parameter for parameter in parameters if parameter.default is False]
        others = [parameter for parameter in parameters if parameter not in switches]
        _set_parameters(run, others + added + switches, command)
        return run

    return decorated


def _set_parameters(function: Any, parameters: list[inspect.Parameter], command: Callable[..., None]) -> None:
    """Give a function the parameters, and the name and docstring of a command.

    Typer reads options from the signature and the annotations, not from what the function really takes.
    """
    keyword = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]
    function.__name__, function.__doc__ = command.__name__, command.__doc__
    function.__signature__ = inspect.Signature(keyword)
    function.__annotations__ = {parameter.name: parameter.annotation for parameter in keyword}


def _read_values(pairs: Iterable[str] | None) -> dict[str, Any]:
    """The values of `--set` flags, parsed as YAML like those of a recipe."""
    return {key: parse_yaml(value, f"--set {key}") for key, value in parse_pairs("--set", pairs).items()}


def options_of(model: type[BaseModel], optional: bool = False) -> list[inspect.Parameter]:
    """Make an option for each field of a model. Flag, help and default come from the field.

    Args:
        model: The model. A sequence of texts becomes one option with commas between the texts. A mapping becomes an
            option that is repeated, `OURS=THEIRS` each time. A `Literal` becomes an option that shows its choices.
        optional: Show the defaults in the help only: an option that is not given has no value, so that the recipe's
            value counts.

    Returns:
        Parameters of a function from which Typer can make a command.
    """
    return [_option_of(setting, optional) for setting in describe_settings(model)]


def _option_of(setting: Setting, optional: bool) -> inspect.Parameter:
    value_type: Any = setting.type if setting.type in (int, float, bool, Path) and not setting.container else str
    sentences, metavar = [setting.description], None
    if setting.container == "sequence":
        sentences.append("Put commas between several.")
    elif setting.container == "mapping":
        value_type, metavar = list[str], "OURS=THEIRS"
    elif setting.choices:
        choices = "|".join(setting.choices)
        metavar = choices if len(choices) <= LONGEST_METAVAR else "NAME"
        # Not if the description explains all of them.
        if not all(choice in setting.description for choice in setting.choices) and metavar == "NAME":
            sentences.append(f"One of {', '.join(setting.choices)}.")
    if setting.default is not None and setting.default is not False:
        sentences.append(f"Default: {setting.default_text}.")
    default: Any = None
    if setting.required:
        default = ...
    elif _is_switch(setting):
        default = False
    elif not optional and setting.default is not None:
        default = setting.default_text if setting.container else setting.default
    option = typer.Option(
        default,
        setting.flag,
        help=" ".join(sentences),
        metavar=metavar,
        show_default=False,
        rich_help_panel=setting.group or None,
    )
    annotation = value_type | None if default is None else value_type
    return inspect.Parameter(setting.name, inspect.Parameter.KEYWORD_ONLY, default=option, annotation=annotation)


def _is_switch(setting: Setting) -> bool:
    """Whether the flag has no opposite, such as `--no-cache`."""
    return setting.type is bool and "/" not in setting.flag


def values_of(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    """The values that the user gave for the fields of a model, ready to be validated. Other fields are left out."""
    values: dict[str, Any] = {}
    for setting in describe_settings(model):
        value = given[setting.name]
        if value is None or (value is False and _is_switch(setting)):
            continue
        if setting.container == "sequence":
            value = parse_langs(value)
        elif setting.container == "mapping":
            value = parse_pairs(setting.flag, value)
        values[setting.name] = value
    return values
