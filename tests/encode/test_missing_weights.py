"""Folders of models that lack something, and weights that are no numbers, do not give results without a word."""

import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny import make_encoder, quiet

from clear_ir.data.files import InputError
from clear_ir.encode.model_loading import load_encoder


@pytest.fixture
def folder(tmp_path):
    make_encoder(double=False).save_pretrained(str(tmp_path / "model"), create_model_card=False)
    return tmp_path / "model"


def drop(folder, part):
    """Remove the weights with this part in their names from the file; say how many there were."""
    weights = load_file(folder / "model.safetensors")
    kept = {name: tensor for name, tensor in weights.items() if part not in name}
    save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
    return len(weights) - len(kept)


def test_weights_that_the_files_lack_are_named(folder, caplog):
    load_encoder(str(folder))
    assert caplog.messages == []
    assert drop(folder, "pooler") == 2, "no encoder uses it"
    load_encoder(str(folder))
    assert caplog.messages == []
    count = drop(folder, "layer.1")
    reporter = logging.getLogger("transformers.modeling_utils")
    before = (reporter.level, reporter.propagate, list(reporter.handlers))
    load_encoder(str(folder))
    assert caplog.messages[0].startswith(f"The files of {folder} lack {count} weights, such as encoder.layer.1.")
    assert (reporter.level, reporter.propagate, list(reporter.handlers)) == before


def test_a_tokenizer_without_words_is_refused(folder):
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(InputError, match="knows no words: files such as tokenizer.json"):
        load_encoder(str(folder))


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json"])
def test_files_beside_the_weights_that_are_pointers_are_named(folder, name):
    (folder / name).write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(InputError, match=rf"{name} is a pointer of git LFS"):
        load_encoder(str(folder))


def test_a_module_without_its_settings_is_one_sentence(folder):
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({}))
    with pytest.raises(InputError, match="cannot be loaded: "):
        load_encoder(str(folder))


def test_vectors_that_are_no_numbers_are_refused():
    encoder = make_encoder(double=False)
    with torch.no_grad():
        next(encoder.parameters()).fill_(float("nan"))
    with pytest.raises(InputError, match="no numbers"):
        quiet(encoder).encode(["river"], "query")
