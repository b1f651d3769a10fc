"""The CLEAR loss in an ordinary sentence-transformers script.

    python examples/swap_the_loss.py --model MODEL --rows train.jsonl --out models/mine

The rows are what `clear-ir mine` writes, or anything with the same columns.
"""

import argparse

from datasets import load_dataset
from sentence_transformers import (
    SentenceTransformer,
    SentenceTransformerTrainer,
    SentenceTransformerTrainingArguments,
)

from clear_ir import CachedCLEARLoss, fast_dropout, log_terms


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--rows", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=64)
    given = parser.parse_args()

    model = SentenceTransformer(given.model)
    dataset = load_dataset("json", data_files=given.rows, split="train")
    # The loss reads columns by position; mined rows hold them in order, followed by ids that it must not see.
    dataset = dataset.remove_columns([name for name in ("lang", "id", "passage_id") if name in dataset.column_names])
    loss = CachedCLEARLoss(model, alpha=0.4, beta=0.2)
    trainer = SentenceTransformerTrainer(
        model=model,
        args=SentenceTransformerTrainingArguments(
            output_dir=f"{given.out}-checkpoints",
            max_steps=given.steps,
            per_device_train_batch_size=given.batch_size,
            learning_rate=5e-5,
            warmup_steps=0.05,
            lr_scheduler_type="cosine",
            logging_steps=1,
            save_strategy="no",
            report_to=[],
        ),
        train_dataset=dataset,
        loss=loss,
    )
    log_terms(trainer)  # forward, reverse, KL: each in the log
    with fast_dropout():  # on a CPU that is not Intel's; does nothing elsewhere
        trainer.train()
    model.save_pretrained(given.out)
    print(f"Model: {given.out}")


if __name__ == "__main__":
    main()
