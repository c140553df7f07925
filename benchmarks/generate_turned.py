"""Measures models that turn one kind of picture into another, on products that the studio draws of either kind.

What is turned has to be taken for the other kind by the model that reads words off pictures, and to stay the same
product: its other words can still be read, and the pixels of its mask change little.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

import torch
from torch import Tensor

from benchmarks.gallery import Example, Series
from benchmarks.generate_from_drawings import CPU, SIDE_PX, product_reader, read_small, tensor_of
from benchmarks.generate_from_words import REAL_SEED
from benchmarks.generate_page import Measured
from benchmarks.progress import say
from jobs.cards import Card, CardShelf
from studio import draw, render
from worker.checkpoints import build, read_model
from worker.networks.cycle_gan import WAYS
from worker.pipelines.attribute_reader import AttributeReader
from worker.pipelines.base import Batch, Pipeline
from worker.quality.similarity import psnr_db

PRODUCTS, QUICK_PRODUCTS = 100, 12


@dataclass(frozen=True, slots=True, kw_only=True)
class Products:
    """Products of the studio, each as either kind. Uint8 [3, 128, 128] and [128, 128]."""

    words: Sequence[Mapping[str, str]]
    pictures: tuple[Sequence[Tensor], Sequence[Tensor]]  # of the first kind, of the second
    masks: Sequence[Tensor]


def measure_turned(shelf: CardShelf, quick: bool) -> Measured:
    """Measure every model of a shelf that turns one kind of picture into another."""
    columns = ["turned", "rest", "rest_of_the_pictures", "product_psnr_db", "pictures_per_second"]
    table = [["model", *columns], ["---", *("---:" for _ in columns)]]
    figures: dict[str, float | str] = {}
    series: dict[str, list[Series]] = {}
    reader = product_reader(shelf)
    for card in shelf.cards.values():
        if card.architecture != "cycle_gan" or reader is None:
            continue
        say(f"turning pictures: {card.name}")
        pipeline = build(read_model(shelf.folder / card.name), CPU)
        [(attribute, kinds)] = card.config["attributes"].items()
        products = draw_both(attribute, kinds, QUICK_PRODUCTS if quick else PRODUCTS)
        began = time.perf_counter()
        turned = [[_turned(pipeline, card, way, one) for one in products.pictures[WAYS.index(way)]] for way in WAYS]
        rate = 2 * len(products.masks) / (time.perf_counter() - began)
        found = _figures(products, turned, attribute, kinds, reader) | {"pictures_per_second": rate}
        rounded = {name: round(value, 3) for name, value in found.items()}
        figures |= {f"{card.name.replace('-', '_')}_{name}": value for name, value in rounded.items()}
        table.append([f"`{card.name}`", *(str(rounded[column]) for column in columns)])
        series[card.name] = [_series(products, turned[way], kinds, way) for way in range(len(WAYS))]
    return Measured(figures=figures, heading="From one kind to another", table=table, series=series)


def draw_both(attribute: str, kinds: Sequence[str], count: int) -> Products:
    """Draw the first products of a seed that nothing was trained on, with either word of an attribute."""
    products = [draw(number, seed=REAL_SEED, size=SIDE_PX).product for number in range(count)]
    both = [
        [render(replace(one, **{attribute: kind}), width=SIDE_PX, height=SIDE_PX) for one in products]  # type: ignore[arg-type]
        for kind in kinds
    ]
    first, second = ([tensor_of(rendering) for rendering in of_kind] for of_kind in both)
    return Products(
        words=[dict(one.attributes) for one in products],
        pictures=(first, second),
        masks=[torch.from_numpy(rendering.mask) > 127 for rendering in both[0]],
    )


def _turned(pipeline: Pipeline, card: Card, way: str, picture: Tensor) -> Tensor:
    batch = Batch(images=picture[None], sizes=[(SIDE_PX, SIDE_PX)])
    return pipeline.run(batch, None, card.complete({"way": way}))[0]


def _figures(
    products: Products,
    turned: Sequence[Sequence[Tensor]],
    attribute: str,
    kinds: Sequence[str],
    reader: AttributeReader,
) -> dict[str, float]:
    """Return the means of both ways."""
    shares, rest, before = [], [], []
    for way, pictures in enumerate(turned):
        found = read_small(pictures, [{**words, attribute: kinds[1 - way]} for words in products.words], reader)
        own = read_small(products.pictures[way], [{**words, attribute: kinds[way]} for words in products.words], reader)
        shares.append(found.pop(f"_{attribute}"))
        own.pop(f"_{attribute}")
        rest.append(fmean(value for name, value in found.items() if name))
        before.append(fmean(value for name, value in own.items() if name))
    kept = [
        psnr_db(picture[:, mask], after[:, mask])
        for way, pictures in enumerate(turned)
        for picture, after, mask in zip(products.pictures[way], pictures, products.masks, strict=True)
    ]
    return {
        "turned": fmean(shares),
        **{f"turned_{way}": share for way, share in zip(WAYS, shares, strict=True)},
        "rest": fmean(rest),
        "rest_of_the_pictures": fmean(before),
        "product_psnr_db": fmean(kept),
    }


def _series(products: Products, turned: Sequence[Tensor], kinds: Sequence[str], way: int) -> Series:
    before, truth = products.pictures[way], products.pictures[1 - way]
    return Series(
        name=WAYS[way],
        heading=f"From {kinds[way]} to {kinds[1 - way]}.",
        beside=f"The picture · what the model made of it · the studio's own picture of the same as {kinds[1 - way]}. "
        "By the PSNR of that.",
        measure="PSNR in dB",
        best=max,
        examples=[
            Example(
                title=", ".join(words[name] for name in ("kind", "colour", "pattern", "background")),
                pictures=(first, made, wanted),
                figures={"PSNR in dB": round(psnr_db(made, wanted), 2)},
            )
            for words, first, made, wanted in zip(products.words, before, turned, truth, strict=True)
        ],
    )
