"""Embeddings on disk, so that no text is encoded twice by one encoder.

Each encoder and prompt has a folder with safetensors files. A file holds `keys`, the SHA-256 of texts, and their
`vectors`. Files are added and never changed, so several processes may share a cache. A file whose content does not
match the checksum in its header is removed, and its texts are encoded again. A cache is a help and no need: where it
cannot be read or written, texts are encoded.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np

from clear_ir.data.files import hash_of, reason_of

#: Seconds after which a file that is not complete is taken for that of a killed run. Writing one takes seconds.
ABANDONED = 24 * 3600.0


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
        #: Damaged files; they were removed, where that was possible.
        self.damaged: list[str] = []
        #: Why embeddings could not be written.
        self.unwritable: str | None = None

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
            try:
                content = _read(path)
            except OSError:
                continue  # another process has just removed it, or it may not be read
            if content is None:
                self.damaged.append(str(path))
                with suppress(OSError):
                    path.unlink()
                continue
            keys, vectors = content
            for row, key in enumerate(keys):
                if (text := text_of_key.get(key.tobytes())) is not None:
                    vector_of[text] = vectors[row]
        return vector_of

    def add(self, texts: Sequence[str], vectors: np.ndarray) -> None:
        """Write embeddings to the cache. If that fails, `unwritable` says why, and nothing more is written.

        Args:
            texts: The texts.
            vectors: Shape (num_texts, dim), float32.
        """
        from safetensors import SafetensorError
        from safetensors.numpy import save_file

        if not len(texts) or self.unwritable:
            return
        keys = np.frombuffer(b"".join(map(_key, texts)), np.uint8).reshape(len(texts), 32)
        vectors = np.ascontiguousarray(vectors, np.float32)
        checksum = _checksum(keys, vectors)
        # Not the process id: processes in containers that share a cache may have the same.
        partial = self.folder / f"{checksum[:32]}.{secrets.token_hex(8)}.partial"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._remove_abandoned()
            save_file({"keys": keys, "vectors": vectors}, partial, {"sha256": checksum})
            partial.replace(self.folder / f"{checksum[:32]}.safetensors")
        except (OSError, SafetensorError) as error:
            self.unwritable = reason_of(error)
            with suppress(OSError):
                partial.unlink()

    def _remove_abandoned(self) -> None:
        """Remove what killed runs left half-written."""
        for path in self.folder.glob("*.partial"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    path.unlink()


def _read(path: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Keys and vectors of one file; None if it is damaged.

    Raises:
        OSError: If the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            keys, vectors = file.get_tensor("keys"), file.get_tensor("vectors")
            checksum = (file.metadata() or {}).get("sha256")
    except (SafetensorError, AttributeError, TypeError, ValueError):  # the last three of types that NumPy lacks
        return None
    # The checksum is of shapes and bytes, which the types in a damaged header may read as other numbers.
    intact = (keys.dtype, vectors.dtype) == (np.uint8, np.float32) and _checksum(keys, vectors) == checksum
    return (keys, vectors) if intact else None


def _key(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def _checksum(keys: np.ndarray, vectors: np.ndarray) -> str:
    digest = hashlib.sha256(repr((keys.shape, vectors.shape)).encode())
    digest.update(keys.tobytes())
    digest.update(vectors.data)
    return digest.hexdigest()
