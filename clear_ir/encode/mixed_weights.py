"""An encoder whose weights lie between those of two others.

Weight interpolation (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903; LM-Cocktail, Xiao et al. 2023, arXiv 2311.13534)
recovers what English lost in the adaptation, and costs some of the gain across languages.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

from clear_ir.data.files import InputError
from clear_ir.encode.architecture import routers
from clear_ir.encode.model_loading import Side
from clear_ir.encode.two_encoders import join_encoders, side_of

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import Tensor

WISE_FT = """
@inproceedings{wortsman-2022-robust,
    title={Robust Fine-Tuning of Zero-Shot Models},
    author={Wortsman, Mitchell and Ilharco, Gabriel and others},
    booktitle={Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
    year={2022},
    url={https://arxiv.org/abs/2109.01903}
}
"""


def merge_encoders(base: SentenceTransformer, model: SentenceTransformer, weight: float) -> SentenceTransformer:
    """Make an encoder whose weights are interpolated between those of two others.

    Args:
        base: The encoder at weight 0.
        model: The encoder at weight 1, of the same architecture and vocabulary. The merged encoder has its prompts and
            settings.
        weight: From 0 to 1. Values outside extrapolate.

    Returns:
        A new encoder with `(1 - weight) * base + weight * model` in every floating-point tensor. If only one of the two
        has an encoder for each side, the sides are merged one by one.

    Raises:
        InputError: If the two differ in the names or shapes of their tensors.
    """
    if bool(routers(base)) != bool(routers(model)):
        sides: tuple[Side, Side] = ("query", "passage")
        return join_encoders(*(merge_encoders(side_of(base, side), side_of(model, side), weight) for side in sides))
    return _interpolate(base, model, weight)


def _interpolate(base: SentenceTransformer, model: SentenceTransformer, weight: float) -> SentenceTransformer:
    base_tensors, model_tensors = base.state_dict(), model.state_dict()
    if in_one_only := sorted(base_tensors.keys() ^ model_tensors.keys()):
        raise InputError(
            f"The two models cannot be merged: only one has the tensor {in_one_only[0]}; merge a model with its base."
        )
    for name, tensor in model_tensors.items():
        if base_tensors[name].shape != tensor.shape:
            raise InputError(
                f"The two models cannot be merged: {name} has the shape {tuple(base_tensors[name].shape)} in one and "
                f"{tuple(tensor.shape)} in the other; merge a model with its base."
            )
    merged = copy.deepcopy(model)
    set_between(merged, base_tensors, model_tensors, weight)
    return merged


def set_between(
    encoder: SentenceTransformer, base: Mapping[str, Tensor], model: Mapping[str, Tensor], weight: float
) -> None:
    """Give an encoder weights that are interpolated between two others.

    Args:
        encoder: The encoder. Its tensors of these names are changed in place, if they have floating-point numbers.
        base: The tensors at weight 0, by name.
        model: The tensors at weight 1, with the same names and shapes. None may be one of the encoder's.
        weight: See `merge_encoders`.
    """
    import torch

    with torch.no_grad():
        tensors = encoder.state_dict()
        for name in model:
            tensor = tensors[name]
            if tensor.is_floating_point():
                # In float64, so that half precision is rounded once, at the end, and not after each operation. On the
                # CPU, since Apple's GPUs have no float64.
                between = torch.lerp(base[name].cpu().double(), model[name].cpu().double(), weight)
                tensor.copy_(between.to(tensor.device))
