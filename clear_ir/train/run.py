"""A run of training: rows in, a model folder out."""

from __future__ import annotations

import importlib.util
import json
import logging
import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
import yaml

from clear_ir.data.files import InputError, hash_of
from clear_ir.data.output_files import (
    discard,
    put_in_place,
    write_json,
    write_jsonl,
    write_text,
)
from clear_ir.data.rows import Translation
from clear_ir.data.training_rows import TrainingRows
from clear_ir.encode.adapters import describe_adapters, with_merged_adapters
from clear_ir.encode.architecture import routers
from clear_ir.encode.model_card import Adaptation, save_with_card
from clear_ir.encode.model_loading import (
    MINILM,
    MINILM_ON_THE_HUB,
    no_weight_bars,
    prompt_of,
    refuse_exported,
)
from clear_ir.encode.precision import choose_precision
from clear_ir.encode.two_encoders import join_encoders, side_of
from clear_ir.loss.dropout import fast_dropout
from clear_ir.train.base_embeddings import embed_by_base, has_known_base
from clear_ir.train.card import describe_training
from clear_ir.train.corpus import PassageSource, candidate_passages
from clear_ir.train.dimensions import citations_of, measure_dimensions
from clear_ir.train.distillation import distil_model, read_distilled
from clear_ir.train.fixed_passages import FixedPassages, embed_passages
from clear_ir.train.keeping import RunWeights, keep_best
from clear_ir.train.processes import check_agreed, first_does, join_processes, num_processes, refuse_sharding
from clear_ir.train.run_folder import RECIPE_FILE, RunFolder
from clear_ir.train.scale import fit_scale
from clear_ir.train.settings import TrainingSettings
from clear_ir.train.starting_model import load_distilled, load_to_train
from clear_ir.train.trainer import (
    TrainingData,
    make_evaluator,
    make_trainer,
    split_rows,
    trained_vocabulary,
)
from clear_ir.train.verdict import describe_cut, measure_cut

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer

    from clear_ir.mine.pools import CorpusCounts


LOG_FILE = "train_log.jsonl"
#: What `precision: auto` came to, in the folder of the run.
PRECISION_FILE = "precision.json"
#: The scale that fits the encoder, in the folder of the run.
SCALE_FILE = "scale.json"
#: English embeddings by the encoder before training, in the folder of the run.
BASE_FILE = "base.safetensors"
#: Where queries are trained alone: the embeddings of passages, in the folder of the run.
PASSAGES_FOLDER = "passages"

logger = logging.getLogger(__name__)


