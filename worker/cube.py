"""Writes a colour table as a `.cube` file (Adobe's Cube LUT 1.0), which grading programs, cameras and ffmpeg open."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def cube(table: NDArray[np.floating[Any]], *, title: str) -> bytes:
    """Return the file of a table [3, D, D, D] that maps sRGB (r, g, b) to table[:, b, g, r], in [0, 1].

    Six digits after the point: finer than half a step of 16 bits.
    """
    side = table.shape[-1]
    rows = table.transpose(1, 2, 3, 0).reshape(-1, 3)  # red runs fastest, as the format wants it
    lines = "\n".join(f"{red:.6f} {green:.6f} {blue:.6f}" for red, green, blue in rows.tolist())
    return f'TITLE "{title}"\nLUT_3D_SIZE {side}\nDOMAIN_MIN 0 0 0\nDOMAIN_MAX 1 1 1\n{lines}\n'.encode()
