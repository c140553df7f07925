"""What is done to a picture, whatever library moves it: boto3 and Pillow, and the model that all share.

The same work as this system's: any orientation made upright, RGB, and JPEG of the same quality without halved colours.
"""

from __future__ import annotations

import functools
import io
import os
import re
from collections.abc import Sequence
from typing import Any

import boto3
import numpy as np
import numpy.typing as npt
from botocore.config import Config
from PIL import Image, ImageOps

from benchmarks.peers import witness
from benchmarks.stream_device import occupy

BATCH = 8  # as RESTYLE_BATCH_SIZE
QUALITY = 90  # as recipes have it by default

Pixels = npt.NDArray[np.uint8]


def catalogue() -> list[str]:
    """Return the keys of the catalogue."""
    pages = _client().get_paginator("list_objects_v2")
    found = pages.paginate(Bucket=os.environ["BENCH_BUCKET"], Prefix=os.environ["BENCH_SOURCE"])
    return [each["Key"] for page in found for each in page["Contents"]]


def batches() -> list[list[str]]:
    """Return the keys of the catalogue, a batch at a time."""
    every = catalogue()
    return [every[first : first + BATCH] for first in range(0, len(every), BATCH)]


def fetch(key: str) -> bytes:
    body: bytes = _client().get_object(Bucket=os.environ["BENCH_BUCKET"], Key=key)["Body"].read()
    return body


def decode(data: bytes) -> Pixels:
    """Return [H, W, 3]."""
    with Image.open(io.BytesIO(data)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def load(key: str) -> Pixels:
    return decode(fetch(key))


def model(pictures: Sequence[Pixels]) -> list[Pixels]:
    """Take a batch through the model. On CUDA the pictures go there and come back."""
    if not os.environ.get("BENCH_CUDA"):
        occupy(len(pictures))
        return list(pictures)
    import torch

    on_device = [torch.from_numpy(picture.copy()).cuda() for picture in pictures]
    occupy(len(pictures))
    return [picture.cpu().numpy() for picture in on_device]


def encode(picture: Pixels) -> bytes:
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "JPEG", quality=QUALITY, subsampling=0)
    return written.getvalue()


def put(key: str, data: bytes) -> None:
    """Store a result, and say so to the witness."""
    number = re.findall(r"\d+", key)[-1]
    target = f"{os.environ['BENCH_OUTPUT']}product-{number}.jpg"
    _client().put_object(Bucket=os.environ["BENCH_BUCKET"], Key=target, Body=data, ContentType="image/jpeg")
    witness.say("E", int(number))


def save(key: str, picture: Pixels) -> None:
    put(key, encode(picture))


def _client() -> Any:
    """Return a client of this process's own: connections must not be shared with a child."""
    return _client_of(os.getpid())


@functools.cache
def _client_of(_process_id: int) -> Any:
    return boto3.session.Session().client(
        "s3", endpoint_url=os.environ["BENCH_S3"], config=Config(max_pool_connections=32)
    )
