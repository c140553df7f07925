from __future__ import annotations

import io
import struct
import subprocess
import sys
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile
from PIL.JpegImagePlugin import JpegImageFile

from jobs.errors import ErrorCode, ImageRejected
from tests.worker import picture_files as files
from worker.images import OutputFormat, Picture, PictureLimits, decode, encode, inspect, thumbnail

PICTURES = [form for form in OutputFormat if form.is_picture]

LIMITS = PictureLimits()
SCENE = files.scene()
EACH = files.one_of_each()
UPRIGHT_FORMATS: dict[str, dict[str, Any]] = {
    "JPEG": {"quality": 98, "subsampling": 0},
    "PNG": {},
    "WEBP": {"lossless": True},
    "AVIF": {"quality": 98, "speed": 10, "subsampling": "4:4:4"},
    "TIFF": {},
}


def refusal(data: bytes, limits: PictureLimits = LIMITS) -> ImageRejected:
    with pytest.raises(ImageRejected) as caught:
        decode(data, limits)
    return caught.value


def furthest(picture: Picture, expected: files.Array = SCENE) -> int:
    """The largest difference of any channel of any pixel."""
    assert picture.pixels.shape == expected.shape
    return int(np.abs(picture.pixels.astype(int) - expected.astype(int)).max())


# What is accepted -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EACH)
def test_every_accepted_format_comes_back_as_it_went_in(name: str) -> None:
    picture = decode(EACH[name], LIMITS)
    tolerance = 0 if name in {"png", "png alpha", "webp lossless", "tiff", "tiff raw", "bmp"} else 24
    assert furthest(picture) <= tolerance
    assert picture.source_format == name.split()[0]
    assert picture.pixels.dtype == np.uint8
    assert picture.pixels.flags.c_contiguous
    assert picture.pixels.flags.writeable


@pytest.mark.parametrize("name", EACH)
def test_inspecting_agrees_with_decoding(name: str) -> None:
    header, picture = inspect(EACH[name], LIMITS), decode(EACH[name], LIMITS)
    held = picture.pixels.nbytes + (0 if picture.alpha is None else picture.alpha.nbytes)
    assert (header.width, header.height) == (picture.width, picture.height)
    assert header.source_format == picture.source_format
    assert held <= header.decoded_bytes


def test_a_grey_jpeg_comes_back_grey() -> None:
    picture = decode(files.saved(Image.fromarray(SCENE).convert("L"), "JPEG"), LIMITS)
    assert (picture.pixels[..., 0] == picture.pixels[..., 2]).all()
    assert picture.alpha is None


def test_inks_of_photoshop_are_read_inverted_as_cmyk_and_as_ycck() -> None:
    inks = Image.new("CMYK", (16, 16), (200, 0, 0, 30))
    for data in (files.saved(inks, "JPEG", quality=98), files.ycck_jpeg(inks)):
        assert decode(data, LIMITS).pixels[5, 5].tolist() == pytest.approx([49, 225, 225], abs=4)


def test_inks_follow_their_colour_profile() -> None:
    inks = Image.new("CMYK", (16, 16), (255, 0, 0, 0))
    data = files.saved(inks, "JPEG", quality=98, icc_profile=files.cmyk_profile())
    red, green, blue = decode(data, LIMITS).pixels[5, 5]
    assert red > 200
    assert max(green, blue) < 90


def test_a_first_picture_of_several_is_the_picture() -> None:
    for kind, options in (
        ("MPO", {"quality": 95}),
        ("GIF", {}),
        ("TIFF", {}),
        ("WEBP", {"lossless": True}),
        ("PNG", {}),
    ):
        data = files.saved(
            Image.fromarray(SCENE),
            kind,
            save_all=True,
            append_images=[Image.new("RGB", (48, 32), "red")],
            **options,
        )
        picture = decode(data, LIMITS)
        assert furthest(picture) < 48, kind
        assert picture.source_format == ("jpeg" if kind == "MPO" else kind.lower())


