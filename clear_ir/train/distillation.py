"""Multilingual distillation before training (Reimers and Gurevych, EMNLP 2020, arXiv 2004.09813).

The encoder, frozen, is its own teacher: a text in the target language, and its English original, are drawn to where
the teacher has the English one. Loss and training are sentence-transformers'.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from clear_ir.data.files import put_in_place, write_json
from clear_ir.data.rows import Translation
from clear_ir.encode.encoding import load_encoder
from clear_ir.loss.dropout import fast_dropout
from clear_ir.train.settings import TrainingSettings
from clear_ir.train.training_arguments import column_prompts, make_arguments

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer

    from clear_ir.loss.clear_loss import CLEARLoss

#: In the folder of a distilled encoder: what it was made from.
DISTILLED_FILE = "distilled.json"


def distil_model(
    model: SentenceTransformer, pairs: Sequence[Translation], settings: TrainingSettings, folder: Path
) -> None:
    """Train an encoder to embed an English text and its translation where it has the English one now.

    The loss is the mean squared error to the encoder's own English embeddings.

    Args:
        model: The encoder; trained in place.
        pairs: English texts and their translations.
        settings: ``distil_steps``, batch size, learning rate, schedule, precision and seed.
        folder: The model folder to make. ``distilled.json`` in it says ``distil_pairs``, how many there are;
            ``distil_steps``; and ``distil_loss``, the first and the last.
    """
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.losses import MSELoss
    from transformers import PrinterCallback

    from clear_ir.train.step_bar import StepBar

    steps = settings.distil_steps
    # No more texts go through the teacher than are used.
    used = min(len(pairs), steps * settings.batch_size)
    drawn = random.Random(settings.seed).sample(list(pairs), used)
    prompts = column_prompts(model, ["english", "translation"])
    prompt = prompts["english"] if prompts else ""
    english = [pair.english for pair in drawn]
    targets = model.encode(english, prompt=prompt, convert_to_numpy=True, show_progress_bar=used > 2000)
    table = {"english": english, "translation": [pair.translation for pair in drawn], "label": targets.tolist()}
    partial = folder.with_name(folder.name + ".partial")
    trainer = SentenceTransformerTrainer(
        model=model,
        args=make_arguments(settings, partial / "trainer", steps, save_strategy="no", report_to=[], prompts=prompts),
        train_dataset=Dataset.from_dict(table),
        loss=MSELoss(model),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StepBar("Distilling"))
    with fast_dropout():
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    told = {"distil_pairs": len(pairs), "distil_steps": steps, "distil_loss": [losses[0], losses[-1]]}
    if trainer.is_world_process_zero():
        model.save_pretrained(str(partial / "model"))
        write_json(partial / "model" / DISTILLED_FILE, told)
        put_in_place(partial / "model", folder)
        shutil.rmtree(partial)
    trainer.accelerator.wait_for_everyone()


def take_over(trainer: SentenceTransformerTrainer, folder: Path, trust_remote_code: bool = False) -> dict[str, Any]:
    """Let a trainer that has not begun go on from a distilled encoder.

    Args:
        trainer: Of the encoder that was distilled, with a :class:`clear_ir.loss.clear_loss.CLEARLoss`; the guard's
            frozen base is the distilled encoder too.
        folder: What :func:`distil_model` made.
        trust_remote_code: Run Python code that the model brings along.

    Returns:
        What ``distilled.json`` says.
    """
    from transformers import set_seed

    trainer.model.load_state_dict(load_encoder(str(folder), trust_remote_code).state_dict())
    cast("CLEARLoss", trainer.loss).freeze_base()
    set_seed(trainer.args.seed)  # a resumed run skips distillation and shall draw the same
    found: dict[str, Any] = json.loads((folder / DISTILLED_FILE).read_text(encoding="utf-8"))
    return found
