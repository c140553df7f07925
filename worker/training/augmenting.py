"""Makes more of few photos: turned, moved, scaled, seen from an angle, blurred and roughened, by kornia.

Not their colours: the objective of a grade puts its own grades on them, whose parameters it must know.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from jobs.errors import InvalidRequest, Problem
from worker.training.photos import Photos


def augmented(photos: Photos, count: int, generator: torch.Generator) -> Photos:
    """Draw so many photos and change them; their words stay.

    Also draws from torch's own random numbers.
    """
    drawn = photos.some(torch.randint(len(photos), (count,), generator=generator))
    changed = _changes()(drawn.pixels / 255)
    return replace(drawn, pixels=(changed.clamp(0, 1) * 255).round().to(torch.uint8))


@functools.cache
def _changes() -> Callable[[Tensor], Tensor]:
    try:  # imported here: it takes a second, and is an extra
        from kornia.augmentation import (
            AugmentationSequential,
            RandomAffine,
            RandomGaussianBlur,
            RandomGaussianNoise,
            RandomPerspective,
        )
    except ImportError:
        raise InvalidRequest(
            Problem(field="augment", value=True, remedy="install kornia: pip install 'restyle[train]'")
        ) from None

    changes: Callable[[Tensor], Tensor] = AugmentationSequential(
        # Amounts are chosen: a photo of a product must stay one.
        RandomAffine(degrees=8.0, translate=(0.05, 0.05), scale=(0.9, 1.25), padding_mode="reflection", p=0.8),
        RandomPerspective(distortion_scale=0.15, p=0.3),
        RandomGaussianBlur(kernel_size=(5, 5), sigma=(0.1, 1.2), p=0.3),
        RandomGaussianNoise(std=0.02, p=0.3),
        data_keys=["input"],
    )
    return changes