def test_sixteen_bits_are_scaled_and_not_clipped() -> None:
    wide = SCENE.astype(np.uint16) * 257
    grey = wide[..., 0]
    as_rgb = files.png(files.ihdr(48, 32, 16, 2), files.rows(wide))
    as_grey = files.png(files.ihdr(48, 32, 16, 0), files.rows(grey))
    as_tiff = files.saved(Image.fromarray(grey), "TIFF")
    assert furthest(decode(as_rgb, LIMITS)) == 0
    for data in (as_grey, as_tiff):
        assert furthest(decode(data, LIMITS), np.repeat(SCENE[..., :1], 3, axis=-1)) == 0


def test_interlaced_and_one_bit_pngs_are_read() -> None:
    bits = np.packbits(SCENE[..., 0] > 128, axis=1)
    black_and_white = decode(files.png(files.ihdr(48, 32, 1, 0), files.rows(bits)), LIMITS)
    assert ((black_and_white.pixels[..., 0] == 255) == (SCENE[..., 0] > 128)).all()
    one_pixel = files.png(files.ihdr(1, 1, 8, 2, interlace=1), b"\0\x0a\x14\x1e")
    assert decode(one_pixel, LIMITS).pixels.tolist() == [[[10, 20, 30]]]


# Alpha ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["png alpha", "webp lossless", "tiff raw"])
def test_alpha_comes_apart_untouched_and_colours_beneath_it_too(name: str) -> None:
    picture = decode(EACH[name], LIMITS)
    assert picture.alpha is not None
    assert (picture.alpha == files.ramp()).all()
    assert furthest(picture) == 0


def test_a_transparent_palette_entry_becomes_alpha() -> None:
    indices = Image.new("P", (4, 1))
    indices.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 0, 0, 255])
    indices.putdata([0, 1, 2, 3])
    for transparency, alpha in ((2, [255, 255, 0, 255]), (bytes([255, 128, 0, 7]), [255, 128, 0, 7])):
        picture = decode(files.saved(indices, "PNG", transparency=transparency), LIMITS)
        assert picture.alpha is not None
        assert picture.alpha[0].tolist() == alpha
        assert picture.pixels[0, 1].tolist() == [255, 0, 0]


def test_a_colour_key_becomes_alpha_at_every_depth() -> None:
    two_bits = files.png(files.ihdr(4, 1, 2, 0), b"\0" + bytes([0b00011011]), files.chunk(b"tRNS", b"\0\2"))
    colours = np.array([[[1, 2, 3], [4, 5, 6]]], dtype=np.uint8)
    eight_bits = files.png(files.ihdr(2, 1), files.rows(colours), files.chunk(b"tRNS", struct.pack(">HHH", 4, 5, 6)))
    for data, alpha in ((two_bits, [255, 255, 0, 255]), (eight_bits, [255, 0])):
        picture = decode(data, LIMITS)
        assert picture.alpha is not None
        assert picture.alpha[0].tolist() == alpha


# Orientation and colour -------------------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", UPRIGHT_FORMATS)
def test_orientation_is_applied_once(kind: str, orientation: int) -> None:
    stored = files.as_stored(SCENE, orientation)
    data = files.with_orientation(stored, kind, orientation, **UPRIGHT_FORMATS[kind])
    assert furthest(decode(data, LIMITS)) <= 12
    assert inspect(data, LIMITS).width == 48


def test_alpha_turns_with_its_picture() -> None:
    rgba = np.dstack([SCENE, files.ramp()])
    data = files.with_orientation(files.as_stored(rgba, 6), "PNG", 6)
    picture = decode(data, LIMITS)
    assert picture.alpha is not None
    assert (picture.alpha == files.ramp()).all()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
