"""The encoder that a run of training starts from, with the weights that are to be trained."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch

from clear_ir.data.files import InputError
from clear_ir.encode.adapters import add_lora, has_adapters, train_adapters
from clear_ir.encode.architecture import limit_length
from clear_ir.encode.model_loading import load_encoder
from clear_ir.encode.two_encoders import side_of
from clear_ir.train.dimensions import chosen_dims

if TYPE_CHECKING:
    from pathlib import Path

    from sentence_transformers import SentenceTransformer

    from clear_ir.train.settings import TrainingSettings


def load_to_train(
    model_name: str, settings: TrainingSettings, trust_remote_code: bool = False
) -> tuple[SentenceTransformer, SentenceTransformer]:
    """Load an encoder and make the weights trainable that the settings say.

    Args:
        model_name: The encoder, see `clear_ir.encode.model_loading.load_encoder`.
        settings: The side, the length, the adapter and the precision.
        trust_remote_code: Run Python code that comes with the model.

    Returns:
        The encoder to train, and the encoder before training. If queries are not trained alone, they are one object.

    Raises:
        InputError: If the encoder cannot have the adapter, has none to merge, or has fewer dimensions than asked for.
    """
    base = load_encoder(model_name, trust_remote_code)
    alone = settings.side == "queries"
    model = copy.deepcopy(side_of(base, "query")) if alone else base
    limit_length(model, settings.max_seq_length)
    chosen_dims(model, settings.matryoshka_dims)  # refuses before anything is computed
    if settings.lora_r:
        alpha = settings.lora_alpha or 2 * settings.lora_r
        add_lora(model, settings.lora_r, alpha, settings.lora_dropout, settings.lora_target_modules)
    elif settings.merge_lora and not has_adapters(model):
        raise InputError(f"{model_name} has no adapter to merge; set lora_r, or leave merge_lora out.", "merge_lora")
    # In half precision small updates round to nothing: the weights that are trained always have 32 bits. Those beside
    # an adapter may keep bf16 if training computes in it anyway: so a large encoder needs half the memory.
    bf16 = settings.precision == "bf16" or (settings.precision == "auto" and torch.cuda.is_available())
    if not (bf16 and has_adapters(model) and next(model.parameters()).dtype == torch.bfloat16):
        model = model.float()
    train_adapters(model)
    return model, base if alone else model


def load_distilled(folder: Path, trust_remote_code: bool = False) -> SentenceTransformer:
    """Load the encoder that distillation made, to train it further.

    Args:
        folder: Its folder.
        trust_remote_code: Run Python code that comes with the model.
    """
    model = load_encoder(str(folder), trust_remote_code)
    train_adapters(model)
    return model
