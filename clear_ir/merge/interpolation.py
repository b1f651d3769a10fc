"""Merge an adapted encoder with its base: interpolate between their weights, and choose the best point.

Weight interpolation (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903; LM-Cocktail, Xiao et al. 2023, arXiv 2311.13534)
recovers what English lost in the adaptation, and costs some of the gain across languages. Which weight is best must be
measured.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from clear_ir.data.collection import Collection
from clear_ir.data.directions import ENGLISH_DIRECTION, parse_direction
from clear_ir.data.files import InputError
from clear_ir.data.output_files import new_folder, write_json, write_text
from clear_ir.encode.architecture import routers
from clear_ir.encode.model_card import Adaptation, Verdict, save_with_card
from clear_ir.encode.model_loading import Side
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.encode.two_encoders import join_encoders, side_of
from clear_ir.evaluate.evaluation import evaluate_directions
from clear_ir.evaluate.measures import MAIN_MEASURE
from clear_ir.evaluate.selection import EnglishFloor, mean_cross_lingual
from clear_ir.report.figures import frontier

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: The file that marks a merged model's folder.
MERGE_FILE = "merge.json"
WISE_FT = """
@inproceedings{wortsman-2022-robust,
    title={Robust Fine-Tuning of Zero-Shot Models},
    author={Wortsman, Mitchell and Ilharco, Gabriel and others},
    booktitle={Proceedings of the IEEE/CVF Conference on Computer Vision and Pattern Recognition},
    year={2022},
    url={https://arxiv.org/abs/2109.01903}
}
"""


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


def merge_encoders(base: SentenceTransformer, model: SentenceTransformer, weight: float) -> SentenceTransformer:
    """Make an encoder whose weights are interpolated between those of two others.

    Args:
        base: The encoder at weight 0.
        model: The encoder at weight 1, of the same architecture and vocabulary. The merged encoder has its prompts and
            settings.
        weight: From 0 to 1. Values outside extrapolate.

    Returns:
        A new encoder with `(1 - weight) * base + weight * model` in every floating-point tensor. If only one of the two
        has an encoder for each side, the sides are merged one by one.

    Raises:
        InputError: If the two differ in the names or shapes of their tensors.
    """
    if bool(routers(base)) != bool(routers(model)):
        sides: tuple[Side, Side] = ("query", "passage")
        return join_encoders(*(merge_encoders(side_of(base, side), side_of(model, side), weight) for side in sides))
    return _interpolate(base, model, weight)


def _interpolate(base: SentenceTransformer, model: SentenceTransformer, weight: float) -> SentenceTransformer:
    import torch

    base_tensors, model_tensors = base.state_dict(), model.state_dict()
    if in_one_only := sorted(base_tensors.keys() ^ model_tensors.keys()):
        raise InputError(
            f"The two models cannot be merged: only one has the tensor {in_one_only[0]}; merge a model with its base."
        )
    for name, tensor in model_tensors.items():
        if base_tensors[name].shape != tensor.shape:
            raise InputError(
                f"The two models cannot be merged: {name} has the shape {tuple(base_tensors[name].shape)} in one and "
                f"{tuple(tensor.shape)} in the other; merge a model with its base."
            )
    merged = copy.deepcopy(model)
    with torch.no_grad():
        for name, tensor in merged.state_dict().items():
            if tensor.is_floating_point():
                # In float64, so that half precision is rounded once, at the end, and not after each operation. On the
                # CPU, since Apple's GPUs have no float64.
                start, end = base_tensors[name].cpu().double(), model_tensors[name].cpu().double()
                between = torch.lerp(start, end, weight)
                tensor.copy_(between.to(tensor.device))
    return merged


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
        max_english_loss: How much q-en.p-en may lose against the base, in points of nDCG@10 x 100.

    Returns:
        The point with the highest mean across languages; on a tie, that with the smaller weight. The base is always
        among the allowed points.

    Raises:
        ValueError: If there is no point at weight 0.
    """
    base = next((point for point in points if point.weight == 0), None)
    if base is None:
        raise ValueError("no point has weight 0, the base, with which English is compared; add it")
    floor = EnglishFloor(base.english, max_english_loss)
    allowed = [point for point in points if floor.allows(point.english)]
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
