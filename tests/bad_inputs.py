"""Inputs that are valid but for some damage. A command succeeds, or says one sentence and writes nothing."""

from __future__ import annotations

import gzip
import io
import json
import shutil
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from clear_ir.data.output_files import write_jsonl
from clear_ir.data.training_rows import training_columns

#: What stands where something else should.
ODD_VALUES = [
    None, True, 0, -1, 7, 1.5, 1e308, float("nan"), float("inf"), 10**400, "", " ", "x", "0", "\ud800", "a\tb", "a b",
    "\u2028", "x" * 10_000, [], {}, [[]], ["x"], [None], {"x": 1}, {"text": "x"},
]  # fmt: skip
ODD_BYTES = [
    b"\x00", b"\xff", b"\xef\xbb\xbf", b"\r", b"\n", b"\n\n", b"\t", b'"', b"{", b"}", b"[", b",", b":", b"NaN", b"-",
    b"1e999", b"\xe2\x80\xa8", b"9" * 5000, b"[" * 5000, b"&a *a", b"!!python/object:x", b"\x1f\x8b",
]  # fmt: skip
ENCODINGS = ["utf-16", "utf-32", "latin-1", "cp1252", "utf-8-sig"]


_SWITCH = "translate --rows {shared}/own.jsonl --to sw --no-cache --model dictionary:"
_QUERIES = "queries --to sw --no-cache --endpoint {endpoint} --model stub"


@dataclass(frozen=True)
class Reader:
    """A command and the input that is damaged.

    Args:
        arguments: Of the command; `{input}` is the damaged input, `{endpoint}` a chat endpoint.
        make: Makes a valid input at a path, a file or a folder, with the folder of shared inputs.
        damaged: Which files of the input are damaged; those of a folder by pattern.
        writes: Whether the command takes `--out`.
    """

    arguments: str
    make: Callable[[Path, Path], None]
    damaged: str = "*"
    writes: bool = True


def _rows(count: int = 12) -> list[dict[str, Any]]:
    kinds = ("river", "moon", "bread", "tree", "drum", "metal")
    return [
        {"id": str(i), "query": f"what {kinds[i % 6]} {i}", "passage": f"the {kinds[i % 6]} is {i}"}
        | {"cross_query": f"mto {kinds[i % 6]} {i}", "lang": "sw"}
        for i in range(count)
    ]


def _lines(path: Path, _: Path) -> None:
    write_jsonl(path, _rows())


def _table(path: Path, _: Path) -> None:
    from datasets import Dataset

    dataset = Dataset.from_list(_rows())
    dataset.to_csv(str(path), index=False) if path.suffix == ".csv" else dataset.to_parquet(str(path))


def _training_rows(path: Path, _: Path) -> None:
    columns = training_columns(2, 2)
    write_jsonl(path, [{c: f"{c} what {i}" for c in columns} | {"lang": "sw", "id": str(i)} for i in range(8)])


def _collection(path: Path, _: Path) -> None:
    from clear_ir.data.collection import Text, make_collection
    from clear_ir.data.collection_files import write_collection

    passages = [Text(f"p{i}", f"the river {i}", "en") for i in range(4)]
    questions = [(f"q{i}", f"p{i}", {"en": f"what {i}", "sw": f"mto {i}"}) for i in range(4)]
    write_collection(path, make_collection("c", passages, questions))


def _recipe(path: Path, _: Path) -> None:
    code, text, _ = call(["recipe", "show", "small"])
    assert code == 0
    path.write_text(text)


def _texts(path: Path, _: Path) -> None:
    rows = _rows(24)
    texts = [{"text": row["query"], "lang": "en"} for row in rows]
    write_jsonl(path, texts + [{"text": row["cross_query"], "lang": "sw"} for row in rows])


def _vectors(path: Path, _: Path) -> None:
    import numpy as np

    np.save(path, np.random.default_rng(0).normal(size=(40, 32)).astype(np.float32))


def _aligned(path: Path, shared: Path) -> None:
    if not (shared / "aligned").exists():
        _lines(shared / "align.jsonl", shared)
        _texts(shared / "texts.jsonl", shared)
        inputs = f"--rows {shared}/align.jsonl --texts {shared}/texts.jsonl --data {shared}/collection"
        arguments = f"align --model {shared}/tiny {inputs} --method project --out {shared}/aligned --no-cache"
        assert call(arguments.split())[0] == 0
        _vectors(shared / "vectors.npy", shared)
    shutil.copytree(shared / "aligned", path)


