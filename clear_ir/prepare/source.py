"""Where data sets come from: files on this machine, or a name on the Hugging Face hub."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from clear_ir.data.files import InputError


def is_local(data: Path | str) -> bool:
    """Whether ``data`` is to be read from this machine.

    Args:
        data: A path, or a hub name such as ``google/xquad``.

    Returns:
        True for what exists here, and for all that cannot be a hub name.
    """
    text = str(data)
    return Path(data).exists() or text.count("/") != 1 or text.startswith((".", "/", "~"))


def hub_records(name: str, config: str | None, split: str) -> list[dict[str, Any]]:
    """The records of a data set on the hub, loaded by ``datasets`` without running code of its own.

    Args:
        name: Such as ``google/xquad``, or a folder that ``datasets`` understands.
        config: One of its configurations.
        split: One of its splits.

    Returns:
        The records.

    Raises:
        InputError: If there is no network, or no such data set, configuration or split.
    """
    from datasets import disable_progress_bars, enable_progress_bars, load_dataset

    disable_progress_bars()
    client = logging.getLogger("huggingface_hub")
    level = client.level
    client.setLevel(logging.CRITICAL)  # it reports every attempt; the last one's error says it all
    try:
        return list(load_dataset(name, config, split=split))
    except Exception as error:  # whatever the hub's client and the files' readers may raise
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        of = f"{name} ({config})" if config else name
        raise InputError(
            f"The data set {of} cannot be loaded: {reason.rstrip('.')}; without a network, download its files and "
            "give their folder."
        ) from error
    finally:
        client.setLevel(level)
        enable_progress_bars()


def read_squad(path: Path) -> list[list[dict[str, Any]]]:
    """Read a file in SQuAD's format.

    Args:
        path: ``{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", ...}]}]}]}``.

    Returns:
        For each article its paragraphs.

    Raises:
        InputError: If the file is missing or is no such file.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        articles = [article["paragraphs"] for article in document["data"]]
        for paragraphs in articles:
            for paragraph in paragraphs:
                _ = paragraph["context"], [(question["id"], question["question"]) for question in paragraph["qas"]]
        return articles
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check --data and --langs.") from None
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(f"{path} is no SQuAD JSON file ({type(error).__name__}: {error}); get it again.") from None


def squad_from_records(records: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Flat question records as one article of SQuAD's format, neighbours with equal context in one paragraph.

    Args:
        records: Each with ``id``, ``context`` and ``question``.

    Returns:
        As :func:`read_squad` gives it.
    """
    paragraphs: list[dict[str, Any]] = []
    for record in records:
        if not paragraphs or paragraphs[-1]["context"] != record["context"]:
            paragraphs.append({"context": record["context"], "qas": []})
        paragraphs[-1]["qas"].append(record)
    return [paragraphs]


def check_langs(name: str, wanted: list[str], known: list[str], where: Path | str) -> list[str]:
    """The languages asked for, English first; ``all`` means all known.

    Args:
        name: The data set's name, for the error.
        wanted: Languages asked for.
        known: Those there are.
        where: Where they are, for the error.

    Returns:
        The languages, each once.

    Raises:
        InputError: If one is unknown, or there are none at all.
    """
    if not known:
        raise InputError(f"{where} holds no files of {name}; check --data.")
    chosen = known if wanted == ["all"] else wanted
    chosen = list(dict.fromkeys(["en", *chosen]))
    for lang in chosen:
        if lang not in known:
            raise InputError(f"{name} in {where} has no language {lang!r}; choose among {', '.join(known)}.")
    return chosen
