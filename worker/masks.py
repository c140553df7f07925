"""Where a product's mask comes from: a picture beside its own, its own alpha, the plain background it stands on, or a
model that finds it.

A mask is uint8 [H, W], of the size of the decoded picture: 255 is product, 0 background, between them a soft edge.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from jobs.errors import ErrorCode, ImageRejected, MaskRejected
from jobs.looks import MaskSource, SegmentedMask
from worker.images import Picture, PictureLimits, decode
from worker.plain_background import product_on_plain
from worker.segmenter import Segmenter

Mask = NDArray[np.uint8]

_SHAPE_TOLERANCE = 0.02  # of the ratio of the sides: a mask may be smaller than its picture, not of another shape


def mask_of(
    picture: Picture,
    given: bytes | None,
    source: MaskSource | SegmentedMask | None,
    limits: PictureLimits,
    segmenter: Segmenter | None = None,
) -> Mask:
    """Return a picture's mask from one source, or from the first that has one: manifest, alpha, plain background.

    given: the file that the manifest names, None where it names none. segmenter: where the source is a model.

    Raises:
        MaskRejected: there is none, or it cannot be used.

    """
    if isinstance(source, SegmentedMask):
        assert segmenter is not None
        return _checked(segmenter.mask(picture.pixels), f"what {source.model} finds")
    if source == "manifest" or (source is None and given is not None):
        if given is None:
            raise MaskRejected(ErrorCode.MASK_MISSING, "the item has no mask: name one in the manifest's `mask_key`")
        return _checked(_from_file(given, picture, limits), "the mask that the manifest names")
    if source == "alpha" or (source is None and tells(picture.alpha)):
        if picture.alpha is None:
            raise MaskRejected(ErrorCode.MASK_MISSING, "the picture has no transparent background to take a mask from")
        return _checked(picture.alpha, "the picture's alpha")
    found = product_on_plain(picture.pixels)
    if found is None:
        message = "the product does not stand on a plain background: give its mask in the manifest's `mask_key`"
        raise MaskRejected(ErrorCode.MASK_MISSING, message)
    return _checked(found, "what stands out from the background")


def tells(alpha: Mask | None) -> bool:
    """Whether alpha tells product from background: many a picture has one that is opaque everywhere."""
    return alpha is not None and bool((alpha < 128).any())


def _from_file(data: bytes, picture: Picture, limits: PictureLimits) -> Mask:
    """Decode a mask upright; its alpha, where that tells anything, else its brightness."""
    try:
        found = decode(data, limits)
    except ImageRejected as error:
        raise MaskRejected(ErrorCode.MASK_UNUSABLE, f"the mask cannot be read: {error}") from error
    grey = found.alpha if tells(found.alpha) else None
    image = Image.fromarray(found.pixels).convert("L") if grey is None else Image.fromarray(grey)
    if image.size == (picture.width, picture.height):
        return np.array(image)
    ratio = (image.width / image.height) / (picture.width / picture.height)
    if abs(ratio - 1) > _SHAPE_TOLERANCE:
        message = (
            f"the mask has {image.width} x {image.height} px and its picture {picture.width} x {picture.height}, "
            "orientation applied: give a mask of the picture's shape"
        )
        raise MaskRejected(ErrorCode.MASK_UNUSABLE, message)
    return np.array(image.resize((picture.width, picture.height), Image.Resampling.BILINEAR))


def _checked(mask: Mask, what: str) -> Mask:
    if not (mask >= 128).any():
        raise MaskRejected(ErrorCode.MASK_UNUSABLE, f"{what} is empty: nothing in it is product")
    return mask
