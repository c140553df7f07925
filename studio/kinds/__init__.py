"""The kinds of product that the studio can build: a function each, from attributes to parts.

A new kind is a function here, a word in `studio.product.Kind`, and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable

from studio.kinds.carried import bag
from studio.kinds.furniture import lamp, stool
from studio.kinds.packaged import bottle, box, candle
from studio.kinds.played import book, toy
from studio.kinds.seats import chair, cushion
from studio.kinds.tableware import mug, teapot, vase
from studio.kinds.worn import shoe, watch
from studio.product import Kind, Product
from studio.subject import Subject

KINDS: dict[Kind, Callable[[Product], Subject]] = {
    "bag": bag,
    "book": book,
    "bottle": bottle,
    "box": box,
    "candle": candle,
    "chair": chair,
    "cushion": cushion,
    "lamp": lamp,
    "mug": mug,
    "shoe": shoe,
    "stool": stool,
    "teapot": teapot,
    "toy": toy,
    "vase": vase,
    "watch": watch,
}


def build(product: Product) -> Subject:
    """Build a product from its attributes."""
    return KINDS[product.kind](product)
