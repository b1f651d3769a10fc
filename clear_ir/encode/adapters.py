"""Adapters such as LoRA: small weights beside those of an encoder, made by the package peft."""

from __future__ import annotations

import copy
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer


def train_adapters(model: SentenceTransformer) -> None:
    """Make the adapters of an encoder trainable, and nothing else. Loaded from a folder, they are not.

    Args:
        model: The encoder. Without adapters it stays as it is.
    """
    for _, layer in _adapted_layers(model):
        layer.set_adapter(layer.active_adapters)


def with_merged_adapters(model: SentenceTransformer) -> SentenceTransformer:
    """An encoder whose adapters are added to its weights. It can be saved as a part of another model.

    Args:
        model: The encoder; it stays as it is.

    Returns:
        A copy without adapters that embeds the same, up to rounding; the encoder itself if it has none.
    """
    if not _adapted_layers(model):
        return model
    merged = copy.deepcopy(model)
    for name, layer in _adapted_layers(merged):
        layer.merge()
        parent, _, own_name = name.rpartition(".")
        setattr(merged.get_submodule(parent), own_name, layer.get_base_layer())
    modules: list[Any] = list(merged.modules())
    for module in modules:
        if getattr(module, "_hf_peft_config_loaded", False):
            # By these transformers saves the adapter alone, or the weights under the names that an adapter gives them.
            module._hf_peft_config_loaded = False
            vars(module).pop("_weight_conversions", None)
    return merged


def _adapted_layers(model: SentenceTransformer) -> list[tuple[str, Any]]:
    """Names and layers to which an adapter is added."""
    if "peft" not in sys.modules:  # an encoder with adapters has loaded it
        return []
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [(name, layer) for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer)]
    return [(name, layer) for name, layer in layers if hasattr(layer, "get_base_layer")]
