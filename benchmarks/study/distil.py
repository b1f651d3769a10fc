"""Multilingual distillation (Reimers and Gurevych 2020, arXiv 2004.09813), by sentence-transformers alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from datasets import Dataset
from sentence_transformers import SentenceTransformerTrainer, SentenceTransformerTrainingArguments
from sentence_transformers.sentence_transformer.losses import MSELoss

from clear_ir.dropout import fast_dropout
from clear_ir.encoding import load_encoder
from clear_ir.training_settings import TrainingSettings


def distil(model_name: str, pairs: list[tuple[str, str]], settings: TrainingSettings, out: Path) -> Path:
    """Train an encoder to embed an English text and its translation where it has the English one now.

    Args:
        model_name: The encoder, which is its own teacher.
        pairs: English texts and their translations.
        settings: Batch size, steps, learning rate and schedule.
        out: The model folder to make.

    Returns:
        The folder.
    """
    model = load_encoder(model_name)
    model.max_seq_length = settings.max_seq_length
    english = [text for text, _ in pairs]
    targets = model.encode(english).tolist()
    table = {"english": english, "translation": [text for _, text in pairs], "label": targets}
    arguments = SentenceTransformerTrainingArguments(
        output_dir=str(out.with_name(out.name + ".partial")),
        per_device_train_batch_size=settings.batch_size,
        max_steps=settings.max_steps,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.lr_scheduler,
        warmup_steps=settings.warmup_ratio,  # below 1 it is a share
        weight_decay=settings.weight_decay,
        save_strategy="no",
        bf16=settings.precision == "bf16",
        report_to=[],
        disable_tqdm=True,
        seed=settings.seed,
        use_cpu=not torch.cuda.is_available(),
        dataloader_pin_memory=torch.cuda.is_available(),
    )
    trainer = SentenceTransformerTrainer(
        model=model, args=arguments, train_dataset=Dataset.from_dict(table), loss=MSELoss(model)
    )
    with fast_dropout():
        trainer.train()
    model.save_pretrained(str(out))
    shutil.rmtree(arguments.output_dir, ignore_errors=True)
    return out
