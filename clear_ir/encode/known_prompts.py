"""Prompts that a model's card demands but its files may not hold, by the name of the model."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clear_ir.data.files import InputError, parse_yaml

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

_SEARCHING: dict[str, str | None] = {
    "query": "Represent this sentence for searching relevant passages: ",
    "document": "",
}

#: Names of the models of a family, without the owner, and the family's prompts. Source: the models' cards.
FAMILIES: dict[str, dict[str, str | None]] = {
    r"(multilingual-)?e5-(small|base|large)(-v2)?": {"query": "query: ", "document": "passage: "},
    r"bge-(small|base|large)-en(-v1\.5)?": _SEARCHING,
    r"bge-(small|base|large)-zh(-v1\.5)?": {"query": "为这个句子生成表示以用于检索相关文章：", "document": ""},
    r"snowflake-arctic-embed-(xs|s|m|l|m-long|m-v1\.5)": _SEARCHING,
    r"snowflake-arctic-embed-(m|l)-v2\.0": {"query": "query: ", "document": ""},
    r"qwen3-embedding-[\d.]+b": {
        "query": "Instruct: Given a web search query, retrieve relevant passages that answer the query\nQuery:",
        "document": "",
    },
    r"embeddinggemma-300m": {"query": "task: search result | query: ", "document": "title: none | text: "},
}

logger = logging.getLogger(__name__)


def family_prompts(name: str) -> dict[str, str | None]:
    """The prompts of the family that a model belongs to.

    Args:
        name: Its name, with or without the owner: `intfloat/multilingual-e5-small`.

    Returns:
        `{"query": ..., "document": ...}`, empty for other models.
    """
    own_name = name.rstrip("/").rpartition("/")[2].lower()
    return next((dict(prompts) for names, prompts in FAMILIES.items() if re.fullmatch(names, own_name)), {})


def add_known_prompts(model: SentenceTransformer, name: str) -> None:
    """Give an encoder the prompts that its card demands if its files do not hold any.

    A folder is recognised by its place in the hub's cache, by the model's name in its card, or, with a notice, by its
    own name. A model that was adapted from one of the family keeps its files' prompts, because it may have been trained
    without any; a notice says so.

    Args:
        model: The encoder. If it has prompts, it keeps them; that of passages is made that of documents.
        name: Its name on the hub, or its folder.
    """
    if any(model.prompts.values()):
        _use_passage_prompt(model, name)
        return
    folder = Path(name)
    if not folder.is_dir():
        model.prompts = family_prompts(name) or model.prompts
        return
    card = head_of_card(folder)
    for base in map(str, as_list(card.get("base_model"))):
        if family_prompts(base):
            advice = "if it was trained with them, add them to config_sentence_transformers.json"
            logger.warning("%s has no prompts, though its base %s has; %s.", name, base, advice)
            return
    in_cache = [part.rpartition("--")[2] for part in folder.resolve().parts if part.startswith("models--")]
    in_card = [str(entry.get("name")) for entry in as_list(card.get("model-index")) if isinstance(entry, dict)]
    for known in (*in_cache, *in_card):
        if prompts := family_prompts(known):
            model.prompts = prompts
            return
    if prompts := family_prompts(folder.resolve().name):
        logger.warning("%s has no prompts; it gets those of the model that its name says: %s.", name, prompts)
        model.prompts = prompts


def _use_passage_prompt(model: SentenceTransformer, name: str) -> None:
    """Make the prompt named `passage` or `corpus` that of documents, if these have none of their own.

    sentence-transformers gives each model that it loads an empty prompt named `document`, which `encode_document` then
    takes.
    """
    other = next((other for other in ("passage", "corpus") if model.prompts.get(other)), None)
    if other and not model.prompts.get("document"):
        model.prompts["document"] = model.prompts[other]
        logger.warning(
            "%s has its prompt for passages, %r, under the name %s. It is used; sentence-transformers' encode_document "
            "needs it under the name document.",
            name,
            model.prompts[other],
            other,
        )


def head_of_card(folder: Path) -> dict[str, Any]:
    """What the head of a model's README.md says, empty if there is none or it cannot be read.

    Args:
        folder: The model folder.
    """
    try:
        parts = (folder / "README.md").read_text(encoding="utf-8").split("---\n", 2)
        head = parse_yaml(parts[1], str(folder)) if len(parts) == 3 and not parts[0].strip() else {}
    except (OSError, UnicodeDecodeError, InputError):
        return {}
    return head if isinstance(head, dict) else {}


def as_list(value: Any) -> list[Any]:
    """A field of a card's head that may hold one value or several: all of them; none for null."""
    return value if isinstance(value, list) else [] if value is None else [value]