def _vectors_and_aligned(path: Path, shared: Path) -> None:
    _aligned(path.with_name("unused"), shared)
    shutil.rmtree(path.with_name("unused"))
    _vectors(path, shared)


def _model(path: Path, shared: Path) -> None:
    shutil.copytree(shared / "tiny", path)


def _translation_model(path: Path, shared: Path) -> None:
    from tiny_translators import TEXTS, make

    if not (shared / "translator").exists():
        make("m2m", shared / "translator")
        write_jsonl(shared / "english.jsonl", [{"query": text, "passage": text} for text in TEXTS[-2:]])
    shutil.copytree(shared / "translator", path)


def make_shared(folder: Path) -> None:
    """Make what several readers need: a tiny encoder, and a collection."""
    from tiny import make_encoder

    make_encoder(double=False).save_pretrained(str(folder / "tiny"), create_model_card=False)
    _collection(folder / "collection", folder)


def _results(path: Path, shared: Path) -> None:
    if not (shared / "results").exists():
        arguments = f"evaluate --model {shared}/tiny --data {shared}/collection --out {shared}/results --no-cache"
        assert call([*arguments.split(), "--name", "base"])[0] == 0
    shutil.copytree(shared / "results", path)
    (path / "results.json").write_text((path / "results.json").read_text().replace('"base"', '"other"'))
    log = [{"step": 0, "rows_by_language": {"sw": 8}, "dev": {}}, {"loss": 2.5, "clear/kl": 0.1, "step": 1}]
    write_jsonl(path / "train_log.jsonl", [*log, {"loss": 2.0, "clear/kl": 0.1, "step": 2}, {"step": 2}])


def _passages(path: Path, _: Path) -> None:
    write_jsonl(path, [{"id": str(i), "title": f"river {i}", "text": f"the river {i} is long"} for i in range(8)])


def _prompt(path: Path, shared: Path) -> None:
    _passages(shared / "passages.jsonl", shared)
    path.write_text("Write {count} questions\n in English and {language} (language code {code}).\n: , \t\n")


def _words(path: Path, shared: Path) -> None:
    _lines(shared / "own.jsonl", shared)
    path.write_text("what\tnini\nriver\tmto\nmoon\tmwezi\nthe moon\tmwezi\nmoon\tqamari\n")


def _dictd(path: Path, shared: Path) -> None:
    _lines(shared / "own.jsonl", shared)
    path.parent.mkdir()
    path.write_text("moon\tA\tb\nriver\tb\tV\nwhat\tw\tI\n")  # the digits of dictd: 0 and 27, 27 and 21, 48 and 8
    entries = "moon /mu\N{MODIFIER LETTER TRIANGULAR COLON}n/ <n>\nmwezi, qamari\nriver <n>\n1. mto\n2. ito\nwhat\npi"
    path.with_name("list.dict.dz").write_bytes(gzip.compress(entries.encode()))


def _tei(path: Path, shared: Path) -> None:
    _lines(shared / "own.jsonl", shared)
    entry = "<form><orth>{}</orth></form><sense><cit type='trans'><quote>{}</quote></cit></sense>"
    entries = [f"<entry>{entry.format(*pair)}</entry>" for pair in (("moon", "mwezi"), ("what", "nini"))]
    path.write_text("\n".join(["<TEI xmlns='http://www.tei-c.org/ns/1.0'>", *entries, "</TEI>"]))


_RUNNING = ExitStack()


@cache
def _endpoint() -> str:
    """The URL of a chat endpoint that writes questions, until the process ends."""
    from stub_endpoint import Stub, served

    questions = [{"en": "how long is it", "sw": "ni mrefu"}, {"en": "where is it", "sw": "iko wapi"}]
    return _RUNNING.enter_context(served(Stub(lambda text, system: questions))).url


