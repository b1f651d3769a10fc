"""Damaged inputs of every kind: the command succeeds, or says one sentence and writes nothing."""

import pytest
from bad_inputs import READERS, check_reader, make_shared


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shared")
    make_shared(folder)
    return folder


@pytest.mark.parametrize("name", READERS)
def test_damaged_inputs(name, shared, tmp_path):
    count = 40 if name == "training rows" else 200  # where an input is still valid, a model is trained
    outcomes = check_reader(name, shared, tmp_path, count)
    assert outcomes.total() == count
    assert outcomes["refused"] >= count / 10, "so few inputs were refused that nothing is shown"
    # Few kinds of damage leave a Parquet file valid, and its bytes differ with the versions of libraries.
    assert outcomes["still valid"] >= count / 50, "perhaps the input was never valid"