def test_a_colour_profile_is_converted_to_srgb(kind: str) -> None:
    red = np.full((16, 16, 3), (200, 30, 30), dtype=np.uint8)
    options = UPRIGHT_FORMATS[kind]
    turned = decode(files.saved(red, kind, icc_profile=files.swapped_profile(), **options), LIMITS)
    kept = decode(files.saved(red, kind, icc_profile=files.srgb_profile(), **options), LIMITS)
    assert turned.pixels[8, 8].tolist() == pytest.approx([30, 200, 30], abs=12)
    assert kept.pixels[8, 8].tolist() == pytest.approx([200, 30, 30], abs=3)


def test_a_grey_profile_is_converted_to_srgb() -> None:
    linear = files.saved(Image.new("L", (8, 8), 100), "PNG", icc_profile=files.grey_profile(1.0))
    assert decode(linear, LIMITS).pixels[3, 3].tolist() == pytest.approx([168, 168, 168], abs=2)


@pytest.mark.parametrize(
    "profile",
    [
        b"junk" * 50,
        files.swapped_profile()[:200],
        files.cmyk_profile(),
        files.swapped_profile() + bytes(5_000_000),
    ],
    ids=["junk", "cut", "of another space", "oversized"],
)
def test_a_useless_profile_is_ignored(profile: bytes) -> None:
    assert furthest(decode(files.saved(SCENE, "PNG", icc_profile=profile), LIMITS)) == 0


# Damaged files ----------------------------------------------------------------------------------------------


def test_a_png_with_damaged_metadata_is_accepted_as_browsers_do() -> None:
    profile = b"name\0\0" + zlib.compress(files.swapped_profile())
    bad = files.chunk(b"iCCP", profile, bad_checksum=True), files.chunk(b"tEXt", b"", bad_checksum=True)
    empty = files.chunk(b"iCCP", b""), files.chunk(b"eXIf", b""), files.chunk(b"cHRM", b"")
    for before in (bad, empty):
        data = files.png(files.ihdr(48, 32), files.rows(SCENE), *before, after=files.chunk(b"zTXt", b"\0"))
        assert furthest(decode(data, LIMITS)) == 0
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


def test_a_png_with_a_damaged_header_or_palette_is_corrupt() -> None:
    header = bytearray(files.ihdr(48, 32))
    header[-1] ^= 1
    assert refusal(files.png(bytes(header), files.rows(SCENE))).code == ErrorCode.CORRUPT_IMAGE
    palette = files.chunk(b"PLTE", bytes(9), bad_checksum=True)
    assert refusal(files.png(files.ihdr(2, 1, 8, 3), b"\0\0\0", palette)).code == ErrorCode.CORRUPT_IMAGE


def test_of_two_checksums_over_a_pngs_pixels_one_must_be_right() -> None:
    good = zlib.compress(files.rows(SCENE))
    bad = good[:-4] + bytes(4)

    def built(body: bytes, *, bad_checksum: bool) -> bytes:
        pixels = files.chunk(b"IDAT", body, bad_checksum=bad_checksum)
        return files.PNG_MAGIC + files.ihdr(48, 32) + pixels + files.chunk(b"IEND", b"")

    assert furthest(decode(built(good, bad_checksum=True), LIMITS)) == 0
    assert furthest(decode(built(bad, bad_checksum=False), LIMITS)) == 0
    assert refusal(built(bad, bad_checksum=True)).code == ErrorCode.CORRUPT_IMAGE


def test_a_png_whose_compressed_pixels_end_early_is_refused() -> None:
    half = files.png(files.ihdr(48, 32), files.rows(SCENE[:16]))
    assert refusal(half).code == ErrorCode.CORRUPT_IMAGE


