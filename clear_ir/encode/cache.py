"""Embeddings on disk, so that no text is encoded twice by one encoder.

Each encoder and prompt has a folder with safetensors files. A file holds `keys`, the SHA-256 of texts, and their
`vectors`. Files are added and never changed, so several processes may share a cache. A file whose content does not
match the checksum in its header is removed, and its texts are encoded again.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from clear_ir.data.files import hash_of


def default_cache() -> Path:
    """The folder `$CLEAR_IR_CACHE`, else `clear-ir/embeddings` in the user's cache folder."""
    if folder := os.environ.get("CLEAR_IR_CACHE"):
        return Path(folder)
    home = Path.home()
    base = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or base) / "clear-ir" / "embeddings"


class EmbeddingCache:
    """The embeddings of one encoder with one prompt.

    Args:
        root: Folder of the cache, for all encoders.
        parts: All that the embeddings depend on: weights hash, prompt, maximum length, dtype. Other parts lead to
            another folder.
    """

    def __init__(self, root: Path, *parts: str) -> None:
        self.folder = root / hash_of(*parts)[:32]
        #: Damaged files that were removed.
        self.damaged: list[str] = []

    def get(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Look up texts.

        Args:
            texts: Distinct texts.

        Returns:
            `{text: vector}` for the texts in the cache, vectors of shape (dim,), float32.
        """
        text_of_key = {_key(text): text for text in texts}
        vector_of: dict[str, np.ndarray] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            if len(vector_of) == len(text_of_key):
                break
            content = _read(path)
            if content is None:
                path.unlink(missing_ok=True)
                self.damaged.append(str(path))
                continue
            keys, vectors = content
            for row, key in enumerate(keys):
                if (text := text_of_key.get(key.tobytes())) is not None:
                    vector_of[text] = vectors[row]
        return vector_of

    def add(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Write embeddings to the cache.

        Args:
            texts: The texts.
            vectors: Shape (num_texts, dim), float32.
        """
        from safetensors.numpy import save_file

        if not len(texts):
            return
        keys = np.frombuffer(b"".join(map(_key, texts)), np.uint8).reshape(len(texts), 32)
        vectors = np.ascontiguousarray(vectors, np.float32)
        self.folder.mkdir(parents=True, exist_ok=True)
        checksum = _checksum(keys, vectors)
        partial = self.folder / f"{checksum[:32]}.{os.getpid()}.partial"
        save_file({"keys": keys, "vectors": vectors}, partial, {"sha256": checksum})
        partial.replace(self.folder / f"{checksum[:32]}.safetensors")


def _read(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Keys and vectors of one file; None if it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            keys, vectors = file.get_tensor("keys"), file.get_tensor("vectors")
            intact = _checksum(keys, vectors) == (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError):
        return None
    return (keys, vectors) if intact else None


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _checksum(keys: np.ndarray, vectors: np.ndarray) -> str:
    digest = hashlib.sha256(repr((keys.shape, vectors.shape)).encode())
    digest.update(keys.tobytes())
    digest.update(vectors.data)
    return digest.hexdigest()
