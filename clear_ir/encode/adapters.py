"""Adapters such as LoRA: small weights beside those of an encoder, made by the package peft."""

from __future__ import annotations

import copy
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clear_ir.data.files import InputError

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

#: The weights of an adapter in a model folder, as peft names the file.
ADAPTER_FILE = "adapter_model.safetensors"
#: Layers of transformers that embeddings of texts never pass through: BERT's and its like.
UNUSED_LAYER = "pooler.dense"


def add_lora(
    model: SentenceTransformer,
    rank: int,
    alpha: float,
    dropout: float = 0.0,
    layers: Sequence[str] | None = None,
) -> None:
    """Add a LoRA adapter (Hu et al., ICLR 2022, arXiv 2106.09685) to an encoder. It changes no embedding yet.

    Args:
        model: The encoder; changed in place. `train_adapters` makes the adapter trainable.
        rank: Rank of the product that is added to a layer's weight.
        alpha: The product is multiplied by `alpha / rank`.
        dropout: Share of the adapter's inputs that are set to 0 in training.
        layers: Names of the linear layers that get an adapter, such as `query`; the last part of the name counts.
            None: all linear layers of the transformer.

    Raises:
        InputError: If peft is not installed, the encoder has an adapter already, has no transformer that can take one,
            or has no layer of such a name.
    """
    try:
        import peft
    except ImportError as error:
        raise InputError("LoRA needs the package peft; run: pip install 'clear-ir[lora]'", "lora_r") from error
    if has_adapters(model):
        raise InputError("The encoder has an adapter already, which is trained as it is; leave LoRA out.", "lora_r")
    names = _linear_layers(model)
    if unknown := sorted(set(layers or ()) - set(names)):
        raise InputError(
            f"lora_target_modules names {unknown[0]!r}, but the encoder has no such linear layer; choose among "
            f"{', '.join(names)}.",
            "lora_target_modules",
            begins_with_setting=True,
        )
    # As a pattern and not as a list, of which peft writes the names in an order that changes from run to run.
    pattern = rf"(.*\.)?({'|'.join(map(re.escape, sorted(layers or names)))})"
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=alpha,  # type: ignore[arg-type, unused-ignore]  # it need not be whole
        lora_dropout=dropout,
        target_modules=pattern,
        exclude_modules=[UNUSED_LAYER],
    )
    model.add_adapter(config)
    # Relative to the folder in which the command runs it would be found from there alone.
    base = Path(str(config.base_model_name_or_path))
    config.base_model_name_or_path = str(base.resolve()) if base.is_dir() else config.base_model_name_or_path


def _linear_layers(model: SentenceTransformer) -> list[str]:
    """The names of the linear layers of an encoder's transformer, without those of the parts around them."""
    from torch import nn
    from transformers.pytorch_utils import Conv1D

    if not model.has_peft_compatible_model():
        raise InputError("LoRA needs an encoder with a transformer, and this one has none; leave LoRA out.", "lora_r")
    transformer: Any = model.transformers_model
    if not any(transformer in child.modules() for child in model.children() if _is_plain(child)):
        raise InputError(
            "The encoder has a transformer for each side, and sentence-transformers cannot load an adapter behind a "
            "route; set side to queries, or leave LoRA out.",
            "lora_r",
            "side",
        )
    linear = {name for name, layer in transformer.named_modules() if isinstance(layer, nn.Linear | Conv1D)}
    return sorted({name.rpartition(".")[2] for name in linear - {UNUSED_LAYER}})


def _is_plain(module: Any) -> bool:
    from sentence_transformers.base.modules import Router

    return not isinstance(module, Router)


def has_adapters(model: SentenceTransformer) -> bool:
    """Whether an encoder has an adapter."""
    return bool(_adapted_layers(model))


def adapter_scales(model: SentenceTransformer) -> list[Any]:
    """What adapters are multiplied by in each layer that has one; no tensor tells it."""
    return [[name, getattr(layer, "scaling", None)] for name, layer in _adapted_layers(model)]


def train_adapters(model: SentenceTransformer) -> None:
    """Make the adapters of an encoder trainable, in float32, and nothing else. Loaded from a folder, they are not.

    Args:
        model: The encoder. Without adapters it stays as it is.
    """
    layers = _adapted_layers(model)
    if layers:
        model.requires_grad_(False)
    for _, layer in layers:
        layer.set_adapter(layer.active_adapters)
    for parameter in model.parameters() if layers else ():
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def read_adapters(model: SentenceTransformer, folder: Path) -> None:
    """Read the weights of an encoder's adapter from a folder, to the last digit.

    sentence-transformers rounds them to the precision of the encoder that they are added to.

    Args:
        model: The encoder. Without adapters it stays as it is.
        folder: The folder that it was saved in.
    """
    if not has_adapters(model):
        return
    from peft import set_peft_model_state_dict
    from safetensors.torch import load_file

    set_peft_model_state_dict(model.transformers_model, load_file(folder / ADAPTER_FILE))


def saved_adapter(model: SentenceTransformer, folder: Path) -> dict[str, Tensor]:
    """The weights of an adapter that was saved in a folder.

    Args:
        model: The encoder that it belongs to, with an adapter of the same shape; it stays as it is.
        folder: The folder.

    Returns:
        The tensors by their names in the encoder.
    """
    own = _trained_tensors(model)
    read_adapters(model, folder)
    saved = _trained_tensors(model)
    model.load_state_dict(own, strict=False)
    return saved


def without_effect(adapter: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same adapter before it had any effect: the second of its two factors is 0.

    Between the two the effect grows in proportion, since the first factor is the same.

    Args:
        adapter: What `saved_adapter` gives.
    """
    return {name: tensor * (".lora_B." not in name) for name, tensor in adapter.items()}


def _trained_tensors(model: SentenceTransformer) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in model.named_parameters() if tensor.requires_grad}


def describe_adapters(model: SentenceTransformer) -> dict[str, str]:
    """How much of an encoder its adapters train.

    Args:
        model: The encoder, after `train_adapters`.

    Returns:
        `adapter`: a sentence. Empty if it has none.
    """
    if not has_adapters(model):
        return {}
    trained = sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
    count = sum(parameter.numel() for parameter in model.parameters())
    kinds = ", ".join(sorted({name.rpartition(".")[2] for name, _ in _adapted_layers(model)}))
    share = f"{trained:,} of {count:,} parameters ({trained / count:.2%})"
    return {
        "adapter": f"The adapter alone is trained: {share}, in the layers {kinds}. The embedding table stays as it is."
    }


def with_merged_adapters(model: SentenceTransformer) -> SentenceTransformer:
    """An encoder whose adapters are added to its weights. It can be saved as a part of another model.

    Args:
        model: The encoder; it stays as it is.

    Returns:
        A copy without adapters that embeds the same, up to rounding; the encoder itself if it has none.
    """
    if not _adapted_layers(model):
        return model
    merged = copy.deepcopy(model).float()  # in half precision small sums round to nothing
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
