"""The outline of what stands before a plain background, and how well two outlines lie on each other."""

from __future__ import annotations

import torch
from torch import Tensor

from worker.quality.looking import luminance, thinned

_SIDE_PX = 128  # square of so many pixels is looked at
_PLAIN = 8.0  # from the border's middle colour, within which nine of ten pixels of a plain one lie; chosen on photos
_NOISE_TIMES = 2.0  # how far above the border's own unrest the product begins
_SHARE = 0.12  # of the picture's strongest contrast to the background at which the product begins
_SHARES = (0.06, 0.09, _SHARE, 0.17, 0.24, 0.34)  # the same of the restyled picture: a look moves a product's lights


def silhouette_iou(original: Tensor, restyled: Tensor) -> float | None:
    """Return the intersection over union of both outlines, from 0 to 1: 1 where the product has kept its shape.

    Of the outlines that the restyled picture shows at several contrasts, the one that fits best counts: a look that
    brightens a shadow has moved no edge. None where one of the backgrounds is not plain, so that there is no outline.
    """
    pair = torch.stack([thinned(each, _SIDE_PX) for each in (original, restyled)])
    return silhouette_iou_of(pair, luminance(pair))


def silhouette_iou_of(pair: Tensor, lights: Tensor) -> float | None:
    """Return the same of both pictures, [2, 3, h, w], of which the luminances are known, [2, h, w]."""
    before, after = map(_away, pair, lights)
    if before is None or after is None:
        return None
    outline = _outline(*before, _SHARE)
    return max(iou(outline, _outline(*after, share)) for share in _SHARES) if bool(outline.any()) else None


def silhouette(picture: Tensor) -> Tensor | None:
    """Return where a picture, uint8 [3, h, w], is not its background: bool [1, h, w]; None if that is not plain."""
    found = _away(picture, luminance(picture))
    return None if found is None else _outline(*found, _SHARE)[None]


def iou(first: Tensor, second: Tensor) -> float:
    """Return the intersection over union of two masks of one shape, of any type; 1 for two that are empty."""
    a, b = first > 0, second > 0
    union = int((a | b).sum())
    return int((a & b).sum()) / union if union else 1.0


def _outline(away: Tensor, unrest: float, share: float) -> Tensor:
    return away > max(_NOISE_TIMES * unrest, share * float(away.max()), 1.0)


def _away(picture: Tensor, light: Tensor) -> tuple[Tensor, float] | None:
    """Return how far each pixel is from the background's colour, [h, w], and most of the border; None if not plain.

    Colours are compared by luminance and the two colour differences, in hundredths of the whole range: near enough to
    what the eye sees for a threshold, and without a root of every pixel.
    """
    values = torch.stack((light, picture[2] / 255 - light, picture[0] / 255 - light)).mul_(100)
    border = torch.cat((values[:, 0], values[:, -1], values[:, :, 0], values[:, :, -1]), dim=1)
    background = border.median(1).values
    unrests = _apart(border, background[:, None]).sort().values
    unrest = float(unrests[int(0.9 * len(unrests))])
    return None if unrest > _PLAIN else (_apart(values, background[:, None, None]), unrest)


def _apart(values: Tensor, middle: Tensor) -> Tensor:
    first, second, third = (values - middle).square_()
    apart: Tensor = first.add_(second).add_(third).sqrt_()
    return apart
