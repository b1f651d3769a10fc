"""A tiny translation model of each family, made once."""

import pytest
from tiny_translators import make


@pytest.fixture(scope="session")
def tiny_translator(tmp_path_factory):
    """A function that gives the folder of a tiny model of a family."""
    folder = tmp_path_factory.mktemp("translators")

    def of(family):
        return folder / family if (folder / family).exists() else make(family, folder / family)

    return of
