"""Make a sentence-transformers trainer from training rows and settings."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset, concatenate_datasets

from clear_ir.data.collection import Collection
from clear_ir.data.files import InputError
from clear_ir.data.splits import hold_out
from clear_ir.data.texts import text_key
from clear_ir.data.training_rows import TrainingRows, collect_held_out, holds_passages, language_of, training_columns
from clear_ir.loss.vocabulary import table_parameters, used_vocabulary
from clear_ir.train.arguments import column_arguments, column_prompts, evaluation_arguments, make_arguments
from clear_ir.train.dev_curve import DevCurve
from clear_ir.train.dimensions import at_dimensions, chosen_dims
from clear_ir.train.fitting import fit_settings
from clear_ir.train.passage_languages import TranslatedRows, translate_rows
from clear_ir.train.processes import num_processes
from clear_ir.train.settings import TrainingSettings
from clear_ir.train.step_bar import StepBar

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer
    from torch import Tensor

    from clear_ir.evaluate.trainer_evaluator import CrossLingualEvaluator
    from clear_ir.loss.clear_loss import CLEARLoss
    from clear_ir.train.fixed_passages import FixedPassages

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingData:
    """Training rows, split into rows to train on and dev questions.

    Args:
        dataset: The rows to train on. Its columns are those that the loss reads, in its order. If there are several
            languages, the column `label` holds each row's language as an index into `languages`.
        num_negatives: Negative passages per row.
        langs: Language of each row.
        languages: Names of the languages; empty if there is only one.
        dev: The held-out questions, with all passages of the rows as pool; None if no rows are held out.
        settings: The settings as they fit the rows, see `clear_ir.train.fitting.fit_settings`.
        notes: What was changed in them, a sentence each.
        translated: The rows with their passages in the target language, if these are trained too.
    """

    dataset: Dataset
    num_negatives: int
    langs: list[str]
    languages: list[str]
    dev: Collection | None
    settings: TrainingSettings
    notes: list[str]
    translated: TranslatedRows | None = None

    @cached_property
    def versions(self) -> Dataset:
        """The rows, and behind them those with their passages in the target language."""
        if self.translated is None:
            return self.dataset
        of_rows = [row for row, version in enumerate(self.translated.versions) if version is not None]
        table = self.dataset[of_rows]
        table |= {name: [record[name] for record in self.translated.records] for name in self.passage_columns}
        return concatenate_datasets([self.dataset, Dataset.from_dict(table)])

    @property
    def version_numbers(self) -> list[int | None] | None:
        """For each row, the number of its translated version in `versions`; None if passages are English alone."""
        if self.translated is None:
            return None
        count = len(self.dataset)
        return [None if version is None else count + version for version in self.translated.versions]

    @property
    def columns(self) -> list[str]:
        """The columns that hold texts."""
        return [name for name in self.dataset.column_names if name != "label"]

    @property
    def passage_columns(self) -> list[str]:
        """The columns that hold passages."""
        return [name for name in self.columns if holds_passages(name)]

    @property
    def passages(self) -> list[str]:
        """The distinct passages, in all languages that are trained."""
        return list(dict.fromkeys(text for column in self.passage_columns for text in self.versions[column]))

    @property
    def query_columns(self) -> list[str]:
        """The columns that hold queries, in any language."""
        return [name for name in self.columns if not holds_passages(name)]


def split_rows(rows: TrainingRows, settings: TrainingSettings) -> TrainingData:
    """Hold out the rows that choose checkpoints, and make a data set of the others.

    Args:
        rows: Training rows.
        settings: The dev share, the seed, the batches, `num_negatives`, and the weights of the loss.

    Returns:
        The data, with the settings as they fit the rows.

    Raises:
        InputError: If the rows that remain do not fill a batch of two, a term of the loss needs as many negative
            queries as negative passages and the rows have not, or they lack translated passages that are asked for.
    """
    records = _one_wording(rows)
    train, dev = hold_out(
        records, settings.dev_share, settings.seed, lambda record: (record["positive"], record["anchor"])
    )
    langs = [language_of(record) for record in train]
    negatives, queries = rows.num_negatives, rows.num_neg_queries
    settings, notes = fit_settings(settings, train, langs, negatives)
    if settings.num_negatives is not None:
        negatives, queries = settings.num_negatives, min(queries, settings.num_negatives)
    if (pairing := settings.weights.pairing_term) and negatives != queries:
        raise InputError(
            f"The {pairing.name} term needs as many negative queries as negative passages; the rows have {queries} and "
            f"{negatives}. Mine both, or set {pairing.weight} to 0."
        )
    both = settings.passage_languages == "both"
    if settings.passage_languages is None and settings.side == "queries":
        both = any(record.get("cross_passage") for record in train)
    settings = settings.with_distil_to(both)
    columns = training_columns(negatives, queries)
    table: dict[str, list[Any]] = {column: [record[column] for record in train] for column in columns}
    translated = translate_rows(train, records, columns) if both else None
    languages = sorted(set(langs)) if len(set(langs)) > 1 else []
    if languages:
        table["label"] = [languages.index(lang) for lang in langs]
    dev_collection = collect_held_out(records, dev) if dev else None
    dataset = Dataset.from_dict(table)
    return TrainingData(dataset, negatives, langs, languages, dev_collection, settings, notes, translated)


def _one_wording(rows: TrainingRows) -> list[dict[str, str]]:
    """The rows, in which texts that are equal by `text_key` are written as the first of them.

    Batches and the loss find duplicates and known positives by strings and by tokens. Another form of Unicode or other
    white space would make a text a negative of itself.
    """
    first: dict[str, str] = {}
    columns = {*rows.columns, "cross_passage"}
    return [
        {
            column: first.setdefault(text_key(text), text) if column in columns else text
            for column, text in record.items()
        }
        for record in rows.records
    ]


def make_loss(
    model: SentenceTransformer,
    settings: TrainingSettings,
    num_negatives: int,
    languages: Sequence[str] = (),
    base_embeddings: tuple[Tensor, Tensor] | None = None,
    passages: FixedPassages | None = None,
    same_passages: tuple[Tensor, Tensor] | None = None,
) -> CLEARLoss:
    """Make the loss that the settings name.

    Args:
        model: The encoder.
        settings: Name of the loss, weights and gradient cache.
        num_negatives: Negative passages per row.
        languages: Languages to log the loss of.
        base_embeddings: For the terms that hold texts to the base, see `CLEARLoss`.
        passages: The passages, where queries are trained alone.
        same_passages: Which passages are translations of each other, see `CLEARLoss`.

    Returns:
        A `CLEARLoss`. The baselines are the same class with other weights.
    """
    from sentence_transformers.util import cos_sim, dot_score

    from clear_ir.loss.cached_clear_loss import CachedCLEARLoss
    from clear_ir.loss.clear_loss import CLEARLoss
    from clear_ir.loss.private_names import has_static_embedding_input

    arguments: dict[str, Any] = {
        **settings.weights.by_name,
        "similarity_fct": dot_score if model.similarity_fn_name == "dot" else cos_sim,
        "scale": settings.scale_for(str(model.similarity_fn_name)),
        "num_negatives": num_negatives,
        "gather_across_devices": num_processes() > 1,
        "false_negative_margin": settings.false_negative_margin,
        "languages": languages,
        "divergence": settings.divergence,
        "base_embeddings": base_embeddings,
        "same_passages": same_passages,
    }
    if passages is not None:
        arguments |= passages.loss_arguments() | {
            "candidates": settings.candidates,
            "candidate_seed": settings.seed,
            "soft_labels": settings.soft_labels,
        }
    cached = settings.cached
    if cached and has_static_embedding_input(model):
        logger.warning("cached is off: static embeddings need no gradient cache, and it cannot cut their inputs.")
        cached = False
    if not cached:
        return CLEARLoss(model, **arguments)
    arguments["mini_batch_size"] = settings.mini_batch_size
    return CachedCLEARLoss(model, **arguments, mini_batch_num_tokens=settings.mini_batch_num_tokens)


def trained_vocabulary(
    model: SentenceTransformer, data: TrainingData, settings: TrainingSettings
) -> AbstractContextManager[str]:
    """Train the rows of the embedding table that the settings ask for, see `clear_ir.used_vocabulary`.

    Args:
        model: The encoder.
        data: The training data.
        settings: `vocabulary` and `weight_decay`.

    Returns:
        A context to make the trainer and to train in.
    """
    if settings.vocabulary == "full":
        return nullcontext("")
    columns = trained_columns(data, settings)
    return used_vocabulary(
        model, data.versions.select_columns(columns), column_prompts(model, columns), settings.weight_decay
    )


def trained_columns(data: TrainingData, settings: TrainingSettings) -> list[str]:
    """The columns whose texts the encoder is trained on.

    Args:
        data: The training data.
        settings: `side`.
    """
    return data.query_columns if settings.side == "queries" else data.columns


def make_evaluator(
    data: TrainingData, settings: TrainingSettings, base: SentenceTransformer, cache: Path | None = None
) -> CrossLingualEvaluator | None:
    """Make the evaluator that scores checkpoints.

    Args:
        data: Training data with the dev questions.
        settings: `max_english_loss`, `side` and `matryoshka_dims`.
        base: The encoder before any training. Its English score is the one to compare with.
        cache: Folder of embeddings for what the base encodes; None for none.

    Returns:
        The evaluator; None without dev questions.
    """
    from clear_ir.evaluate.trainer_evaluator import CrossLingualEvaluator

    if data.dev is None:
        return None
    return CrossLingualEvaluator(
        data.dev,
        max_english_loss=settings.max_english_loss,
        base=base,
        fixed_passages=settings.side == "queries",
        cache=cache,
        dims=chosen_dims(base, settings.matryoshka_dims),
    )


def make_trainer(
    model: SentenceTransformer,
    data: TrainingData,
    settings: TrainingSettings,
    folder: Path,
    evaluator: CrossLingualEvaluator | None = None,
    base_embeddings: tuple[Tensor, Tensor] | None = None,
    passages: FixedPassages | None = None,
) -> SentenceTransformerTrainer:
    """Make the trainer: loss, batches without duplicates, dev evaluation, log of the terms.

    Args:
        model: The encoder.
        data: The training data.
        settings: See `TrainingSettings`.
        folder: Folder for checkpoints.
        evaluator: Scores checkpoints. With enough dev questions the best one is kept, otherwise the last, see
            `clear_ir.train.arguments.chooses_checkpoint`.
        base_embeddings: For the terms that hold texts to the base, see `CLEARLoss`.
        passages: The passages, where queries are trained alone; `model` is then the encoder of queries.

    Returns:
        A trainer, ready for `train()`.
    """
    from transformers import PrinterCallback

    from clear_ir.loss.term_log import log_terms
    from clear_ir.train.batches import EpochPlan, LanguageBatchSampler
    from clear_ir.train.checkpoints import ExactTrainer

    sampler = partial(
        LanguageBatchSampler,
        langs=data.langs,
        sampling=settings.sampling,
        temperature=settings.temperature,
        batch_languages=settings.batch_languages,
        # Of fixed passages, all versions are candidates in each step.
        versions=None if passages else data.version_numbers,
    )
    rows = data.dataset if passages else data.versions
    rows_per_step = settings.batch_size * num_processes()
    steps = settings.steps_for(len(data.dataset) / rows_per_step)
    # The first step has the learning rate 0: its checkpoint is the base.
    eval_steps = settings.eval_steps or max(min(2, steps), steps // 10)
    columns = column_arguments(model, trained_columns(data, settings))
    arguments = make_arguments(
        settings,
        folder,
        steps,
        batch_sampler=sampler,
        dataloader_drop_last=True,
        **columns,
        learning_rate_mapping=_embedding_rates(model, settings),
        report_to=[] if settings.report_to is None else [settings.report_to],
        **evaluation_arguments(evaluator, eval_steps),
    )
    if settings.gradient_checkpointing:
        model.gradient_checkpointing_enable()
    same = data.translated.shared_keys(model) if data.translated and not passages else None
    loss = make_loss(model, settings, data.num_negatives, data.languages, base_embeddings, passages, same)
    trainer = ExactTrainer(
        model=model,
        args=arguments,
        train_dataset=rows,
        loss=at_dimensions(loss, model, settings.matryoshka_dims),
        evaluator=evaluator,
        data_collator=passages.collator(model, data.passage_columns, columns["prompts"]) if passages else None,
    )
    # Checkpoints have sentence-transformers' own card, which would show texts of the rows.
    card = model.model_card_data
    card.widget, card.usage_examples, card.train_datasets, card.eval_datasets = [], None, [], []
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StepBar)
    if evaluator is not None:
        trainer.add_callback(DevCurve(evaluator))
    trainer.add_callback(EpochPlan(sampler(rows, settings.batch_size, seed=settings.seed)))
    log_terms(trainer)
    return trainer


def _embedding_rates(model: SentenceTransformer, settings: TrainingSettings) -> dict[str, float]:
    """The learning rate of the embedding table, by a pattern of its name; empty if it is that of all weights."""
    if settings.embedding_rate == 1:
        return {}
    rate = settings.embedding_rate * settings.learning_rate
    return {f"{re.escape(name)}$": rate for name in table_parameters(model)}
