"""What the model card says of a run of training."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from clear_ir.data.training_rows import TrainingRows, language_of
from clear_ir.encode.model_card import Adaptation, Verdict, count_by_language
from clear_ir.train.dimensions import describe_dimensions
from clear_ir.train.settings import TrainingSettings
from clear_ir.train.translated_rows import translated_by
from clear_ir.train.verdict import describe_kept, why_base_is_kept

#: How many rows a card shows if samples are asked for.
NUM_SAMPLES = 3


def describe_training(
    model_name: str,
    rows: TrainingRows,
    settings: TrainingSettings,
    plan: Mapping[str, Any],
    citations: Sequence[str],
    with_samples: bool,
) -> Adaptation:
    """Describe a run for the card of its model.

    Args:
        model_name: The encoder before training.
        rows: All rows, with those that were held out.
        settings: The settings, as fitted to the rows.
        plan: The first entry of the training log.
        citations: BibTeX of the losses.
        with_samples: Show the first rows.

    Returns:
        What the card says. Without samples it has no text of the rows.
    """
    counts = Counter(map(language_of, rows.records))
    return Adaptation(
        "train",
        model_name,
        " ".join(_method(settings, plan)),
        settings=settings.model_dump(),
        langs=["en", *counts],
        data=_data(rows.num_negatives if settings.num_negatives is None else settings.num_negatives, counts, plan),
        translated=translated_by(rows.records),
        verdict=_verdict(plan["dev"], settings.max_english_loss),
        samples=[{c: row[c] for c in rows.columns} for row in rows.records[:NUM_SAMPLES]] if with_samples else [],
        citations=citations,
    )


def _method(settings: TrainingSettings, plan: Mapping[str, Any]) -> list[str]:
    cached = " with gradient cache (`CachedCLEARLoss`)" if settings.cached else " (`CLEARLoss`)"
    weights = ", ".join(f"{name} {weight:g}" for name, weight in settings.weights.by_name.items() if weight)
    sentences = [f"Trained with the loss {settings.loss}{cached}. Weights: {weights}."]
    if settings.side == "queries":
        sentences.append(
            "Only the encoder of queries was trained. That of passages is the base, so an index of passages that the "
            "base made stays valid."
        )
    if "adapter" in plan:
        sentences.append(plan["adapter"])
        merged = settings.merge_lora or settings.side == "queries"
        sentences.append("It is in the weights now." if merged else "This folder holds it, and names the base.")
    if settings.matryoshka_dims:
        dims = ", ".join(map(str, sorted(settings.matryoshka_dims, reverse=True)))
        sentences.append(f"Embeddings may be cut to {dims} numbers (`truncate_dim`): the loss is the sum over these.")
    if "dimensions" in plan:
        sentences.append(describe_dimensions(plan["dimensions"]))
    if "scale" in plan:
        sentences.append(f"Scores are multiplied by {plan['scale']:g}, with which the base fits the English rows best.")
    if "distil_pairs" in plan:
        sentences.append(
            f"Before that, distilled for {plan['distil_steps']} steps on {plan['distil_pairs']:,} pairs of an English "
            "text and its translation."
        )
    return [*sentences, "`recipe.yaml` repeats the run, `train_log.jsonl` has losses and dev scores by step."]


def _data(num_negatives: int, counts: Mapping[str, int], plan: Mapping[str, Any]) -> list[str]:
    lines = [
        f"Training rows: {count_by_language(counts)}. Each has a query in this language, the query in English, an "
        f"English passage that answers it, and {num_negatives} negative passages; those held out as dev questions "
        "are counted, too."
    ]
    if "corpus" in plan:
        lines.append(f"More passages to choose among: {plan['corpus']['passages']:,}")
    return [*lines, *(note for note in [plan.get("passage_languages")] if note)]


def _verdict(dev: dict[str, Any], max_english_loss: float | None) -> Verdict | None:
    if not dev:
        return None
    kept, last = dev["kept_step"], dev["last_step"]
    if kept == 0:
        why = why_base_is_kept(dev, max_english_loss)
        which = f"{why[0].upper()}{why[1:]}, so this model has the weights of the base."
    else:
        by = "chosen by them" if dev["chosen"] else "the last one"
        which = f"{describe_kept(dev, of=last).capitalize()} was kept, {by}."
    on = f"{dev['questions']:,} questions that were held out of the training rows. {which}"
    data = "questions held out of the training rows"
    return Verdict(dev["base"], dev["kept"], on, data, intervals=dev.get("intervals", {}))
