"""Merging an adapted encoder with its base: a line between two sets of weights, and the best point on it.

Weight interpolation (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903; LM-Cocktail, Xiao et al. 2023, arXiv 2311.13534)
wins back what English lost in adapting, at a price across languages. Which weight is best has to be measured.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clear_ir.data.collection import Collection
from clear_ir.data.directions import ENGLISH_DIRECTION
from clear_ir.data.files import InputError, new_folder, write_json, write_text
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_directions
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.evaluate.selection import EnglishFloor, mean_cross_lingual
from clear_ir.report.figures import frontier

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: The file that marks a merged model's folder.
MERGE_FILE = "merge.json"


@dataclass(frozen=True)
class MergePoint:
    """What one weight gives.

    Args:
        weight: Share of the adapted encoder: 0 is the base, 1 the adapted encoder.
        english: nDCG@10 of q-en.p-en.
        cross_lingual: Mean nDCG@10 of the directions whose sides differ in language.
        scores: nDCG@10 by direction.
    """

    weight: float
    english: float
    cross_lingual: float
    scores: dict[str, float]


def merge_encoders(base: SentenceTransformer, model: SentenceTransformer, weight: float) -> SentenceTransformer:
    """An encoder whose weights lie on the line between two others.

    Args:
        base: The encoder at weight 0.
        model: The one at weight 1, of the same architecture and vocabulary; its prompts and settings are kept.
        weight: From 0 to 1; values outside extrapolate.

    Returns:
        A new encoder with ``(1 - weight) * base + weight * model`` in every floating-point tensor.

    Raises:
        InputError: If the two differ in the names or shapes of their tensors.
    """
    import torch

    first, second = base.state_dict(), model.state_dict()
    if in_one_only := sorted(first.keys() ^ second.keys()):
        raise InputError(
            f"The two models cannot be merged: only one has the tensor {in_one_only[0]}; merge a model with its base."
        )
    for name, tensor in second.items():
        if first[name].shape != tensor.shape:
            raise InputError(
                f"The two models cannot be merged: {name} has the shape {tuple(first[name].shape)} in one and "
                f"{tuple(tensor.shape)} in the other; merge a model with its base."
            )
    merged = copy.deepcopy(model)
    with torch.no_grad():
        for name, tensor in merged.state_dict().items():
            if tensor.is_floating_point():
                # In double: half precision would round twice.
                between = torch.lerp(
                    first[name].cpu().double(), second[name].cpu().double(), weight
                )  # no doubles on MPS
                tensor.copy_(between.to(tensor.device))
    return merged


def sweep_weights(
    base: TextEncoder, model: SentenceTransformer, weights: Sequence[float], collection: Collection
) -> list[MergePoint]:
    """Evaluate the merged encoder at each weight.

    Args:
        base: The encoder at weight 0; the others are encoded with its backend and cache.
        model: The one at weight 1.
        weights: To try.
        collection: What to judge on; a dev split, since the best weight is chosen by it.

    Returns:
        One point a weight, in their order.

    Raises:
        InputError: If the collection has no q-en.p-en or no direction across languages, or the models do not fit.
    """
    from tqdm.auto import tqdm

    directions = collection.directions
    if ENGLISH_DIRECTION not in map(str, directions) or not any(direction.crosses for direction in directions):
        raise InputError(
            f"The collection {collection.name} has no {ENGLISH_DIRECTION} or no direction across languages; merging "
            "weighs one against the other, so give a collection with both."
        )
    points = []
    for weight in tqdm(weights, desc="Merging", unit=" weights", disable=not base.show_progress):
        merged = base.with_model(merge_encoders(base.model, model, weight)).quiet()
        results = evaluate_directions(merged, collection)
        scores = {direction: result.mean(MAIN_MEASURE) for direction, result in results.items()}
        points.append(MergePoint(weight, scores[ENGLISH_DIRECTION], mean_cross_lingual(scores), scores))
    return points


def best_point(points: Sequence[MergePoint], max_english_loss: float) -> MergePoint:
    """The point that is best across languages among those that keep English.

    Args:
        points: One of them at weight 0, the base.
        max_english_loss: Points of nDCG@10 x 100 that q-en.p-en may lose against the base.

    Returns:
        The highest mean across languages; on a tie the smaller weight. The base itself always qualifies.

    Raises:
        ValueError: If there is no point at weight 0.
    """
    base = next((point for point in points if point.weight == 0), None)
    if base is None:
        raise ValueError("the points need one at weight 0, the base, to tell what English loses")
    floor = EnglishFloor(base.english, max_english_loss)
    allowed = [point for point in points if floor.allows(point.english)]
    return max(allowed, key=lambda point: (point.cross_lingual, -point.weight))


def write_merged(
    folder: Path,
    merged: SentenceTransformer,
    weight: float,
    points: Sequence[MergePoint] = (),
    settings: dict[str, Any] | None = None,
    overwrite: bool = False,
) -> None:
    """Write a merged encoder: an ordinary model folder, and how its weight was chosen.

    Args:
        folder: Where; refused if it holds anything but an earlier merged model.
        merged: The encoder.
        weight: Its weight.
        points: The sweep, drawn as ``merge.svg``; none if the weight was given.
        settings: What else is worth recording.
        overwrite: Replace an earlier merged model.

    Raises:
        InputError: If the folder is taken.
    """
    with new_folder(folder, MERGE_FILE, overwrite) as partial:
        merged.save_pretrained(str(partial))
        document = {"weight": weight, "points": [asdict(point) for point in points], **(settings or {})}
        write_json(partial / MERGE_FILE, document)
        if points:
            curve = [(point.weight, point.english, point.cross_lingual) for point in points]
            write_text(partial / "merge.svg", frontier(curve, weight))
