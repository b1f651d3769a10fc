"""The command that comes after a command, ready to paste: real paths, the model and recipe that were used, quoted.

A word in capitals, such as MODEL, stands for what the program cannot know.
"""

from __future__ import annotations

import itertools
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

#: The folders that `clear-ir prepare` makes beside the rows.
COLLECTION = "collection"
DEV_COLLECTION = Path("dev", COLLECTION)


def command(name: str, /, *arguments: object, **options: object) -> str:
    """A command of clear-ir, quoted for the shell. Every command that is printed is built here.

    Args:
        name: Name of the command.
        arguments: Its arguments.
        options: Values by option, with `_` for `-`. None and False leave the option out, True gives it alone, a list
            repeats it.

    Returns:
        The command.
    """
    words = ["clear-ir", name, *map(_word, arguments)]
    for option, given in options.items():
        for value in given if isinstance(given, list) else [given]:
            if value is not None and value is not False:
                words.append(f"--{option.replace('_', '-')}")
                words += [] if value is True else [_word(value)]
    return shlex.join(words)


def _word(value: object) -> str:
    """A value that cannot be taken for an option."""
    text = str(value)
    return f"./{text}" if text.startswith("-") else text


def _first_free(path: Path) -> Path:
    """The path, or the first of `path-2`, `path-3`, ... that is not taken."""
    names = (path if number == 1 else path.with_name(f"{path.name}-{number}") for number in itertools.count(1))
    return next(name for name in names if not name.exists())


def after_prepare(out: Path, has_rows: bool = True) -> str:
    """The command after `clear-ir prepare`."""
    if has_rows:
        return command("mine", model="MODEL", rows=out / "rows.jsonl", out=out / "train.jsonl")
    return command("evaluate", model="MODEL", data=out / COLLECTION, out=out / "results" / "base")


def after_translate(out: Path) -> str:
    """The command after `clear-ir translate`: one that holds out rows to test on."""
    return command("prepare", "rows", rows=out, out=_first_free(out.parent / f"{out.name.removesuffix('.jsonl')}-data"))


def after_mine(out: Path, used: Mapping[str, object]) -> str:
    """The command after `clear-ir mine`.

    Args:
        out: The training rows.
        used: The options that named the model: `model`, `recipe`, `trust_remote_code`.
    """
    return command("train", **used, rows=out, out=_first_free(out.parent / "model"))


def after_train(out: Path, rows: Path, used: Mapping[str, object]) -> str:
    """The command after `clear-ir train`.

    Args:
        out: The model folder.
        rows: The training rows. What `clear-ir prepare` made may lie beside them.
        used: Further options: `recipe`, `trust_remote_code`.
    """
    data = rows.parent / COLLECTION
    return _evaluate(str(out), data if data.is_dir() else "COLLECTION", out, used)


def after_align(out: Path, rows: Path | None, data: Path | None, used: Mapping[str, object]) -> str:
    """The command after `clear-ir align`.

    Args:
        out: The model folder.
        rows: The rows that were fitted on; None if there were none.
        data: The dev collection; None if the rows themselves chose.
        used: Further options: `recipe`, `trust_remote_code`.
    """
    return after_train(out, rows, used) if rows else after_merge(out, data, used)


def after_merge(out: Path, data: Path | None, used: Mapping[str, object]) -> str:
    """The command after `clear-ir merge`.

    Args:
        out: The model folder.
        data: The collection by which the weight was chosen. The test collection may lie beside it.
        used: Further options: `recipe`, `trust_remote_code`.
    """
    is_dev = data is not None and data.parts[-2:] == DEV_COLLECTION.parts
    test = data.parent.parent / COLLECTION if data and is_dev else None
    return _evaluate(str(out), test if test and test.is_dir() else "COLLECTION", out, used)


def _evaluate(model: str, data: object, out: Path, used: Mapping[str, object]) -> str:
    return command("evaluate", model=model, data=data, out=_first_free(out.parent / "results" / out.name), **used)


def base_of(model: str) -> str | None:
    """The encoder from which a model folder was made; None if clear-ir did not make it."""
    base = _made_of(model).get("base")
    return None if base is None else str(base)


