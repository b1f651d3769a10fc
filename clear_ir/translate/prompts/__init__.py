"""The prompts that ship, a file each, and how their blanks are filled."""

from __future__ import annotations

from importlib.resources import files


def shipped_prompt(name: str) -> str:
    """A prompt that ships with clear-ir.

    Args:
        name: Name of its file, without `.txt`.

    Returns:
        Its text, with blanks such as `{language}`.
    """
    return (files(__package__) / f"{name}.txt").read_text(encoding="utf-8")


def fill(prompt: str, **values: object) -> str:
    """Fill the blanks of a prompt. Other braces stay as they are: a prompt may show JSON.

    Args:
        prompt: The prompt.
        values: By name of a blank, what stands there.

    Returns:
        The prompt without these blanks.
    """
    for name, value in values.items():
        prompt = prompt.replace(f"{{{name}}}", str(value))
    return prompt
