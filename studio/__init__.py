"""The studio: draws product pictures from attributes, with the exact mask of the product.

A picture starts as a `Product` (kind, colour, material, pattern, view, light, background, seed). Its kind's
function in `studio.kinds` builds it from solids (`studio.fields`, `studio.profiles`) with surfaces
(`studio.surfaces`, `studio.palette`); `studio.scene` puts it on seamless paper under lamps; `studio.render`
traces rays and lights what they meet. `studio.catalogue` lists the sample catalogue, `studio.files` writes
it.

Needs numpy and Pillow, and nothing else of this repository: the demo, the training of models and the tests
all draw from here. The same attributes give the same bytes on the same machine; another processor or numpy
may round differently.
"""

from studio.catalogue import Sample, sample_catalogue
from studio.files import write_sample_catalogue, write_sample_style
from studio.product import Product, View
from studio.render import Rendering, render

__all__ = [
    "Product",
    "Rendering",
    "Sample",
    "View",
    "render",
    "sample_catalogue",
    "write_sample_catalogue",
    "write_sample_style",
]
