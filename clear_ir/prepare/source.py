"""Where data sets come from: a folder of files, or a name on the Hugging Face hub."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from clear_ir.data.files import InputError, is_path, reason_of


def is_local(data: Path | str) -> bool:
    """Whether `data` is a path rather than a name on the hub.

    Args:
        data: A path, or a hub name such as `google/xquad`.

    Returns:
        True unless it is `owner/name` and there is no folder `owner` here.
    """
    return is_path(data) or "/" not in str(data)


def hub_records(name: str, config: str | None, split: str) -> list[dict[str, Any]]:
    """The records of a data set on the hub. The library `datasets` loads them; no code of the data set is run.

    Args:
        name: Name on the hub, such as `google/xquad`, or a folder that `datasets` understands.
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
    client.setLevel(logging.CRITICAL)  # The client logs every attempt; the error of the last attempt is enough.
    try:
        return list(load_dataset(name, config, split=split))
    except Exception as error:  # The hub's client and the readers of files raise errors of many types.
        reason = reason_of(error)
        shown = f"{name} ({config})" if config else name
        raise InputError(
            f"The data set {shown} cannot be loaded: {reason.rstrip('.')}; without a network, download its files and "
            "give their folder.",
            "data",
        ) from error
    finally:
        client.setLevel(level)
        enable_progress_bars()


def read_squad(path: Path) -> list[list[dict[str, Any]]]:
    """Read a file in SQuAD's format.

    Args:
        path: `{"data": [{"paragraphs": [{"context", "qas": [{"id", "question", ...}]}]}]}`.

    Returns:
        The paragraphs of each article.

    Raises:
        InputError: If the file is missing or has another format.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        articles = [article["paragraphs"] for article in document["data"]]
        for paragraphs in articles:
            for paragraph in paragraphs:
                _ = paragraph["context"], [(question["id"], question["question"]) for question in paragraph["qas"]]
        return articles
    except FileNotFoundError:
        raise InputError(f"{path} does not exist; check the folder and the languages.", "data", "langs") from None
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is no SQuAD JSON file ({type(error).__name__}: {error}); download it again."
        ) from None


def squad_from_records(records: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Records of single questions as one article in SQuAD's format.

    Args:
        records: Each with `id`, `context` and `question`. Neighbours with equal context share a paragraph.

    Returns:
        A list like that of `read_squad`, with one article.
    """
    paragraphs: list[dict[str, Any]] = []
    for record in records:
        if not paragraphs or paragraphs[-1]["context"] != record["context"]:
            paragraphs.append({"context": record["context"], "qas": []})
        paragraphs[-1]["qas"].append(record)
    return [paragraphs]
