"""What `reference-grade` learns from photos alone, without labels: see `worker.training.objectives`.

The network sees a photo under one random grade, and another photo under a second one, and must turn the first photo
into what it looks like under the second grade, which is known exactly. No pretrained network is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from worker.networks.colour import delta_e_2000, srgb_to_lab
from worker.networks.colour_table import look_up
from worker.networks.grade import THUMBNAIL_PX, GradeNetwork
from worker.training.grade_examples import Examples, draw_examples
from worker.training.grades import principal_grades
from worker.training.photos import Photos

CONFIG: dict[str, int] = {"code": 128, "basis": 48, "lattice": 9, "width": 32}
PHOTO_SIDE_PX = 64  # photos are kept at this size; crops of 48 px are taken from it
SHEET_ROWS = 8

CARD: dict[str, Any] = {
    "operation": "restyle",
    "summary": "Gives each photo the colours and light of the references; every edge, fold and letter stays.",
    "needs_style": True,
    "tables": True,
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
        "local_light": {
            "type": "number",
            "description": "How much of the references' smooth light over the frame, a vignette or a lit side, to "
            "carry over: 0 none, 1 all of it, at most one stop up or down.",
            "default": 0.0,
            "minimum": 0.0,
            "maximum": 1.0,
            "local": True,
            "later": True,
        },
    },
    "limits": [
        "Changes colour and light only: no texture, no brush strokes, nothing is drawn.",
        "One colour table per photo: equal colours stay equal. Only local_light knows places: a slope, and a vignette.",
        "What grade a reference has is guessed from its colours; a reference of one colour says little.",
        "The network sees sRGB at 48 px; small details and wide-gamut colours do not sway it.",
    ],
}


# ---------------------------------------------------------------------------------------------------------
# Objective

_PER_PICTURE = 0.02  # of the logarithm of a picture's error; chosen: half of what moves the network


def objective(network: GradeNetwork, examples: Examples) -> Tensor:
    """Return the loss of a batch, a scalar.

    The distance to the true grade, in sRGB and in CIELAB; a smaller share for taking the content's own grade off
    (so that the first table learns what "ungraded" means); and what keeps tables smooth and rising.
    """
    codes = network.encode(torch.cat((examples.content, examples.reference)))
    content, references = codes.chunk(2)
    style = examples.shares @ references.float()
    off, on = network.tables(content, style, examples.white_stays)
    canonical = look_up(off, examples.colours)
    graded = look_up(on, canonical)
    distance = _distance(graded, examples.wanted) + 0.15 * _distance(canonical, examples.plain)
    return distance + 0.02 * (_roughness(off) + _roughness(on)) + 0.1 * (_falling(off) + _falling(on))


def _distance(found: Tensor, wanted: Tensor) -> Tensor:
    """Mean absolute difference in sRGB, mean ΔE (CIE 1976) / 200, and the mean logarithm of the squared error.

    PSNR is what is reported, picture by picture: a picture of which the grade can be told counts for as much as
    one of which it cannot, however large its error.
    """
    error = ((found - wanted).square().mean((1, 2)) + 1e-4).log().mean()
    lab = (srgb_to_lab(found.clamp(1e-3, 1)) - srgb_to_lab(wanted.clamp(1e-3, 1))).square().sum(-1)
    return (found - wanted).abs().mean() + (lab + 1e-2).sqrt().mean() / 200 + _PER_PICTURE * error


def _roughness(tables: Tensor) -> Tensor:
    """Mean absolute second difference along the three axes."""
    return torch.stack([tables.diff(n=2, dim=axis).abs().mean() for axis in (2, 3, 4)]).sum()


def _falling(tables: Tensor) -> Tensor:
    """How much more red gives less red, and so for green and blue: 0 for a table that rises everywhere."""
    red, green, blue = tables.unbind(1)
    return torch.stack([(-part.diff(dim=axis)).relu().mean() for part, axis in ((red, 3), (green, 2), (blue, 1))]).sum()


@torch.inference_mode()
def measure(network: GradeNetwork, examples: Examples) -> dict[str, float]:
    """Return mean PSNR and mean ΔE against the true grade, of the network and of leaving all as it is."""
    network.eval()
    content, style = network.encode(torch.cat((examples.content, examples.reference))).chunk(2)
    graded = network(content, style, examples.white_stays, examples.colours)[1].clamp(0, 1)
    figures = {}
    for name, found in (("held_out", graded), ("held_out_unchanged", examples.colours)):
        error = (found - examples.wanted).square().mean((1, 2)).clamp(min=1e-6)
        lab, wanted = srgb_to_lab(found), srgb_to_lab(examples.wanted)
        figures[f"{name}_psnr_db"] = float((-10 * error.log10()).mean())
        figures[f"{name}_delta_e"] = float((lab - wanted).square().sum(-1).sqrt().mean())
        figures[f"{name}_delta_e2000"] = float(delta_e_2000(lab, wanted).mean())
    network.train()
    return figures


class GradeObjective:
    """The objective; see `worker.training.objectives.Objective`."""

    architecture = "reference_grade"
    side_px = PHOTO_SIDE_PX
    probe_examples = 256
    headline = "held_out_psnr_db"
    sizes: Mapping[str, Any] = CONFIG
    card: Mapping[str, Any] = CARD

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> GradeNetwork:
        """Return a network whose basis is a good first guess."""
        network = GradeNetwork(**sizes)
        first_guess = principal_grades(len(network.basis), lattice=network.basis.shape[-1], generator=generator)
        network.basis.data.copy_(first_guess)
        return network

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Examples:
        return draw_examples(photos.pixels, count, generator)

    def loss(self, network: GradeNetwork, examples: Examples) -> Tensor:
        return objective(network, examples)

    def measure(self, network: GradeNetwork, examples: Examples) -> dict[str, float]:
        return measure(network, examples)

    @torch.inference_mode()
    def sample(self, network: GradeNetwork, examples: Examples) -> dict[str, Tensor]:
        content, reference = examples.content[:SHEET_ROWS], examples.reference[:SHEET_ROWS]
        codes = network.encode(torch.cat((content, reference)))
        white_stays = examples.white_stays[:SHEET_ROWS]
        graded = network(*codes.chunk(2), white_stays, content.flatten(2).transpose(1, 2))[1]
        found = graded.transpose(1, 2).unflatten(2, (THUMBNAIL_PX, THUMBNAIL_PX))
        return {"photo": content, "reference": reference, "found": found}


class BrandLook(GradeObjective):
    """The same network, for the look that the photos have themselves: any grade on them has to come off.

    For fine-tuning on a brand's few finished pictures: they are references and answers.
    """

    card: Mapping[str, Any] = CARD | {
        "limits": [*CARD["limits"], "Brings photos to the look of one brand; other references' grades it may miss."]
    }

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Examples:
        return draw_examples(photos.pixels, count, generator, wanted_strength=0.0)
