"""What an encoder's parts demand of whoever uses it: a padding token, routes for queries and passages, positions."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from clear_ir.data.files import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Router

logger = logging.getLogger(__name__)

#: What transformers call the table of positions: BERT and its like, GPT-2, BART and OPT.
POSITION_TABLES = ("position_embeddings", "wpe", "embed_positions")


def make_usable(model: SentenceTransformer, name: str) -> None:
    """Give tokenizers a padding token if they have none, and cut texts at the encoder's last position, with a warning.

    The attention mask hides the padding, so the text's end serves as well as a token of its own. GPT's tokenizers have
    nothing else.

    Args:
        model: The encoder.
        name: Its name, for errors.

    Raises:
        InputError: If a tokenizer knows no words, there is no token to pad with, or the encoder is a router of other
            things than queries and passages.
    """
    for module in model.modules():
        tokenizer: Any = getattr(module, "tokenizer", None)
        if hasattr(tokenizer, "all_special_tokens") and len(tokenizer) <= len(tokenizer.all_special_tokens):
            # Where its files are lacking, transformers makes one that knows nothing.
            raise InputError(
                f"The tokenizer of {name} knows no words: files such as tokenizer.json or vocab.txt are lacking; give "
                "a complete model folder."
            )
        if hasattr(tokenizer, "pad_token") and tokenizer.pad_token is None:
            if tokenizer.eos_token is None:
                raise InputError(
                    f"The tokenizer of {name} has neither pad_token nor eos_token, so it cannot fill up short texts; "
                    "name a pad_token in its tokenizer_config.json."
                )
            tokenizer.pad_token = tokenizer.eos_token
    for module in _cutting(model):
        length, limit = module.max_seq_length, _positions(module)
        if length and limit and length > limit:
            logger.warning("%s has %s positions, so max_seq_length %s -> %s.", name, limit, length, limit)
            module.max_seq_length = limit
    for router in routers(model):
        known = {*router.sub_modules, *(task for task, _ in router.route_mappings)}
        if not (known & {"text", None} or {"query", "document"} <= known):
            raise InputError(
                f"{name} routes its inputs by {', '.join(sorted(map(str, known)))}, but queries and passages need the "
                "routes query and document; use another model."
            )


def routers(model: SentenceTransformer) -> list[Router]:
    """The parts of an encoder that treat queries and passages differently; none in most encoders."""
    from sentence_transformers.base.modules import Router

    return [module for module in model.children() if isinstance(module, Router)]


def limit_length(model: SentenceTransformer, max_seq_length: int | None) -> None:
    """Set the number of tokens at which texts are cut.

    Args:
        model: The encoder.
        max_seq_length: The number; None keeps the encoder's own. Static embeddings beside other parts stay without.

    Raises:
        InputError: If the encoder cannot read as many, or cannot cut texts.
    """
    cutting = _cutting(model)
    if max_seq_length is not None and not cutting:
        raise InputError(
            "max_seq_length cannot be set: the encoder has static embeddings, which read texts of any length; leave it "
            "out.",
            "max_seq_length",
            begins_with_setting=True,
        )
    for module in cutting:
        if max_seq_length is not None:
            module.max_seq_length = max_seq_length
        length, limit = module.max_seq_length, _positions(module)
        if length and limit and length > limit:
            raise InputError(
                f"max_seq_length is {length}, but the encoder has {limit} positions; give {limit} or fewer.",
                "max_seq_length",
                begins_with_setting=True,
            )


def cut_embeddings(model: SentenceTransformer, dim: int | None) -> SentenceTransformer:
    """Set the dimension to which embeddings are cut.

    Args:
        model: The encoder.
        dim: The dimension; None keeps the encoder's own.

    Returns:
        The encoder itself.

    Raises:
        InputError: If the encoder has fewer.
    """
    own = model.get_embedding_dimension()
    if dim is not None and own is not None and dim > own:
        raise InputError(
            f"truncate_dim is {dim}, but the encoder's embeddings have {own} numbers; give fewer.",
            "truncate_dim",
            begins_with_setting=True,
        )
    if dim is not None:
        model.truncate_dim = dim
    return model


def _cutting(model: SentenceTransformer) -> list[Any]:
    """The parts of an encoder that cut texts."""
    from sentence_transformers.base.modules import Router
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    others = (type(model), Router, StaticEmbedding)
    return [m for m in model.modules() if hasattr(m, "max_seq_length") and not isinstance(m, others)]


def _positions(module: Any) -> int | None:
    """The size of a part's table of positions: with more tokens it fails. None if it computes them, as rotary ones."""
    from torch import nn

    sizes = [
        # XLM-R counts positions from behind the padding's index, so its first rows are never used.
        table.num_embeddings - (0 if table.padding_idx is None else table.padding_idx + 1)
        for name, table in module.named_modules()
        if isinstance(table, nn.Embedding) and name.rpartition(".")[2] in POSITION_TABLES
    ]
    return min(sizes, default=None)
