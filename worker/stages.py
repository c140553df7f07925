"""What each stage does to one item. A stage raises; who runs it turns that into the item's reason."""

from __future__ import annotations

import functools
import hashlib
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import structlog
import torch
import torch.nn.functional as F
from PIL import Image

from jobs.errors import ErrorCode, GateBroken, MaskRejected, ObjectMissing, StorageError
from jobs.gates import broken_gates
from jobs.leases import FailedTry
from jobs.locations import Location
from jobs.looks import KeptBackground
from jobs.output_keys import rejected_url
from jobs.retries import STORAGE
from jobs.source_urls import pictures_of
from jobs.storage import Storages
from jobs.wishes import is_wish, read_wish
from worker.backgrounds import compose
from worker.cube import cube
from worker.images import Picture, PictureLimits, encode
from worker.images.limits import check_size
from worker.masks import mask_of
from worker.pipelines.base import Wish
from worker.prepared import Prepared
from worker.quality.item import measure_item
from worker.sources import decode_source, inspect_source, naming
from worker.work import Budget, Work

log = structlog.get_logger(__name__)

T = TypeVar("T")
Pixels = npt.NDArray[Any]

RETRY_SECONDS = 60.0  # from the first try on; later ones are left to another attempt of the shard
COPIES = 4  # of a picture's pixels at the same time, at most: decoded, batched, restyled, being encoded
GROWING_COPIES = 2  # of these, of a picture that becomes larger: restyled, being encoded
UNLIKE_THEIR_SOURCE = ("generate", "translate")  # pictures that have nothing to keep
MASK_COPIES = 4  # more where there are masks: theirs, and the new background as numbers with a point
CASCADE_COPIES = 1  # more where models follow: what one has made, while the next works on it


