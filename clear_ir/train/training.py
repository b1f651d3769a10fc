"""Training: rows in, a sentence-transformers trainer assembled, a model folder out.

While it runs, everything lies in ``OUT.partial``: checkpoints, and the recipe to resume from. ``OUT`` appears
when the model is complete.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from clear_ir.data.files import InputError, check_new, hash_of, put_in_place, write_jsonl, write_text
from clear_ir.data.rows import TrainingRows, Translation, hold_out
from clear_ir.encode.encoding import load_encoder
from clear_ir.loss.dropout import fast_dropout
from clear_ir.train.distillation import distil_model, take_over
from clear_ir.train.settings import TrainingSettings
from clear_ir.train.training_arguments import column_prompts, make_arguments
from clear_ir.train.training_data import lang_of, make_dataset, make_dev_collection

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer

    from clear_ir.loss.clear_loss import CLEARLoss

#: The file that marks a model folder of ours.
RECIPE_FILE = "recipe.yaml"
#: The distilled encoder in the folder of an interrupted run.
DISTILLED = "distilled"


def make_loss(
    model: SentenceTransformer, settings: TrainingSettings, num_negatives: int, languages: Sequence[str] = ()
) -> CLEARLoss:
    """Build the loss that the settings name.

    Args:
        model: The encoder.
        settings: Loss name, weights, cache.
        num_negatives: Negative passages a row.
        languages: Whose losses shall be logged apart.

    Returns:
        A :class:`CLEARLoss`; the baselines are the same class with other weights.
    """
    from clear_ir.loss.cached_clear_loss import CachedCLEARLoss
    from clear_ir.loss.clear_loss import CLEARLoss

    weights = settings.weights
    common: dict[str, Any] = {
        "alpha": weights.alpha,
        "beta": weights.beta,
        "gamma": weights.gamma,
        "scale": settings.scale,
        "num_negatives": num_negatives,
        "gather_across_devices": torch.distributed.is_available() and torch.distributed.is_initialized(),
        "false_negative_margin": settings.false_negative_margin,
        "languages": languages,
        "guard": weights.guard,
        "divergence": settings.divergence,
    }
    if not settings.cached:
        return CLEARLoss(model, **common)
    return CachedCLEARLoss(
        model,
        **common,
        mini_batch_size=settings.mini_batch_size,
        mini_batch_num_tokens=settings.mini_batch_num_tokens,
    )


def train_model(
    model_name: str,
    rows: TrainingRows,
    settings: TrainingSettings,
    out: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    trust_remote_code: bool = False,
    translations: Sequence[Translation] = (),
) -> list[dict[str, Any]]:
    """Train an encoder and write a model folder.

    Args:
        model_name: What :func:`clear_ir.encode.encoding.load_encoder` takes.
        rows: Training rows.
        settings: See :class:`TrainingSettings`.
        out: The model folder to make; it also holds ``recipe.yaml``, ``train_log.jsonl`` and, where TensorBoard
            is installed, ``tensorboard/``.
        overwrite: Replace an earlier model of ours in ``out``, and an interrupted run.
        resume: Go on from the last checkpoint of an interrupted run into the same ``out``.
        trust_remote_code: Run Python code that the model brings along.
        translations: Distilled on beside the rows' queries.

    Returns:
        The training log; its first entry says what an epoch holds: rows by language, batches, and the rows that
        find no batch without their like; and what :func:`clear_ir.train.distillation.take_over` returns, if it was
        used.

    Raises:
        InputError: If the folder is taken, there is nothing to resume, the rows do not fit, or there are translations
            without distillation.
    """
    if translations and not settings.distil_steps:
        raise InputError(
            "Translations are for distillation, but distil_steps is 0; --set distil_steps=192, say, or leave "
            "--translations out."
        )
    check_new(out, RECIPE_FILE, overwrite)
    rows_hash = hash_of(*(value for record in rows.records for value in record.values()))
    recipe = f"# clear-ir {version('clear-ir')}, {len(rows.records)} training rows with SHA-256 {rows_hash}\n"
    if translations:
        hashed = hash_of(*(text for pair in translations for text in (pair.english, pair.translation)))
        recipe += f"# {len(translations)} translations with SHA-256 {hashed}\n"
    recipe += yaml.safe_dump({"model": model_name, "train": settings.model_dump()}, sort_keys=False)
    partial = out.with_name(out.name + ".partial")
    checkpoint = _start_or_resume(partial, recipe, resume, overwrite)

    try:
        torch.manual_seed(settings.seed)
        model = load_encoder(model_name, trust_remote_code)
        if settings.max_seq_length:
            model.max_seq_length = settings.max_seq_length
        trainer = make_trainer(model, rows, settings, partial / "checkpoints")
        distilled = {}
        if settings.distil_steps:
            if not (partial / DISTILLED).exists():
                student = load_encoder(model_name, trust_remote_code)
                student.max_seq_length = model.max_seq_length
                queries = [Translation(row["anchor"], row["cross_anchor"]) for row in _split(rows, settings)[0]]
                distil_model(student, [*queries, *translations], settings, partial / DISTILLED)
            distilled = take_over(trainer, partial / DISTILLED, trust_remote_code)
        with fast_dropout():
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    except BaseException:
        if not any(partial.glob("checkpoints/checkpoint-*")) and not (partial / DISTILLED).exists():
            shutil.rmtree(partial, ignore_errors=True)  # nothing there to resume from
        raise

    plan, *rest = trainer.state.log_history
    log = [plan | distilled, *rest]
    if trainer.is_world_process_zero():
        model.save_pretrained(str(partial / "model"))
        write_text(partial / "model" / RECIPE_FILE, recipe)
        write_jsonl(partial / "model" / "train_log.jsonl", log)
        if (partial / "checkpoints" / "runs").is_dir():
            shutil.move(partial / "checkpoints" / "runs", partial / "model" / "tensorboard")
        put_in_place(partial / "model", out)
        shutil.rmtree(partial)
    return log


def make_trainer(
    model: SentenceTransformer, rows: TrainingRows, settings: TrainingSettings, folder: Path
) -> SentenceTransformerTrainer:
    """Assemble the trainer: loss, batches without duplicates, dev evaluation, term logging.

    Args:
        model: The encoder.
        rows: Training rows.
        settings: See :class:`TrainingSettings`.
        folder: For checkpoints.

    Returns:
        A trainer, ready for ``train()``.

    Raises:
        InputError: If too few rows are left to train on, or fewer negatives than asked for.
    """
    from sentence_transformers import SentenceTransformerTrainer
    from transformers import PrinterCallback

    from clear_ir.evaluate.evaluator import CrossLingualEvaluator
    from clear_ir.loss.term_log import log_terms
    from clear_ir.train.batches import EpochPlan, LanguageBatchSampler
    from clear_ir.train.step_bar import StepBar

    train, dev = _split(rows, settings)
    if len(train) < settings.batch_size:
        raise InputError(
            f"{len(train)} training rows are left after the dev share, fewer than batch_size {settings.batch_size}; "
            "give more rows or a smaller --batch-size."
        )
    dataset, num_negatives, languages = make_dataset(train, rows, settings)
    langs = [lang_of(record) for record in train]
    if settings.batch_languages == "single":
        _check_single(langs, settings)
    sampler = partial(
        LanguageBatchSampler,
        langs=langs,
        sampling=settings.sampling,
        temperature=settings.temperature,
        batch_languages=settings.batch_languages,
    )
    steps = settings.max_steps or max(1, round(settings.epochs * len(train) / settings.batch_size))
    eval_steps = settings.eval_steps or max(1, steps // 10)
    arguments = make_arguments(
        settings,
        folder,
        steps,
        batch_sampler=sampler,
        dataloader_drop_last=True,
        prompts=column_prompts(model, [name for name in dataset.column_names if name != "label"]),
        eval_strategy="steps" if dev else "no",
        eval_steps=eval_steps,
        save_strategy="steps",
        save_steps=eval_steps,
        save_total_limit=2,
        load_best_model_at_end=bool(dev),
        metric_for_best_model=f"eval_{CrossLingualEvaluator.primary}" if dev else None,
        greater_is_better=True if dev else None,
        report_to=_reporters(),
    )
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    evaluator = None
    if dev:
        limit = settings.max_english_loss
        judged = make_dev_collection(rows.records, dev)
        evaluator = CrossLingualEvaluator(judged, max_english_loss=limit, base=None if limit is None else model)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset,
        loss=make_loss(model, settings, num_negatives, languages),
        evaluator=evaluator,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StepBar)
    trainer.add_callback(EpochPlan(sampler(dataset, settings.batch_size, seed=settings.seed)))
    log_terms(trainer)
    return trainer


def _split(rows: TrainingRows, settings: TrainingSettings) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
    """The records to train on, and those that judge checkpoints."""
    return hold_out(rows.records, settings.dev_share, settings.seed, lambda record: record["positive"])


def _check_single(langs: list[str], settings: TrainingSettings) -> None:
    lang, count = min(Counter(langs).items(), key=lambda item: item[1])
    if count < settings.batch_size:
        raise InputError(
            f"Batches of one language need batch_size {settings.batch_size} rows of each, but {lang} has {count}; give "
            "more rows, a smaller --batch-size, or batch_languages mixed."
        )


def _start_or_resume(partial: Path, recipe: str, resume: bool, overwrite: bool) -> Path | None:
    """Make the folder of a run, or find the last checkpoint of an interrupted one with the same recipe."""
    saved = partial / RECIPE_FILE
    # The trainer's state is written last: without it, the checkpoint is one that a kill cut short.
    whole = [path.parent for path in partial.glob("checkpoints/checkpoint-*/trainer_state.json")]
    last = max(whole, key=lambda path: int(path.name.split("-")[1]), default=None)
    if not resume:
        if (last or (partial / DISTILLED).exists()) and not overwrite:
            raise InputError(f"An interrupted run is in {partial}; --resume it, or --overwrite to start again.")
        shutil.rmtree(partial, ignore_errors=True)
        write_text(saved, recipe)
        return None
    if not saved.exists():
        raise InputError(f"There is no interrupted run in {partial} to resume; leave --resume out.")
    if saved.read_text(encoding="utf-8") != recipe:
        raise InputError(f"The run in {partial} was started with other settings or rows ({saved}); use the same.")
    return last


def _reporters() -> list[str]:
    from transformers.integrations.integration_utils import is_tensorboard_available

    return ["tensorboard"] if is_tensorboard_available() else []
