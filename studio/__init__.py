"""The studio: draws product pictures from attributes, with exact mask, depth and outlines, and a caption.

A picture starts as a `Product` (kind, colour, material, pattern, proportions, view, light, background, season,
seed; the words are in `studio.product`). Its kind's function in `studio.kinds` builds it from solids
(`studio.fields`, `studio.profiles`) with surfaces (`studio.surfaces`, `studio.palette`); `studio.scene` puts it on
seamless paper under lamps; `studio.render` traces rays and lights what they meet.
`studio.catalogue` lists the sample catalogue, `studio.files` writes
it. `studio.dataset` draws sets of any size from a seed: products by `studio.sampling` within what goes together
(`studio.choices`), sentences by `studio.captions`. `studio.tags` draws labels and tags by themselves.

Needs numpy and Pillow, and nothing else of this repository: the demo, the training of models and the tests
all draw from here. The same attributes give the same bytes on the same machine; another processor or numpy
may round differently.
"""

from studio.catalogue import Sample, sample_catalogue
from studio.dataset import Drawn, draw, row, write_set, write_tag_set
from studio.files import write_sample_catalogue, write_sample_style
from studio.product import VOCABULARY, Product, View
from studio.render import Rendering, render
from studio.tags import TAG_VOCABULARY, Tag, draw_tag

__all__ = [
    "TAG_VOCABULARY",
    "VOCABULARY",
    "Drawn",
    "Product",
    "Rendering",
    "Sample",
    "Tag",
    "View",
    "draw",
    "draw_tag",
    "render",
    "row",
    "sample_catalogue",
    "write_sample_catalogue",
    "write_sample_style",
    "write_set",
    "write_tag_set",
]
