"""`python -m worker.paint_slowly PHOTO PAINTING OUT`: one picture in the manner of another, by optimisation.

The slow reference beside the models that paint in one pass: minutes for one picture, hundreds of passes through the
teacher (the extra `teacher`). It goes on from nothing: stopped, it has made nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from jobs.errors import ImageRejected, JobsError
from jobs.formats import OutputFormat
from worker.device import resolve
from worker.images import PictureLimits, decode, encode
from worker.pipelines.resizing import smaller
from worker.teacher import load_teacher
from worker.training.slow_painting import paint_slowly

QUALITY = 95


def main(arguments: Sequence[str] | None = None) -> int:
    """Paint the picture."""
    asked = _parser().parse_args(arguments)
    try:
        device = resolve(asked.device)
        teacher = load_teacher(device, asked.teacher)
        photo, painting = (smaller(_read(path), asked.side, device) for path in (asked.photo, asked.painting))
    except (OSError, ImageRejected, JobsError, ValueError) as error:
        sys.stderr.write(f"Error: {error}\n")
        return 1
    painted = paint_slowly(
        photo,
        painting,
        teacher,
        iterations=asked.iterations,
        style_weight=asked.style_weight,
        report=lambda done, content, style: _report(asked.iterations, done, content, style),
    )
    pixels = (painted[0] * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().contiguous().numpy()
    asked.out.write_bytes(encode(pixels, None, format=_format(asked.out), quality=QUALITY))
    return 0


def _read(path: Path) -> Tensor:
    return torch.from_numpy(decode(path.read_bytes(), PictureLimits()).pixels.copy()).permute(2, 0, 1)


def _report(iterations: int, done: int, content: float, style: float) -> None:
    end = "\n" if done == iterations else ""
    sys.stderr.write(f"\r{done} of {iterations}  content {content:.4f}  style {style:.4f}{end}")
    sys.stderr.flush()


def _format(path: Path) -> OutputFormat:
    return OutputFormat.PNG if path.suffix.lower() == ".png" else OutputFormat.JPEG


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m worker.paint_slowly", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("photo", type=Path)
    parser.add_argument("painting", type=Path)
    parser.add_argument("out", type=Path, help="a .png, or a JPEG of any other name")
    parser.add_argument("--side", type=int, default=384, help="longest side of the result, px (default: 384)")
    parser.add_argument("--iterations", type=int, default=200, help="steps (default: 200)")
    parser.add_argument("--style-weight", type=float, default=3.0, help="more: nearer to the painting (default: 3)")
    parser.add_argument("--device", default="auto", help="cpu, cuda … (default: a GPU where there is one)")
    parser.add_argument("--teacher", type=Path, help="an HDF5 file of its weights (default: the package's)")
    return parser


if __name__ == "__main__":
    sys.exit(main())
