"""Validate values with a pydantic model. Its errors become one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from clear_ir.data.files import InputError

Model = TypeVar("Model", bound=BaseModel)


def validate(model: type[Model], values: Mapping[str, Any]) -> Model:
    """Make a model from the values of its fields.

    Args:
        model: The class of the model.
        values: Values by name of the field.

    Returns:
        The model.

    Raises:
        InputError: If a value is wrong or missing, or a field is unknown. The sentence starts with the field's name,
            and `settings` of the error holds that name.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        if first["type"] == "missing":
            sentence = f"{name} is missing; give a value."
        elif first["type"] == "extra_forbidden":
            sentence = f"{name} is unknown; choose among {', '.join(model.model_fields)}."
        elif first["type"] == "literal_error":
            choices = first["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
            sentence = f"{name} is {first['input']!r}; choose among {choices}."
        else:
            advice = first["msg"].removeprefix("Value error, ").replace("Input should", "it should", 1)
            sentence = f"{name} is {first['input']!r}; {advice}."
        raise InputError(sentence, name, begins_with_setting=True) from None
