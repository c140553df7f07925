"""Measures models that make pictures from drawings, on products that the studio draws, with their outlines and masks.

What is made has to fill the outline, and to be what the parameters say: words are read off it by the model that reads
them off pictures, and the silhouette of the same thing on white is held against the mask.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
import torch.nn.functional as F
from torch import Tensor

from benchmarks.gallery import Example, Series
from benchmarks.generate_from_words import KIND, REAL_SEED, Pictures, read_reader, recovered
from benchmarks.generate_page import Measured
from benchmarks.progress import say
from jobs.cards import Card, CardShelf
from studio import Rendering, draw, render
from worker.checkpoints import READING, build, read_model
from worker.pipelines.attribute_reader import AttributeReader
from worker.pipelines.base import Batch, Pipeline
from worker.quality.silhouette import iou, silhouette

SIDE_PX = 128  # of the drawings: their lines are then as wide as those that were learned from
PICTURES, QUICK_PICTURES = 120, 24
ON_WHITE = {"background": "white", "season": "any"}
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Products of the studio, uint8 [3, 128, 128] and [1, 128, 128]."""

    pictures: Sequence[Tensor]
    on_white: Sequence[Tensor]  # the same products
    drawings: Sequence[Tensor]
    masks: Sequence[Tensor]
    words: Sequence[Mapping[str, str]]


def measure_drawings(shelf: CardShelf, quick: bool) -> Measured:
    """Measure every model of a shelf that makes pictures from drawings."""
    columns = ["mask_iou", "accuracy", "accuracy_colour", "pictures_per_second"]
    table = [["model", *columns], ["---", *("---:" for _ in columns)]]
    figures: dict[str, float | str] = {}
    series: dict[str, list[Series]] = {}
    cards = [card for card in shelf.cards.values() if card.architecture == "pix2pix"]
    reader = product_reader(shelf)
    if not cards or reader is None:
        return Measured(figures=figures, heading="From drawings", table=table, series=series)
    drawn = draw_outlines(QUICK_PICTURES if quick else PICTURES)
    for card in cards:
        say(f"making pictures from drawings: {card.name}")
        pipeline = build(read_model(shelf.folder / card.name), CPU)
        told = [{name: words[name] for name in card.parameters} for words in drawn.words]
        began = time.perf_counter()
        made = [_made(pipeline, card, *each) for each in zip(drawn.drawings, told, strict=True)]
        rate = len(made) / (time.perf_counter() - began)
        plain = [{**words, **{name: ON_WHITE[name] for name in words if name in ON_WHITE}} for words in told]
        on_white = [_made(pipeline, card, *each) for each in zip(drawn.drawings, plain, strict=True)]
        fits, own = _fits(on_white, drawn.masks), _fits(drawn.on_white, drawn.masks)
        found = {
            "mask_iou": fmean(fits),
            "mask_iou_of_the_pictures": fmean(own),
            **_accuracy(made, told, reader),
            "pictures_per_second": rate,
        }
        rounded = {name: round(value, 3) for name, value in found.items()}
        figures |= {f"{card.name.replace('-', '_')}_{name}": value for name, value in rounded.items()}
        table.append([f"`{card.name}`", *(str(rounded.get(column, "-")) for column in columns)])
        series[card.name] = [_series(drawn, told, made, fits)]
    return Measured(figures=figures, heading="From drawings", table=table, series=series)


def draw_outlines(count: int) -> Drawn:
    """Draw the first products of a seed that nothing was trained on."""
    each = [draw(number, seed=REAL_SEED, size=SIDE_PX) for number in range(count)]
    plain = [
        render(replace(one.product, background="white", season="any"), width=SIDE_PX, height=SIDE_PX) for one in each
    ]
    edges = [torch.from_numpy(one.rendering.edges)[None].expand(3, -1, -1).contiguous() for one in each]
    return Drawn(
        pictures=[tensor_of(one.rendering) for one in each],
        on_white=[tensor_of(rendering) for rendering in plain],
        drawings=edges,
        masks=[torch.from_numpy(one.rendering.mask)[None] for one in each],
        words=[dict(one.product.attributes) for one in each],
    )


def tensor_of(rendering: Rendering) -> Tensor:
    return torch.from_numpy(rendering.pixels).permute(2, 0, 1).contiguous()


def _made(pipeline: Pipeline, card: Card, drawing: Tensor, told: Mapping[str, str]) -> Tensor:
    batch = Batch(images=drawing[None], sizes=[(SIDE_PX, SIDE_PX)])
    return pipeline.run(batch, None, card.complete(dict(told)))[0]


def _fits(pictures: Sequence[Tensor], masks: Sequence[Tensor]) -> list[float]:
    """Return how well silhouettes fit masks, from 0 to 1; 0 where none stands out from its ground."""
    outlines = [silhouette(picture) for picture in pictures]
    pairs = zip(outlines, masks, strict=True)
    return [0.0 if outline is None else iou(outline, mask > 127) for outline, mask in pairs]


def product_reader(shelf: CardShelf) -> AttributeReader | None:
    """Return the shelf's model that reads the words of products, if it has one."""
    cards = [card for card in shelf.cards.values() if card.architecture == READING]
    return next((reader for reader in (read_reader(shelf, card) for card in cards) if KIND in reader.attributes), None)


def read_small(
    pictures: Sequence[Tensor], words: Sequence[Mapping[str, str]], reader: AttributeReader
) -> dict[str, float]:
    """Return what `recovered` finds in pictures of any size, uint8 [3, side, side], brought to the reader's."""
    small = F.interpolate(torch.stack(list(pictures)).float(), (reader.side_px, reader.side_px), mode="area")
    return recovered(Pictures(pixels=small.round().to(torch.uint8), words=words), reader)


def _accuracy(
    pictures: Sequence[Tensor], words: Sequence[Mapping[str, str]], reader: AttributeReader
) -> dict[str, float]:
    if not words[0]:
        return {}
    return {f"accuracy{name}": value for name, value in read_small(pictures, words, reader).items()}


def _series(drawn: Drawn, told: Sequence[Mapping[str, str]], made: Sequence[Tensor], fits: Sequence[float]) -> Series:
    return Series(
        name="drawn",
        heading="From outlines and words.",
        beside="The outline · what the model made of it · the studio's own picture of these words. By how well the "
        "silhouette of the same on white fits the mask.",
        measure="silhouette IoU",
        best=max,
        examples=[
            Example(
                title=", ".join(words.values()),
                pictures=(drawing, picture, truth),
                figures={"silhouette IoU": round(fit, 3)},
            )
            for drawing, picture, truth, words, fit in zip(
                drawn.drawings, made, drawn.pictures, told, fits, strict=True
            )
        ],
    )