@pytest.mark.parametrize("name", EACH)
def test_a_file_cut_anywhere_is_truncated_or_whole_and_never_half_a_picture(name: str) -> None:
    data, whole = EACH[name], decode(EACH[name], LIMITS)
    for length in range(20, len(data), 1 + len(data) // 300):  # what is shorter may be anything
        try:
            picture = decode(data[:length], LIMITS)
        except ImageRejected as refused:
            assert refused.code == ErrorCode.TRUNCATED, f"{length} of {len(data)} bytes: {refused}"  # noqa: PT017
        else:
            assert (picture.pixels == whole.pixels).all(), f"{length} of {len(data)} bytes"


def test_a_cut_jpeg_with_an_end_marker_is_refused_and_never_half_grey() -> None:
    noise = np.random.default_rng(3).integers(0, 255, (200, 300, 3), dtype=np.uint8)
    for options in ({}, {"restart_marker_blocks": 4}):
        whole = files.saved(noise, "JPEG", **options)
        assert decode(whole, LIMITS).width == 300
        assert refusal(files.cut_jpeg_with_end_marker(whole, 0.9)).code == ErrorCode.TRUNCATED


def test_a_jpeg_that_lost_nothing_but_its_end_marker_is_whole() -> None:
    for lost in (1, 2):
        assert (decode(EACH["jpeg"][:-lost], LIMITS).pixels == decode(EACH["jpeg"], LIMITS).pixels).all()


@pytest.mark.parametrize("options", [{}, {"restart_marker_blocks": 4}, {"optimize": True}])
def test_a_jpeg_that_lost_its_last_few_bytes_is_refused_or_whole(options: dict[str, object]) -> None:
    noise = np.random.default_rng(3).integers(0, 255, (64, 96, 3), dtype=np.uint8)
    whole = files.saved(noise, "JPEG", **options)
    for lost in range(3, 40):
        with suppress(ImageRejected):
            assert (decode(whole[:-lost], LIMITS).pixels == decode(whole, LIMITS).pixels).all(), f"{lost} bytes short"


# The short ways ---------------------------------------------------------------------------------------------


def outcome(data: bytes) -> tuple[object, ...]:
    """Everything that decoding says of a file."""
    try:
        picture = decode(data, PictureLimits(max_pixels=1_000_000))
    except ImageRejected as refused:
        return refused.code, str(refused)
    alpha = None if picture.alpha is None else picture.alpha.tobytes()
    return picture.pixels.shape, picture.pixels.tobytes(), alpha, picture.source_format


def by_the_long_way(data: bytes) -> tuple[object, ...]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worker.images.jpeg._decode_if_flawless", lambda _data: None)
        patch.setattr("worker.images.png.unpacked", lambda _packed, _size: None)
        return outcome(data)


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"optimize": True}])
def test_libjpeg_gives_the_same_pixels_straight_and_by_way_of_pillow(subsampling: str, options: dict[str, Any]) -> None:
    random = np.random.default_rng(1)
    for width, height in ((64, 48), (101, 77), (1, 1), (17, 3)):
        picture = random.integers(0, 255, (height, width, 3), dtype=np.uint8)
        data = files.saved(picture, "JPEG", quality=88, subsampling=subsampling, **options)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(JpegImageFile, "load", None)  # the short way is the one that is taken
            straight = outcome(data)
        assert straight == by_the_long_way(data)


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(sorted(name for name in EACH if "jpeg" in name or "png" in name)), data=st.data())
def test_damaged_files_end_by_the_short_way_as_by_the_long_one(name: str, data: st.DataObject) -> None:
    whole = bytearray(EACH[name])
    for _ in range(data.draw(st.integers(0, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    damaged = bytes(whole[:kept]) + data.draw(st.sampled_from((b"", b"\xff\xd9", b"junk", b"\xff\xd0\xff\xd9")))
    assert outcome(damaged) == by_the_long_way(damaged)


# Refused by what they are -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", ErrorCode.EMPTY_OBJECT),
        (b"sku,price\nA1,3.50\n", ErrorCode.NOT_AN_IMAGE),
        (b"<!doctype html><p>404", ErrorCode.NOT_AN_IMAGE),
        (b"BM is how this text begins, and it goes on", ErrorCode.NOT_AN_IMAGE),
        (bytes(100), ErrorCode.NOT_AN_IMAGE),
        (b"<?xml version='1.0'?><svg xmlns='x'/>", ErrorCode.UNSUPPORTED_FORMAT),
        (b"%PDF-1.7", ErrorCode.UNSUPPORTED_FORMAT),
        (b"%!PS-Adobe-3.0 EPSF-3.0", ErrorCode.UNSUPPORTED_FORMAT),
        (b"8BPS\0\1", ErrorCode.UNSUPPORTED_FORMAT),
        (b"\0\0\0\x0cjP  \r\n\x87\n", ErrorCode.UNSUPPORTED_FORMAT),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", ErrorCode.UNSUPPORTED_FORMAT),
        (files.saved(SCENE, "ICO"), ErrorCode.UNSUPPORTED_FORMAT),
        (files.saved(SCENE, "JPEG2000"), ErrorCode.UNSUPPORTED_FORMAT),
        (files.saved(Image.new("F", (4, 4)), "TIFF"), ErrorCode.UNSUPPORTED_FORMAT),
        (files.saved(SCENE, "PPM"), ErrorCode.UNSUPPORTED_FORMAT),
    ],
)  # fmt: skip
def test_what_is_not_accepted_says_why(data: bytes, code: ErrorCode) -> None:
    assert refusal(data).code == code
    with pytest.raises(ImageRejected):
        inspect(data, LIMITS)


# Limits -----------------------------------------------------------------------------------------------------


def declared(kind: str, width: int, height: int) -> bytes:
    """A file of this kind that declares a size it has no pixels for."""
    small = EACH[kind]
    if kind == "jpeg":
        at = small.index(b"\xff\xc0") + 5
        return small[:at] + struct.pack(">HH", height, width) + small[at + 4 :]
    if kind == "gif":
        return small[:6] + struct.pack("<HH", width, height) + small[10:]
    if kind == "bmp":
        return small[:18] + struct.pack("<II", width, height) + small[26:]
    if kind == "webp":
        return small[:26] + struct.pack("<HH", width, height) + small[30:]
    if kind == "avif":
        at = small.index(b"ispe") + 8
        return small[:at] + struct.pack(">II", width, height) + small[at + 8 :]
    return files.bomb_png(width, height)


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif", "bmp", "webp", "avif"])
def test_limits_are_checked_against_the_header(kind: str) -> None:
    too_many = declared(kind, 16_000, 16_000)
    too_long = declared(kind, 16_383, 100)
    tight = PictureLimits(max_side_px=10_000, max_ratio=500)
    assert refusal(too_many).code == ErrorCode.TOO_MANY_PIXELS
    assert refusal(too_long, tight).code == ErrorCode.SIDE_TOO_LONG
    assert refusal(too_long).code == ErrorCode.RATIO_TOO_EXTREME
    assert refusal(too_many, PictureLimits(max_bytes=10)).code == ErrorCode.TOO_LARGE


def test_a_refusal_says_what_was_got_and_what_is_allowed() -> None:
    assert str(refusal(files.bomb_png())) == (
        "the picture declares 25500 x 25500 px, 650250000 pixels; at most 50000000 are allowed"
    )


def test_a_limit_above_what_pillow_warns_at_is_no_limit() -> None:
    with pytest.raises(ValueError, match="max_pixels"):
        PictureLimits(max_pixels=100_000_000)


BOMBS_IN_LITTLE_MEMORY = """
import resource, sys
from jobs.errors import ImageRejected
from tests.worker import picture_files as files
from tests.worker.test_images import declared
from worker.images import PictureLimits, decode

held = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
bombs = [declared(kind, 16_000, 16_000) for kind in ("jpeg", "png", "gif", "bmp", "webp", "avif")]
bombs += [files.png(files.ihdr(65_000, 65_000), bytes(1000)), b"\\xff\\xd8" + b"\\xff" * 3_000_000]
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
resource.setrlimit(resource.RLIMIT_AS, (held + 200_000_000,) * 2)
for bomb in bombs:
    try:
        decode(bomb, PictureLimits())
    except ImageRejected as refused:
        print(refused.code)
print("peak", (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


def test_bombs_are_refused_in_little_memory() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BOMBS_IN_LITTLE_MEMORY], capture_output=True, text=True, check=True, timeout=60
    )
    *codes, peak = done.stdout.splitlines()
    assert codes == ["too_many_pixels"] * 7 + ["truncated"]
    assert int(peak.removeprefix("peak ")) < 40


@pytest.mark.parametrize(("side", "repeats"), [(8, 300), (7000, 60)])
def test_a_jpeg_that_goes_over_its_pixels_again_and_again_is_refused(side: int, repeats: int) -> None:
    whole = files.saved(Image.new("RGB", (side, side)), "JPEG", progressive=True)
    last_scan = whole[whole.rindex(b"\xff\xda") : -2]
    assert decode(whole, LIMITS).width == side
    assert refusal(whole[:-2] + repeats * last_scan + b"\xff\xd9").code == ErrorCode.UNSUPPORTED_FORMAT


# Hostile bytes ----------------------------------------------------------------------------------------------


@settings(max_examples=400, deadline=None)
@given(name=st.sampled_from(sorted(EACH)), data=st.data())
def test_mutated_files_give_a_picture_or_one_refusal(name: str, data: st.DataObject) -> None:
    whole = bytearray(EACH[name])
    for _ in range(data.draw(st.integers(0, 6))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    kept = data.draw(st.one_of(st.just(len(whole)), st.integers(0, len(whole))))
    try:
        picture = decode(bytes(whole[:kept]), PictureLimits(max_pixels=1_000_000))
    except ImageRejected:
        return
    assert picture.pixels.shape == (picture.height, picture.width, 3)


@settings(max_examples=200, deadline=None)
@given(start=st.sampled_from(sorted({whole[:16] for whole in EACH.values()})), rest=st.binary(max_size=400))
def test_junk_behind_a_true_signature_gives_a_picture_or_one_refusal(start: bytes, rest: bytes) -> None:
    with suppress(ImageRejected):
        decode(start + rest, PictureLimits(max_pixels=1_000_000))


# Out --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", PICTURES)
def test_what_is_written_reads_back(form: OutputFormat) -> None:
    large = files.scene(200, 150)
    picture = decode(encode(large, files.ramp(200, 150), format=form, quality=92), LIMITS)
    opaque = decode(encode(large, None, format=form, quality=92), LIMITS)
    error = np.mean((opaque.pixels.astype(float) - large) ** 2)
    assert opaque.source_format == form
    assert error == 0 if form is OutputFormat.PNG else 10 * np.log10(255**2 / error) > 38
    if form is OutputFormat.JPEG:
        assert picture.alpha is None
        assert picture.pixels[75, 0].tolist() == pytest.approx([255, 255, 255], abs=3)
        assert picture.pixels[75, -1].tolist() == pytest.approx(large[75, -1].tolist(), abs=6)
    else:
        assert picture.alpha is not None
        assert np.abs(picture.alpha.astype(int) - files.ramp(200, 150)).max() <= (3 if form is OutputFormat.AVIF else 0)


@settings(max_examples=100, deadline=None)
@given(
    shape=st.tuples(st.sampled_from((1, 2, 255, 256, 257, 600)), st.integers(1, 9), st.sampled_from((3, 4))),
    step=st.integers(1, 90),
)
def test_a_png_holds_exactly_the_pixels_that_were_given(shape: tuple[int, int, int], step: int) -> None:
    pixels = (np.arange(np.prod(shape)) * step % 251).astype(np.uint8).reshape(shape)
    alpha = np.ascontiguousarray(pixels[..., 3]) if shape[2] == 4 else None
    data = encode(pixels[..., :3], alpha, format=OutputFormat.PNG, quality=1)
    with Image.open(io.BytesIO(data)) as image:
        assert (np.asarray(image) == pixels).all()
        image.close()
    picture = decode(data, PictureLimits(max_ratio=1000))
    assert (picture.pixels == pixels[..., :3]).all()


def test_a_png_is_smaller_than_pillows_at_its_own_level() -> None:
    noise = np.random.default_rng(5).normal(0, 2, (300, 400, 1))
    grainy = np.clip(files.scene(400, 300) + noise, 0, 255).astype(np.uint8)
    ours = encode(grainy, None, format=OutputFormat.PNG, quality=1)
    assert len(ours) < len(files.saved(grainy, "PNG"))


@pytest.mark.parametrize("form", PICTURES)
def test_equal_pixels_give_equal_bytes_on_every_thread(form: OutputFormat) -> None:
    large = files.scene(300, 200)
    first = encode(large, None, format=form, quality=85)
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(lambda _: encode(large.copy(), None, format=form, quality=85), range(6)))
    assert set(again) == {first}


def test_decoding_on_many_threads_gives_what_one_thread_gives() -> None:
    profiled = [files.saved(SCENE, kind, icc_profile=files.swapped_profile()) for kind in ("PNG", "TIFF")]
    every = [*EACH.values(), *profiled] * 4
    alone = [decode(data, LIMITS).pixels.tobytes() for data in every]
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda data: decode(data, LIMITS).pixels.tobytes(), every)) == alone


@pytest.mark.parametrize("form", PICTURES)
def test_nothing_but_pixels_is_written(form: OutputFormat) -> None:
    exif = Image.Exif()
    exif[0x010F], exif[0x8825] = "SECRETCAMERA", {1: "N"}
    private = files.saved(
        SCENE,
        "JPEG",
        exif=exif.tobytes(),
        comment=b"SECRETNOTE",
        icc_profile=files.swapped_profile(),
        xmp=b"SECRETXMP",
    )
    picture = decode(private, LIMITS)
    written = encode(picture.pixels, picture.alpha, format=form, quality=90)
    reopened = Image.open(io.BytesIO(written))
    assert b"SECRET" in private
    assert b"SECRET" not in written
    assert not {"exif", "xmp", "comment", "icc_profile"} & set(reopened.info)


def test_callers_mistakes_are_value_errors() -> None:
    with pytest.raises(ValueError, match="pixels"):
        encode(SCENE[..., 0], None, format=OutputFormat.PNG, quality=90)
    with pytest.raises(ValueError, match="alpha"):
        encode(SCENE, files.ramp(3, 3), format=OutputFormat.PNG, quality=90)
    with pytest.raises(ValueError, match="quality"):
        encode(SCENE, None, format=OutputFormat.PNG, quality=101)


def test_formats_name_their_endings_and_media_types() -> None:
    assert [form.extension for form in PICTURES] == [".jpg", ".png", ".webp", ".avif"]
    assert [form.media_type for form in PICTURES] == [
        "image/jpeg",
        "image/png",
        "image/webp",
        "image/avif",
    ]


def test_a_thumbnail_is_small_upright_and_on_white() -> None:
    large = files.scene(600, 400)
    turned = files.with_orientation(files.as_stored(large, 6), "JPEG", 6, quality=95)
    small = thumbnail(turned, 60)
    assert small.shape == (40, 60, 3)
    assert small[0, 0].tolist() == pytest.approx(large[3, 3].tolist(), abs=14)
    clear = Picture(pixels=large, alpha=np.zeros((400, 600), dtype=np.uint8), source_format="png")
    assert (thumbnail(clear, 60) == 255).all()
    assert thumbnail(EACH["png"], 500).shape == (32, 48, 3)
