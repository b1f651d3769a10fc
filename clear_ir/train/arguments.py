"""The arguments of a trainer: those of `clear-ir train`, and the same for a script of one's own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from clear_ir.data.training_rows import columns_of, holds_passages
from clear_ir.encode.architecture import routers
from clear_ir.encode.known_prompts import family_prompts
from clear_ir.encode.model_loading import prompt_of
from clear_ir.train import verdict
from clear_ir.train.settings import EPOCHS, TrainingSettings

if TYPE_CHECKING:
    from datasets import Dataset
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainingArguments

    from clear_ir.evaluate.trainer_evaluator import CrossLingualEvaluator

logger = logging.getLogger(__name__)


def make_arguments(
    settings: TrainingSettings, folder: Path, steps: int, **other_arguments: Any
) -> SentenceTransformerTrainingArguments:
    """Make the arguments of a trainer. Those that distillation and training share come from the settings.

    Args:
        settings: Batch size, learning rate and its schedule, seed, logging, and the precision, which is not `auto`: see
            `clear_ir.encode.precision`.
        folder: Folder for checkpoints.
        steps: Number of optimizer steps.
        other_arguments: Further arguments.

    Returns:
        The arguments. They switch off the trainer's progress bar, in favour of `StepBar`.

    Raises:
        ValueError: If the precision is `auto`.
    """
    if settings.precision == "auto":
        raise ValueError("precision is auto; choose one first, see clear_ir.encode.precision")
    return _arguments(
        settings,
        folder,
        max_steps=steps,
        bf16=settings.precision == "bf16",
        fp16=settings.precision == "fp16",
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        **other_arguments,
    )


def training_arguments(
    model: SentenceTransformer,
    dataset: Dataset,
    output_dir: Path | str,
    evaluator: CrossLingualEvaluator | None = None,
    **options: Any,
) -> SentenceTransformerTrainingArguments:
    """Make the arguments of a trainer in a script of one's own.

    Set are the model's prompts for each column (and its routes, if it has any), the log, and with an evaluator ten
    evaluations, of which the best checkpoint is kept if there are 50 dev questions or more. Batch size, epochs,
    learning rate and seed are those of `clear-ir train` where both sides are trained.

    Args:
        model: The encoder.
        dataset: The training rows.
        output_dir: Folder for checkpoints.
        evaluator: The evaluator that the trainer gets, too.
        options: Any arguments of `SentenceTransformerTrainingArguments`; they win.

    Returns:
        The arguments.

    Example:
        ::

            arguments = training_arguments(model, dataset, "runs/sw", evaluator, num_train_epochs=3)
            trainer = SentenceTransformerTrainer(
                model=model, args=arguments, train_dataset=dataset, loss=loss, evaluator=evaluator
            )
    """
    source = str(getattr(model.transformers_model, "name_or_path", ""))
    if not any(model.prompts.values()) and (prompts := family_prompts(source)):
        logger.warning(
            "%s is used with prompts (%s), and this model has none; load it with "
            "clear_ir.encode.model_loading.load_encoder, which adds them.",
            source,
            prompts,
        )
    settings = TrainingSettings()
    # Below 1: a share of the steps.
    evaluation = evaluation_arguments(evaluator, options.get("eval_steps", 0.1))
    columns = column_arguments(model, columns_of(dataset))
    defaults = {"num_train_epochs": EPOCHS, "report_to": [], **evaluation, **columns}
    return _arguments(settings, output_dir, **defaults | options)


def _arguments(settings: TrainingSettings, folder: Path | str, **others: Any) -> SentenceTransformerTrainingArguments:
    """Arguments of which `others` win over the settings."""
    from sentence_transformers import SentenceTransformerTrainingArguments

    of_settings: dict[str, Any] = {
        "per_device_train_batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "lr_scheduler_type": settings.lr_scheduler,
        "warmup_steps": settings.warmup_ratio,  # a value below 1 is a share of the steps
        "weight_decay": settings.weight_decay,
        "logging_steps": settings.logging_steps,
        "logging_first_step": True,
        "logging_nan_inf_filter": False,  # it would show a loss that is no number as 0
        "seed": settings.seed,
        "dataloader_pin_memory": torch.cuda.is_available(),  # without a GPU it is a warning
    }
    return SentenceTransformerTrainingArguments(output_dir=str(folder), **of_settings | others)


def evaluation_arguments(evaluator: CrossLingualEvaluator | None, eval_steps: float) -> dict[str, Any]:
    """The trainer's arguments that say when checkpoints are evaluated and saved, and which is kept.

    Args:
        evaluator: Scores checkpoints; None if they are only saved.
        eval_steps: Steps between evaluations; below 1 a share of all steps.
    """
    arguments: dict[str, Any] = {
        "eval_strategy": "steps" if evaluator else "no",
        "eval_steps": eval_steps,
        "save_strategy": "steps",
        "save_steps": eval_steps,
        "save_total_limit": 2,
    }
    if evaluator and chooses_checkpoint(evaluator):
        arguments |= {
            "load_best_model_at_end": True,
            "metric_for_best_model": f"eval_{evaluator.primary}",
            "greater_is_better": True,
        }
    return arguments


def column_arguments(model: SentenceTransformer, columns: list[str]) -> dict[str, Any]:
    """The trainer's arguments that depend on what columns hold: prompts, and routes if the encoder has any.

    Args:
        model: The encoder.
        columns: Columns of the data, see `column_prompts`.

    Returns:
        Values of `prompts` and `router_mapping`.
    """
    routes = {column: "document" if holds_passages(column) else "query" for column in columns}
    return {"prompts": column_prompts(model, columns), "router_mapping": routes if routers(model) else {}}


def column_prompts(model: SentenceTransformer, columns: list[str]) -> dict[str, str] | None:
    """The prompt for each column, the same as in `encode_query` and `encode_document`.

    Args:
        model: The encoder.
        columns: Columns of the data. Those named positive or negative hold passages, all others queries.

    Returns:
        The prompts of the columns that have one; None if no column has.
    """
    query, passage = prompt_of(model, "query"), prompt_of(model, "passage")
    prompts = {column: passage if holds_passages(column) else query for column in columns}
    return {column: prompt for column, prompt in prompts.items() if prompt} or None


def chooses_checkpoint(evaluator: CrossLingualEvaluator) -> bool:
    """Whether there are enough dev questions to choose a checkpoint by."""
    return evaluator.num_questions >= verdict.MIN_DEV_QUESTIONS
