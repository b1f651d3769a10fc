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
        raise setting_error(model, error.errors()[0]) from None


def setting_error(model: type[BaseModel], details: Mapping[str, Any]) -> InputError:
    """The error for one wrong value, of those that pydantic lists.

    Args:
        model: The class of the model that has the field.
        details: Type, place, input and message. The place ends in the field's name.

    Returns:
        The error to raise. Its sentence starts with the field's name, and its `settings` hold that name.
    """
    name = str(details["loc"][-1])
    if details["type"] == "missing":
        sentence = f"{name} is missing; give a value."
    elif details["type"] == "extra_forbidden":
        sentence = f"{name} is unknown; choose among {', '.join(model.model_fields)}."
    elif details["type"] == "literal_error":
        choices = details["ctx"]["expected"].replace("'", "").replace(" or ", ", ")
        sentence = f"{name} is {details['input']!r}; choose among {choices}."
    else:
        advice = details["msg"].removeprefix("Value error, ").replace("Input should", "it should", 1)
        sentence = f"{name} is {details['input']!r}; {advice.removesuffix('.')}."
    return InputError(sentence, name, begins_with_setting=True)
