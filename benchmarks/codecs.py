"""Measures decoding and encoding: `python -m benchmarks.codecs [--photos DIR] [--count N] [--settings] [--quick]`.

Milliseconds of processor time per megapixel, best of several, on one thread, for `worker.images` and for each library
beside it; every one decodes the same files and encodes the same pixels, RGB [H, W, 3] in memory on either side. For
`worker.images` also how much faster two threads are than one, by the clock, which a busy machine spoils, and the
longest time that another thread waits for the interpreter meanwhile, in milliseconds beside those of the whole call.
`--settings` tries the encoders' own settings instead: time, bytes and what is lost.

The pictures are drawn, or those of a folder. Progress goes to stderr; the last line of stdout is one JSON object.
"""

from __future__ import annotations

import argparse
import functools
import io
import json
import os
import platform
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks import codec_peers
from benchmarks.codec_peers import Pixels, Unable
from jobs.formats import OutputFormat
from worker.images import PictureLimits, decode, encode

FORMATS = ("jpeg", "png", "webp", "avif")
QUALITY = 90
# What files usually are: an encoder's work shows in its decoder's.
WRITTEN: dict[str, dict[str, Any]] = {
    "jpeg": {"quality": 90, "subsampling": "4:2:0"},
    "png": {"compress_level": 6},
    "webp": {"quality": 90},
    "avif": {"quality": 75, "speed": 8, "max_threads": 1},
}
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".avif"})
LIMITS = PictureLimits()

Figures = dict[str, Any]


def measure(pictures: Sequence[Pixels], repeats: int) -> Figures:
    """Measure every codec with every format."""
    coders = {"restyle": codec_peers.Coder("restyle", _decode, _encode), **{c.name: c for c in codec_peers.CODERS}}
    megapixels = sum(picture.shape[0] * picture.shape[1] for picture in pictures) / 1e6
    names = ("decode_ms_per_megapixel", "encode_ms_per_megapixel", "two_threads_gain", "others_wait_ms_of")
    figures: Figures = {name: {} for name in names}
    for name in FORMATS:
        files = [_written(picture, name) for picture in pictures]
        _measure_one(figures, "decode", name, files, coders, repeats, megapixels)
        _measure_one(figures, "encode", name, pictures, coders, repeats, megapixels)
        for way, inputs in (("decode", files), ("encode", pictures)):
            act = functools.partial(_act, way, name)
            figures["two_threads_gain"][f"{way} {name}"] = _gain(act, inputs)
            figures["others_wait_ms_of"][f"{way} {name}"] = _others_wait(act, inputs)
    figures["levels_from_pillow"] = _levels(pictures)
    return figures


def _measure_one(
    figures: Figures,
    way: str,
    name: str,
    inputs: Sequence[Any],
    coders: dict[str, codec_peers.Coder],
    repeats: int,
    megapixels: float,
) -> None:
    row: Figures = {}
    for coder in coders.values():
        act = coder.decode if way == "decode" else coder.encode
        try:
            seconds = _best(functools.partial(_each, act, name, inputs), repeats)
            row[coder.name] = round(seconds * 1000 / megapixels, 2)
        except Unable as reason:
            row[coder.name] = None
            _say(f"{way} {name}: {coder.name} cannot: {reason}")
    figures[f"{way}_ms_per_megapixel"][name] = row
    _say(f"{way} {name}: {row}")


def _each(act: Callable[[Any, str], object], name: str, inputs: Sequence[Any]) -> None:
    for each in inputs:
        act(each, name)


def _best(act: Callable[[], object], repeats: int) -> float:
    """Return seconds of processor time of the best of several runs, after one that does not count."""
    act()
    times = []
    for _ in range(repeats):
        started = time.process_time()
        act()
        times.append(time.process_time() - started)
    return min(times)


def _gain(act: Callable[[Any], object], inputs: Sequence[Any]) -> float:
    """How many times faster two threads are than one, by the clock; best of three each."""
    work = [*inputs, *inputs]

    def seconds(threads: int) -> float:
        started = time.perf_counter()
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(act, work))
        return time.perf_counter() - started

    return round(min(seconds(1) for _ in range(3)) / min(seconds(2) for _ in range(3)), 2)


def _others_wait(act: Callable[[Any], object], inputs: Sequence[Any]) -> tuple[float, float]:
    """Return the longest that another thread had to wait during the longest call, and that call; best of three."""
    largest = max(inputs, key=lambda each: each.size if isinstance(each, np.ndarray) else len(each))
    return min(_wait_during(functools.partial(act, largest)) for _ in range(3))


def _wait_during(call: Callable[[], object]) -> tuple[float, float]:
    gaps, ended = [0.0], threading.Event()

    def tick() -> None:
        last = time.perf_counter()
        while not ended.wait(0.0002):
            now = time.perf_counter()
            gaps.append(now - last)
            last = now

    ticking = threading.Thread(target=tick)
    ticking.start()
    started = time.perf_counter()
    call()
    passed = time.perf_counter() - started
    ended.set()
    ticking.join()
    return round(max(gaps) * 1000, 1), round(passed * 1000, 1)