def train_model(  # noqa: PLR0913, keyword arguments
    model_name: str,
    rows: TrainingRows,
    settings: TrainingSettings,
    out: Path,
    *,
    overwrite: bool = False,
    resume: bool = False,
    trust_remote_code: bool = False,
    translations: Sequence[Translation] = (),
    passages: PassageSource | None = None,
    with_samples: bool = False,
) -> list[dict[str, Any]]:
    """Train an encoder and write a model folder.

    With `side: queries` the folder holds two encoders behind a `Router`: the trained one for queries, and for passages
    the encoder as it was.

    Args:
        model_name: The encoder to start from, see `clear_ir.encode.model_loading.load_encoder`.
        rows: Training rows.
        settings: See `TrainingSettings`. What the rows do not have is fitted to them, with a warning, see
            `clear_ir.train.fitting`.
        out: The model folder to make. It also holds `recipe.yaml`, `train_log.jsonl` and, with `report_to:
            tensorboard`, the folder `tensorboard`.
        overwrite: Replace an earlier model in `out` that this function made, and an interrupted run.
        resume: Continue an interrupted run with the same `out` from its last checkpoint.
        trust_remote_code: Run Python code that comes with the model.
        translations: Texts for distillation, in addition to the rows' queries.
        passages: With `side: queries`, a corpus of more candidates, and the cache for the embeddings of passages.
        with_samples: Show the first rows on the model card. Without it the folder has no text of the rows.

    Returns:
        The training log. Its first entry describes an epoch: rows by language, batches, and rows left out because every
        batch already has a row with their anchor or positive. After distillation the entry also has what
        `clear_ir.train.distillation.read_distilled` gives; with a corpus, what it gave.

    Raises:
        InputError: If the folder is taken, there is nothing to resume, the rows do not fit the settings, there are
            translations without distillation, or a corpus where passages are trained.
    """
    if translations and not settings.distil_steps:
        raise InputError(
            "Translations are for distillation, but distil_steps is 0; set it, for example to 192.", "distil_steps"
        )
    source = passages or PassageSource()
    if source.corpus is not None and settings.side == "both":
        raise InputError("A corpus gives fixed passages; set side to queries, or leave the corpus out.", "side")
    refuse_exported(model_name)
    _check_surroundings(settings)
    process = join_processes()
    data = split_rows(rows, settings)
    settings = data.settings
    corpus, counts = candidate_passages(source.corpus, rows) if source.corpus is not None else ([], None)
    folder = RunFolder(out, _recipe(model_name, rows, settings, translations, corpus))
    with no_weight_bars(), ExitStack() as held:
        _open_together(folder, held, resume, overwrite)
        for note in data.notes if process.is_main_process else []:
            logger.warning(note)
        torch.manual_seed(settings.seed)
        model, base = load_to_train(model_name, settings, trust_remote_code)
        settings, precision = _choose_precision(model, settings, folder)
        alone, read = settings.side == "queries", _base_columns(settings)
        _check_guard(model_name, model, data, read)
        evaluator = make_evaluator(data, settings, base, source.cache)
        # Fixed passages are those of the encoder before distillation, so queries are held there too.
        by_base = embed_by_base(model, data, folder.path / BASE_FILE, read) if read and alone else None
        if settings.distil_steps:
            if not folder.distilled.exists():
                distil_model(model, [*_query_translations(data), *translations], settings, folder.distilled)
            model = load_distilled(folder.distilled, trust_remote_code)
        cut = measure_cut(side_of(base, "passage") if alone else model, data)
        if process.is_main_process and (sentence := describe_cut(cut)):
            logger.warning(sentence)
        checkpoint = folder.last_checkpoint()
        if read and not alone:
            by_base = embed_by_base(model, data, folder.path / BASE_FILE, read)
        fixed = (
            embed_passages(base, model, data, corpus, folder.path / PASSAGES_FOLDER, source.cache) if alone else None
        )
        settings, scale = _choose_scale(base if alone else model, data, fixed, by_base, settings, folder)
        with trained_vocabulary(model, data, settings) as vocabulary, fast_dropout():
            trainer = make_trainer(model, data, settings, folder.checkpoints, evaluator, by_base, fixed)
            # With dev questions the trainer ends with the best checkpoint, without them with the last: see RunWeights.
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
        load = partial(_load_trained, settings=settings, trust_remote_code=trust_remote_code)
        weights = RunWeights(model, model_name, load, folder.last_checkpoint(), bool(settings.lora_r))
        log = _finished_log(trainer)
        log[0] |= {
            "vocabulary": vocabulary,
            "precision": precision,
            "cut": cut,
            **describe_adapters(model),
            **read_distilled(folder.distilled),
            **_notes_on_the_data(data, counts),
            **scale,
            "dev": keep_best(trainer, weights, evaluator),
            **measure_dimensions(evaluator, model),  # of what is kept
        }
        citations = citations_of(cast("Any", trainer.loss))
        made = describe_training(model_name, rows, settings, log[0], citations, with_samples)
        first_does(lambda: _write_model(_to_write(model, base, settings), folder, log, made))
    return log


def _check_surroundings(settings: TrainingSettings) -> None:
    """Refuse to report to a library that is not installed, and an encoder that is spread over processes."""
    refuse_sharding()
    if settings.report_to is not None and importlib.util.find_spec(settings.report_to) is None:
        raise InputError(
            f"report_to is {settings.report_to}, but it is not installed; run: pip install {settings.report_to}",
            "report_to",
        )


def _load_trained(model_name: str, settings: TrainingSettings, trust_remote_code: bool) -> SentenceTransformer:
    """An encoder with the weights that are trained."""
    return load_to_train(model_name, settings, trust_remote_code)[0]


def _open_together(folder: RunFolder, held: ExitStack, resume: bool, overwrite: bool) -> None:
    """Let the first process open the folder of the run, and see that all processes are in the same run."""
    check_agreed(
        folder.recipe,
        "The processes have other settings, models or rows; give all machines the same command and files.",
    )
    first_does(lambda: held.enter_context(folder.open(resume, overwrite)))
    check_agreed(
        folder.path.is_dir(),
        f"Not all machines see the folder {folder.path}; give an output folder on a disk that they share.",
        "out",
    )


def _check_guard(model_name: str, model: SentenceTransformer, data: TrainingData, read: set[str]) -> None:
    """Refuse a guard that would hold translated passages where they are, instead of at their English originals."""
    if data.translated and "positive" in read and not has_known_base(model):
        raise InputError(
            f"With passages in both languages, the guard cannot hold the passages of {model_name}, which cuts its "
            "vectors or has routes; set the guard to 0.",
            "guard",
            "passage_languages",
        )


def _notes_on_the_data(data: TrainingData, corpus: CorpusCounts | None) -> dict[str, Any]:
    """What the log says of the rows and of a corpus, where there is anything to say."""
    notes = {
        "fitted": data.notes,
        "corpus": asdict(corpus) if corpus else None,
        "passage_languages": data.translated.sentence() if data.translated else None,
    }
    return {name: note for name, note in notes.items() if note}


