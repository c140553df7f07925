"""Writes the gallery, a page with pictures beside the figures: `python -m benchmarks.styles … --gallery FOLDER`.

The figures are those of the photos that the benchmark was given, which stay where they are. The pictures are others,
which anyone may publish: products that the studio draws, with exact masks, and photos in the public domain that come
with scikit-image. Of every model's examples the best, the middle one and the worst by a stated measure are shown, each
with its own figures: none is chosen by hand.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from torch import Tensor

from benchmarks.progress import say
from benchmarks.style_pictures import Photo
from benchmarks.style_protocols import SIDES_PX, Model, kept
from studio import render, sample_catalogue
from studio.scenery import golden_hour
from worker.quality.style import palette
from worker.training.recovery import SIDE_PX, graded_pairs, nearness, restyle_with

TILE_PX = 176  # height of the pictures of a strip; chosen: three or four beside one another fill a page
GAP_PX = 6
WEBP_QUALITY = 78  # chosen: no block is to be seen, and a whole gallery stays below 600 kB
PUBLIC = ("coffee", "chelsea", "rocket")  # in skimage.data; where they come from is said below
RANKS = ("best", "typical", "worst")

FIGURES = {  # a column of the table by what its keys end in; a model has only some of them
    "psnr_db": "PSNR in dB",
    "delta_e": "ΔE 1976",
    "delta_e2000": "ΔE 2000",
    "structure": "structure",
    "structure_inside": "structure of the product",
    "structure_outside": "structure around it",
    "sharpness": "sharpness",
    "colour_shift": "colour shift",
    "colour_shift_inside": "colour shift of the product",
    "style_distance": "style distance",
    **{f"pictures_per_second_{side}": f"pictures/s at {side} px" for side in SIDES_PX},
    **{f"rate_to_pillow_{side}": f"÷ Pillow's rate at {side} px" for side in SIDES_PX},
}
SOURCES = """\
| pictures | from |
|---|---|
| products | drawn by [`studio/`](../../studio), as is the golden hour |
| coffee | Rachel Michetti, CC0 |
| chelsea | Stefan van der Walt, CC0 |
| rocket | SpaceX, public domain |

The photos come with scikit-image, whose `skimage.data` names their origins."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One run of a model, and how it went."""

    title: str
    pictures: tuple[Tensor, ...]  # uint8 [3, h, w], as they stand beside one another
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Examples of one kind, of which the best, the middle one and the worst are shown."""

    name: str  # in file names
    heading: str
    beside: str  # what stands beside what in a strip
    measure: str  # that puts them in order
    best: Callable[[Sequence[float]], float]  # max or min
    examples: Sequence[Example]

    def ranked(self) -> Iterator[tuple[str, Example]]:
        ordered = sorted(self.examples, key=lambda each: each.figures[self.measure])
        if self.best is max:
            ordered.reverse()
        yield from zip(RANKS, (ordered[0], ordered[len(ordered) // 2], ordered[-1]), strict=True)


def write_gallery(
    folder: Path, models: Sequence[Model], figures: Mapping[str, float | str], *, products: int | None = None
) -> None:
    """Write README.md, figures.json and the pictures into a folder; pictures of an older gallery go.

    products: how many of the studio's are drawn; None: its whole catalogue.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.glob("*.webp"):
        old.unlink()
    drawn, public, references = draw_products(products), public_photos(), gallery_references()
    sections, examples = [], {}
    for model in models:
        if model.card.architecture == "unchanged":  # there is nothing to see
            continue
        say(f"gallery: {model.card.name}")
        section = [f"## `{model.card.name}`", model.card.summary]
        for series in series_of(model, drawn, public, references):
            section.append(f"**{series.heading}** {series.beside}")
            for rank, example in series.ranked():
                file = f"{model.card.name}-{series.name}-{rank}.webp"
                strip(example.pictures).save(folder / file, "WEBP", quality=WEBP_QUALITY, method=6)
                section += [f"![{example.title}: {rank}]({file})", f"*{rank}* · {_caption(example)}"]
                examples[file] = {"title": example.title, **example.figures}
        sections.append("\n\n".join(section))
    page = "\n\n".join((_head(figures), _table(models, figures), *sections, "## Sources", SOURCES))
    (folder / "README.md").write_text(f"{page}\n", encoding="utf-8")
    content = {"figures": figures, "examples": examples}
    (folder / "figures.json").write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


# ---------------------------------------------------------------------------------------------------------
# Pictures that may be published


def draw_products(count: int | None) -> list[Photo]:
    """Draw products of the sample catalogue, at half its size, with their masks."""
    photos = []
    for sample in sample_catalogue()[:count]:
        factor = SIDE_PX / max(sample.size)
        width, height = (round(side * factor) for side in sample.size)
        drawn = render(sample.product, width=width, height=height)
        picture, mask = torch.from_numpy(drawn.pixels).permute(2, 0, 1), torch.from_numpy(drawn.mask)
        photos.append(Photo(name=sample.title, picture=picture.contiguous(), mask=mask[None]))
    return photos


def public_photos() -> list[Photo]:
    """Return photos in the public domain."""
    return [Photo(name=name, picture=_scaled(getattr(data, name)())) for name in PUBLIC]