READERS = {
    "parallel rows, JSON Lines": Reader("prepare jsonl --rows {input}.jsonl", _lines),
    "parallel rows, CSV": Reader("prepare jsonl --rows {input}.csv", _table),
    "parallel rows, Parquet": Reader("prepare jsonl --rows {input}.parquet", _table),
    "training rows": Reader(
        "train --model {shared}/tiny --rows {input}.jsonl --batch-size 4 --max-steps 1 --precision fp32", _training_rows
    ),
    "English rows, to translate": Reader(
        "translate --rows {input}.csv --to sw --command cat --no-checks --no-cache", _table
    ),
    "translation model": Reader(
        "translate --rows {shared}/english.jsonl --to sw --model {input} --num-beams 1 --max-tokens 60 --no-checks "
        "--no-cache",
        _translation_model,
    ),
    "texts, to align": Reader(
        "align --model {shared}/tiny --texts {input}.jsonl --data {shared}/collection --method project --no-cache",
        _texts,
    ),
    "vectors, to move": Reader("align --model {shared}/aligned --apply {input}.npy", _vectors_and_aligned),
    "aligned folder": Reader("align --model {input} --apply {shared}/vectors.npy", _aligned, "align.*"),
    "collection": Reader("evaluate --model {shared}/tiny --data {input} --no-cache", _collection, "*.jsonl"),
    "qrels": Reader("evaluate --model {shared}/tiny --data {input} --no-cache", _collection, "*.tsv"),
    "passages, to write questions for": Reader(f"{_QUERIES} --passages {{input}}.jsonl", _passages),
    "prompt, to write questions with": Reader(
        f"{_QUERIES} --passages {{shared}}/passages.jsonl --prompt {{input}}.txt", _prompt
    ),
    "word list, TSV": Reader(f"{_SWITCH}{{input}}.tsv", _words),
    "word list of dictd": Reader(f"{_SWITCH}{{input}}/list.index", _dictd),
    "word list, TEI": Reader(f"{_SWITCH}{{input}}.tei", _tei),
    "recipe": Reader("recipe show {input}.yaml", _recipe, writes=False),
    "model folder": Reader("evaluate --model {input} --data {shared}/collection --no-cache", _model),
    "results, to compare": Reader("compare {shared}/results {input}", _results, writes=False),
    "results, to report": Reader("report {shared}/results {input} --data {shared}/collection", _results),
}


def call(arguments: list[str]) -> tuple[int, str, str]:
    """Run a command in this process: exit code, standard output, standard error."""
    from clear_ir.cli.app import main

    out, err = io.StringIO(), io.StringIO()
    before, sys.argv = sys.argv, ["clear-ir", *arguments]
    code = 0
    try:
        with redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # here they would be errors
            main()
    except SystemExit as ended:
        code = int(ended.code or 0)
    finally:
        sys.argv = before
    return code, out.getvalue(), err.getvalue()


@st.composite
def damages(draw: st.DrawFn) -> Callable[[bytes], bytes | None]:
    """One kind of damage: of a file's bytes, other bytes; None removes the file."""
    place = draw(st.floats(0, 1, exclude_max=True))
    byte, times = draw(st.integers(1, 255)), draw(st.sampled_from([0, 2]))
    inserted, encoding = draw(st.sampled_from(ODD_BYTES)), draw(st.sampled_from(ENCODINGS))
    value = draw(st.sampled_from(["remove", *ODD_VALUES]))
    deep = draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=6, max_size=6))
    whole = draw(st.sampled_from([None, b"", b"\n", b"{}", b"[]", b"null\n", b"x", b"version https://git-lfs\n"]))
    kinds: dict[str, Callable[[bytes], bytes | None]] = {
        "cut": lambda data: data[: int(place * len(data))],
        "flip": lambda data: _spliced(data, place, bytes([(data or b"x")[int(place * len(data))] ^ byte]), 1),
        "insert": lambda data: _spliced(data, place, inserted, 0),
        "line": lambda data: _with_line(data, place, times),
        "value": lambda data: _with_value(data, place, deep, value),
        "encoding": lambda data: data.decode("utf-8", "replace").encode(encoding, "replace"),
        "whole": lambda data: whole,
    }
    return kinds[draw(st.sampled_from([*kinds, "value", "value"]))]


def _spliced(data: bytes, place: float, inserted: bytes, removed: int) -> bytes:
    at = int(place * len(data))
    return data[:at] + inserted + data[at + removed :]


def _with_line(data: bytes, place: float, times: int) -> bytes:
    lines = data.splitlines(keepends=True)
    if lines:
        at = int(place * len(lines))
        lines[at : at + 1] = [lines[at]] * times
    return b"".join(lines)


