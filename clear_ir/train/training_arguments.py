"""Settings as a sentence-transformers trainer takes them: what distillation and training share."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from clear_ir.train.settings import TrainingSettings

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments


def make_arguments(
    settings: TrainingSettings, folder: Path, steps: int, **more: Any
) -> SentenceTransformerTrainingArguments:
    """The trainer's arguments.

    Args:
        settings: Batch size, learning rate and its schedule, precision, seed, logging.
        folder: For checkpoints.
        steps: Optimizer steps.
        more: What else the trainer is told.

    Returns:
        The arguments, for a trainer without a bar of its own.
    """
    from sentence_transformers import SentenceTransformerTrainingArguments

    bf16, fp16 = _half_precision(settings.precision)
    return SentenceTransformerTrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.lr_scheduler,
        warmup_steps=settings.warmup_ratio,  # below 1 it is a share
        weight_decay=settings.weight_decay,
        bf16=bf16,
        fp16=fp16,
        logging_steps=settings.logging_steps,
        logging_first_step=True,
        disable_tqdm=True,
        seed=settings.seed,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
        **more,
    )


def column_prompts(model: SentenceTransformer, columns: list[str]) -> dict[str, str] | None:
    """The encoder's own prompts by column, as encode_query and encode_document apply them.

    Args:
        model: The encoder.
        columns: Of the data; those named positive or negative hold passages, all others queries.

    Returns:
        The prompts of the columns that have one; None if there are none.
    """
    query = model.prompts.get("query") or ""
    passage = next((p for name in ("document", "passage", "corpus") if (p := model.prompts.get(name))), "")
    prompts = {column: passage if column.startswith(("positive", "negative")) else query for column in columns}
    return {column: prompt for column, prompt in prompts.items() if prompt} or None


def _half_precision(precision: str) -> tuple[bool, bool]:
    """Whether to use bf16 and fp16."""
    if precision != "auto":
        return precision == "bf16", precision == "fp16"
    if torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(), not torch.cuda.is_bf16_supported()
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()  # not in older releases
    return bool(capabilities.get("avx512_bf16") or capabilities.get("amx_bf16")), False