def _act(way: str, name: str, each: Any) -> object:
    return _decode(each, name) if way == "decode" else _encode(each, name)


def _levels(pictures: Sequence[Pixels]) -> dict[str, int]:
    """The largest difference of any channel from what Pillow reads in the same file, by format."""
    return {
        name: max(
            int(np.abs(_decode(file, name).astype(np.int16) - codec_peers.with_pillow(file, name)).max())
            for file in (_written(picture, name) for picture in pictures)
        )
        for name in FORMATS
    }


def _decode(data: bytes, _: str) -> Pixels:
    return decode(data, LIMITS).pixels


def _encode(pixels: Pixels, name: str) -> bytes:
    return encode(pixels, None, format=OutputFormat(name), quality=QUALITY)


def _written(picture: Pixels, name: str) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, name, **WRITTEN[name])
    return out.getvalue()


# ---------------------------------------------------------------------------------------------------------
# Settings


def try_settings(pictures: Sequence[Pixels]) -> Figures:
    """Encode with other settings than ours: time, bytes per pixel and PSNR in dB."""
    megapixels = sum(picture.shape[0] * picture.shape[1] for picture in pictures) / 1e6
    figures: Figures = {}
    trials: list[tuple[str, dict[str, Any]]] = [
        *(("png", {"compress_level": level}) for level in (1, 2, 3, 6)),
        *(("webp", {"quality": quality, "method": m}) for quality in (80, 90) for m in (0, 1, 2, 3, 4, 6)),
        *(("avif", {"quality": quality, "speed": s, **_AVIF}) for quality in (60, 75) for s in (6, 7, 8, 9, 10)),
    ]
    for name, options in trials:
        label = " ".join([name, *(f"{key}={value}" for key, value in options.items() if key not in _AVIF)])
        started = time.process_time()
        files = [codec_peers.pillow_encoded(picture, name, **options) for picture in pictures]
        passed = time.process_time() - started
        figures[label] = {
            "ms_per_megapixel": round(passed * 1000 / megapixels, 1),
            "bytes_per_pixel": round(sum(map(len, files)) / megapixels / 1e6, 4),
            "psnr_db": _psnr(pictures, files, name),
        }
        _say(f"{label}: {figures[label]}")
    return figures


_AVIF = {"subsampling": "4:2:0", "max_threads": 1, "autotiling": False}


def _psnr(pictures: Sequence[Pixels], files: Sequence[bytes], name: str) -> float | None:
    if name == "png":
        return None
    errors = [
        float(np.mean((picture.astype(np.float32) - codec_peers.with_pillow(file, name)) ** 2))
        for picture, file in zip(pictures, files, strict=True)
    ]
    return round(float(10 * np.log10(255**2 / np.mean(errors))), 2)


# ---------------------------------------------------------------------------------------------------------
# Pictures


def draw(seed: int, width: int = 1000, height: int = 1000) -> Pixels:
    """Draw something that costs a codec what a product photo does: a textured thing on a light ground, a grain."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / max(width, height)
    picture: npt.NDArray[Any] = np.repeat((238 + 12 * y)[..., None], 3, axis=2)
    for _ in range(5):
        centre, radius = random.uniform(0.25, 0.75, 2), random.uniform(0.08, 0.28)
        distance = np.hypot(x - centre[0], y - centre[1]) / radius
        waves = np.sin(x * random.uniform(40, 400)) * np.sin(y * random.uniform(40, 400))
        thing = random.uniform(20, 220, 3) * (1.05 - 0.4 * distance[..., None]) + 14 * waves[..., None]
        picture = np.where(distance[..., None] < 1, thing, picture)
    grain = random.normal(0, 1.5, (height, width, 1))
    return np.clip(picture + grain, 0, 255).astype(np.uint8)


def load(folder: Path, count: int) -> list[Pixels]:
    """Return up to `count` pictures of a folder, spread evenly over its files."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = paths[:: max(1, len(paths) // count)][:count]
    return [decode(path.read_bytes(), LIMITS).pixels for path in chosen]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--photos", type=Path, help="folder of pictures; none: drawn ones")
    parser.add_argument("--count", type=int, default=8, help="pictures")
    parser.add_argument("--settings", action="store_true", help="try the encoders' settings instead")
    parser.add_argument("--quick", action="store_true", help="two small pictures, twice")
    options = parser.parse_args(arguments)
    count, side, repeats = (2, 300, 2) if options.quick else (options.count, 1000, 5)
    pictures = load(options.photos, count) if options.photos else [draw(seed, side, side) for seed in range(count)]
    figures = try_settings(pictures) if options.settings else measure(pictures, repeats)
    figures["pictures"] = len(pictures)
    figures["megapixels"] = round(sum(picture.shape[0] * picture.shape[1] for picture in pictures) / 1e6, 2)
    figures["machine"] = f"{os.cpu_count()} cores, Python {platform.python_version()}"
    figures["versions"] = codec_peers.versions()
    print(json.dumps(figures))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
