"""Fixtures of the tests of what is served: a small collection, and a second encoder."""

import pytest
from ranked import write_questions
from tiny import make_encoder


@pytest.fixture
def data(tmp_path):
    return write_questions(tmp_path / "data")


@pytest.fixture(scope="session")
def other_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("other") / "changed"
    make_encoder(double=False, seed=1).save_pretrained(str(folder), create_model_card=False)
    return folder
