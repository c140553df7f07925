"""What `painter` learns: photos painted in the manner of a few style pictures; see `worker.training.objectives`.

Johnson et al. 2016, arXiv:1603.08155, section 3: the painted photo shows to the teacher what the photo shows, and its
features are distributed as the painting's are. Departures: distributions, sliced, take the place of Gram matrices, that
a network soon learned to satisfy by a few glaring spots; colours count too; each distance is a share of its own length
(`worker.training.perception`), so that no painting and no layer drowns another; crops are small, for processors without
a GPU; many photos stand on white, as a catalogue's do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from worker.networks.painter import PainterNetwork
from worker.networks.painting import logit
from worker.networks.strokes import STROKES, noise
from worker.networks.vgg import VggFeatures
from worker.training.perception import apart, sliced_apart, total_variation
from worker.training.photos import Photos, random_crops, random_outlines, random_whites
from worker.training.references import References

SIZES: dict[str, int] = {"width": 16, "blocks": 4}
PHOTO_SIDE_PX = 160  # photos are kept at this size
CROP_PX = 96  # chosen: some strokes across
SHEET_ROWS = 8
_ON_WHITE = 0.4  # of the examples; chosen: about what shops' pictures are

# As Johnson et al., the deepest one less deep: cheaper; and none that sees single pixels: strokes are wider.
_STYLE_LAYERS = ("relu2_2", "relu3_3", "relu4_1")
_CONTENT_LAYER = "relu3_3"
# How closely distributions are compared, at every step anew: chosen, sorting takes its time.
_DIRECTIONS, _PLACES = 24, 1024
_KEPT_PLACES = 8192  # of each painting, from which the places are drawn
_DEEPEST = 512  # channels of the teacher

_STROKES = 0.5  # of the paintings' spread, before training; chosen: they are to be seen

# Chosen so that the manner outweighs what is shown; not tuned.
_CONTENT, _STYLE, _SMOOTH = 1.0, 4.0, 1.0

CARD: dict[str, Any] = {
    "operation": "restyle",
    "acts_on": "background",
    "summary": "Paints backgrounds, or whole pictures, in the manner of one of the paintings that it has learned.",
    "needs_style": False,
    "limits": [
        "Only the paintings that it was trained on: others need a training of their own.",
        "It paints a copy of at most 640 px; the change is enlarged: in a large picture strokes are wide and soft.",
        "What it paints over changes: letters and faces do not survive. Keep it off products, or weak.",
    ],
}
STRENGTH: dict[str, Any] = {
    "type": "number",
    "description": "How far to go from the photo as it is (0) to the painting (1).",
    "default": 1.0,
    "minimum": 0.0,
    "maximum": 1.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """A batch."""

    photos: Tensor  # float [N, 3, 96, 96] in [0, 1]
    noise: Tensor  # [N, NOISES, 48, 48]
    manners: Tensor  # int [N]: which painting's manner each is to be painted in
    directions: Tensor  # [512, K]: of a layer with C channels, the first C rows, scaled
    places: Tensor  # [2, P] in [0, 1): where photos, and paintings, are looked at

    def to(self, device: torch.device) -> Examples:
        """Return the same on a device."""
        return Examples(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


class PainterObjective:
    """The objective; see `worker.training.objectives.Objective`."""

    architecture = "painter"
    side_px = PHOTO_SIDE_PX
    probe_examples = 16
    headline = "held_out_likeness"

    def __init__(self, references: References, teacher: VggFeatures) -> None:
        """Look at the paintings."""
        names = list(references.names)
        self._paintings, self._teacher = references.pictures, teacher
        self._manners = self._manners_of(references)
        self.sizes: Mapping[str, Any] = {**SIZES, "paintings": names}
        painting = {"type": "string", "description": "In whose manner.", "default": names[0], "enum": names}
        self.card: Mapping[str, Any] = {**CARD, "parameters": {"painting": painting, "strength": STRENGTH}}

    def build(self, sizes: Mapping[str, Any], generator: torch.Generator) -> PainterNetwork:
        """Return a network that gives pictures the colours of the paintings, and strokes of lighter and darker ones."""
        network = PainterNetwork(**sizes)
        with torch.no_grad():
            for manner, painting in enumerate(self._paintings):
                colours = logit(painting / 255).flatten(1)
                values, vectors = torch.linalg.eigh(torch.cov(colours))
                spread = vectors @ values.clamp(min=0).sqrt().diag()
                network.colours[manner] = spread @ vectors.T
                network.strokes[manner] = _STROKES * spread[:, -STROKES:]  # along what its colours differ in most
                network.tint[manner] = colours.mean(1)
        return network

    def draw(self, photos: Photos, count: int, generator: torch.Generator) -> Examples:
        which = torch.randint(len(photos), (count,), generator=generator)
        crops = random_crops(photos.pixels[which], CROP_PX, generator)
        white = (torch.rand(count, 1, 1, 1, generator=generator) < _ON_WHITE).float()
        outline = torch.maximum(random_outlines(count, CROP_PX, generator), 1 - white)
        crops = torch.lerp(random_whites(count, CROP_PX, generator), crops, outline)
        paintings = len(self.sizes["paintings"])
        first = torch.randint(paintings, (1,), generator=generator)
        manners = (first + torch.arange(count)) % paintings  # in turn: each batch has of all about as many
        return Examples(
            photos=crops,
            noise=noise(count, CROP_PX, CROP_PX, generator),
            manners=manners,
            directions=torch.randn(_DEEPEST, _DIRECTIONS, generator=generator),
            places=torch.rand(2, _PLACES, generator=generator),
        )

    def loss(self, network: PainterNetwork, examples: Examples) -> Tensor:
        painted = self._painted(network, examples)
        content, style = self._distances(painted, examples)
        return _CONTENT * content.mean() + _STYLE * style.mean() + _SMOOTH * total_variation(painted)

    @torch.inference_mode()
    def measure(self, network: PainterNetwork, examples: Examples) -> dict[str, float]:
        """Return distances of what is painted, and of the photos as they are; the headline falls with both."""
        painted = self._painted(network, examples)
        content, style = self._distances(painted, examples)
        _, unpainted = self._distances(examples.photos, examples)
        return {
            "held_out_content_distance": float(content.mean()),
            "held_out_style_distance": float(style.mean()),
            "held_out_style_distance_unchanged": float(unpainted.mean()),
            "held_out_likeness": -float(_CONTENT * content.mean() + _STYLE * style.mean()),
        }

    @torch.inference_mode()
    def sample(self, network: PainterNetwork, examples: Examples) -> dict[str, Tensor]:
        photos, noises = examples.photos[:SHEET_ROWS], examples.noise[:SHEET_ROWS]
        columns = {"photo": photos}
        for name, share in zip(network.paintings, torch.eye(len(network.paintings)), strict=True):
            columns[name] = network(photos, noises, share.expand(len(photos), -1).to(photos.device))
        return columns

    def _painted(self, network: PainterNetwork, examples: Examples) -> Tensor:
        shares = F.one_hot(examples.manners, len(network.paintings)).float()
        painted: Tensor = network(examples.photos, examples.noise, shares)
        return painted

    def _distances(self, painted: Tensor, examples: Examples) -> tuple[Tensor, Tensor]:
        """Return how far each picture is from its photo in what it shows, and from its painting in its manner: [N]."""
        with torch.no_grad():
            shown = self._teacher(examples.photos, (_CONTENT_LAYER,))[_CONTENT_LAYER].float()
        found = {layer: values.float() for layer, values in self._seen(painted).items()}
        with torch.autocast(painted.device.type, enabled=False):
            content = apart(found[_CONTENT_LAYER], shown)
            styles = []
            for layer, values in found.items():
                flat, manners = values.flatten(2), self._manners[layer]
                here, there = (
                    (examples.places[which] * count).long()
                    for which, count in enumerate((flat.shape[2], manners.shape[2]))
                )
                directions = F.normalize(examples.directions[: flat.shape[1]], dim=0)
                styles.append(sliced_apart(flat[:, :, here], manners[:, :, there][examples.manners], directions))
        return content, torch.stack(styles).mean(0)

    def _seen(self, pictures: Tensor) -> dict[str, Tensor]:
        """Return what is to be distributed as in the paintings, by layer; the first "layer" is the picture itself."""
        return {"colours": pictures, **self._teacher(pictures, _STYLE_LAYERS)}

    @torch.no_grad()
    def _manners_of(self, references: References) -> dict[str, Tensor]:
        """Return by layer what is seen at some places of each painting: [paintings, C, places]."""
        device = next(self._teacher.parameters()).device
        generator = torch.Generator().manual_seed(0)
        manners: dict[str, list[Tensor]] = defaultdict(list)
        for picture in references.pictures:
            for layer, values in self._seen(picture[None].to(device) / 255).items():
                flat = values[0].flatten(1)
                places = torch.randint(flat.shape[1], (_KEPT_PLACES,), generator=generator)
                manners[layer].append(flat[:, places.to(device)])
        return {layer: torch.stack(of_each) for layer, of_each in manners.items()}