def _made_of(model: str) -> dict[str, Any]:
    """From which encoder a model folder was made, by what and how; empty if clear-ir did not make it."""
    import yaml

    from clear_ir.align.model_folder import ALIGN_FILE
    from clear_ir.merge.interpolation import MERGE_FILE
    from clear_ir.train.run_folder import RECIPE_FILE

    readers: tuple[tuple[str, Callable[[str], Any], Callable[[Any], dict[str, Any]]], ...] = (
        (MERGE_FILE, json.loads, _merge_of),
        (ALIGN_FILE, json.loads, _alignment_of),
        (RECIPE_FILE, yaml.safe_load, _training_of),
    )
    for file, read, facts in readers:
        try:
            made = facts(read((Path(model) / file).read_text(encoding="utf-8")))
            json.dumps(made)  # a file that was edited may hold what results cannot, such as a date
            return made
        except (OSError, ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
            continue
    return {}


def _merge_of(made: dict[str, Any]) -> dict[str, Any]:
    recipe = {"merge": {"model": made.get("model"), "weight": made["weight"]}}
    return {"base": made["base"], "made_by": f"merged, share {made['weight']:g}", "recipe": recipe}


def _alignment_of(made: dict[str, Any]) -> dict[str, Any]:
    return {
        "base": made["base"],
        "made_by": f"aligned by {made['method']}, without training",
        "recipe": {"align": made.get("settings")},
        "texts_by_language": made.get("texts_by_language"),
    }


def _training_of(made: dict[str, Any]) -> dict[str, Any]:
    settings = made.get("train") or {}
    side = ", queries alone" if settings.get("side") == "queries" else ""
    how = f"trained with the loss {settings.get('loss', 'clear')}{side}"
    return {"base": made["model"], "made_by": how, "recipe": {"train": settings}}


def origin_of(model: str, data: Path, trust_remote_code: bool, truncate_dim: int | None = None) -> dict[str, Any]:
    """What `clear-ir evaluate` was told, to be kept with the results: the commands after it name it."""
    origin = {"model": model, "data": str(data)} | _made_of(model)
    cut = {"truncate_dim": truncate_dim} if truncate_dim else {}
    return origin | cut | ({"trust_remote_code": True} if trust_remote_code else {})


def after_evaluate(out: Path, used: Mapping[str, object]) -> str:
    """The command after `clear-ir evaluate`: the base, if it lacks results beside these, else the comparison.

    Args:
        out: The results folder.
        used: The options that the base is evaluated with: `data`, `split`, `recipe` and others.
    """
    results = _read_document(out)
    origin, name = results["origin"], results["model_name"]
    beside = [
        (folder, other)
        for folder, other in _results_beside(out)
        if other["dataset_revision"] == results["dataset_revision"]
        and other["scores"].keys() == results["scores"].keys()
        and other["model_name"] != name
        and other["origin"].get("truncate_dim") == origin.get("truncate_dim")
    ]
    if base := origin.get("base"):
        for folder, other in beside:
            if _same(other["origin"].get("model"), base):
                return command("compare", folder, out)
        # Two models of one name cannot be compared.
        other_name = "base" if Path(base).name == name else None
        return command("evaluate", model=base, out=_first_free(out.parent / "base"), name=other_name, **used)
    adapted = [folder for folder, other in beside if _same(other["origin"].get("base"), origin["model"])]
    return command("compare", out, *adapted) if adapted else command("compare", out, "RESULTS")


def after_compare(folders: Sequence[Path], origin: Mapping[str, Any]) -> str:
    """The command after `clear-ir compare`.

    Args:
        folders: The results folders, the base first.
        origin: Of the base's results.
    """
    base = folders[0]
    place = (base.parent.parent if base.parent.name == "results" else base.parent) / "report"
    return command("report", *folders, data=_existing(origin.get("data")) or "COLLECTION", out=_first_free(place))


def after_report(base: Mapping[str, Any], others: Sequence[Mapping[str, Any]], data: Path | None) -> str | None:
    """The command after `clear-ir report`: a merge, which wins back English, of the first trained model and its base.

    Without such a model it is the demo of the first adapted one beside its base.

    Args:
        base: Origin of the base's results.
        others: Origins of the other results.
        data: The collection. A dev collection may lie beside it.

    Returns:
        The command; None if no model was made from the base.
    """
    from clear_ir.align.model_folder import ALIGN_FILE
    from clear_ir.merge.interpolation import MERGE_FILE

    adapted = [(other, Path(other["model"])) for other in others if _is_made_from(other, base)]
    for other, model in adapted:
        if any((model / file).exists() for file in (MERGE_FILE, ALIGN_FILE)):
            continue
        test = data or _existing(other.get("data"))
        dev = Path(test).parent / DEV_COLLECTION if test else None
        return command(
            "merge",
            other["base"],
            model,
            data=dev if dev and dev.is_dir() else "DEV_COLLECTION",
            out=_first_free(model.parent / f"{model.name}-merged"),
            trust_remote_code=other.get("trust_remote_code"),
        )
    if not adapted:
        return None
    other, model = adapted[0]
    collection = data or _existing(other.get("data")) or "COLLECTION"
    remote = other.get("trust_remote_code")
    return command("demo", model=[other["base"], model], data=collection, trust_remote_code=remote)


def _is_made_from(other: Mapping[str, Any], base: Mapping[str, Any]) -> bool:
    """Whether results are of a model folder that is there and was made from the encoder of the base's results."""
    model = _existing(other.get("model"))
    return model is not None and Path(model).is_dir() and _same(other.get("base"), base.get("model"))


def _existing(path: Any) -> str | None:
    """A path that was noted earlier, if it is still there: a relative one may be of another folder."""
    return str(path) if path and Path(path).exists() else None


def _same(one: str | None, other: str | None) -> bool:
    """Whether two names are of one encoder."""
    return bool(one and other) and (one == other or Path(str(one)).resolve() == Path(str(other)).resolve())


def _results_beside(out: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    from clear_ir.evaluate.results import RESULTS_FILE

    for file in sorted(out.parent.glob(f"*/{RESULTS_FILE}")):
        if file.parent != out and (document := _read_document(file.parent)).get("origin"):
            yield file.parent, document


def _read_document(folder: Path) -> dict[str, Any]:
    """`results.json` alone, without the scores of each query; empty if it is damaged."""
    from clear_ir.evaluate.results import RESULTS_FILE

    try:
        document = json.loads((folder / RESULTS_FILE).read_text(encoding="utf-8"))
        return document if {"origin", "dataset_revision", "scores", "model_name"} <= document.keys() else {}
    except (OSError, ValueError, AttributeError):
        return {}
