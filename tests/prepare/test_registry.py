"""A data set is said once: what its module registers is all that the rest needs."""

import pkgutil
import shlex
from collections import Counter

import pytest

import clear_ir.prepare
from clear_ir.data.files import InputError
from clear_ir.prepare import registry
from clear_ir.prepare.prepared import Prepared
from clear_ir.prepare.registry import DataSet, data_sets, register

#: Modules that loaders share; every other module of the folder is a loader.
SHARED = {"data_check", "encoding", "languages", "prepared", "registry", "release", "shared_options", "source"}


def toy(**changes):
    entries = {
        "name": "toy", "title": "Toy", "what": "one row", "rows": True, "directions": "q-en.p-en", "source": "",
        "licence": "CC0", "example": "--out toy", "load": lambda: Prepared(),
    }  # fmt: skip
    return DataSet(**entries | changes)


def test_every_loader_module_registers_one_data_set_of_its_name():
    modules = {module.name for module in pkgutil.iter_modules(clear_ir.prepare.__path__)} - SHARED
    registered = Counter(data_set.load.__module__.rpartition(".")[2] for data_set in data_sets().values())
    assert registered == dict.fromkeys(modules, 1)
    assert {name.replace("-", "_") for name in data_sets()} == modules


def test_a_name_is_registered_once(monkeypatch):
    monkeypatch.setattr(registry, "DATA_SETS", data_sets())
    register(toy())
    with pytest.raises(ValueError, match="two data sets are named 'toy'"):
        register(toy(title="Another"))
    assert data_sets()["toy"].title == "Toy"


@pytest.mark.parametrize("data_set", data_sets().values(), ids=lambda data_set: data_set.name)
def test_entries_are_complete(data_set):
    assert data_set.title
    assert data_set.directions
    assert data_set.what
    assert not data_set.what.endswith(".")
    fields = data_set.options.model_fields
    assert all(field.description and field.description.endswith(".") for field in fields.values())
    flags = {word[2:].replace("-", "_") for word in shlex.split(data_set.example) if word.startswith("--")}
    names = {"map" if name == "mapping" else name for name in fields}
    assert flags - {"out"} <= names
    assert {"out"} | {name for name, field in fields.items() if field.is_required()} <= flags


def test_preparing_validates_first():
    atlas = data_sets()["atlas"]
    assert len(atlas.prepare({"langs": ["ru"]}).rows) == 260
    with pytest.raises(InputError, match="judge is 'train'; choose among test, dev") as refused:
        atlas.prepare({"judge": "train"})
    assert refused.value.settings == ("judge",)
    with pytest.raises(InputError, match="language is unknown; choose among langs, judge"):
        atlas.prepare({"language": "de"})


def test_all_languages():
    prepared = data_sets()["atlas"].prepare({"langs": ["all"]})
    assert {row.lang for row in prepared.rows} == {"de", "es", "ha", "hi", "id", "ru", "sw"}
