"""The CLEAR loss in an ordinary sentence-transformers script.

    python examples/swap_the_loss.py --model MODEL --rows train.jsonl --out models/mine

The rows are those that `clear-ir mine` writes, or a JSON Lines file with the same columns; see docs/formats.md.
"""

import argparse

from datasets import load_dataset
from sentence_transformers import SentenceTransformer, SentenceTransformerTrainer

from clear_ir import CachedCLEARLoss, columns_of, fast_dropout, log_terms, training_arguments


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="model folder or hub name")
    parser.add_argument("--rows", required=True, help="training rows, JSON Lines")
    parser.add_argument("--out", required=True, help="model folder to make")
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--batch-size", type=int, default=64)
    arguments = parser.parse_args()

    model = SentenceTransformer(arguments.model)
    dataset = load_dataset("json", data_files=arguments.rows, split="train")
    # The loss tells columns apart by their position: its columns in its order, without language and ids.
    dataset = dataset.select_columns(columns_of(dataset))
    loss = CachedCLEARLoss(model, alpha=0.4, beta=0.2)  # the paper's weights
    settings = training_arguments(
        model,
        dataset,
        f"{arguments.out}-checkpoints",
        max_steps=arguments.steps,
        per_device_train_batch_size=arguments.batch_size,
        save_strategy="no",
    )
    trainer = SentenceTransformerTrainer(model=model, args=settings, train_dataset=dataset, loss=loss)
    log_terms(trainer)  # each term of the loss in the training log
    with fast_dropout():  # on CPUs where it is measured to be faster
        trainer.train()
    model.save_pretrained(arguments.out)
    print(f"Model: {arguments.out}")


if __name__ == "__main__":
    main()
