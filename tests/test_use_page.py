"""The snippets of docs/use.md, as they stand: each finds what `encode_query` and `encode_document` find."""

import ast
import importlib.util
import json
import re

import numpy as np
import pytest
from scripts import ROOT
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer.modules import Dense, Normalize
from tiny import make_encoder

from clear_ir.encode.sides import add_to_sides
from clear_ir.encode.two_encoders import join_encoders

PAGE = (ROOT / "docs" / "use.md").read_text(encoding="utf-8")
#: By heading.
SNIPPETS = {
    section.partition("\n")[0]: block
    for section in PAGE.split("\n## ")[1:]
    for block in re.findall(r"```python\n(.*?)```", section, flags=re.DOTALL)
}
FIRST, TEI, EXPORTED = "sentence-transformers", "text-embeddings-inference", "ONNX Runtime and OpenVINO"


def need_packages(snippet):
    for node in ast.walk(ast.parse(snippet)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            name = node.module if isinstance(node, ast.ImportFrom) else node.names[0].name
            if importlib.util.find_spec(name.split(".")[0]) is None:
                pytest.skip(f"{name.split('.')[0]} is not installed; it is in the extra use")


def best_two(queries, passages):
    queries, passages = queries.astype(float), passages.astype(float)
    scores = passages @ queries / np.linalg.norm(passages, axis=1) / np.linalg.norm(queries)
    return np.argsort(-scores)[:2].tolist()


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working folder with a model of two encoders that ranks otherwise if a question is taken for a passage."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HAYSTACK_TELEMETRY_ENABLED", "False")
    names: dict = {}
    values = ast.parse(SNIPPETS[FIRST]).body[2:4]
    exec(compile(ast.Module(values, []), "first", "exec"), names)
    for seed in range(1, 50):
        base, other = (make_encoder(double=False, seed=s) for s in (0, seed))
        for encoder in (base, other):
            encoder.prompts = {"query": "query : ", "document": "the "}
        model = join_encoders(other, base)
        passages, question = model.encode_document(names["passages"]), names["question"]
        right = best_two(model.encode_query(question), passages)
        if right != best_two(model.encode(question), passages) and right != best_two(
            base.encode_query(question), passages
        ):
            break
    else:
        pytest.fail("no model tells the sides apart")
    model.save_pretrained(str(tmp_path / "models" / "sw"), create_model_card=False)
    return tmp_path, str([names["passages"][i] for i in right])


@pytest.mark.parametrize("heading", [name for name in SNIPPETS if name not in (TEI, EXPORTED)])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::pydantic.warnings.PydanticDeprecationWarning")
def test_each_library_finds_the_same_passages(place, heading, capsys):
    need_packages(SNIPPETS[heading])
    names: dict = {"__name__": "snippet"}
    for snippet in dict.fromkeys((SNIPPETS[FIRST], SNIPPETS[heading])):
        exec(compile(snippet, heading, "exec"), names)
    assert capsys.readouterr().out.splitlines()[-1] == place[1]


def test_an_exported_model_finds_the_same_passages(place, capsys, run):
    pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
    pytest.importorskip("onnxscript", reason="the extra onnx is not installed")
    assert run("export", "models/sw", "models/sw-onnx", "--backend", "onnx")[0] == 0
    names: dict = {}
    for snippet in (SNIPPETS[FIRST], SNIPPETS[EXPORTED]):
        exec(snippet, names)
    assert capsys.readouterr().out.splitlines()[-1] == place[1]


@pytest.mark.parametrize("kind", ["two encoders", "maps"])
@pytest.mark.filterwarnings("ignore:Importing from 'sentence_transformers.models':DeprecationWarning")
def test_folders_for_text_embeddings_inference_have_what_the_server_reads(place, kind):
    """The server's rules: router/src/lib.rs and core/src/download.rs of text-embeddings-inference."""
    if kind == "maps":
        base = make_encoder(double=False)
        base.prompts = {"query": "query : ", "document": "the "}
        base.append(Normalize())
        model = add_to_sides(base, [Dense(32, 32, True, None), Normalize()], [])
        model.save_pretrained("models/sw", create_model_card=False)
    model = SentenceTransformer("models/sw")
    exec(SNIPPETS[TEI], {})
    texts = ["how long is the river", "moon " * 50]
    for name, prompt, encode in (("queries", "query", "encode_query"), ("passages", "document", "encode_document")):
        folder = place[0] / "tei" / name
        modules = json.loads((folder / "modules.json").read_text())
        known = {f"sentence_transformers.models.{kind}" for kind in ("Dense", "Normalize", "Pooling", "Transformer")}
        assert {module["type"] for module in modules} <= known
        pooling = json.loads((folder / "1_Pooling" / "config.json").read_text())
        keys = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
        assert [pooling[f"pooling_mode_{key}"] for key in keys] == [False, True, False, False]
        config = json.loads((folder / "config.json").read_text())
        assert {"architectures", "model_type", "max_position_embeddings"} <= config.keys()
        assert json.loads((folder / "sentence_bert_config.json").read_text())["max_seq_length"] == 32
        assert (folder / "tokenizer.json").is_file()
        assert (folder / "model.safetensors").is_file()
        dense = [module["path"] for module in modules if module["type"].endswith(".Dense")]
        assert len(dense) == (kind == "maps" and name == "queries")
        assert all((folder / path / "model.safetensors").is_file() for path in dense)
        assert json.loads((folder / "config_sentence_transformers.json").read_text())["prompts"].keys() == {prompt}
        assert f"--model-id /tei/{name} --default-prompt-name {prompt}" in PAGE
        alone = SentenceTransformer(str(folder))
        assert alone.max_seq_length == 32
        np.testing.assert_allclose(alone.encode(texts), getattr(model, encode)(texts), atol=1e-6)
    assert np.abs(model.encode_query(texts) - model.encode_document(texts)).max() > 0.01


def test_the_bash_of_the_page_names_commands_that_exist():
    for line in re.findall(r"^clear-ir (\w+)", PAGE, flags=re.MULTILINE):
        assert importlib.util.find_spec(f"clear_ir.cli.{line}")
