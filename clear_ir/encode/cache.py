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
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from clear_ir.data.files import hash_of, reason_of
from clear_ir.encode.vectors import row_blocks

#: Seconds after which a file that is not complete is taken for that of a killed run. Writing one takes seconds.
ABANDONED = 24 * 3600.0
#: Keys are the digests of SHA-256. NumPy sorts and compares them as texts of that length.
KEY_BYTES, KEY_TYPE = 32, "S32"


def default_cache(kept: str = "embeddings") -> Path:
    """The folder `$CLEAR_IR_CACHE`, else one below `clear-ir` in the user's cache folder.

    Args:
        kept: The name of that folder, which says what is kept there.

    Returns:
        The folder; it may not exist yet.
    """
    if folder := os.environ.get("CLEAR_IR_CACHE"):
        return Path(folder)
    home = Path.home()
    base = home / "Library" / "Caches" if sys.platform == "darwin" else home / ".cache"
    return Path(os.environ.get("XDG_CACHE_HOME") or base) / "clear-ir" / kept


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

    def read(self, texts: Sequence[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Look up texts, a block of vectors at a time: all of them may not fit into memory.

        Args:
            texts: Distinct texts.

        Yields:
            Places in `texts`, shape (num_found,), with the vectors of the texts there, shape (num_found, dim), float32.
            A place comes once; those of texts that are not in the cache do not come.
        """
        keys = _keys(texts)
        order = np.argsort(keys)
        is_found = np.zeros(len(texts), bool)
        for path in sorted(self.folder.glob("*.safetensors")):
            if is_found.all():
                break
            try:
                with _opened(path) as content:
                    if content is None:
                        self._remove_damaged(path)
                        continue
                    in_file, vectors = content
                    nearest = order[np.searchsorted(keys, in_file, sorter=order).clip(max=len(order) - 1)]
                    rows = np.flatnonzero((keys[nearest] == in_file) & ~is_found[nearest])
                    places, first = np.unique(nearest[rows], return_index=True)
                    is_found[places] = True
                    yield from _wanted(vectors, rows[first], places)
            except OSError:
                continue  # another process has just removed it, or it may not be read

    def _remove_damaged(self, path: Path) -> None:
        self.damaged.append(str(path))
        with suppress(OSError):
            path.unlink()

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
        keys = _keys(texts).view(np.uint8).reshape(len(texts), KEY_BYTES)
        vectors = np.ascontiguousarray(vectors, np.float32)
        checksum = _checksum(keys, vectors, vectors.shape)
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


@contextmanager
def _opened(path: Path) -> Iterator[tuple[np.ndarray, Any] | None]:
    """Keys of one file, shape (num_texts,), and its vectors, which are read by slices of rows; None if it is damaged.

    Raises:
        OSError: If the file cannot be read.
    """
    from safetensors import SafetensorError, safe_open

    with ExitStack() as opened:
        try:
            file = opened.enter_context(safe_open(path, "numpy"))
            keys, vectors = file.get_tensor("keys"), file.get_slice("vectors")
            shape = tuple(vectors.get_shape())
            # The checksum is of shapes and bytes, which the types in a damaged header may read as other numbers.
            intact = (
                (keys.dtype, vectors.get_dtype(), len(shape)) == (np.uint8, "F32", 2)
                and keys.shape == (shape[0], KEY_BYTES)
                and _checksum(keys, vectors, shape) == (file.metadata() or {}).get("sha256")
            )
        except (SafetensorError, AttributeError, TypeError, ValueError):  # the last three of types that NumPy lacks
            intact = False
        yield (keys.view(KEY_TYPE).reshape(-1), vectors) if intact else None


def _wanted(vectors: Any, rows: np.ndarray, places: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The vectors of some rows of a file, with their places, a block of the file at a time."""
    for block in row_blocks(*vectors.get_shape()):
        here = (block.start <= rows) & (rows < block.stop)
        if here.any():
            yield places[here], vectors[block][rows[here] - block.start]


def _keys(texts: Sequence[str]) -> np.ndarray:
    """The SHA-256 of each text, shape (num_texts,)."""
    return np.frombuffer(b"".join(hashlib.sha256(text.encode()).digest() for text in texts), KEY_TYPE)


def _checksum(keys: np.ndarray, vectors: Any, shape: tuple[int, ...]) -> str:
    """The checksum of a file's content.

    Args:
        keys: Shape (num_texts, KEY_BYTES).
        vectors: An array, or the slices of a file.
        shape: Of the vectors.
    """
    digest = hashlib.sha256(repr((keys.shape, shape)).encode())
    digest.update(keys.tobytes())
    for block in row_blocks(shape[0], shape[1]):
        digest.update(vectors[block].data)
    return digest.hexdigest()
