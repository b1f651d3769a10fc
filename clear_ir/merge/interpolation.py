"""Merge an adapted encoder with its base: interpolate between their weights, and choose the best point.

See `clear_ir.encode.mixed_weights`. Which weight is best must be measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clear_ir.data.collection import Collection
from clear_ir.data.directions import ENGLISH_DIRECTION, parse_direction
from clear_ir.data.files import InputError
from clear_ir.data.output_files import new_folder, write_json, write_text
from clear_ir.encode.mixed_weights import WISE_FT, merge_encoders
from clear_ir.encode.model_card import Adaptation, Verdict, save_with_card
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_directions
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.evaluate.selection import keeps_english, mean_cross_lingual
from clear_ir.report.figures import frontier

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: The file that marks a merged model's folder.
MERGE_FILE = "merge.json"


@dataclass(frozen=True)
class MergePoint:
    """The scores of the merged encoder at one weight.

    Args:
        weight: Weight of the adapted encoder: 0 is the base, 1 the adapted encoder.
        english: nDCG@10 of q-en.p-en.
        cross_lingual: Mean nDCG@10 of the directions in which queries and passages differ in language.
        scores: nDCG@10 by direction.
    """

    weight: float
    english: float
    cross_lingual: float
    scores: dict[str, float]


def sweep_weights(
    base: TextEncoder, model: SentenceTransformer, weights: Sequence[float], collection: Collection
) -> list[MergePoint]:
    """Evaluate the merged encoder at each weight.

    Args:
        base: The encoder at weight 0. Its backend and cache are used for every merged encoder.
        model: The encoder at weight 1.
        weights: The weights to evaluate.
        collection: The collection to evaluate on. Use a dev split: the best weight is chosen on it.

    Returns:
        One point per weight, in their order.

    Raises:
        InputError: If the collection has no q-en.p-en or no direction across languages, or the models cannot be merged.
    """
    from tqdm.auto import tqdm

    directions = collection.directions
    if ENGLISH_DIRECTION not in map(str, directions) or not any(direction.crosses for direction in directions):
        raise InputError(
            f"The collection {collection.name} has no {ENGLISH_DIRECTION} or no direction across languages; the weight "
            "is chosen by both, so give a collection that has both."
        )
    points = []
    for weight in tqdm(weights, desc="Merging", unit=" weights", disable=not base.show_progress):
        merged = base.with_model(merge_encoders(base.model, model, weight)).quiet()
        results = evaluate_directions(merged, collection)
        scores = {direction: result.mean(MAIN_MEASURE) for direction, result in results.items()}
        points.append(MergePoint(weight, scores[ENGLISH_DIRECTION], mean_cross_lingual(scores), scores))
    return points


def best_point(points: Sequence[MergePoint], max_english_loss: float) -> MergePoint:
    """Choose the point that is best across languages among those that do not lose too much in English.

    Args:
        points: The points. One of them must have weight 0, the base.
        max_english_loss: How much q-en.p-en, and the mean within languages, may lose against the base, in points of
            nDCG@10 x 100.

    Returns:
        The point with the highest mean across languages; on a tie, that with the smaller weight. The base is always
        among the allowed points.

    Raises:
        ValueError: If there is no point at weight 0.
    """
    base = next((point for point in points if point.weight == 0), None)
    if base is None:
        raise ValueError("no point has weight 0, the base, with which English is compared; add it")
    allowed = [point for point in points if keeps_english(point.scores, base.scores, max_english_loss)]
    return max(allowed, key=lambda point: (point.cross_lingual, -point.weight))


def write_merged(
    folder: Path,
    merged: SentenceTransformer,
    weight: float,
    points: Sequence[MergePoint],
    settings: dict[str, Any],
    overwrite: bool = False,
) -> None:
    """Write a merged encoder: a model folder with `merge.json`, which says how the weight was chosen.

    Args:
        folder: The folder to make. If it exists, it must be empty or hold an earlier merged model.
        merged: The encoder.
        weight: Its weight.
        points: All points that were evaluated, drawn as `merge.svg`. Empty if the user gave the weight.
        settings: Further entries of `merge.json`. `base` and `model` name the two encoders; `data` and `data_hash` are
            what the points were evaluated on.
        overwrite: Replace an earlier merged model.

    Raises:
        InputError: If the folder is taken.
    """
    with new_folder(folder, MERGE_FILE, overwrite) as partial:
        document = {"weight": weight, "points": [asdict(point) for point in points], **settings}
        save_with_card(merged, partial, _describe(document))
        write_json(partial / MERGE_FILE, document)
        if points:
            curve = [(point.weight, point.english, point.cross_lingual) for point in points]
            write_text(partial / "merge.svg", frontier(curve, weight))


def _describe(document: dict[str, Any]) -> Adaptation:
    """What the model card says of the merge."""
    weight, scores = document["weight"], {point["weight"]: point["scores"] for point in document["points"]}
    verdict = None
    if scores:
        data = document["data"]
        verdict = Verdict(scores[0], scores[weight], f"Questions of {data}.", data, document["data_hash"])
    parsed = [parse_direction(name) for name in scores.get(0, {})]
    sides = [side for direction in parsed for side in (direction.query_lang, *direction.passage_lang.split("+"))]
    return Adaptation(
        "merge",
        document["base"],
        f"Each weight lies between two encoders: {1 - weight:g} x base + {weight:g} x the adapted encoder. "
        f"`{MERGE_FILE}` has every share that was tried.",
        langs=sides,
        verdict=verdict,
        citations=[WISE_FT],
        adapted=document["model"],
    )
