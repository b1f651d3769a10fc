"""A run of training: rows in, a model folder out.

While it runs, everything lies in ``OUT.partial``: checkpoints, and the recipe to resume from. ``OUT`` appears
when the model is complete.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import yaml

from clear_ir.data.files import InputError, check_new, hash_of, put_in_place, write_jsonl, write_text
from clear_ir.data.rows import TrainingRows, Translation
from clear_ir.encode.models import load_encoder
from clear_ir.loss.dropout import fast_dropout
from clear_ir.train.distillation import distil_model, read_distilled
from clear_ir.train.settings import TrainingSettings
from clear_ir.train.trainer import TrainingData, make_evaluator, make_trainer, split_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer

#: The file that marks a model folder of ours.
RECIPE_FILE = "recipe.yaml"
LOG_FILE = "train_log.jsonl"


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
        model_name: What :func:`clear_ir.encode.models.load_encoder` takes.
        rows: Training rows.
        settings: See :class:`TrainingSettings`.
        out: The model folder to make; it also holds ``recipe.yaml``, ``train_log.jsonl`` and, where TensorBoard
            is installed, ``tensorboard/``.
        overwrite: Replace an earlier model of ours in ``out``, and an interrupted run.
        resume: Go on from the last checkpoint of an interrupted run into the same ``out``.
        trust_remote_code: Run Python code that the model brings along.
        translations: Distilled on beside the rows' queries.

    Returns:
        The training log. Its first entry says what an epoch holds: rows by language, batches, and the rows that no
        batch can take; and, after distillation, what :func:`clear_ir.train.distillation.read_distilled` gives.

    Raises:
        InputError: If the folder is taken, there is nothing to resume, the rows do not fit, or there are translations
            without distillation.
    """
    if translations and not settings.distil_steps:
        raise InputError(
            "Translations are for distillation, but distil_steps is 0; set it to 192, say.", "distil_steps"
        )
    data = split_rows(rows, settings)
    folder = RunFolder(out, _recipe(model_name, rows, settings, translations))
    folder.open(resume, overwrite)
    with folder.kept_if_resumable():
        torch.manual_seed(settings.seed)
        model = load_encoder(model_name, trust_remote_code)
        if settings.max_seq_length:
            model.max_seq_length = settings.max_seq_length
        evaluator = make_evaluator(data, settings, base=model)
        if settings.distil_steps:
            if not folder.distilled.exists():
                distil_model(model, [*_queries(data), *translations], settings, folder.distilled)
            model = load_encoder(str(folder.distilled), trust_remote_code)
        trainer = make_trainer(model, data, settings, folder.checkpoints, evaluator)
        checkpoint = folder.last_checkpoint()
        with fast_dropout():
            # The trainer chooses: with dev questions it ends with the best checkpoint, else with the last.
            trainer.train(resume_from_checkpoint=str(checkpoint) if checkpoint else None)
    plan, *entries = trainer.state.log_history
    log = [plan | read_distilled(folder.distilled), *entries]
    _write_model(trainer, model, folder, log)
    return log


def _queries(data: TrainingData) -> list[Translation]:
    pairs = zip(data.dataset["anchor"], data.dataset["cross_anchor"], strict=True)
    return [Translation(english, translation) for english, translation in pairs]


def _recipe(
    model_name: str, rows: TrainingRows, settings: TrainingSettings, translations: Sequence[Translation]
) -> str:
    """Model, settings, and hashes of the data: what must be the same for a run to be resumed."""
    rows_hash = hash_of(*(value for record in rows.records for value in record.values()))
    lines = [f"# clear-ir {version('clear-ir')}, {len(rows.records)} training rows with SHA-256 {rows_hash}"]
    if translations:
        hashed = hash_of(*(text for pair in translations for text in (pair.english, pair.translation)))
        lines.append(f"# {len(translations)} translations with SHA-256 {hashed}")
    document = {"model": model_name, "train": settings.model_dump()}
    return "\n".join([*lines, yaml.safe_dump(document, sort_keys=False)])


class RunFolder:
    """The folder of a run, ``OUT.partial``, until its model is complete.

    Args:
        out: The model folder to make.
        recipe: Text of the run's recipe.
    """

    def __init__(self, out: Path, recipe: str) -> None:
        self.out, self.recipe = out, recipe
        self.path = out.with_name(out.name + ".partial")
        self.checkpoints = self.path / "checkpoints"
        #: The distilled encoder.
        self.distilled = self.path / "distilled"

    def open(self, resume: bool, overwrite: bool) -> None:
        """Begin a run, or go on with an interrupted one that has the same recipe.

        Args:
            resume: Go on.
            overwrite: Replace an earlier model and an interrupted run.

        Raises:
            InputError: If the output is taken, or there is no such run to resume.
        """
        check_new(self.out, RECIPE_FILE, overwrite)
        saved = self.path / RECIPE_FILE
        if not resume:
            if self.resumable and not overwrite:
                raise InputError(
                    f"An interrupted run is in {self.path}; resume it, or overwrite it to start again.",
                    "resume",
                    "overwrite",
                )
            shutil.rmtree(self.path, ignore_errors=True)
            write_text(saved, self.recipe)
        elif not saved.exists():
            raise InputError(f"There is no interrupted run in {self.path} to resume; start a new one.")
        elif saved.read_text(encoding="utf-8") != self.recipe:
            raise InputError(f"The run in {self.path} was started with other settings or rows ({saved}); use the same.")

    @property
    def resumable(self) -> bool:
        """Whether an interrupted run left anything to go on from."""
        return self.last_checkpoint() is not None or self.distilled.exists()

    def last_checkpoint(self) -> Path | None:
        """The last complete checkpoint, if there is one."""
        # The trainer's state is written last: without it, the checkpoint is one that a kill cut short.
        complete = [path.parent for path in self.checkpoints.glob("checkpoint-*/trainer_state.json")]
        return max(complete, key=lambda path: int(path.name.split("-")[1]), default=None)

    @contextmanager
    def kept_if_resumable(self) -> Iterator[None]:
        """Where the block fails, remove the folder unless there is something to resume from."""
        try:
            yield
        except BaseException:
            if not any(self.checkpoints.glob("checkpoint-*")) and not self.distilled.exists():
                shutil.rmtree(self.path, ignore_errors=True)
            raise


def _write_model(
    trainer: SentenceTransformerTrainer, model: SentenceTransformer, folder: RunFolder, log: list[dict[str, Any]]
) -> None:
    """Make the model folder, and remove the run's."""
    if not trainer.is_world_process_zero():
        return
    made = folder.path / "model"
    model.save_pretrained(str(made))
    write_text(made / RECIPE_FILE, folder.recipe)
    write_jsonl(made / LOG_FILE, log)
    if (folder.checkpoints / "runs").is_dir():
        shutil.move(folder.checkpoints / "runs", made / "tensorboard")
    put_in_place(made, folder.out)
    shutil.rmtree(folder.path)
