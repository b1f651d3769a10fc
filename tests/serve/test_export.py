"""`clear-ir export`: the vectors of every kind of model stay; what int8 costs is measured and kept."""

import copy
import json

import numpy as np
import pytest
import torch
from commands import refused
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize, StaticEmbedding
from tiny import WORDS, make_encoder, make_training_rows, quiet

from clear_ir import exported_backends
from clear_ir.data.collection import Text, make_collection
from clear_ir.data.collection_files import write_collection
from clear_ir.data.output_files import write_jsonl
from clear_ir.encode.exported import PACKAGES
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.sides import add_to_sides
from clear_ir.encode.two_encoders import join_encoders

TEXTS = [" ".join(WORDS[:20]), "moon", "river desert", "bread " * 60]
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n"


def need(backend):
    pytest.importorskip("transformers.exporters", reason="transformers is too old to export")
    for package in PACKAGES[backend]:
        pytest.importorskip(package, reason=f"the extra {backend} is not installed")


@pytest.fixture
def data(tmp_path):
    words = "river desert moon bread bank court drum tree bird metal".split()
    passages = [Text(f"p{i}", f"the {word} is wide", "en") for i, word in enumerate(words)]
    questions = [(f"q{i}", f"p{i}", {"en": f"what {word}", "sw": f"mto {word}"}) for i, word in enumerate(words)]
    write_collection(tmp_path / "data", make_collection("tiny", passages, questions))
    return tmp_path / "data"


def make_model(kind):
    base = make_encoder(double=False)
    base.prompts = {"query": "query : ", "document": "the "}
    if kind == "maps":
        torch.manual_seed(1)
        base.append(Normalize())
        return add_to_sides(base, [Dense(32, 32, True, None), Normalize()], [])
    with torch.no_grad():
        adapted = copy.deepcopy(base)
        for parameter in adapted.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=torch.manual_seed(0))
    adapted.max_seq_length = 8
    return join_encoders(adapted, base)


@pytest.mark.parametrize(
    ("backend", "kind"),
    [("onnx", "two encoders"), ("onnx", "maps"), ("openvino", "two encoders")],
)
def test_the_exported_model_gives_the_same_vectors_on_both_sides(run, tmp_path, data, backend, kind):
    need(backend)
    model = make_model(kind)
    model.save_pretrained(str(tmp_path / "model"), create_model_card=False)
    code, out, err = run("export", tmp_path / "model", tmp_path / "out", "--backend", backend, "--data", data)
    assert code == 0, err
    assert "nDCG@10 x 100 on 10 questions of data." in out
    with exported_backends():
        plain = SentenceTransformer(str(tmp_path / "out"), backend=backend)
    with pytest.raises(Exception, match="Optimum"):  # the door is closed behind the block
        SentenceTransformer(str(tmp_path / "out"), backend=backend)
    ours = load_encoder(str(tmp_path / "out"))
    for side, encode in (("query", "encode_query"), ("passage", "encode_document")):
        expected = getattr(model, encode)(TEXTS)
        np.testing.assert_allclose(getattr(plain, encode)(TEXTS), expected, atol=1e-5)
        np.testing.assert_allclose(quiet(ours).encode(TEXTS, side), quiet(model).encode(TEXTS, side), atol=1e-5)
    assert np.abs(model.encode_query(TEXTS) - model.encode_document(TEXTS)).max() > 1e-3
    # No weights are left beside the programs but those of the map.
    assert len(list((tmp_path / "out").glob("**/*.safetensors"))) == (kind == "maps")
    made = json.loads((tmp_path / "out" / "exported.json").read_text())
    for place, folder in enumerate(("model", "out")):
        arguments = ("--data", data, "--out", tmp_path / f"results-{folder}", "--json")
        code, out, err = run("evaluate", "--model", tmp_path / folder, *arguments)
        assert code == 0, err
        measured = {name: value["nDCG@10"] for name, value in json.loads(out)["directions"].items()}
        assert measured == pytest.approx({name: pair[place] for name, pair in made["scores"].items()})
    card = (tmp_path / "out" / "README.md").read_text()
    assert f'backend="{backend}"' in card
    assert "German" not in card
    assert "Swahili questions, English passages" in card


