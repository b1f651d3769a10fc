"""Linear maps at the end of an encoder, as `clear-ir align` puts them there: with them no text is encoded anew.

What an aligned encoder gives for a text is the map of what its base gives. So the base's embeddings, which the cache
may have, do for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import numpy as np

from clear_ir.encode.two_encoders import with_modules
from clear_ir.encode.vectors import row_blocks

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn


def split_maps(model: SentenceTransformer) -> tuple[SentenceTransformer, list[nn.Module]]:
    """An encoder without the maps that close it, and these maps.

    Args:
        model: An encoder without routes.

    Returns:
        The modules up to a `Normalize` as an encoder that shares their weights, and those that follow: `Dense` without
        activation that keep the dimension, and `Normalize`. The encoder itself and none if nothing follows, or if it
        cuts its vectors, which maps need whole.
    """
    from sentence_transformers.base.modules import Dense, Normalize

    modules = list(model.children())
    begin = len(modules) - len(list(takewhile(_is_linear, reversed(modules))))
    while begin < len(modules) and not isinstance(modules[begin], Normalize):
        begin += 1  # what comes before the first Normalize is the encoder's own
    maps = modules[begin + 1 :]
    if model.truncate_dim is not None or not any(isinstance(module, Dense) for module in maps):
        return model, []
    return with_modules(model, modules[: begin + 1], model.prompts), maps


def apply_maps(maps: Sequence[nn.Module], vectors: np.ndarray) -> None:
    """Move vectors as the maps do, in float32, a block of them at a time.

    Args:
        maps: What `split_maps` gives.
        vectors: Shape (num_texts, dim), float32. They are changed.
    """
    import torch

    device = next((parameter.device for module in maps for parameter in module.parameters()), None)
    for block in row_blocks(*vectors.shape) if maps else ():
        features = {"sentence_embedding": torch.from_numpy(vectors[block]).to(device)}
        with torch.inference_mode():
            for module in maps:
                features = module(features)
        vectors[block] = features["sentence_embedding"].cpu().numpy()


def _is_linear(module: nn.Module) -> bool:
    """Whether a module is a `Normalize`, or a `Dense` without activation from a dimension to the same."""
    from sentence_transformers.base.modules import Dense, Normalize
    from torch import nn

    if isinstance(module, Dense):
        return isinstance(module.activation_function, nn.Identity) and module.in_features == module.out_features
    return isinstance(module, Normalize)
