from typing import Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from clear_ir.data.files import InputError
from clear_ir.data.validation import validate


class Settings(BaseModel):
    model_config = ConfigDict(extra="forbid")

    rows: int = Field(ge=1)
    side: Literal["query", "passage"] = "query"


def test_valid_values():
    assert validate(Settings, {"rows": "3"}) == Settings(rows=3, side="query")


@pytest.mark.parametrize(
    ("values", "message", "setting"),
    [
        ({}, "rows is missing; give a value.", "rows"),
        ({"rows": 0}, "rows is 0; it should be greater than or equal to 1.", "rows"),
        ({"rows": 1, "side": "both"}, "side is 'both'; choose among query, passage.", "side"),
        ({"rows": 1, "sid": "query"}, "sid is unknown; choose among rows, side.", "sid"),
    ],
)
def test_what_is_wrong_is_one_sentence_about_one_setting(values, message, setting):
    with pytest.raises(InputError) as refused:
        validate(Settings, values)
    assert str(refused.value) == message
    assert refused.value.settings == (setting,)
