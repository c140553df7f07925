"""Makes pictures for wishes, one at a time: what runs every pipeline that generates."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from worker.pipelines.base import Wish

Paint = Callable[[Tensor, torch.Generator], Tensor]
"""A picture, float [1, 3, side, side] about in [0, 1], of words int64 [1, A]; chance comes from the generator alone."""


def generate_each(
    wishes: Sequence[Wish], attributes: Mapping[str, Sequence[str]], paint: Paint, device: torch.device
) -> Tensor:
    """Return uint8 [N, 3, side, side] on the device.

    Every picture is painted by itself: sums are rounded otherwise in a larger batch. Chance is a processor's.

    Raises:
        ValueError: an attribute or a word that is not among these.

    """
    pictures = []
    for wish in wishes:
        generator = torch.Generator().manual_seed(wish.seed)
        words = chosen_words(wish.attributes, attributes, generator)
        painted = paint(words.to(device), generator)
        pictures.append((painted.float().clamp(0, 1) * 255).round().to(torch.uint8))
    return torch.cat(pictures)


def chosen_words(
    asked: Mapping[str, str], attributes: Mapping[str, Sequence[str]], generator: torch.Generator
) -> Tensor:
    """Return the places of the words that are asked for, int64 [1, A]; what is left out is drawn.

    Raises:
        ValueError: an attribute or a word that is not among these.

    """
    for name, word in asked.items():
        if name not in attributes:
            raise ValueError(f"there is no attribute {name}; there are {', '.join(attributes) or 'none'}")
        if word not in attributes[name]:
            raise ValueError(f"{name} cannot be {word!r}; it is one of {', '.join(attributes[name])}")
    places = []
    for name, words in attributes.items():
        drawn = int(torch.randint(len(words), (1,), generator=generator))  # also where it is not needed: the
        places.append(list(words).index(asked[name]) if name in asked else drawn)  # rest of chance stays the same
    return torch.tensor([places], dtype=torch.int64)
