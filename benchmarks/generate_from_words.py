"""Measures models that make pictures from words, on products and on tags whose words are known.

Real pictures are drawn by the studio from a seed that nothing was trained on, made ones from the same words. A model
that reads these words off pictures says which of them can be recovered, of real pictures and of made ones, and gives
the features by which both sets are compared (`worker.quality.distribution`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from benchmarks.gallery import Example, Series
from benchmarks.generate_page import Measured
from benchmarks.inception import inception_features
from benchmarks.progress import say
from jobs.cards import Card, CardShelf
from studio import draw, draw_tag
from worker.checkpoints import GENERATING, READING, build_generating, read_model
from worker.networks.inception import Inception
from worker.pipelines import attribute_reader
from worker.pipelines.attribute_reader import AttributeReader
from worker.pipelines.base import GeneratingPipeline, Wish
from worker.pipelines.vae import Vae
from worker.quality.distribution import frechet_distance, nearness_to_known, precision_and_recall, variety

REAL_SEED = 10_006  # of pictures that nothing was trained on
# Of those that the built-in models were trained on; see docs/generating.md.
KNOWN_SEED, KNOWN_TAGS_SEED = 6, 8
KIND = "kind"  # the attribute that tells products from tags
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """How many pictures."""

    real: int
    made: int  # of each model
    known: int  # of those that were trained on; 0: nearness to them is not measured


FULL = Amounts(real=600, made=300, known=4000)
QUICK = Amounts(real=75, made=36, known=0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """Pictures of the studio, or of its words."""

    pixels: Tensor  # uint8 [N, 3, side, side]
    words: Sequence[Mapping[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Truth:
    """What made pictures are compared with."""

    real: Pictures
    known: Pictures
    reader: AttributeReader
    inception: Inception | None = None  # whose features give the published FID
    seen: Tensor | None = None  # the real pictures' features of that, which take it a while


def draw_products(count: int, *, seed: int, side: int) -> Pictures:
    """Draw the first products of a seed."""
    drawn = [draw(number, seed=seed, size=side) for number in range(count)]
    pixels = [each.rendering.pixels for each in drawn]
    return Pictures(pixels=_stacked(pixels, side), words=[dict(each.product.attributes) for each in drawn])


def draw_tags(count: int, *, seed: int, side: int) -> Pictures:
    """Draw the first tags of a seed."""
    drawn = [draw_tag(number, seed=seed, size=side) for number in range(count)]
    return Pictures(pixels=_stacked([each.pixels for each in drawn], side), words=[each.attributes for each in drawn])


def _stacked(pixels: Sequence[NDArray[np.uint8]], side: int) -> Tensor:
    shape = (0, side, side, 3)
    return torch.from_numpy(np.stack(pixels) if pixels else np.empty(shape, np.uint8)).permute(0, 3, 1, 2).contiguous()


def measure_words(shelf: CardShelf, quick: bool, inception: Inception | None = None) -> Measured:
    """Measure every model of a shelf that makes pictures from words; with the network of the FID also that."""
    return measure(shelf, QUICK if quick else FULL, inception)


def measure(shelf: CardShelf, amounts: Amounts, inception: Inception | None = None) -> Measured:
    """Measure every model of a shelf that makes pictures from words, on so many."""
    figures: dict[str, float | str] = {"real_pictures": amounts.real, "made_pictures": amounts.made}
    truths = []
    for card in shelf.cards.values():
        if card.architecture == READING:
            truths.append(draw_truth(read_reader(shelf, card), amounts, inception))
            found = recovered(truths[-1].real, truths[-1].reader)
            figures |= {f"{_key(card)}_accuracy{name}": value for name, value in found.items()}
    columns = ["accuracy", "precision", "recall", "variety", "pictures_per_second", "parameters"]
    table = [["model", *columns], ["---", *("---:" for _ in columns)]]
    series, best = {}, 0.0
    for card in shelf.cards.values():
        attributes = set(card.config.get("attributes", ()))
        truth = next((truth for truth in truths if attributes <= set(truth.reader.attributes)), None)
        if card.architecture not in GENERATING or truth is None:
            continue
        say(f"making pictures: {card.name}")
        model = read_model(shelf.folder / card.name)
        pipeline = build_generating(model, CPU)
        made, seconds = _made(pipeline, card, truth.real.words[: amounts.made])
        found = dict(_figures(made, truth)) | _of_vae(pipeline, truth)
        found |= {
            "pictures_per_second": len(made.pixels) / seconds,
            "parameters": sum(tensor.numel() for tensor in model.weights.values()),
        }
        rounded = {name: round(value, 3) for name, value in found.items()}
        figures |= {f"{_key(card)}_{name}": value for name, value in rounded.items()}
        table.append([f"`{card.name}`", *(str(rounded[column]) for column in columns)])
        series[card.name] = [_series(made, truth)]
        if KIND in attributes:
            best = max(best, rounded["accuracy"])
    figures["best_attribute_accuracy"] = best
    return Measured(figures=figures, heading="From words", table=table, series=series)


def read_reader(shelf: CardShelf, card: Card) -> AttributeReader:
    """Return a model of a shelf that reads words off pictures."""
    model = read_model(shelf.folder / card.name)
    return attribute_reader.load(model.card.config, model.weights, CPU)


def draw_truth(reader: AttributeReader, amounts: Amounts, inception: Inception | None) -> Truth:
    """Draw pictures of the words that a reader knows: of products, or of tags."""
    say(f"drawing {amounts.real + amounts.known} pictures")
    drawn, known_seed = (draw_products, KNOWN_SEED) if KIND in reader.attributes else (draw_tags, KNOWN_TAGS_SEED)
    real = drawn(amounts.real, seed=REAL_SEED, side=reader.side_px)
    return Truth(
        real=real,
        known=drawn(amounts.known, seed=known_seed, side=reader.side_px),
        reader=reader,
        inception=inception,
        seen=None if inception is None else inception_features(inception, real.pixels),
    )


def _key(card: Card) -> str:
    return card.name.replace("-", "_")


def _made(pipeline: GeneratingPipeline, card: Card, words: Sequence[Mapping[str, str]]) -> tuple[Pictures, float]:
    """Return a picture for each, and the seconds that they took."""
    known = [{name: each[name] for name in pipeline.attributes} for each in words]
    wishes = [Wish(attributes=each, seed=number) for number, each in enumerate(known)]
    began = time.perf_counter()
    pixels = pipeline.generate(wishes, card.complete({}))
    return Pictures(pixels=pixels, words=known), time.perf_counter() - began


def recovered(pictures: Pictures, reader: AttributeReader) -> dict[str, float]:
    """Return the share of words that can be read off pictures: of each attribute by "_name", and in the mean by ""."""
    read = reader.read(pictures.pixels)
    names = [name for name in reader.attributes if name in pictures.words[0]]
    shares = {
        f"_{name}": sum(word == each[name] for word, each in zip(read[name], pictures.words, strict=True))
        / len(pictures.words)
        for name in names
    }
    mean = sum(shares.values()) / len(shares)
    return {name: round(value, 3) for name, value in {"": mean, **shares}.items()}


def _figures(made: Pictures, truth: Truth) -> Iterator[tuple[str, float]]:
    for name, value in recovered(made, truth.reader).items():
        yield f"accuracy{name}", value
    found, real = (truth.reader.features(pictures.pixels) for pictures in (made, truth.real))
    precision, recall = precision_and_recall(found, real)
    yield "precision", precision
    yield "recall", recall
    yield "variety", variety(found, real)
    yield "frechet_distance", frechet_distance(found, real)
    if truth.inception is not None and truth.seen is not None:
        yield "fid", frechet_distance(inception_features(truth.inception, made.pixels), truth.seen)
    if len(truth.known.pixels):
        share, copies = nearness_to_known(found, truth.reader.features(truth.known.pixels), real)
        yield "nearness_to_known", share
        yield "copies", copies


def _of_vae(pipeline: GeneratingPipeline, truth: Truth) -> dict[str, float]:
    """Return how well pictures are painted from their own vectors, of a model that has such."""
    if not isinstance(pipeline, Vae):
        return {}
    errors = []
    for picture, words in zip(truth.real.pixels[:90], truth.real.words, strict=False):
        known = {name: words[name] for name in pipeline.attributes}
        painted = pipeline.decode(pipeline.encode(picture, known), known)
        errors.append((painted.float() - picture.float()).square().mean().clamp(min=1e-3))
    return {"painted_psnr_db": float((10 * (255**2 / torch.stack(errors)).log10()).mean())}


def _series(made: Pictures, truth: Truth) -> Series:
    """Return the made pictures beside real ones of the same words, by how many of these can be read off."""
    read = truth.reader.read(made.pixels)
    examples = []
    for number, words in enumerate(made.words):
        right = [name for name, word in words.items() if read[name][number] == word]
        title = ", ".join(words[name] for name in words)
        examples.append(
            Example(
                title=title,
                pictures=(truth.real.pixels[number], made.pixels[number]),
                figures={"words recovered": len(right), "of": len(words)},
            )
        )
    return Series(
        name="words",
        heading="From words.",
        beside="A picture that the studio draws of these words · what the model made of them. By how many words can be "
        "read off it.",
        measure="words recovered",
        best=max,
        examples=examples,
    )
