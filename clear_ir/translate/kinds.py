"""The kinds of translators, and which of them a user's words name."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from clear_ir.data.files import InputError
from clear_ir.translate.translator import Choice, Translator

#: A kind: whether the user means it, and its module, which has a function `load`. The first that fits is taken; modules
#: and what they need are loaded only then.
KINDS: tuple[tuple[Callable[[Choice], bool], str], ...] = (
    (lambda choice: choice.command is not None, "command"),
    (lambda choice: choice.model.startswith("dictionary:"), "dictionary"),
    (lambda choice: choice.endpoint is not None, "endpoint"),
    (lambda choice: True, "seq2seq"),
)


def load_translator(choice: Choice) -> Translator:
    """Make the translator that a user names.

    Args:
        choice: What the user said.

    Returns:
        The translator.

    Raises:
        InputError: If there is no such translator, or two are named.
    """
    if choice.command is not None and (choice.model or choice.endpoint):
        other = "model" if choice.model else "endpoint"
        raise InputError(f"A command and another translator ({other}) are named; give one of them.", "command", other)
    module = next(name for is_meant, name in KINDS if is_meant(choice))
    translator: Translator = import_module(f"clear_ir.translate.{module}").load(choice)
    return translator
