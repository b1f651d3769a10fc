"""Embeddings on disk, so that no text is encoded twice with one encoder.

A folder for each encoder and prompt; in it safetensors files, each with ``keys`` (SHA-256 of the texts) and
``vectors``. Files are added, never changed, so several processes may share a cache. A file whose contents do not
fit the checksum in its header is removed, and its texts are encoded again.
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
    """``$CLEAR_IR_CACHE``, else ``clear-ir/embeddings`` in the user's cache folder."""
    if named := os.environ.get("CLEAR_IR_CACHE"):
        return Path(named)
    home = Path.home()
    base = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or base) / "clear-ir" / "embeddings"


class EmbeddingCache:
    """The embeddings of one encoder with one prompt.

    Args:
        root: The cache's folder.
        parts: What tells the encoder and its settings apart: weights hash, prompt, maximum length, dtype.
    """

    def __init__(self, root: Path, *parts: str) -> None:
        self.folder = root / hash_of(*parts)[:32]
        #: Files found damaged and removed.
        self.damaged: list[str] = []

    def get(self, texts: Sequence[str]) -> dict[str, np.ndarray]:
        """Look texts up.

        Args:
            texts: The texts, distinct.

        Returns:
            ``{text: vector}`` for those in the cache, vectors of shape (dim,), float32.
        """
        wanted = {_key(text): text for text in texts}
        found: dict[str, np.ndarray] = {}
        for path in sorted(self.folder.glob("*.safetensors")):
            if len(found) == len(wanted):
                break
            read = _read(path)
            if read is None:
                path.unlink(missing_ok=True)
                self.damaged.append(str(path))
                continue
            keys, vectors = read
            for row, key in enumerate(keys):
                if (text := wanted.get(key.tobytes())) is not None:
                    found[text] = vectors[row]
        return found

    def add(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Keep embeddings.

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
    """Keys and vectors of one file, or None where it is damaged."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            keys, vectors = file.get_tensor("keys"), file.get_tensor("vectors")
            whole = _checksum(keys, vectors) == (file.metadata() or {}).get("sha256")
    except (SafetensorError, OSError):
        return None
    return (keys, vectors) if whole else None


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _checksum(keys: np.ndarray, vectors: np.ndarray) -> str:
    digest = hashlib.sha256(repr((keys.shape, vectors.shape)).encode())
    digest.update(keys.tobytes())
    digest.update(vectors.data)
    return digest.hexdigest()
