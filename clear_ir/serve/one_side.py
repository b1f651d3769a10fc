"""One side of a model as a folder of its own, for servers that know no routes: text-embeddings-inference."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from clear_ir.data.output_files import new_folder, write_json
from clear_ir.encode.model_loading import Side, load_encoder, no_weight_bars, prompt_of
from clear_ir.encode.two_encoders import side_of

#: The file that lists a model's modules, and marks the folder.
MODULES_FILE = "modules.json"
#: The settings of a module are in `config.json`, but for these.
CONFIG_FILES = {"Transformer": "sentence_bert_config.json"}
#: Where sentence-transformers had its modules before version 6. It reads these names, too.
OLD_MODULES = "sentence_transformers.models"
#: The pooling modes, and the keys that older versions have for them.
POOLING_KEYS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "max": "pooling_mode_max_tokens",
    "mean_sqrt_len_tokens": "pooling_mode_mean_sqrt_len_tokens",
    "weightedmean": "pooling_mode_weightedmean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}


def write_side(
    model: str | Path, side: Side, out: str | Path, *, overwrite: bool = False, trust_remote_code: bool = False
) -> None:
    """Write the encoder of one side of a model as a plain model folder that older readers understand.

    Args:
        model: The model, see `clear_ir.encode.model_loading.load_encoder`.
        side: Queries or passages. Of a model without routes both are the same but for the prompt.
        out: The folder to make. Its prompt is called `query` or `document`, and is what `encode` uses by itself.
        overwrite: Replace an earlier folder that was made so.
        trust_remote_code: Run Python code that comes with the model.

    Raises:
        InputError: If the folder is taken or the model cannot be loaded.
    """
    encoder = side_of(load_encoder(str(model), trust_remote_code), side)
    name = "query" if side == "query" else "document"
    encoder.prompts = {name: prompt_of(encoder, side)}
    encoder.default_prompt_name = name
    with new_folder(Path(out), MODULES_FILE, overwrite) as folder, no_weight_bars():
        encoder.save_pretrained(str(folder), create_model_card=False)
        modules = _read(folder / MODULES_FILE)
        for module in modules:
            kind = module["type"].rpartition(".")[2]
            module["type"] = f"{OLD_MODULES}.{kind}"
            file = folder / module["path"] / CONFIG_FILES.get(kind, "config.json")
            if kind == "Pooling":
                write_json(file, _old_pooling(_read(file)))
            elif kind == "Transformer" and encoder.max_seq_length:
                write_json(file, _read(file) | {"max_seq_length": encoder.max_seq_length})
        write_json(folder / MODULES_FILE, modules)


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def _old_pooling(config: dict[str, Any]) -> dict[str, Any]:
    modes = config["pooling_mode"]
    modes = [modes] if isinstance(modes, str) else modes
    return {
        "word_embedding_dimension": config["embedding_dimension"],
        **{key: mode in modes for mode, key in POOLING_KEYS.items()},
        "include_prompt": config["include_prompt"],
    }
