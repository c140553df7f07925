"""What is measured of every picture: names, meanings, ranges. Pure: the pixels are looked at in `worker.quality`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BINS = 50  # of a measure's histogram, all of one width
ENDLESS = float("inf")

Measures = Mapping[str, float]
"""An item's figures by name. What could not be measured of it is not there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Measure:
    """One figure of an item."""

    meaning: str
    least: float  # lowest and highest value that it can have
    most: float
    shown_from: float  # span of its histogram; what lies beyond counts to the outermost bins
    shown_to: float
    needs_style: bool = False  # whether there is nothing to measure without a style

    @property
    def bin_width(self) -> float:
        return (self.shown_to - self.shown_from) / BINS

    def edges(self) -> Sequence[float]:
        """Return where the bins begin, and where the last one ends."""
        return [round(self.shown_from + number * self.bin_width, 6) for number in range(BINS + 1)]

    def counts_by_bin(self, values: Sequence[float]) -> Counter[int]:
        """Return how many of some values lie in each bin with any; a bin's lower edge belongs to it."""
        start, width = self.shown_from, self.bin_width
        # What is added is less than any figure's last digit: an edge must not fall below itself by rounding.
        numbers = Counter([int((value - start) / width + 1e-9) for value in values])
        counts: Counter[int] = Counter()
        for number, count in numbers.items():
            counts[min(max(number, 0), BINS - 1)] += count
        return counts


# Rows keep figures in this order: what is new goes to the end, and what is given up leaves its place behind.
MEASURES: Mapping[str, Measure] = {
    "psnr_db": Measure(
        meaning="Peak signal-to-noise ratio between original and picture, in dB; 99 where they are equal.",
        least=0,
        most=99,
        shown_from=0,
        shown_to=50,
    ),
    "ssim": Measure(
        meaning="Structural similarity of the luminance (Wang et al. 2004); 1 where it is equal.",
        least=-1,
        most=1,
        shown_from=0,
        shown_to=1,
    ),
    "structure": Measure(
        meaning="Structural similarity of the product's luminance gradients; 1 where every edge is what it was.",
        least=-1,
        most=1,
        shown_from=0.5,
        shown_to=1,
    ),
    "sharpness": Measure(
        meaning="Fine detail of the product, relative to its contrast, over that of the original; "
        "below 1: blurred, above 1: sharpened or noisy.",
        least=0,
        most=ENDLESS,
        shown_from=0,
        shown_to=2,
    ),
    "silhouette_iou": Measure(
        meaning="Overlap of the outlines of original and picture, intersection over union; "
        "absent where the background is not plain.",
        least=0,
        most=1,
        shown_from=0.5,
        shown_to=1,
    ),
    "colour_shift": Measure(
        meaning="How far the product's dominant colours have moved, mean ΔE2000; 0 where they stayed.",
        least=0,
        most=ENDLESS,
        shown_from=0,
        shown_to=50,
    ),
    "style_distance": Measure(
        meaning="Distance of the picture's colours to those of the style's pictures, in units of CIELAB "
        "(sliced Wasserstein distance); 0 where both have the same colours as often.",
        least=0,
        most=ENDLESS,
        shown_from=0,
        shown_to=50,
        needs_style=True,
    ),
}
