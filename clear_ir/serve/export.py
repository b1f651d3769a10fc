"""Export an encoder to ONNX Runtime or OpenVINO, with int8 where it is asked for, and measure what that costs."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from clear_ir.compare.starting_points import texts_per_second
from clear_ir.data.collection import Collection
from clear_ir.data.files import InputError, reason_of
from clear_ir.data.output_files import new_folder, write_json, write_text
from clear_ir.encode.adapters import with_merged_adapters
from clear_ir.encode.exported import ExportedNetwork, check_installed
from clear_ir.encode.model_card import CARD_FILE, Adaptation, Verdict, render_card
from clear_ir.encode.model_loading import Format, load_encoder, no_weight_bars
from clear_ir.encode.text_encoder import TextEncoder
from clear_ir.evaluate.evaluation import evaluate_model
from clear_ir.evaluate.measures import MAIN_MEASURE

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Transformer

    from clear_ir.encode.settings import EncodingSettings

#: The file that marks an exported model's folder.
EXPORT_FILE = "exported.json"
#: Texts of several lengths and scripts: to trace the network with, and to compare vectors on.
PROBES = (
    "river",
    "How long is the river?",
    "Welche Brücke über den Fluss wurde zuerst gebaut?",
    "Mto huo una urefu gani?",
    "这条河有多长？",
    "The river is 6,650 km long. It rises in the highlands, crosses a desert and ends in a wide delta by the sea.",
)
#: Without int8 the vectors are the same up to rounding: a lower cosine is a failed export.
MIN_COSINE = 0.9999


@dataclass(frozen=True)
class Export:
    """What an export made and what it costs.

    Args:
        model: The encoder, as the user named it.
        backend: The format.
        int8: How numbers were quantized; None if they are floats.
        cosine: The lowest cosine between a probe's vector before and after.
        bytes_before: Size of the weights in memory.
        bytes_after: Size of the programs on disk.
        data: The collection it was measured on; None without one.
        questions: Its questions; translations count as one.
        scores: nDCG@10 before and after, by direction.
        texts_per_second: Before and after, on this machine.
    """

    model: str
    backend: Format
    int8: str | None
    cosine: float
    bytes_before: int
    bytes_after: int
    data: str | None = None
    questions: int = 0
    scores: dict[str, tuple[float, float]] | None = None
    texts_per_second: tuple[float, float] | None = None


def export_model(
    name: str,
    out: Path,
    backend: Format,
    encoding: EncodingSettings,
    *,
    int8: bool = False,
    collection: Collection | None = None,
    overwrite: bool = False,
    trust_remote_code: bool = False,
) -> Export:
    """Export an encoder, and measure the model folder that this gives.

    Each transformer becomes a program: of a model with two encoders, such as `side: queries` makes, both. The modules
    behind it, such as pooling and the maps of an aligned model, stay what they are.

    Args:
        name: The encoder, see `clear_ir.encode.model_loading.load_encoder`.
        out: The model folder to make.
        backend: Its format.
        encoding: How the collection is encoded.
        int8: Quantize. For ONNX Runtime, dynamically: weights have 8 bits, activations get them while it runs. For
            OpenVINO, the weights.
        collection: What the scores before and after are measured on.
        overwrite: Replace an earlier exported model.
        trust_remote_code: Run Python code that comes with the model.

    Returns:
        The costs, which also are in `exported.json` in the folder.

    Raises:
        InputError: If the folder is taken, a package is lacking, the encoder has nothing to export or cannot be
            exported, or its vectors change without int8.
    """
    check_installed(backend)
    with new_folder(out, EXPORT_FILE, overwrite) as folder, no_weight_bars():
        model = with_merged_adapters(load_encoder(name, trust_remote_code)).float().to("cpu").eval()
        transformers = _transformers(model, name)
        size = sum(parameter.numel() * parameter.element_size() for parameter in model.parameters())
        vectors = _probe(model)
        before = _measure(model, encoding, collection) if collection else None
        quantization = None
        for transformer in transformers:
            quantization = _convert(transformer, backend, int8, name)
        model.save_pretrained(str(folder), create_model_card=False)
        exported = load_encoder(str(folder), trust_remote_code)
        cosine = float((vectors * _probe(exported)).sum(axis=1).min())
        if not int8 and not cosine >= MIN_COSINE:
            raise InputError(
                f"{name} was exported, but the program gives other vectors (cosine {cosine:.4f}); use the model as it "
                "is, or another backend.",
                "backend",
            )
        programs = [file for file in folder.rglob(f"{backend}/*") if file.is_file()]
        cost = Export(name, backend, quantization, cosine, size, sum(file.stat().st_size for file in programs))
        if collection and before:
            after = _measure(exported, encoding, collection)
            cost = _with_scores(cost, collection, before, after)
        write_json(folder / EXPORT_FILE, asdict(cost))
        write_text(folder / CARD_FILE, render_card(exported, _describe(cost, collection)))
    return cost


def _transformers(model: SentenceTransformer, name: str) -> list[Transformer]:
    from sentence_transformers.base.modules import Transformer

    transformers = [module for module in model.modules() if isinstance(module, Transformer)]
    if not transformers:
        raise InputError(f"{name} has no transformer, so there is nothing to export; it is fast as it is.")
    if any(isinstance(transformer.model, ExportedNetwork) for transformer in transformers):
        raise InputError(f"{name} is exported already; give the model that it was made from.")
    return transformers


def _probe(model: SentenceTransformer) -> np.ndarray:
    """The vectors of the probes, as queries and as passages, of length 1."""
    encoder = TextEncoder(model, show_progress=False)
    vectors = np.concatenate([encoder.encode(PROBES, "query"), encoder.encode(PROBES, "passage")])
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _convert(transformer: Transformer, backend: Format, int8: bool, name: str) -> str | None:
    """Put a program into the place of a transformer's network, and say how it was quantized."""
    from transformers.exporters.auto import get_exporter_class

    exporter: Any = get_exporter_class(backend)
    quantizer, quantization = (_onnx_int8() if backend == "onnx" else _openvino_int8()) if int8 else (None, None)
    config = exporter.config_class(dynamic=True, quantizer=quantizer)
    tokenizer: Any = transformer.tokenizer
    inputs = dict(tokenizer(list(PROBES), padding=True, return_tensors="pt"))
    network = transformer.model
    try:
        with _quiet():
            exported = exporter().export(network, inputs, config)
    except Exception as error:  # whatever the libraries may raise for a network that they do not know
        raise InputError(
            f"{name} cannot be exported to {backend}: {reason_of(error)}; use the model as it is, or another backend.",
            "backend",
        ) from error
    setattr(transformer, "model", ExportedNetwork(exported, network.config))  # noqa: B010, of another type
    return quantization


