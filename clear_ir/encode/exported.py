"""Encoders whose network runs in ONNX Runtime or OpenVINO.

sentence-transformers 6.2 has backends for both, but they need optimum: optimum-onnx 0.1 wants transformers below 4.58,
where sentence-transformers wants 5 or newer, and optimum-intel 2.2 wants transformers below 5.6. So here the export and
the runtime are those of transformers itself (`transformers.exporters`). The folders have the layout of those backends.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from clear_ir.data.files import InputError
from clear_ir.encode.model_loading import MANIFEST_FILE, Format

if TYPE_CHECKING:
    from transformers import PretrainedConfig
    from transformers.exporters.base import ExportedModel

#: By itself OpenVINO computes in bf16 or fp16 where the processor can.
RUNNER_OPTIONS: dict[Format, dict[str, Any]] = {"openvino": {"config": {"INFERENCE_PRECISION_HINT": "f32"}}}
#: What runs a program of each format: the packages, by the names that Python imports.
PACKAGES: dict[Format, tuple[str, ...]] = {
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "openvino": ("openvino", "nncf"),
}


def check_installed(export_format: Format) -> None:
    """Refuse a format whose packages are lacking.

    Args:
        export_format: The format.

    Raises:
        InputError: If one of its packages, or transformers with its exporters, is lacking.
    """
    needed = ("transformers.exporters", *PACKAGES[export_format])
    if missing := [package for package in needed if importlib.util.find_spec(package) is None]:
        raise InputError(
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not installed; run: "
            f"pip install 'clear-ir[{export_format}]'"
        )


class ExportedNetwork(nn.Module):
    """A network as an exported program, in the place of one in PyTorch. It cannot be trained.

    Args:
        exported: The program.
        config: The configuration of the network that was exported.
        files: The files that it was read from. Their hash is a buffer: it tells two programs apart, as weights do.
    """

    def __init__(self, exported: ExportedModel, config: PretrainedConfig, files: list[Path] | None = None) -> None:
        super().__init__()
        self.exported, self.config = exported, config
        digest = hashlib.sha256()
        for file in files or []:
            with file.open("rb") as opened:
                while block := opened.read(2**20):
                    digest.update(block)
        self.register_buffer("program", torch.tensor(list(digest.digest()), dtype=torch.uint8))
        self._inputs = set(next(iter(exported.components.values())).metadata.kwargs)

    @property
    def device(self) -> torch.device:
        """The CPU: there the program takes its inputs."""
        return torch.device("cpu")

    def forward(self, **inputs: Any) -> Any:
        """Run the program on those of the inputs that it was exported with."""
        return self.exported(**{name: value.cpu() for name, value in inputs.items() if name in self._inputs})

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write the configuration, and the program in a folder with the name of its format."""
        self.config.save_pretrained(folder)
        self.exported.save_pretrained(Path(folder) / str(self.exported.export_format))


@contextmanager
def exported_backends() -> Iterator[None]:
    """Let sentence-transformers load what `clear-ir export` made, without optimum.

    Within the block its backends `onnx` and `openvino` read programs with transformers; what is loaded stays usable
    after it. `clear_ir.encode.model_loading.load_encoder` does that by itself.

    Example:
        ::

            with exported_backends():
                model = SentenceTransformer("models/sw-onnx", backend="onnx")
    """
    from sentence_transformers.base.modules import transformer

    # Its Transformer finds the two functions by these names. There is no other way in: a module class of ours would
    # ask everybody who loads the folder for trust_remote_code.
    loaders: dict[str, Format] = {"load_onnx_model": "onnx", "load_openvino_model": "openvino"}
    kept = {name: getattr(transformer, name) for name in loaders}
    try:
        for name, export_format in loaders.items():
            setattr(transformer, name, partial(_load_network, export_format))
        yield
    finally:
        for name, loader in kept.items():
            setattr(transformer, name, loader)


def _load_network(
    export_format: Format, model_name_or_path: str, config: PretrainedConfig, task_name: str, **options: Any
) -> ExportedNetwork:
    """Read a network where sentence-transformers' backends expect it: in a folder with the name of the format."""
    check_installed(export_format)
    from transformers.exporters.base import ExportedModel
    from transformers.utils.hub import cached_file

    places = ("cache_dir", "token", "revision", "local_files_only")
    where = {name: options[name] for name in places if options.get(name) is not None}
    where["subfolder"] = Path(options.get("subfolder") or "", export_format).as_posix()
    exported = ExportedModel.from_pretrained(
        model_name_or_path, device="cpu", **where, **RUNNER_OPTIONS.get(export_format, {})
    )
    manifest = Path(str(cached_file(model_name_or_path, MANIFEST_FILE, **where)))
    return ExportedNetwork(exported, config, [f for f in sorted(manifest.parent.iterdir()) if f.name != "config.json"])
