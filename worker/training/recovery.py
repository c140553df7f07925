"""Known-grade recovery: how near a model comes to a grade that is known exactly, shown to it on another photo.

A photo gets a grade of its own, a reference gets another, and the answer is the photo under the reference's grade.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from jobs.cards import Card
from worker.networks.colour import delta_e_2000, srgb_to_lab
from worker.pipelines.base import Batch, Pipeline
from worker.training.grades import Grades, apply_grades, random_grades

SIDE_PX = 256  # longer side of the photos that are measured
CONTENT_GRADE = 0.7  # strength of the grade that the content comes with; the wanted one has 1

SEVERAL = (3, 5)  # references with one grade: what users give, beside the single one that is the usual test

Restyle = Callable[[Tensor, Sequence[Tensor]], Tensor]
"""Give a content picture the look of references: uint8 [3, h, w] and some [3, h', w'] -> the content's shape."""


def read_picture(content: bytes) -> Tensor:
    """Read a picture, on white where it is transparent: uint8 [3, h, w] with a longer side of 256 px."""
    with Image.open(io.BytesIO(content)) as image:
        image.draft("RGB", (2 * SIDE_PX, 2 * SIDE_PX))
        small = image.convert("RGBA")
    small.thumbnail((SIDE_PX, SIDE_PX))
    white = Image.new("RGBA", small.size, "white")
    flat = Image.alpha_composite(white, small).convert("RGB")
    return torch.from_numpy(np.array(flat)).permute(2, 0, 1).contiguous()


def graded(picture: Tensor, grade: Grades) -> Tensor:
    """Put a grade on a picture: uint8 [3, h, w] -> the same."""
    colours = (picture.flatten(1).T / 255)[None]
    result = apply_grades(colours, grade)[0].T.reshape(picture.shape)
    return (result * 255).round().to(torch.uint8)


def psnr(found: Tensor, wanted: Tensor) -> float:
    """Return the peak signal-to-noise ratio in dB."""
    error = float((found.double() - wanted.double()).square().mean()) / 255**2
    return -10 * float(np.log10(max(error, 1e-9)))


def nearness(found: Tensor, wanted: Tensor) -> dict[str, float]:
    """Return PSNR in dB, and the mean ΔE of CIE 1976 and of CIE 2000 over every other column."""
    a, b = (srgb_to_lab(picture[..., ::2].permute(1, 2, 0) / 255) for picture in (found, wanted))
    return {
        "psnr_db": psnr(found, wanted),
        "delta_e": float((a - b).square().sum(-1).sqrt().mean()),
        "delta_e2000": float(delta_e_2000(a, b).mean()),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class GradePair:
    """A photo and what it is to become, uint8 [3, h, w] each."""

    content: Tensor  # the photo under a grade of its own
    references: Sequence[Tensor]  # other photos, under the grade that is wanted: one, or as many as were asked for
    answer: Tensor  # the photo under that grade


def graded_pairs(
    photos: Sequence[Tensor], pairs: int, *, wanted_strength: float = 1.0, references: int = 1
) -> Iterator[GradePair]:
    """Yield so many pairs of photos, always the same; with one reference they share no photo while there are enough."""
    generator = torch.Generator().manual_seed(11)
    for number in range(pairs):
        place = 2 * number % len(photos)
        own = random_grades(1, strength=CONTENT_GRADE, generator=generator)
        wanted = random_grades(1, strength=wanted_strength, generator=generator)
        others = (photos[(place + 1 + step % (len(photos) - 1)) % len(photos)] for step in range(references))
        yield GradePair(
            content=graded(photos[place], own),
            references=[graded(other, wanted) for other in others],
            answer=graded(photos[place], wanted),
        )


def recover_grades(
    models: Mapping[str, Restyle],
    photos: Sequence[Tensor],
    pairs: int,
    *,
    wanted_strength: float = 1.0,  # 0: the look that the photos have themselves
) -> Iterator[dict[str, float]]:
    """Yield how near models come to the answer, for each of so many pairs of photos: `<model>_<figure>`.

    Also `<model>_same_<figure>` where the reference is the answer itself, which asks little, and where there are more
    references `<model>_of_3_<figure>` and such.
    """
    for pair in graded_pairs(photos, pairs, wanted_strength=wanted_strength, references=max(SEVERAL)):
        protocols = {"": pair.references[:1], "same_": [pair.answer]}
        protocols |= {f"of_{count}_": pair.references[:count] for count in SEVERAL}
        yield {
            f"{name}_{protocol}{figure}": value
            for name, restyle in models.items()
            for protocol, references in protocols.items()
            for figure, value in nearness(restyle(pair.content, references), pair.answer).items()
        }


def restyle_with(pipeline: Pipeline, card: Card) -> Restyle:
    """Return the model at full strength, with white free to move: a true grade tints it."""
    asked = {name: value for name, value in {"strength": 1.0, "keep_white": False}.items() if name in card.parameters}
    parameters = card.complete(asked)

    def restyle(content: Tensor, references: Sequence[Tensor]) -> Tensor:
        batch = Batch(images=content[None], sizes=[(content.shape[1], content.shape[2])])
        return pipeline.run(batch, pipeline.encode_style(references), parameters)[0]

    return restyle


def one_square(pipeline: Pipeline, card: Card, photo: Tensor, side: int, device: torch.device) -> Callable[[], Tensor]:
    """Return what restyles one square picture, made from a photo, on the pipeline's device: style known, nothing read
    or written.
    """
    large = square(photo, side).to(device)
    batch = Batch(images=large[None], sizes=[(side, side)])
    style, parameters = pipeline.encode_style([photo.to(device)]), card.complete({})

    def run() -> Tensor:
        found = pipeline.run(batch, style, parameters)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        return found

    return run


def square(photo: Tensor, side: int) -> Tensor:
    """Scale a photo to a square: uint8 [3, h, w] -> uint8 [3, side, side]."""
    return F.interpolate(photo[None].float(), (side, side), mode="bicubic")[0].clamp(0, 255).to(torch.uint8)


def best_seconds(runs: Sequence[Callable[[], object]], count: int, *, limit_seconds: float) -> list[float]:
    """Return what each of these takes at its best of so many times, in turn; fewer, but one, where time is up.

    A first round, which is not counted, warms up.
    """
    best = [float("inf")] * len(runs)
    started = time.perf_counter()
    for number in range(count + 1):
        for place, run in enumerate(runs):
            began = time.perf_counter()
            run()
            if number:
                best[place] = min(best[place], time.perf_counter() - began)
        if number and time.perf_counter() - started > limit_seconds:
            break
    return best
