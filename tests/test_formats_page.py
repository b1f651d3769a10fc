"""docs/formats.md names every field of the files that the stages hand each other, and its recipe is one."""

import json
import re
from pathlib import Path

import pytest
from tiny import WORDS

from clear_ir.data.files import read_jsonl
from clear_ir.data.output_files import write_jsonl
from clear_ir.evaluate.measures import find_measure
from clear_ir.recipes.recipe import load_recipe

PAGE = (Path(__file__).resolve().parent.parent / "docs" / "formats.md").read_text()
IN_CODE = {name for code in re.findall(r"`([^`\n]+)`", PAGE) for name in (code, *re.split(r"[, ]+", code))}
#: Groups of fields that the page describes by one pattern.
PATTERNS = re.compile(r"clear/\w+|eval_.*|train_.*_per_second|total_flos|negative_\d+|neg_query_\d+|\w+_median")


def not_described(*documents):
    """The fields of documents, and of what is in their lists, that the page lacks."""
    fields = set()
    for document in documents:
        fields |= document.keys()
        for value in document.values():
            items = value if isinstance(value, list) else []
            fields |= {name for item in items if isinstance(item, dict) for name in item}
    return {name for name in fields - IN_CODE if not (PATTERNS.fullmatch(name) or find_measure(name))}


@pytest.fixture
def made(tmp_path, tiny_folder, run):
    """What each command wrote or printed, by name."""

    def sentence(number, count=5):
        return " ".join(WORDS[(number * 7 + k) % len(WORDS)] for k in range(count))

    rows = [
        {"query": sentence(i), "passage": sentence(i + 40, 8), "cross_query": sentence(i + 20), "lang": "sw"}
        for i in range(40)
    ]
    write_jsonl(tmp_path / "rows.jsonl", rows)
    write_jsonl(tmp_path / "pairs.jsonl", [{"english": "river", "translation": "mto", "lang": "sw"}])
    data, base, other = tmp_path / "data", tmp_path / "base", tmp_path / "other"
    model = tmp_path / "model"

    def called(*arguments):
        code, out, err = run(*arguments)
        assert code == 0, err
        return out

    called("prepare", "rows", "--rows", tmp_path / "rows.jsonl", "--out", data)
    mined = called("mine", "--model", tiny_folder, "--rows", data / "rows.jsonl", "--out", data / "train.jsonl",
                   "--num-negatives", "1", "--range-min", "1", "--json")  # fmt: skip
    called("train", "--model", tiny_folder, "--rows", data / "train.jsonl", "--out", model, "--max-steps", "2",
           "--batch-size", "8", "--precision", "fp32", "--distil-steps", "1", "--translations",
           tmp_path / "pairs.jsonl")  # fmt: skip
    evaluated = called("evaluate", "--model", tiny_folder, "--data", data / "collection", "--out", base, "--json")
    called("evaluate", "--model", model, "--data", data / "collection", "--out", other)
    compared = called("compare", base, other, "--json")
    called("report", base, other, "--out", tmp_path / "report")
    merged = called("merge", tiny_folder, model, "--data", data / "collection", "--out", tmp_path / "merged",
                    "--weights", "0,0.5", "--json")  # fmt: skip
    aligned = called("align", "--model", tiny_folder, "--rows", data / "rows.jsonl", "--out", tmp_path / "aligned",
                     "--method", "map", "--json")  # fmt: skip
    printed = {"mine": mined, "evaluate": evaluated, "compare": compared, "merge": merged, "align": aligned}
    return tmp_path, printed


@pytest.mark.filterwarnings("ignore")  # of the trainer
def test_every_field_is_described(made):
    folder, printed = made
    documents = {name: json.loads(text) for name, text in printed.items()}
    files = {name: json.loads((folder / name).read_text()) for name in (
        "data/prepared.json", "base/results.json", "base/map.json", "report/comparison.json", "merged/merge.json",
        "aligned/align.json",
    )}  # fmt: skip
    assert files["report/comparison.json"] == documents["compare"]
    for name, document in files.items():
        assert not not_described(document), name
    [entries] = files["base/results.json"]["scores"].values()
    assert not not_described(*entries)
    assert not not_described(documents["merge"])
    assert not not_described(documents["align"], *documents["align"]["tried"])
    evaluated = documents["evaluate"]
    assert not not_described(evaluated, *evaluated["directions"].values(), *evaluated["summaries"].values())
    assert documents["mine"].keys() >= {"left out", "out"}
    for name in ("data/rows.jsonl", "data/train.jsonl", "base/per_query.jsonl", "other/train_log.jsonl",
                 "data/collection/corpus.jsonl", "data/collection/queries.jsonl"):  # fmt: skip
        for _, record in read_jsonl(folder / name):
            assert not not_described(record), name


def test_the_recipe_on_the_page_is_one(tmp_path):
    [recipe] = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
    (tmp_path / "recipe.yaml").write_text(recipe)
    loaded = load_recipe(str(tmp_path / "recipe.yaml"))
    assert (loaded.encode.precision, loaded.train.epochs, loaded.merge.max_english_loss) == ("bf16", 5, 1)
    assert set(type(loaded).model_fields) <= IN_CODE