def _with_value(data: bytes, place: float, deep: list[float], value: Any) -> bytes:
    """JSON or JSON Lines with one value changed or removed; other files with a field changed."""
    lines = data.splitlines(keepends=True) or [b""]
    at = int(place * len(lines))
    for part in (lines[at], data):
        try:
            document = json.loads(part)
        except ValueError:
            continue
        changed = json.dumps(_changed(document, deep, value)).encode() + b"\n"
        return b"".join([*lines[:at], changed, *lines[at + 1 :]]) if part is lines[at] and len(lines) > 1 else changed
    for separator in (b"\t", b",", b": "):
        if separator in lines[at]:
            fields = lines[at].rstrip(b"\n").split(separator)
            field = int(deep[0] * len(fields))
            fields[field : field + 1] = [] if value == "remove" else [str(value).encode("utf-8", "surrogatepass")]
            return b"".join([*lines[:at], separator.join(fields), b"\n", *lines[at + 1 :]])
    return data


def _changed(document: Any, deep: list[float], value: Any) -> Any:
    """A document in which something at a drawn depth is another value, or is gone."""
    if not deep or not isinstance(document, dict | list) or not document or deep[0] < 0.1:
        return None if value == "remove" else value
    document = document.copy()
    keys = list(document) if isinstance(document, dict) else range(len(document))
    key = keys[int(deep[0] * len(keys))]
    if value == "remove" and deep[-1] < 0.5:
        del document[key]
    else:
        document[key] = _changed(document[key], deep[1:], value)
    return document


def check_reader(name: str, shared: Path, folder: Path, count: int) -> Counter[str]:
    """Give a reader so many damaged inputs, drawn the same each time.

    Args:
        name: One of `READERS`.
        shared: Folder of shared inputs, with the model `tiny`.
        folder: An empty folder.
        count: Number of damaged inputs.

    Returns:
        How many were refused, and how many were still valid.
    """
    reader, outcomes = READERS[name], Counter[str]()
    valid, damaged = folder / "valid", folder / "damaged"
    endpoint = _endpoint() if "{endpoint}" in reader.arguments else ""
    arguments = reader.arguments.format(input=damaged / "in put", shared=shared, endpoint=endpoint)
    suffix = reader.arguments.partition("{input}")[2].split(" ")[0]
    valid.mkdir()
    reader.make(valid / f"in put{suffix}", shared)
    files = sorted(p.relative_to(valid) for p in valid.rglob(reader.damaged) if p.is_file())
    words = [*_split(arguments, damaged), *(["--out", str(folder / "out" / "new")] if reader.writes else [])]

    @settings(
        max_examples=count, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(st.sampled_from(files), st.lists(damages(), min_size=1, max_size=2), st.integers(0, 39))
    def check(file: Path, changes: list[Callable[[bytes], bytes | None]], as_folder: int) -> None:
        shutil.rmtree(damaged, ignore_errors=True)
        shutil.rmtree(folder / "out", ignore_errors=True)
        shutil.copytree(valid, damaged)
        data: bytes | None = (damaged / file).read_bytes()
        for change in changes:
            data = change(data) if data is not None else None
        (damaged / file).unlink()
        if as_folder == 0:
            (damaged / file).mkdir()
        elif data is not None:
            (damaged / file).write_bytes(data)
        code, _, err = call(words)
        if code == 0:
            outcomes["still valid"] += 1
            return
        *above, sentence = [line for line in err.splitlines() if line.strip()] or [""]
        assert code == 2, f"{code}: {err}"
        assert sentence.startswith("clear-ir: "), err
        assert not [line for line in above if "%|" not in line], err
        assert not (folder / "out").exists(), f"something was written: {list((folder / 'out').rglob('*'))}"
        assert sorted(p.relative_to(damaged) for p in damaged.rglob("*") if p.is_file()) == sorted(
            p.relative_to(valid) for p in valid.rglob("*") if p.is_file() and (damaged / p.relative_to(valid)).is_file()
        ), "something was written beside the input"
        outcomes["refused"] += 1

    check()
    return outcomes


def _split(arguments: str, damaged: Path) -> Iterator[str]:
    """The words of a command; the damaged input's name has a space."""
    for word in arguments.replace("in put", "in\0put").split(" "):
        yield word.replace("\0", " ")
