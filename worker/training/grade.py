"""Trains `reference-grade` from photos alone, without labels: `python -m worker.training.grade --help`.

The network sees a photo under one random grade, and another photo under a second one, and must turn the first photo
into what it looks like under the second grade, which is known exactly. No pretrained network is needed.

The run is a function of photos, seed and number of iterations (on one machine, with one number of threads); with
`--minutes` the number of iterations is whatever the time allows, and the card records it.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import json
import logging
import math
import shlex
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor, nn

from worker.networks.colour import srgb_to_lab
from worker.networks.grade import GradeNetwork
from worker.training.grade_examples import Examples, draw_examples
from worker.training.grades import principal_grades
from worker.training.photos import NoPhotos, PhotoSet, load_photos

log = logging.getLogger("worker.training.grade")

CONFIG: dict[str, int] = {"code": 96, "basis": 40, "lattice": 9, "width": 24}
PHOTO_SIDE_PX = 128  # photos are kept at this size; crops of 96 px are taken from it
HELD_OUT = 20  # every 20th photo is kept for measuring
HELD_OUT_EXAMPLES = 256
AT_LEAST = 40  # photos: fewer leave too little to hold out
LEARNING_RATE = 2e-3
WARM_UP = 200  # iterations
EMA = 0.998
SNAPSHOT = 500  # iterations after which the model so far is written, in case the run is killed


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a run is told."""

    photos: Sequence[Path]
    out: Path
    licence: str  # of the photos, for the card
    seed: int
    minutes: float | None  # exactly one of minutes and iterations is given
    iterations: int | None
    batch: int
    threads: int
    config: dict[str, int] = field(default_factory=CONFIG.copy)  # of the network

    def progress(self, iteration: int, seconds: float) -> float:
        """Return how much of the run is done, from 0 to 1."""
        if self.iterations is not None:
            return iteration / self.iterations
        assert self.minutes is not None
        return seconds / (self.minutes * 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trained:
    """What a run leaves behind."""

    network: GradeNetwork  # the moving average of the weights
    metrics: dict[str, float]
    iterations: int
    seconds: float


# ---------------------------------------------------------------------------------------------------------
# Objective


def objective(network: GradeNetwork, examples: Examples) -> Tensor:
    """Return the loss of a batch, a scalar.

    The distance to the true grade, in sRGB and in CIELAB; a smaller share for taking the content's own grade off
    (so that the first table learns what "ungraded" means); and what keeps tables smooth and rising.
    """
    codes = network.encode(torch.cat((examples.content, examples.reference)))
    content, style = codes.chunk(2)
    off, on = network.tables(content, style)
    canonical, graded = network(content, style, examples.colours)
    distance = _distance(graded, examples.wanted) + 0.25 * _distance(canonical, examples.plain)
    return distance + 0.02 * (_roughness(off) + _roughness(on)) + 0.1 * (_falling(off) + _falling(on))


def _distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference in sRGB plus mean ΔE (CIE 1976) / 200: of about the same size."""
    lab = (srgb_to_lab(found.clamp(1e-3, 1)) - srgb_to_lab(wanted.clamp(1e-3, 1))).square().sum(-1)
    return (found - wanted).abs().mean() + (lab + 1e-2).sqrt().mean() / 200


def _roughness(tables: Tensor) -> Tensor:
    """Mean absolute second difference along the three axes."""
    return torch.stack([tables.diff(n=2, dim=axis).abs().mean() for axis in (2, 3, 4)]).sum()


def _falling(tables: Tensor) -> Tensor:
    """How much more red gives less red, and so for green and blue: 0 for a table that rises everywhere."""
    red, green, blue = tables.unbind(1)
    return torch.stack([(-part.diff(dim=axis)).relu().mean() for part, axis in ((red, 3), (green, 2), (blue, 1))]).sum()


@torch.inference_mode()
def measure(network: GradeNetwork, examples: Examples) -> dict[str, float]:
    """Return mean PSNR and mean ΔE (CIE 1976) against the true grade, of the network and of leaving all as it is."""
    network.eval()
    content, style = network.encode(torch.cat((examples.content, examples.reference))).chunk(2)
    graded = network(content, style, examples.colours)[1].clamp(0, 1)
    figures = {}
    for name, found in (("held_out", graded), ("held_out_unchanged", examples.colours)):
        error = (found - examples.wanted).square().mean((1, 2)).clamp(min=1e-6)
        delta = (srgb_to_lab(found) - srgb_to_lab(examples.wanted)).square().sum(-1).sqrt()
        figures[f"{name}_psnr_db"] = float((-10 * error.log10()).mean())
        figures[f"{name}_delta_e"] = float(delta.mean())
    network.train()
    return figures


# ---------------------------------------------------------------------------------------------------------
# Loop


def train(photos: PhotoSet, options: Options) -> Trained:
    """Train on the photos; every 20th is held out and measured with."""
    torch.manual_seed(options.seed)
    generator = torch.Generator().manual_seed(options.seed)
    keep = torch.arange(len(photos.pixels)) % HELD_OUT != 0
    training, held_out = photos.pixels[keep], photos.pixels[~keep]
    probe = draw_examples(held_out, HELD_OUT_EXAMPLES, torch.Generator().manual_seed(0))

    network = GradeNetwork(**options.config)
    first_guess = principal_grades(len(network.basis), lattice=network.basis.shape[-1], generator=generator)
    network.basis.data.copy_(first_guess)
    average = copy.deepcopy(network).requires_grad_(False)
    optimiser = torch.optim.AdamW(network.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    log.info("%d photos to train on, %d held out; %d parameters", *_counts(training, held_out, network))

    began = last = time.monotonic()
    iteration, running = 0, 0.0
    while (done := options.progress(iteration, time.monotonic() - began)) < 1:
        rate = LEARNING_RATE * min(1.0, (iteration + 1) / WARM_UP) * (0.01 + 0.99 * _cosine(done))
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = objective(network, draw_examples(training, options.batch, generator))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimiser.step()
        iteration += 1
        _follow(average, network, min(EMA, iteration / (iteration + 10)))
        running = loss.item() if iteration == 1 else 0.99 * running + 0.01 * loss.item()
        if iteration % 250 == 0:
            now = time.monotonic()
            held = measure(average, probe)
            log.info(
                "iteration %d  %3.0f %%  %.1f/s  rate %.5f  loss %.4f  held out %.2f dB",
                iteration, 100 * done, 250 / (now - last), rate, running, held["held_out_psnr_db"],
            )  # fmt: skip
            last = now
            if iteration % SNAPSHOT == 0:
                so_far = Trained(network=average, metrics=held, iterations=iteration, seconds=now - began)
                write_model(options.out, so_far, photos, options)
    seconds = time.monotonic() - began
    return Trained(network=average, metrics=measure(average, probe), iterations=iteration, seconds=seconds)


def _cosine(done: float) -> float:
    """Fall from 1 to 0 as `done` goes from 0 to 1."""
    return 0.5 + 0.5 * math.cos(math.pi * min(done, 1.0))


def _counts(training: Tensor, held_out: Tensor, network: nn.Module) -> tuple[int, int, int]:
    return len(training), len(held_out), sum(p.numel() for p in network.parameters())


@torch.no_grad()
def _follow(average: nn.Module, network: nn.Module, decay: float) -> None:
    """Move the average's weights towards the network's."""
    for slow, fast in zip(average.parameters(), network.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)


# ---------------------------------------------------------------------------------------------------------
# Results


def write_model(folder: Path, trained: Trained, photos: PhotoSet, options: Options) -> None:
    """Write weights.safetensors and model.json into the folder, which is made if need be."""
    folder.mkdir(parents=True, exist_ok=True)
    weights = folder / "weights.safetensors"
    state = {name: value.contiguous() for name, value in trained.network.state_dict().items()}
    content = save(state, metadata={"format": "pt"})
    weights.write_bytes(content)
    digest = hashlib.sha256(content).hexdigest()
    text = json.dumps(_card(trained, photos, options, digest), indent=2, ensure_ascii=False)
    (folder / "model.json").write_text(text + "\n", encoding="utf-8")


def _card(trained: Trained, photos: PhotoSet, options: Options, digest: str) -> dict[str, Any]:
    """Return the model card as plain data; `jobs.cards` says what each field means."""
    return {
        "name": "reference-grade",
        "version": "1",
        "architecture": "reference_grade",
        "operation": "restyle",
        "summary": "Gives each photo the colours and light of the references; every edge, fold and letter stays.",
        "needs_style": True,
        "parameters": {
            "strength": {
                "type": "number",
                "description": "How far to go from the photo as it is (0) to the reference's look (1).",
                "default": 1.0,
                "minimum": 0.0,
                "maximum": 1.0,
            },
            "keep_white": {
                "type": "boolean",
                "description": "Leave white, such as a studio background, white; nearly white colours are blended.",
                "default": True,
            },
        },
        "config": options.config,
        "weights_sha256": digest,
        "licence": "MIT",
        "training": {
            "command": _command(options),
            "seed": options.seed,
            "iterations": trained.iterations,
            "batch": options.batch,
            "photos": {"count": len(photos.pixels), "sha256": photos.digest, "licence": options.licence},
            "seconds": round(trained.seconds),
            "device": f"cpu, {options.threads} threads",
            "torch": torch.__version__,
        },
        "metrics": {name: round(value, 3) for name, value in trained.metrics.items()},
        "limits": [
            "Changes colour and light only: no texture, no brush strokes, nothing is drawn.",
            "One colour table per photo: equal colours stay equal, so light cannot be changed in one place only.",
            "What grade a reference has is guessed from its colours; a reference of one colour says little.",
            "The network sees sRGB at 96 px; small details and wide-gamut colours do not sway it.",
        ],
    }


def _command(options: Options) -> str:
    """Return the command that was run, with placeholders for folders: cards name no machine."""
    photos = " ".join("--photos DIR" for _ in options.photos)
    bound = f"--minutes {options.minutes:g}" if options.minutes is not None else f"--iterations {options.iterations}"
    licence = f"--licence {shlex.quote(options.licence)}"
    fixed = f"--seed {options.seed} --batch {options.batch} --threads {options.threads}"
    return f"python -m worker.training.grade {photos} {licence} {bound} {fixed} --out DIR"


# ---------------------------------------------------------------------------------------------------------
# Command line


def _positive(kind: type[int] | type[float]) -> Any:
    """Return an argparse type that accepts numbers above 0 only."""

    def number(text: str) -> int | float:
        value = kind(text)
        if not 0 < value < math.inf:
            raise argparse.ArgumentTypeError(f"{text} is not above 0")
        return value

    number.__name__ = "whole number" if kind is int else "number"
    return number


def parse(arguments: Sequence[str] | None = None) -> Options:
    """Read the command line; leaves with code 2 and a message when it makes no sense."""
    parser = argparse.ArgumentParser(prog="python -m worker.training.grade", description="Train reference-grade.")
    parser.add_argument("--photos", type=Path, action="append", required=True, help="folder of photos; may be repeated")
    parser.add_argument("--out", type=Path, required=True, help="folder for weights.safetensors and model.json")
    parser.add_argument("--licence", default="unknown", help="licence of the photos, for the card")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch", type=_positive(int), default=32, help="examples per iteration (default: 32)")
    parser.add_argument("--threads", type=_positive(int), default=2, help="CPU threads (default: 2)")
    bound = parser.add_mutually_exclusive_group(required=True)
    bound.add_argument("--minutes", type=_positive(float), help="train for this long")
    bound.add_argument("--iterations", type=_positive(int), help="train for this many steps; repeatable exactly")
    return Options(**vars(parser.parse_args(arguments)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Train, and write the model."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stdout)
    torch.set_num_threads(options.threads)
    try:
        photos = load_photos(options.photos, side=PHOTO_SIDE_PX, at_least=AT_LEAST)
    except NoPhotos as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    trained = train(photos, options)
    write_model(options.out, trained, photos, options)
    log.info(
        "wrote %s after %d iterations, %.0f s: %s", options.out, trained.iterations, trained.seconds, trained.metrics
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
