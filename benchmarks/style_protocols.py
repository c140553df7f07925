"""What `benchmarks.styles` measures of each model, and how. A model is taken as its card describes it.

Known grade: models that are colour tables have a right answer. A photo under one random grade must be turned into the
same photo under a second one, which is shown on a *different* photo only: PSNR and ΔE against it. The same with the
answer's own photo as the reference ("same") is reported too; it asks little; and with several other photos under the
wanted grade ("of_3", "of_5"), as users give. keep_white is off: true grades tint white.

Kept: what `worker.quality` measures of a photo's restyling with a real reference, at the model's defaults, in each of
its manners in turn; where the product's mask is known, also inside of it and outside. A model that acts on the
background is run where the mask is known, as a recipe would, and nowhere else.

White: what becomes of a white background under a real reference, ΔE, with and without keep_white.

Rates: pictures per second, one square picture at a time, style known, nothing read or written. Of models that carry a
look by colour tables also the ratio to Pillow's Color3DLUT with the same table on the same picture, in turn with it.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from PIL import Image, ImageFilter
from torch import Tensor

from benchmarks.progress import say
from benchmarks.style_pictures import Photo
from jobs.cards import Card, CardShelf
from jobs.errors import JobsError
from worker import cascade
from worker.cascade import ReadyStep
from worker.checkpoints import load_pipeline
from worker.pipelines.base import Batch, Pipeline, TablePipeline
from worker.quality.item import measure_item
from worker.quality.similarity import structure
from worker.quality.style import palette
from worker.training.recovery import best_seconds, nearness, one_square, recover_grades, restyle_with, square

MEASURES = ("structure", "sharpness", "colour_shift")  # of every restyling
INSIDE = ("structure", "colour_shift")  # of the product
SIDES_PX = (512, 1024)
CPU = torch.device("cpu")

Figure = tuple[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model that is measured."""

    card: Card
    pipeline: Pipeline

    @property
    def key(self) -> str:
        """What its figures begin with."""
        return self.card.name.replace("-", "_")

    @property
    def takes_a_look(self) -> bool:
        """Whether a reference is what it should come near to; the photo as it is counts too, as the baseline."""
        return self.card.needs_style or self.card.tables

    def can_take(self, photo: Photo) -> bool:
        """Whether a recipe that says nothing else runs on the photo: a model may need to know where the product is."""
        return self.card.acts_on == "all" or photo.mask is not None

    def turn(self, number: int) -> dict[str, str]:
        """Return what to ask for in turn of a model that has several manners; of others nothing."""
        choices = {name: parameter.enum for name, parameter in self.card.parameters.items() if parameter.enum}
        return {name: values[number % len(values)] for name, values in choices.items()}

    def restyle(self, photo: Photo, reference: Tensor, **asked: float | bool | str) -> Tensor:
        """Run one photo by itself, where the model acts, at the card's defaults but for what is asked for and known."""
        height, width = photo.picture.shape[1:]
        mask = None if photo.mask is None else photo.mask[None]
        batch = Batch(images=photo.picture[None], sizes=[(height, width)], masks=mask)
        parameters = self.card.complete({name: value for name, value in asked.items() if name in self.card.parameters})
        style = self.pipeline.encode_style([reference])
        step = ReadyStep(pipeline=self.pipeline, style=style, parameters=parameters, on=self.card.acts_on)
        return cascade.run([step], batch)[0]


@dataclass(slots=True)
class Allowance:
    """The seconds that each model may take: a slow one is measured on fewer pictures, and not at all at sides at
    which it would take too long.
    """

    seconds: float
    _spent: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    _runs: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    def left(self, model: Model) -> bool:
        return self._spent[model.key] < self.seconds

    def timed(self, model: Model, run: Callable[[], Tensor]) -> Tensor:
        began = time.perf_counter()
        found = run()
        self._spent[model.key] += time.perf_counter() - began
        self._runs[model.key] += 1
        return found

    def expected_seconds(self, model: Model, growth: float) -> float:
        """Return what a picture with so many times the pixels may take; 0 where nothing is known."""
        runs = self._runs[model.key]
        return growth * self._spent[model.key] / runs if runs else 0.0


def load_models(shelf: CardShelf, device: torch.device = CPU) -> list[Model]:
    """Return the models of a shelf that restyle and can run here, in the order of their names."""
    models = []
    for name, card in shelf.cards.items():
        if card.operation != "restyle":
            continue
        try:
            models.append(Model(card=card, pipeline=load_pipeline(shelf, name, device)))
        except JobsError as error:
            say(f"left out {name}: {error}")
    return models


