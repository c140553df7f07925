"""Draws what models make of pictures beside what libraries make of them: `python -m benchmarks.image_sheets FOLDER`.

The pictures are those in the public domain that come with scikit-image, whole or a part of the middle; nothing is
chosen by hand.
"""

from __future__ import annotations

import argparse
import io
import sys
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from benchmarks.generate_images import Pixels, holes_in, model, public_photos, run
from worker.training.sheets import draw_sheet

PART_PX, ZOOM = 96, 3  # of what is enlarged: a part, each of whose pixels is shown so many times as large
WHOLE_PX = 256  # of what is filled
QUALITY = 85


def enlarged_sheet(scale: int) -> dict[str, Tensor]:
    """Return columns: a part of each photo enlarged by Pillow and by our model, and as it was."""
    pipeline, columns = model(f"super-resolution-{scale}x"), ("bicubic", "ours", "photo")
    rows = []
    for photo in public_photos():
        size = (photo.shape[1], photo.shape[0])
        small = np.asarray(
            Image.fromarray(photo).resize((size[0] // scale, size[1] // scale), Image.Resampling.BICUBIC)
        )
        plain = np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC))
        top, left = ((side - PART_PX) // 2 for side in photo.shape[:2])
        found = (plain, run(pipeline, small), photo)
        rows.append(
            [each[top : top + PART_PX, left : left + PART_PX].repeat(ZOOM, 0).repeat(ZOOM, 1) for each in found]
        )
    return _columns(columns, rows)


def filled_sheet() -> dict[str, Tensor]:
    """Return columns: each photo with holes, filled by OpenCV and by our model, and as it was."""
    pipeline = model("inpainting")
    photos = [np.asarray(Image.fromarray(photo).resize((WHOLE_PX, WHOLE_PX))) for photo in public_photos() * 2]
    rows = []
    for photo, hole in zip(photos, holes_in(photos), strict=True):
        damaged = np.where(hole[..., None] > 0, np.uint8(255), photo)
        telea = cv2.inpaint(damaged, hole, 3, cv2.INPAINT_TELEA)
        rows.append([damaged, telea, run(pipeline, damaged, hole), photo])
    return _columns(("damaged", "Telea", "ours", "photo"), rows)


def _columns(titles: tuple[str, ...], rows: list[list[Pixels]]) -> dict[str, Tensor]:
    return {
        title: torch.stack([torch.from_numpy(np.array(row[place])).permute(2, 0, 1) / 255 for row in rows])
        for place, title in enumerate(titles)
    }


def main() -> int:
    """Write the sheets."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.image_sheets", description=main.__doc__)
    parser.add_argument("folder", type=Path)
    folder: Path = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    for name, sheet in (
        ("enlarged-2x", enlarged_sheet(2)),
        ("enlarged-4x", enlarged_sheet(4)),
        ("filled", filled_sheet()),
    ):
        _write(folder / f"{name}.webp", draw_sheet(sheet))
    return 0


def _write(path: Path, png: bytes) -> None:
    with Image.open(io.BytesIO(png)) as image:
        image.save(path, quality=QUALITY)


if __name__ == "__main__":
    sys.exit(main())