def _onnx_int8() -> tuple[Any, str]:
    """Dynamic quantization for this processor. Without VNNI, products of 8-bit numbers overflow 16 bits on x86."""
    import torch
    from onnxruntime.quantization import QuantType
    from transformers.exporters.quantizers.quantizer_onnxruntime import OnnxRuntimeDynamicConfig, OnnxRuntimeQuantizer

    processor = torch.cpu.get_capabilities()
    narrow = processor["architecture"] == "x86_64" and not (processor["avx512_vnni"] or processor["avx_vnni"])
    config = OnnxRuntimeDynamicConfig(per_channel=True, reduce_range=narrow, weight_type=QuantType.QInt8)

    class ButNarrowingLayers(OnnxRuntimeQuantizer):
        """Leaves layers with fewer outputs than inputs as they are: the second one of each feed-forward block.

        Its inputs have outliers, and one scale for all of a batch leaves little of the other numbers: on Atlas
        multilingual-e5-small loses 1.7 points of nDCG@10 if it is quantized, 0.2 if not (docs/use.md).
        """

        def quantize(self, model: Any, sample_inputs: dict[str, Any], export_format: Any) -> Any:
            layers = [
                node for node in model.graph if node.op_type == "MatMul" and node.inputs[1].const_value is not None
            ]
            shapes = {node.name: node.inputs[1].const_value.shape for node in layers}
            self.config.nodes_to_exclude = [name for name, shape in shapes.items() if shape[0] > shape[-1]]
            return super().quantize(model, sample_inputs, export_format)

    return ButNarrowingLayers(config), f"dynamic, weights of {7 if narrow else 8} bits"


def _openvino_int8() -> tuple[Any, str]:
    from transformers.exporters.quantizers.quantizer_nncf import NNCFOpenVINOQuantizer, NNCFWeightCompressionConfig

    return NNCFOpenVINOQuantizer(NNCFWeightCompressionConfig()), "weights of 8 bits"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep the exporters' progress, hints and warnings from the user: the result is checked against the model."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _measure(
    model: SentenceTransformer, encoding: EncodingSettings, collection: Collection
) -> tuple[dict[str, float], float]:
    """nDCG@10 by direction, and texts a second."""
    encoder = TextEncoder.from_settings(model, encoding)
    results = evaluate_model(encoder, collection, "")
    speed = texts_per_second(encoder, [passage.full_text for passage in collection.passages.values()])
    return {direction: result.mean(MAIN_MEASURE) for direction, result in results.directions.items()}, speed


def _with_scores(
    cost: Export, collection: Collection, before: tuple[dict[str, float], float], after: tuple[dict[str, float], float]
) -> Export:
    questions = len({text.parallel_id or text.id for text in collection.queries.values()})
    scores = {direction: (score, after[0][direction]) for direction, score in before[0].items()}
    speeds = (before[1], after[1])
    return replace(cost, data=collection.name, questions=questions, scores=scores, texts_per_second=speeds)


def _describe(cost: Export, collection: Collection | None) -> Adaptation:
    """What the model card says of the export."""
    int8 = f", quantized to int8 ({cost.int8})" if cost.int8 else ""
    method = (
        f"Exported to {cost.backend}{int8}. It needs `pip install 'clear-ir[{cost.backend}]'`. "
        f"`{EXPORT_FILE}` has what was measured."
    )
    verdict, langs = None, []
    if collection and cost.scores:
        base, after = ({name: pair[i] for name, pair in cost.scores.items()} for i in (0, 1))
        on = f"{cost.questions} questions of {collection.name}."
        verdict = Verdict(base, after, on, collection.name, collection.data_hash)
        langs = sorted({text.lang for text in (*collection.queries.values(), *collection.passages.values())})
    return Adaptation("export", cost.model, method, langs=langs, verdict=verdict)
