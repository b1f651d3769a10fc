"""Load translation models from safetensors, and refuse those that do not translate."""

from __future__ import annotations

import importlib.util
import warnings
from pathlib import Path
from typing import Any

from clear_ir.data.files import InputError
from clear_ir.translate.model_families import FAMILIES, KNOWN, Languages, languages_of

_TYPES = {model_type for family in FAMILIES for model_type in family.model_types}


def load_model(name: str, dtype: Any, trust_remote_code: bool = False) -> tuple[Any, Any, Languages]:
    """Load a translation model, its tokenizer, and the languages that it knows.

    Args:
        name: A model folder or a hub name.
        dtype: The type of its weights.
        trust_remote_code: Run Python code that comes with the model.

    Returns:
        The model, on the CPU, its tokenizer, and its languages. Weights are read from safetensors only.

    Raises:
        InputError: If it does not translate.
        Exception: Whatever the libraries raise for a damaged folder, see
            `clear_ir.encode.model_loading.naming_failures_to_load`.
    """
    path = Path(name)
    with warnings.catch_warnings():
        # Marian's tokenizer recommends a package that it does not use when it is called.
        warnings.filterwarnings("ignore", "Recommended: pip install sacremoses", UserWarning)
        from transformers import AutoConfig, AutoModelForSeq2SeqLM, AutoTokenizer

        options: dict[str, Any] = {"trust_remote_code": trust_remote_code, "local_files_only": path.is_dir()}
        source = str(path) if path.is_dir() else name
        config: Any = AutoConfig.from_pretrained(source, **options)
        _check_kind(name, config)
        tokenizer: Any = AutoTokenizer.from_pretrained(source, **options)
        model, loaded = AutoModelForSeq2SeqLM.from_pretrained(
            source, dtype=dtype, use_safetensors=True, output_loading_info=True, **options
        )
        if missing := sorted(loaded["missing_keys"]):
            raise InputError(
                f"The files of {name} lack {len(missing)} weights of a translation model, such as {missing[0]}; get "
                "the complete model.",
                "model",
            )
        _check_vocabulary(name, tokenizer, model.get_input_embeddings().num_embeddings)
        return model.eval(), tokenizer, languages_of(name, config, tokenizer, model.generation_config)


def _check_vocabulary(name: str, tokenizer: Any, size: int) -> None:
    """Refuse a vocabulary with ids for which there is no embedding. A text would show it only if it has such a word."""
    vocabulary = getattr(tokenizer, "encoder", None) or tokenizer.get_vocab()
    wrong = [token for token, i in vocabulary.items() if not isinstance(i, int) or not 0 <= i < size]
    if wrong:
        raise InputError(
            f"The vocabulary of {name} does not fit its {size} embeddings, for example the token {wrong[0]!r}; get the "
            "complete model.",
            "model",
        )


def _check_kind(name: str, config: Any) -> None:
    """Refuse a model that does not translate, before its weights are read."""
    kind = (getattr(config, "architectures", None) or [config.model_type])[0]
    if config.model_type not in _TYPES or kind.endswith("EncoderModel"):
        raise InputError(f"{name} does not translate: it is a {kind}; give {KNOWN}.", "model")
    if config.model_type in ("marian", "m2m_100") and importlib.util.find_spec("sentencepiece") is None:
        raise InputError(f"{name} needs the package sentencepiece; run: pip install 'clear-ir[translate]'", "model")
