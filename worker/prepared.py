"""A recipe ready to run: what a worker has loaded and encoded for it, and for each look that its rules choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from jobs.claims import ClaimedItem
from jobs.recipes import Recipe
from worker.cascade import ReadyStep
from worker.engine import Engine
from worker.pipelines.base import GeneratingPipeline, Pipeline, Wish
from worker.segmenter import Segmenter

Ready = Pipeline | GeneratingPipeline | Segmenter


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """A recipe ready to run: its models loaded, its styles encoded."""

    recipe: Recipe
    fingerprint: str
    steps: tuple[ReadyStep, ...]
    engine: Engine
    palette: torch.Tensor | None = None  # of the first model's style, to measure the distance to; None without a style
    backdrop: npt.NDArray[np.uint8] | None = None  # [H, W, 3]: the picture of a background
    segmenter: Segmenter | None = None  # that finds the product, where the recipe names one
    scale: int = 1  # how many times as wide and as high as its source a picture becomes
    side_px: int = 0  # of pictures that are made of nothing
    understand: Callable[[Wish], Wish] | None = None  # turns the sentence of such a picture's wish into words
    looks: tuple[Prepared, ...] = ()  # that rules choose, in the order of the rules
    rule_no: int | None = None  # of the rule that chooses this one

    def of(self, item: ClaimedItem) -> Prepared:
        """Return what is prepared for an item."""
        return self if item.rule_no is None else self.looks[item.rule_no]

    @property
    def look(self) -> tuple[str, int | None]:
        """What is equal for all that may ride in one batch."""
        return self.fingerprint, self.rule_no

    def uses(self, model: Ready) -> bool:
        return self.segmenter is model or any(step.pipeline is model for step in self.steps)