@pytest.mark.parametrize("backend", ["onnx", "openvino"])
def test_int8_is_smaller_and_its_loss_is_kept(run, tmp_path, data, tiny_folder, backend, monkeypatch):
    need(backend)
    folders = {"float": (), "int8": ("--int8",)}
    made = {}
    for name, flags in folders.items():
        code, out, err = run(
            "export", tiny_folder, tmp_path / name, "--backend", backend, "--data", data, "--json", *flags
        )
        assert code == 0, err
        made[name] = json.loads(out)
    assert made["float"]["int8"] is None
    assert "bits" in made["int8"]["int8"]
    assert made["int8"]["bytes_after"] < made["float"]["bytes_after"]
    assert made["float"]["cosine"] > made["int8"]["cosine"] > 0.99
    assert set(made["int8"]["scores"]) == {"q-en.p-en", "q-sw.p-en"}
    if backend == "onnx":
        import onnx

        graph = onnx.load(str(tmp_path / "int8" / "onnx" / "model.onnx")).graph
        shapes = {tensor.name: list(tensor.dims) for tensor in graph.initializer}
        products = [node for node in graph.node if node.op_type == "MatMul" and node.input[1] in shapes]
        # The second layer of each feed-forward block is as it was, everything else is quantized.
        assert [shapes[node.input[1]] for node in products] == [[64, 32]] * 2
        assert sum(node.op_type == "MatMulInteger" for node in graph.node) == 2 * 5 + 1  # and the pooler
    encoders = [quiet(load_encoder(str(tmp_path / name))) for name in folders]
    assert encoders[0].weights_hash != encoders[1].weights_hash  # each has embeddings of its own in the cache
    assert quiet(load_encoder(str(tmp_path / "int8"))).weights_hash == encoders[1].weights_hash
    program = max((tmp_path / "float" / backend).iterdir(), key=lambda file: file.stat().st_size)
    for content, said in ((program.read_bytes()[:100], "cannot be loaded"), (POINTER, "git lfs pull")):
        program.write_bytes(content)
        refused(run("evaluate", "--model", tmp_path / "float", "--data", data, "--out", tmp_path / "new"), said)
    with monkeypatch.context() as patched:
        patched.setitem(PACKAGES, backend, ("no_such_package",))
        arguments = ("evaluate", "--model", tmp_path / "int8", "--data", data, "--out", tmp_path / "new")
        refused(run(*arguments), f"pip install 'clear-ir[{backend}]'")
    refused(run("export", tmp_path / "int8", tmp_path / "new", "--backend", backend), "is exported already")
    rows = tmp_path / "rows.jsonl"
    write_jsonl(rows, make_training_rows().records)
    said = "was exported and has no weights to change"
    refused(run("train", "--model", tmp_path / "int8", "--rows", rows, "--out", tmp_path / "new"), said)
    weight = ("--out", tmp_path / "new", "--weights", "0.5")
    refused(run("merge", tiny_folder, tmp_path / "int8", *weight), said)
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_exported_is_said_and_nothing_is_left(run, tmp_path, tiny_folder, monkeypatch):
    need("onnx")
    out = tmp_path / "made" / "out"
    static = StaticEmbedding(make_encoder().tokenizer, embedding_dim=8)
    SentenceTransformer(modules=[static]).save_pretrained(str(tmp_path / "static"), create_model_card=False)
    refused(run("export", tmp_path / "static", out, "--backend", "onnx"), "has no transformer")
    with monkeypatch.context() as patched:
        patched.setattr("clear_ir.serve.export.MIN_COSINE", 1.1)
        refused(run("export", tiny_folder, out, "--backend", "onnx"), "other vectors", "(--backend)")
    with monkeypatch.context() as patched:
        patched.setattr("transformers.exporters.exporter_onnx.OnnxExporter.export", lambda *_: 1 / 0)
        refused(run("export", tiny_folder, out, "--backend", "onnx"), "cannot be exported", "division by zero")
    with monkeypatch.context() as patched:
        patched.setitem(PACKAGES, "onnx", ("no_package", "no_other"))
        said = "no_package and no_other are not installed; run: pip install 'clear-ir[onnx]'"
        refused(run("export", tiny_folder, out, "--backend", "onnx"), said)
    assert not out.parent.exists()
    out.mkdir(parents=True)
    (out / "mine.txt").write_text("keep")
    refused(
        run("export", tiny_folder, out, "--backend", "onnx", "--overwrite"),
        "holds files that this command did not make",
    )
    assert [path.name for path in out.parent.iterdir()] == ["out"]
