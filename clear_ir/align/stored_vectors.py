"""Move vectors that the base has encoded already: an index is aligned without encoding a passage again."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from clear_ir.align.maps import AffineMap
from clear_ir.data.files import InputError, check_exists, reason_of
from clear_ir.data.output_files import new_file
from clear_ir.encode.vectors import row_blocks


def move_vectors(source: Path, out: Path, of_side: AffineMap, overwrite: bool = False) -> int:
    """Map the vectors of a `.npy` file, some rows at a time.

    Args:
        source: A matrix of floating-point numbers, shape (num_vectors, dim): vectors of the encoder before alignment.
            They may have any length above 0.
        out: The `.npy` file to make, float32, with rows of length 1.
        of_side: The map of their side.
        overwrite: Replace an earlier file.

    Returns:
        The number of vectors.

    Raises:
        InputError: If the file is no such matrix, its vectors have another number of dimensions, or a vector is zero or
            has values that are no numbers.
    """
    check_exists(source)
    try:
        vectors = np.load(source, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy parses the header as Python, which fails in many ways where it is damaged
        raise InputError(
            f"{source} is not a .npy file of numbers ({reason_of(error)}); save it with numpy.save."
        ) from None
    dim = len(of_side.offset)
    if not isinstance(vectors, np.ndarray) or vectors.dtype.kind != "f" or vectors.ndim != 2:
        kind = (
            f"has the type {vectors.dtype} and the shape {vectors.shape}"
            if isinstance(vectors, np.ndarray)
            else "is an archive"
        )
        raise InputError(f"{source} {kind}; give a matrix of floating-point numbers with a row for each text.")
    if vectors.shape[1] != dim:
        raise InputError(
            f"{source} has vectors of {vectors.shape[1]} numbers, but those of the aligned encoder have {dim}; give "
            "vectors of the encoder that was aligned."
        )
    # Written, not mapped: where the disk is full, that is an error and not the end of the process.
    with new_file(out, overwrite) as partial, partial.open("wb") as file:
        header = {"descr": "<f4", "fortran_order": False, "shape": vectors.shape}
        np.lib.format.write_array_header_1_0(file, header)
        for block in row_blocks(len(vectors), dim):
            part = np.asarray(vectors[block], np.float64)
            lengths = np.linalg.norm(part, axis=1)
            if not (np.isfinite(lengths) & (lengths > 0)).all():
                row = block.start + int(np.argmin(np.isfinite(lengths) & (lengths > 0)))
                raise InputError(
                    f"{source}, row {row}: the vector is zero or has values that are no numbers; encode it again."
                )
            file.write(of_side(part).astype("<f4").tobytes())
    return len(vectors)