def know_grades(models: Sequence[Model], photos: Sequence[Photo], pairs: int) -> Iterator[Figure]:
    """Yield how near models that are colour tables come to grades that are known."""
    restyles = {model.key: restyle_with(model.pipeline, model.card) for model in models if model.card.tables}
    pictures = [photo.picture for photo in photos]
    for number, found in enumerate(recover_grades(restyles, pictures, pairs)):
        yield from found.items()
        say(f"\rpair {number + 1} of {pairs}", end="")
    say("")


def keep_product(
    models: Sequence[Model], photos: Sequence[Photo], references: Sequence[Tensor], allowance: Allowance
) -> Iterator[Figure]:
    """Yield what is left of photos under real references, and how near they come to those."""
    for number, photo in enumerate(photos):
        reference = references[number % len(references)]
        wanted = palette([reference])
        for model in models:
            if allowance.left(model) and model.can_take(photo):
                found = allowance.timed(model, partial(model.restyle, photo, reference, **model.turn(number)))
                yield from ((f"{model.key}_{name}", value) for name, value in kept(model, photo, found, wanted).items())
        say(f"\rrestyling {number + 1} of {len(photos)}", end="")
    say("")


def kept(model: Model, photo: Photo, found: Tensor, wanted: Tensor) -> dict[str, float]:
    """Return the measures of one restyling; `wanted` is the reference's palette."""
    whole = measure_item(photo.picture, found, palette=wanted if model.takes_a_look else None)
    names = (*MEASURES, "style_distance") if model.takes_a_look else MEASURES
    figures = {name: whole[name] for name in names}
    if photo.mask is not None:
        inside = measure_item(photo.picture, found, mask=photo.mask)
        figures |= {f"{name}_inside": inside[name] for name in INSIDE}
        figures["structure_outside"] = structure(photo.picture, found, 255 - photo.mask)
    return figures


def shift_white(models: Sequence[Model], photos: Sequence[Photo], references: Sequence[Tensor]) -> Iterator[Figure]:
    """Yield how far white backgrounds move under real references, with keep_white ("kept") and without ("free")."""
    switches = [model for model in models if model.card.tables]
    with_white = [photo for photo in photos if is_white(photo.picture).float().mean() > 0.05]
    for number, photo in enumerate(with_white):
        white, reference = is_white(photo.picture), references[number % len(references)]
        for model in switches:
            for protocol, keep in (("kept", True), ("free", False)):
                found = model.restyle(photo, reference, keep_white=keep)
                moved = nearness(found[:, None, white], photo.picture[:, None, white])["delta_e"]
                yield f"{model.key}_white_{protocol}_delta_e", moved


def is_white(picture: Tensor) -> Tensor:
    """Return which pixels are white or nearly so: bool [h, w]."""
    return picture.amin(0) >= 245


def rate(
    models: Sequence[Model], photo: Photo, device: torch.device, runs: int, allowance: Allowance
) -> Iterator[Figure]:
    """Yield pictures per second on a device where the models lie, and how that compares with Pillow."""
    for side in SIDES_PX:
        growth = side * side / photo.picture[0].numel()
        for model in models:
            if allowance.expected_seconds(model, growth) > allowance.seconds:
                say(f"left out the rate of {model.card.name} at {side} px: it would take too long")
                continue
            run = one_square(model.pipeline, model.card, photo.picture, side, device)
            has_rival = model.card.tables and model.card.needs_style and device == CPU
            rivals = [run, pillow(model, photo.picture, side)] if has_rival else [run]
            ours, *peer = best_seconds(rivals, runs, limit_seconds=allowance.seconds)
            yield f"{model.key}_pictures_per_second_{side}", 1 / ours
            if peer:
                yield f"{model.key}_rate_to_pillow_{side}", peer[0] / ours
        say(f"rates at {side} px")


def pillow(model: Model, photo: Tensor, side: int) -> Callable[[], object]:
    """Return what applies the model's own table to the same square picture with Pillow, from array to array."""
    assert isinstance(model.pipeline, TablePipeline)  # its card said so
    large = square(photo, side)
    style = model.pipeline.encode_style([photo])
    batch = Batch(images=large[None], sizes=[(side, side)])
    table = model.pipeline.tables(batch, style, model.card.complete({}))[0]
    values = table.permute(1, 2, 3, 0).flatten().tolist()
    look_up = ImageFilter.Color3DLUT(table.shape[-1], values)
    pixels = large.permute(1, 2, 0).contiguous().numpy()
    return lambda: np.asarray(Image.fromarray(pixels).filter(look_up))
