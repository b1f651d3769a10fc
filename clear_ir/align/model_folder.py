"""Aligned encoders as model folders: the maps as modules of the encoder, and beside it what they are and where from."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from clear_ir.align.by_language import MapsByLanguage
from clear_ir.align.fitting import Choice, Fitted
from clear_ir.align.maps import AffineMap, SideMaps
from clear_ir.data.files import InputError, as_object, parse_json, reason_of
from clear_ir.data.output_files import new_folder, write_json
from clear_ir.encode.model_card import Adaptation, Verdict, count_by_language, save_with_card
from clear_ir.encode.sides import add_to_sides, ends_normalized

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from torch import nn

#: The file that marks an aligned model's folder, and the maps of each side in float64.
ALIGN_FILE, MAPS_FILE = "align.json", "align.safetensors"


def check_alignable(model: SentenceTransformer) -> None:
    """Refuse an encoder whose vectors cannot be mapped exactly.

    Args:
        model: The encoder.

    Raises:
        InputError: If it cuts its vectors, or compares vectors of any length by dot product.
    """
    if model.truncate_dim is not None:
        raise InputError(
            f"The encoder cuts its vectors to {model.truncate_dim} numbers (truncate_dim), and a map of cut vectors is "
            "another than a map that is cut; align the encoder without truncate_dim."
        )
    if model.similarity_fn_name != "cosine" and not ends_normalized(model):
        raise InputError(
            f"The encoder compares vectors of any length by {model.similarity_fn_name}, but maps are fitted on vectors "
            "of length 1; align an encoder that compares by cosine."
        )


def add_maps(model: SentenceTransformer, maps: SideMaps) -> SentenceTransformer:
    """Put maps behind an encoder, as `Dense` without activation and `Normalize`, in float32.

    Args:
        model: The encoder. It is changed.
        maps: The maps. If those of queries and passages differ, a router follows the encoder, see
            `clear_ir.encode.sides.add_to_sides`.

    Returns:
        The encoder. Its vectors are those of the maps.
    """
    from sentence_transformers.base.modules import Normalize

    model.float()
    scaled = ends_normalized(model)

    def modules(of_side: AffineMap | None) -> list[nn.Module]:
        if of_side is None:
            return []
        return [*([] if scaled else [Normalize()]), _dense(of_side).to(model.device), Normalize()]

    query = modules(maps.query)
    passage = query if maps.passage is maps.query else modules(maps.passage)
    return add_to_sides(model, query, passage)


def _dense(of_side: AffineMap) -> nn.Module:
    from sentence_transformers.base.modules import Dense

    has_offset = bool(of_side.offset.any())
    dim = len(of_side.offset)
    offset = torch.from_numpy(of_side.offset.astype(np.float32)) if has_offset else None
    matrix = torch.from_numpy(of_side.matrix.astype(np.float32))
    return Dense(dim, dim, has_offset, None, init_weight=matrix, init_bias=offset)


def write_aligned(
    folder: Path,
    model: SentenceTransformer,
    fitted: Fitted,
    choice: Choice,
    by_language: MapsByLanguage | None,
    record: dict[str, Any],
    overwrite: bool,
) -> None:
    """Write an aligned encoder: an ordinary model folder with `align.json` and `align.safetensors`.

    Args:
        folder: The folder to make. If it exists, it must be empty or hold an earlier aligned model.
        model: The encoder before alignment. It is changed.
        fitted: The maps.
        choice: What was tried.
        by_language: Maps for queries whose language is known.
        record: Further entries of `align.json`, such as the base and what the maps were fitted on.
        overwrite: Replace an earlier aligned model.

    Raises:
        InputError: If the folder is taken.
    """
    sides = {"query": fitted.maps.query, "passage": fitted.maps.passage}
    tensors: dict[str, np.ndarray] = {}
    for side, of_side in sides.items():
        if of_side is not None:
            tensors |= _tensors_of(side, of_side)
    if by_language is not None:
        for lang, of_language in by_language.maps.items():
            tensors |= _tensors_of(f"query-{lang}", of_language)
        record = record | {
            "by_language": {
                "strength": by_language.strength,
                "langs": [*by_language.maps],
                **asdict(by_language.scores),
            }
        }
    document = {
        **record,
        "method": fitted.method,
        **fitted.chosen,
        "moved": [side for side in sides if sides[side] is not None],
        "dev_scores": [
            {"method": fit.method, **fit.chosen, **asdict(fit.scores)} for fit in (choice.base, *choice.tried)
        ],
    }
    with new_folder(folder, ALIGN_FILE, overwrite) as partial:
        aligned = add_maps(model, fitted.maps)
        aligned.encode_query(["a"], show_progress_bar=False)  # its tokenizer's file says how texts are cut and padded
        save_with_card(aligned, partial, _describe(document, fitted, choice))
        write_json(partial / ALIGN_FILE, document)
        save_file({name: np.ascontiguousarray(tensor) for name, tensor in tensors.items()}, partial / MAPS_FILE)


def _tensors_of(name: str, of_side: AffineMap) -> dict[str, np.ndarray]:
    return {f"{name}.matrix": of_side.matrix, f"{name}.offset": of_side.offset}


def _describe(document: dict[str, Any], fitted: Fitted, choice: Choice) -> Adaptation:
    """What the model card says of the alignment."""
    moved = " and ".join({"query": "queries", "passage": "passages"}[side] for side in document["moved"])
    counts, questions, data = document["texts_by_language"], document["dev_questions"], document["data"]
    return Adaptation(
        "align",
        document["base"],
        f"A linear map ({fitted.method}) of the vectors of {moved} was fitted in closed form. No weight of the encoder "
        f"was trained. `{ALIGN_FILE}` has the settings and dev scores.",
        settings=document["settings"],
        langs=[*counts],
        data=[f"Distinct texts that the map was fitted on: {count_by_language(counts)}"],
        verdict=Verdict(
            choice.base.scores.directions,
            fitted.scores.directions,
            f"{questions:,} questions of {data}.",
            data,
            document["data_hash"],
        ),
    )


def read_alignment(folder: Path) -> tuple[dict[str, Any], SideMaps, dict[str, AffineMap]]:
    """Read what `write_aligned` wrote beside the encoder.

    Args:
        folder: The model folder.

    Returns:
        The content of `align.json`, the maps, and those of queries whose language is known, by language.

    Raises:
        InputError: If the folder is no aligned model, or one of the files is damaged.
    """
    file = folder / ALIGN_FILE
    if not file.exists():
        raise InputError(
            f"{folder} is no aligned model, since it has no {ALIGN_FILE}; give a folder that clear-ir align made."
        )
    try:
        document = as_object(str(file), parse_json(file.read_text(encoding="utf-8"), str(file)))
        if not isinstance(document.get("method"), str):
            raise InputError(f"{file} does not name the method; align the encoder again.")
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is not valid UTF-8 ({reason_of(error)}); align the encoder again.") from None
    try:
        tensors = load_file(folder / MAPS_FILE)
        maps = [_map_of(tensors, side) for side in ("query", "passage")]
        names = [name.removesuffix(".matrix") for name in tensors if name.startswith("query-")]
        by_language = {
            name.removeprefix("query-"): of_language
            for name in names
            if (of_language := _map_of(tensors, name)) is not None
        }
    except Exception as error:  # a file that is lacking, cut short or of another kind
        raise InputError(f"{folder / MAPS_FILE} cannot be read: {reason_of(error)}; align the encoder again.") from None
    return document, SideMaps(*maps), by_language


def _map_of(tensors: dict[str, np.ndarray], side: str) -> AffineMap | None:
    if f"{side}.matrix" not in tensors:
        return None
    matrix, offset = tensors[f"{side}.matrix"], tensors[f"{side}.offset"]
    if matrix.shape != (len(offset), len(offset)) or not (np.isfinite(matrix).all() and np.isfinite(offset).all()):
        raise ValueError(f"the map of the side {side} has the shape {matrix.shape}, or values that are no numbers")
    return AffineMap(matrix, offset)