def gallery_references() -> dict[str, Tensor]:
    """Return pictures that give a look, by name."""
    golden = torch.from_numpy(golden_hour(width=SIDE_PX, height=SIDE_PX * 2 // 3)).permute(2, 0, 1).contiguous()
    return {"golden hour": golden} | {photo.name: photo.picture for photo in public_photos()}


def _scaled(pixels: NDArray[np.uint8]) -> Tensor:
    image = Image.fromarray(pixels)
    image.thumbnail((SIDE_PX, SIDE_PX))
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


# ---------------------------------------------------------------------------------------------------------
# Examples


def series_of(
    model: Model, drawn: Sequence[Photo], public: Sequence[Photo], references: Mapping[str, Tensor]
) -> Iterator[Series]:
    """Yield what there is to show of a model."""
    if model.card.tables:
        yield Series(
            name="grade",
            heading="A grade that is known.",
            beside="The photo · the grade, shown on another photo · what the model made of it · what was right. "
            "By ΔE 2000 to what was right.",
            measure="delta_e2000",
            best=min,
            examples=list(_known_grades(model, [*public, *drawn])),
        )
    looks = "The photo · the reference · the result. " if model.takes_a_look else "The photo · the result. "
    yield Series(
        name="look",
        heading="A look.",
        beside=f"{looks}By the structure that is left of the whole picture.",
        measure="structure",
        best=max,
        examples=list(_looks(model, drawn, references)),
    )


def _known_grades(model: Model, photos: Sequence[Photo]) -> Iterator[Example]:
    restyle = restyle_with(model.pipeline, model.card)
    half = len(photos) // 2
    pairs = [each for pair in zip(photos, [*photos[half:], *photos[:half]], strict=True) for each in pair]
    graded = graded_pairs([photo.picture for photo in pairs], len(photos))
    for content, reference, pair in zip(pairs[::2], pairs[1::2], graded, strict=True):
        found = restyle(pair.content, pair.references)
        yield Example(
            title=f"{content.name}, graded as {reference.name}",
            pictures=(pair.content, *pair.references, found, pair.answer),
            figures=_rounded(nearness(found, pair.answer)),
        )


def _looks(model: Model, photos: Sequence[Photo], references: Mapping[str, Tensor]) -> Iterator[Example]:
    for number, photo in enumerate(photos):
        name = list(references)[number % len(references)]
        reference = references[name]
        manner = model.turn(number)
        found = model.restyle(photo, reference, **manner)
        figures = _rounded(kept(model, photo, found, palette([reference])))
        if model.takes_a_look:
            yield Example(title=f"{photo.name}, as {name}", pictures=(photo.picture, reference, found), figures=figures)
        else:
            title = ", ".join((photo.name, *manner.values()))
            yield Example(title=title, pictures=(photo.picture, found), figures=figures)


def _rounded(figures: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in figures.items()}


def strip(pictures: Sequence[Tensor]) -> Image.Image:
    """Put pictures beside one another, all of one height, on white."""
    tiles = [Image.fromarray(picture.permute(1, 2, 0).numpy()) for picture in pictures]
    tiles = [tile.resize((round(tile.width * TILE_PX / tile.height), TILE_PX)) for tile in tiles]
    width = sum(tile.width for tile in tiles) + GAP_PX * (len(tiles) - 1)
    sheet = Image.new("RGB", (width, TILE_PX), "white")
    left = 0
    for tile in tiles:
        sheet.paste(tile, (left, 0))
        left += tile.width + GAP_PX
    return sheet


# ---------------------------------------------------------------------------------------------------------
# The page


def _head(figures: Mapping[str, float | str]) -> str:
    return f"""\
# Gallery

What the built-in models make of products, with figures. Made by

```
python -m benchmarks.styles --photos DIR --references DIR --gallery docs/gallery
```

The table is of the photos and references that the command was given, which are not shown: {figures["pairs"]} pairs for
the known grades, {figures["references"]} references; of the photos under those, {figures["masks"]} had masks.
Rates: {figures["threads"]} thread of {figures["device"]}, one picture at a time; they fall with whatever else the
machine did meanwhile, the ratios to Pillow's less so. [models.md](../models.md#measure-it) and
[quality.md](../quality.md) say what each figure means.

Below it, of each model, examples on pictures that may be published: of all that were made the best, the middle one and
the worst by the measure that is named, not chosen by hand. Their own figures stand under them, and all are in
[figures.json](figures.json)."""


def _table(models: Sequence[Model], figures: Mapping[str, float | str]) -> str:
    columns = [end for end in FIGURES if any(f"{model.key}_{end}" in figures for model in models)]
    rows = [["model", *(FIGURES[end] for end in columns)], ["---", *("---:" for _ in columns)]]
    rows.extend(
        [f"`{model.card.name}`", *(str(figures.get(f"{model.key}_{end}", "-")) for end in columns)] for model in models
    )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _caption(example: Example) -> str:
    figures = " · ".join(f"{FIGURES[name]}: {value}" for name, value in example.figures.items())
    return f"{example.title} · {figures}"