def _finished_log(trainer: SentenceTransformerTrainer) -> list[dict[str, Any]]:
    """The training log, the same whether the run was resumed or not."""
    # In the order that it has after a resume.
    log: list[dict[str, Any]] = json.loads(json.dumps(trainer.state.log_history, sort_keys=True))
    log[-1].pop("train_loss", None)  # of a resumed run it is the mean since the resume
    trainer.state.log_history = log
    return log


def _base_columns(settings: TrainingSettings) -> set[str]:
    """The columns whose embeddings before training the loss reads. Fixed passages have theirs anyway."""
    columns = settings.weights.base_columns(settings.soft_labels > 0)
    return columns - {"positive"} if settings.side == "queries" else columns


def _choose_precision(
    model: SentenceTransformer, settings: TrainingSettings, folder: RunFolder
) -> tuple[TrainingSettings, str]:
    """The settings with what `auto` came to when the run began, and a sentence on it."""
    if settings.precision != "auto":
        return settings, ""

    def choose() -> tuple[str, str]:
        kept = folder.path / PRECISION_FILE
        if not kept.exists():
            choice = choose_precision(model)
            logger.warning("precision: auto chose %s", choice[1])
            write_json(kept, choice)
        chosen, sentence = json.loads(kept.read_text(encoding="utf-8"))
        return chosen, sentence

    chosen, sentence = first_does(choose)
    return settings.model_copy(update={"precision": chosen}), sentence


def _choose_scale(
    base: SentenceTransformer,
    data: TrainingData,
    fixed: FixedPassages | None,
    by_base: tuple[torch.Tensor, torch.Tensor] | None,
    settings: TrainingSettings,
    folder: RunFolder,
) -> tuple[TrainingSettings, dict[str, float]]:
    """The settings with the scale that fits the encoder, and the same for the log; where none was chosen, nothing."""
    if settings.scale is not None or base.similarity_fn_name != "cosine":
        return settings, {}
    queries = by_base[1] if by_base and "anchor" in _base_columns(settings) else None  # which come first
    chosen = {"scale": fit_scale(base, data, folder.path / SCALE_FILE, fixed, queries)}
    return settings.model_copy(update=chosen), chosen


def _query_translations(data: TrainingData) -> list[Translation]:
    """Each row's English query and its translation."""
    pairs = zip(data.dataset["anchor"], data.dataset["cross_anchor"], strict=True)
    return [Translation(english, translation) for english, translation in pairs]


def _recipe(
    model_name: str,
    rows: TrainingRows,
    settings: TrainingSettings,
    translations: Sequence[Translation],
    corpus: Sequence[str],
) -> str:
    """The recipe of the run as YAML: model, settings, processes, and hashes of the data. A resumed run has the same."""
    rows_hash = hash_of(*(value for record in rows.records for value in record.values()))
    lines = [f"# clear-ir {version('clear-ir')}, {len(rows.records)} training rows with SHA-256 {rows_hash}"]
    if model_name == MINILM:
        lines.append(f"# {MINILM} is clear-ir's name for {MINILM_ON_THE_HUB}; other programs do not know it")
    if translations:
        hashed = hash_of(*(text for pair in translations for text in (pair.english, pair.translation)))
        lines.append(f"# {len(translations)} translations with SHA-256 {hashed}")
    if corpus:
        lines.append(f"# {len(corpus)} passages of a corpus with SHA-256 {hash_of(*corpus)}")
    if (count := num_processes()) > 1:
        lines.append(f"# {count} processes: {count * settings.batch_size} rows per step")
    document = {"model": model_name, "train": settings.model_dump()}
    return "\n".join([*lines, yaml.safe_dump(document, sort_keys=False)])


def _to_write(model: SentenceTransformer, base: SentenceTransformer, settings: TrainingSettings) -> SentenceTransformer:
    """The model as its folder is to have it."""
    if settings.side == "queries":
        return join_encoders(model, base)
    return with_merged_adapters(model) if settings.merge_lora else model


def _write_model(model: SentenceTransformer, folder: RunFolder, log: list[dict[str, Any]], made: Adaptation) -> None:
    """Write the model folder and remove the folder of the run."""
    partial = folder.path / "model"
    shutil.rmtree(partial, ignore_errors=True)  # a run that was killed while it wrote it
    # The tokenizer's file says how the last texts were cut and padded: as the model does it, not as others did.
    model.encode_query(["a"], show_progress_bar=False)
    if routers(model):
        model.encode_document(["a"], show_progress_bar=False)
    save_with_card(model, partial, made)
    prompts = ", ".join(f"{side} {prompt_of(model, side)!r}" for side in ("query", "passage"))
    write_text(partial / RECIPE_FILE, f"{folder.recipe}# Prompts, of the encoder: {prompts}\n")
    write_jsonl(partial / LOG_FILE, log)
    if (folder.checkpoints / "runs").is_dir():
        shutil.copytree(folder.checkpoints / "runs", partial / "tensorboard")
    put_in_place(partial, folder.out)
    discard(folder.path)
