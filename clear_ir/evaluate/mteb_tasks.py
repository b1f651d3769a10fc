"""mteb's tasks by our terms: chosen by language, with our names for languages and directions."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

from clear_ir.data.directions import Direction
from clear_ir.data.files import InputError

#: Which side mteb's metadata name first where a subset has two languages. docs/mteb.md says how each was checked.
PASSAGE_FIRST = ("BelebeleRetrieval", "MLQARetrieval", "XPQARetrieval")
QUERY_FIRST = ("CUREv1", "mFollowIRCrossLingual")

# Single languages that go by the two-letter code of their macrolanguage.
_SINGLE = {
    "als": "sq", "arb": "ar", "ayr": "ay", "azj": "az", "cmn": "zh", "ekk": "et", "fuv": "ff", "gaz": "om", "khk": "mn",
    "lvs": "lv", "npi": "ne", "ory": "or", "pbt": "ps", "pes": "fa", "plt": "mg", "swh": "sw", "uzn": "uz", "ydd": "yi",
    "zsm": "ms",
}  # fmt: skip
# Scripts that mean no other writing than the one that mteb has as the language's usual one.
_ALSO_USUAL = ("jpn-Hira", "kor-Kore", "orm-Latn")


def select_tasks(names: Sequence[str], langs: Sequence[str] | None = None, split: str | None = None) -> list[Any]:
    """Tasks of mteb, cut down to some languages.

    Args:
        names: Names of tasks.
        langs: See :func:`evaluate_mteb`.
        split: See :func:`evaluate_mteb`.

    Returns:
        Tasks for ``mteb.evaluate``.

    Raises:
        InputError: If a task or its split is unknown, it is no retrieval task for text, or nothing of it is in the
            languages.
    """
    mteb = load_mteb("Evaluating its tasks")
    wanted = {code_of(lang): lang for lang in langs or []}
    tasks, seen = [], set()
    for name in dict.fromkeys(names):
        metadata = _metadata(name)
        if split and split not in metadata.eval_splits:
            raise InputError(f"{name} has no split {split!r}; choose among {', '.join(metadata.eval_splits)}.")
        of = {subset: {code_of(lang) for lang in its} for subset, its in metadata.hf_subsets_to_langscripts.items()}
        known = set().union(*of.values())
        seen |= known
        kept = [subset for subset, its in of.items() if not wanted or its <= set(wanted)]
        if not kept:
            raise InputError(
                f"{name} has no subset within the languages {', '.join(wanted.values())}; it has {_some(known)}."
            )
        tasks.append(mteb.get_task(name, hf_subsets=kept, eval_splits=[split] if split else None))
    if wanted and (missing := [lang for code, lang in wanted.items() if code not in seen]):
        raise InputError(f"{', '.join(missing)}: in none of {', '.join(names)}; they have {_some(seen)}.")
    return tasks


def _some(codes: Iterable[str], most: int = 20) -> str:
    shown = sorted(codes)
    return ", ".join(shown[:most]) + (f" and {len(shown) - most} more" if len(shown) > most else "")


def _metadata(name: str) -> Any:
    mteb = load_mteb("Evaluating its tasks")
    from mteb.abstasks import AbsTaskRetrieval

    try:
        task = mteb.get_task(name)
    except KeyError:
        known = [other.metadata.name for other in mteb.get_tasks(task_types=["Retrieval"])]
        lowered = {other.lower(): other for other in known}
        near = [lowered[match] for match in difflib.get_close_matches(name.lower(), lowered, n=3, cutoff=0.5)]
        near += [other for other in known if name.lower() in other.lower() and other not in near][: 3 - len(near)]
        hint = f"near it are {', '.join(near)}" if near else "mteb.get_tasks(task_types=['Retrieval']) lists them"
        raise InputError(f"mteb has no task {name!r}; {hint}.") from None
    if not isinstance(task, AbsTaskRetrieval) or set(task.metadata.modalities) != {"text"}:
        raise InputError(f"{name} is no retrieval task for text; choose one, or run it with mteb itself.")
    return task.metadata


def direction_of(task: str, subset: str) -> Direction | None:
    """Our direction for a subset of one of mteb's tasks.

    Args:
        task: The task's name.
        subset: The subset's name, ``default`` where the task has only one.

    Returns:
        The direction, with two-letter codes where a language has one and the script where it is not the usual one
        (``zh-Hant``); None where a subset has several languages and it is not known on which side they are.

    Raises:
        InputError: If mteb is missing, the task or its subset is unknown, or it is no retrieval task for text.
    """
    metadata = _metadata(task)
    if subset not in metadata.hf_subsets_to_langscripts:
        near = difflib.get_close_matches(subset, metadata.hf_subsets_to_langscripts, n=3, cutoff=0.5)
        hint = f"near it are {', '.join(near)}" if near else f"it has {_some(metadata.hf_subsets_to_langscripts, 5)}"
        raise InputError(f"{task} has no subset {subset!r}; {hint}.")
    return direction_in(metadata, subset, {})


def direction_in(metadata: Any, subset: str, names: dict[str, str]) -> Direction | None:
    """As :func:`direction_of`, from a task's metadata.

    Args:
        metadata: Of the task.
        subset: One of its subsets.
        names: What to call languages by their code; others keep it.

    Returns:
        The direction, if it is known.
    """
    codes = [code_of(lang) for lang in metadata.hf_subsets_to_langscripts[subset]]
    first, last = (names.get(code, code) for code in (codes[0], codes[-1]))
    if len(set(codes)) == 1:
        return Direction(first, first)
    if metadata.name in PASSAGE_FIRST:
        return Direction(last, first)
    return Direction(first, last) if metadata.name in QUERY_FIRST else None


def load_mteb(what: str) -> Any:
    """Import mteb.

    Args:
        what: What needs it, to begin the error's sentence.

    Returns:
        The module.

    Raises:
        InputError: If it is not installed.
    """
    try:
        import mteb
    except ModuleNotFoundError as error:
        raise InputError(f"{what} needs mteb ({error.name} is missing); pip install 'clear-ir[mteb]'") from None
    return mteb


@lru_cache
def _language_data(name: str) -> dict[str, str]:
    from importlib.resources import files

    names: dict[str, str] = json.loads((files("mteb.languages") / f"{name}.json").read_text(encoding="utf-8"))
    return names


def code_of(lang: str) -> str:
    """Our code of a language in any spelling: ``de`` for ``deu``, ``deu-Latn`` and ``deu_Latn``."""
    base, _, script = lang.replace("_", "-").partition("-")
    short = {long: short for short, long in _language_data("iso_639_1_to_3").items()} | _SINGLE
    long = _language_data("iso_639_1_to_3").get(base, base)
    usual = _language_data("iso_639_3_to_default_script").get(long, script)
    code = short.get(base, base)
    return code if not script or script == usual or f"{long}-{script}" in _ALSO_USUAL else f"{code}-{script}"


def langscript_of(lang: str) -> str:
    """Mteb's code of a language: ``deu-Latn`` for ``de``; undetermined where mteb does not know it."""
    base, _, script = lang.replace("_", "-").partition("-")
    long = _language_data("iso_639_1_to_3").get(base, base)
    script = script or _language_data("iso_639_3_to_default_script").get(long, "")
    known = long in _language_data("iso_639_3_to_language") and script in _language_data("iso_15924_to_script")
    return f"{long}-{script}" if known else "und-Zyyy"