class Stages:
    """The stages before and after the model."""

    def __init__(self, storages: Storages, limits: PictureLimits, *, memory_bytes: int) -> None:
        self._storages = storages
        self._limits = limits
        self._files = Budget(memory_bytes // 4)
        self._pixels = Budget(memory_bytes - memory_bytes // 4)

    def read(self, work: Work) -> None:
        """Fetch the files; of a picture that is made of words alone there are none."""
        urls = pictures_of(work.item.source_url)
        if not urls:
            return
        files = self._fetch(work, urls)
        if _wants_file_of_mask(work):
            assert work.item.mask_url is not None
            try:
                [work.mask_data] = self._fetch(work, [work.item.mask_url])
            except ObjectMissing as error:
                message = f"there is no {work.item.mask_url}, which the manifest names as its mask"
                raise MaskRejected(ErrorCode.MASK_MISSING, message) from error
        source_bytes = sum(map(len, files))
        work.reserve(self._files, source_bytes + len(work.mask_data or b""))
        work.files = tuple(files)
        work.source_bytes = source_bytes
        sha256 = hashlib.sha256()
        for data in files:
            sha256.update(data)
        work.source_sha256 = sha256.hexdigest()

    def _fetch(self, work: Work, urls: Sequence[str]) -> list[bytes]:
        """Read files. All together they may take about as long, and have as many bytes, as one alone."""
        until = time.monotonic() + RETRY_SECONDS
        files: list[bytes] = []
        for number in range(len(urls)):
            room_bytes = self._limits.max_bytes - sum(map(len, files))
            read = functools.partial(self._read_one, urls, number, room_bytes, until)
            files.append(_retrying(work, read, until))
        return files

    def _read_one(self, urls: Sequence[str], number: int, room_bytes: int, until: float) -> bytes:
        location = Location.parse(urls[number])
        with naming(urls, number):
            if number and time.monotonic() > until:
                raise StorageError(f"the pictures before it took more than {RETRY_SECONDS:g} s")
            return self._storages.at(location).read(location.key, max_bytes=room_bytes)

    def decode(self, work: Work) -> None:
        """Turn the files into a picture's pixels, and find the product's mask, once there is room for them."""
        if is_wish(work.item.source_url):
            self._make_blank(work)
            return
        files, mask_data, recipe = work.files, work.mask_data, work.prepared.recipe
        header = inspect_source(work.item.source_url, files, self._limits)
        scale = work.prepared.scale
        check_size(header.width * scale, header.height * scale, self._limits)
        copies = COPIES - GROWING_COPIES + GROWING_COPIES * scale**2
        copies += (MASK_COPIES if recipe.needs_mask else 0) + (CASCADE_COPIES if recipe.then else 0)
        pixels_bytes = header.decoded_bytes * copies
        # The room for the files is kept until the pixels have theirs. That cannot wait for ever: what holds room
        # for pixels has passed this stage and waits for nobody's file.
        self._pixels.acquire(pixels_bytes)
        work.free()
        work.budget, work.budget_bytes = self._pixels, pixels_bytes
        work.picture = decode_source(work.item.source_url, files, self._limits)
        work.size = (work.picture.height, work.picture.width)
        if recipe.needs_mask:
            work.mask = mask_of(work.picture, mask_data, recipe.mask, self._limits, work.prepared.segmenter)

    def _make_blank(self, work: Work) -> None:
        """Reserve the place of a picture that is to be made, and find out what it is to show."""
        assert work.prepared.understand is not None
        side = work.prepared.side_px
        work.reserve(self._pixels, side * side * 3 * COPIES)
        work.wish = work.prepared.understand(_wish(work.item.source_url))
        work.picture = Picture(pixels=np.zeros((side, side, 3), np.uint8), alpha=None, source_format="none")
        work.size = (side, side)

    def measure(self, work: Work) -> None:
        """See what the picture has kept, and whether that is enough for the recipe's gates."""
        assert work.picture is not None
        assert work.output is not None
        recipe = work.prepared.recipe
        if not recipe.format.is_picture or recipe.operation in UNLIKE_THEIR_SOURCE:
            return
        original, restyled = (
            torch.from_numpy(pixels).permute(2, 0, 1) for pixels in (work.picture.pixels, work.output)
        )
        if work.prepared.scale > 1:  # what was there must still be there: seen at the source's size
            restyled = F.avg_pool2d(restyled.float(), work.prepared.scale).round().to(torch.uint8)
        mask = None if work.mask is None else torch.from_numpy(work.mask)[None]
        if mask is not None and recipe.operation == "inpaint":
            mask = 255 - mask  # what is not repaired is to be kept
        work.measures = measure_item(original, restyled, mask=mask, palette=work.prepared.palette)
        # The claim's own: recipes that differ in their gates alone share what is prepared.
        broken = broken_gates(work.held.claim.recipe.gates, work.measures)
        if broken:
            work.rejection = GateBroken("; ".join(broken))

    def encode(self, work: Work) -> None:
        """Turn the restyled pixels, or the table, into a file."""
        assert work.picture is not None
        assert work.output is not None
        if work.prepared.recipe.format.is_picture:
            work.size = (work.output.shape[0], work.output.shape[1])
        data = _file(work.prepared, work.output, work.picture.alpha, work.mask)
        work.free()
        work.data = data
        work.sha256 = hashlib.sha256(data).hexdigest()
        work.written_bytes = len(data)

    def write(self, work: Work) -> None:
        """Store the result. Repeated by a later attempt it writes the same bytes to the same key.

        It never takes the place of what a later job has written there, however long this worker slept.
        """
        claim = work.held.claim
        folder = rejected_url(claim.output_url, claim.lease.job_id) if work.rejection else claim.output_url
        target = Location.parse(folder).child(work.item.output_key)
        storage = self._storages.at(target)
        media_type = work.prepared.recipe.format.media_type
        order = f"{claim.job_created_at:%Y%m%dT%H%M%S.%f}"
        until = time.monotonic() + RETRY_SECONDS
        _retrying(work, lambda: storage.write(target.key, work.data, media_type=media_type, order=order), until)
        work.free()


def _file(prepared: Prepared, output: Pixels, alpha: Pixels | None, mask: Pixels | None) -> bytes:
    """Encode pixels with the source's own alpha, or on the background of the recipe; or a table."""
    recipe, background = prepared.recipe, prepared.recipe.background
    if not recipe.format.is_picture:
        return cube(output, title=" ".join(filter(None, (recipe.model, recipe.style))))
    if background is not None and not isinstance(background, KeptBackground):
        assert mask is not None
        output, alpha = compose(output, mask, background, prepared.backdrop), None
    if alpha is not None and alpha.shape != output.shape[:2]:
        enlarged = Image.fromarray(alpha).resize((output.shape[1], output.shape[0]), Image.Resampling.BICUBIC)
        alpha = np.asarray(enlarged)
    return encode(output, alpha, format=recipe.format, quality=recipe.quality)


def _wish(url: str) -> Wish:
    attributes, seed = read_wish(url)
    return Wish(attributes=attributes, seed=seed)


def _wants_file_of_mask(work: Work) -> bool:
    recipe = work.prepared.recipe
    return recipe.needs_mask and recipe.mask in (None, "manifest") and work.item.mask_url is not None


def _retrying(work: Work, attempt: Callable[[], T], until: float) -> T:
    """Try, and try again while storage does not answer. `until`: as `time.monotonic` counts."""
    for delay in STORAGE.delays():
        try:
            return attempt()
        except StorageError as error:
            if not error.retryable or not work.held.alive or time.monotonic() > until:
                raise
            tried = FailedTry(item_no=work.item.item_no, code=str(error.code), message=str(error))
            work.failed_tries.append(tried)
            log.info(
                "item_retried",
                item_no=tried.item_no,
                code=tried.code,
                error=tried.message,
                delay_seconds=round(delay, 2),
            )
            work.held.pause(delay)
    return attempt()
