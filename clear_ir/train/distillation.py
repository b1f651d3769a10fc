"""Multilingual distillation before training (Reimers and Gurevych, EMNLP 2020, arXiv 2004.09813).

The teacher is the encoder as it is before distillation. The encoder learns to embed an English text and its translation
where the teacher embeds the English text. Loss and trainer are those of sentence-transformers.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clear_ir.data.output_files import put_in_place, write_json
from clear_ir.data.rows import Translation
from clear_ir.encode.model_loading import prompt_of
from clear_ir.loss.dropout import fast_dropout
from clear_ir.train.arguments import column_arguments, make_arguments
from clear_ir.train.processes import num_processes
from clear_ir.train.settings import TrainingSettings
from clear_ir.train.step_bar import StepBar

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: The file in a distilled encoder's folder that says how it was made.
DISTILLED_FILE = "distilled.json"


def distil_model(
    model: SentenceTransformer, pairs: Sequence[Translation], settings: TrainingSettings, folder: Path
) -> None:
    """Train an encoder to embed an English text and its translation where it embeds the English text now.

    The loss is the mean squared error to the English embeddings before training.

    Args:
        model: The encoder; trained in place.
        pairs: English texts and their translations.
        settings: `distil_steps`, batch size, learning rate, schedule, precision and seed.
        folder: The model folder to make; `read_distilled` reads it. To continue, load the model from this folder:
            the trainer leaves a wrapper for its precision on `model`.
    """
    from datasets import Dataset
    from sentence_transformers import SentenceTransformerTrainer
    from sentence_transformers.sentence_transformer.losses import MSELoss
    from transformers import PrinterCallback

    steps = settings.distil_steps
    # The teacher encodes only the texts that the steps use.
    count = min(len(pairs), steps * settings.batch_size * num_processes())
    drawn = random.Random(settings.seed).sample(list(pairs), count)
    columns = column_arguments(model, ["english", "translation"])  # both as queries
    english = [pair.english for pair in drawn]
    prompt = prompt_of(model, "query")
    targets = model.encode_query(english, prompt=prompt, convert_to_numpy=True, show_progress_bar=count > 2000)
    table = {"english": english, "translation": [pair.translation for pair in drawn], "label": targets.tolist()}
    partial = folder.with_name(folder.name + ".partial")
    trainer = SentenceTransformerTrainer(
        model=model,
        args=make_arguments(settings, partial / "trainer", steps, save_strategy="no", report_to=[], **columns),
        train_dataset=Dataset.from_dict(table),
        loss=MSELoss(model),
    )
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StepBar("Distilling"))
    with fast_dropout():
        trainer.train()
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    summary = {"distil_pairs": len(pairs), "distil_steps": steps, "distil_loss": [losses[0], losses[-1]]}
    if trainer.is_world_process_zero():
        model.save_pretrained(str(partial / "model"), create_model_card=False)
        write_json(partial / "model" / DISTILLED_FILE, summary)
        put_in_place(partial / "model", folder)
        shutil.rmtree(partial)
    trainer.accelerator.wait_for_everyone()


def read_distilled(folder: Path) -> dict[str, Any]:
    """Read how a distilled encoder was made.

    Args:
        folder: The folder that `distil_model` made.

    Returns:
        `distil_pairs`, the number of pairs; `distil_steps`; `distil_loss`, the first loss and the last. Empty if
        there is no such folder.
    """
    path = folder / DISTILLED_FILE
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}
