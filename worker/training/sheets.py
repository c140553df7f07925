"""Sample sheets: what a network makes of pictures that it never learned from, while it learns."""

from __future__ import annotations

import io
from collections.abc import Mapping

import torch
from PIL import Image, ImageDraw
from torch import Tensor

GAP_PX = 4
TITLE_PX = 16
LEAST_PX = 96  # height of a picture


def draw_sheet(columns: Mapping[str, Tensor]) -> bytes:
    """Return a PNG with a row for each example: columns of pictures, float [R, 3, h, w] in [0, 1], under titles."""
    height, width = next(iter(columns.values())).shape[2:]
    larger = max(1, LEAST_PX // height)  # what a network sees is too small to look at
    height, width = larger * height, larger * width
    rows = len(next(iter(columns.values())))
    size = (GAP_PX + len(columns) * (width + GAP_PX), TITLE_PX + rows * (height + GAP_PX))
    sheet = Image.new("RGB", size, "white")
    pen = ImageDraw.Draw(sheet)
    for column, (title, pictures) in enumerate(columns.items()):
        left = GAP_PX + column * (width + GAP_PX)
        pen.text((left, 2), title, fill="black")
        for row, picture in enumerate(pictures):
            pixels = (picture.float().clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu()
            shown = Image.fromarray(pixels.numpy()).resize((width, height), Image.Resampling.NEAREST)
            sheet.paste(shown, (left, TITLE_PX + row * (height + GAP_PX)))
    content = io.BytesIO()
    sheet.save(content, "PNG")
    return content.getvalue()
