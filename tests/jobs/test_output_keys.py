from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.locations import Location
from jobs.output_keys import disambiguate, fold, output_key
from jobs.storage import Storages

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path


def plan(sources: Sequence[str], extension: str = "webp", *, max_bytes: int = 1000) -> list[str]:
    """Give every source its key, in order, as planning does with a unique index on `fold`."""
    taken: set[bytes] = set()
    keys = []
    for item_no, source in enumerate(sources, 1):
        plain = key = output_key(source, extension, max_bytes=max_bytes)
        n = 0
        while fold(key) in taken:
            key = disambiguate(plain, source, item_no, n)
            n += 1
        taken.add(fold(key))
        keys.append(key)
    return keys


@pytest.mark.parametrize(
    ("relative", "key"),
    [
        ("a.jpg", "a.webp"),
        ("shoes/red/a.jpg", "shoes/red/a.webp"),
        ("A.JPEG", "A.webp"),
        ("a.webp", "a.webp"),
        ("a.tar.png", "a.tar.webp"),
        ("photo", "photo.webp"),
        (".jpg", ".jpg.webp"),
        ("shoe 2.0", "shoe 2.0.webp"),
        ("Zoë & Söhne/50% +1#?.tiff", "Zoë & Söhne/50% +1#?.webp"),
        (unicodedata.normalize("NFD", "é.png"), unicodedata.normalize("NFD", "é.webp")),
        ("back\\slash.png", "back\\slash.webp"),
    ],
)
def test_a_key_keeps_folders_and_name_and_takes_the_outputs_ending(relative: str, key: str) -> None:
    assert output_key(relative, "webp") == key


@pytest.mark.parametrize(
    ("relative", "key"),
    [
        ("../../etc/passwd", "__/__/etc/passwd.webp"),
        ("./a.jpg", "_/a.webp"),
        ("..", "__.webp"),
        ("/a//b.jpg", "a/b.webp"),
        ("", "_.webp"),
        ("///", "_.webp"),
        ("a\0b\n\x1b\x7f\x9f\ud800.jpg", "a_b_____.webp"),
        (".restyle-tmp-0123/a.jpg", "_.restyle-tmp-0123/a.webp"),
        ("a/.restyle-tmp-0123.jpg", "a/_.restyle-tmp-0123.webp"),
        ("_restyle/manifest.jpg", "__restyle/manifest.webp"),
        ("_ReStyle/manifest.jpg", "__ReStyle/manifest.webp"),
        ("/_restyle/a.jpg", "__restyle/a.webp"),
        ("a/_restyle/b.jpg", "a/_restyle/b.webp"),
        ("_restyle.jpg", "_restyle.webp"),
        ("a.webp/b.jpg", "a.webp_/b.webp"),
        ("a.WebP/b.jpg", "a.WebP_/b.webp"),
    ],
)
def test_what_no_key_may_hold_is_made_harmless(relative: str, key: str) -> None:
    assert output_key(relative, "webp") == key


def test_a_name_that_is_too_long_is_shortened_and_stays_its_own() -> None:
    keys = [output_key("é" * 200 + end, "webp") for end in ("1.jpg", "2.jpg")]
    assert keys[0] != keys[1]
    assert all(key.startswith("é" * 110) and key.endswith(".webp") and len(key.encode()) <= 246 for key in keys)


def test_a_path_that_is_too_long_keeps_its_outer_folders_and_its_name() -> None:
    folders = [f"{number:0200}" for number in range(6)]
    keys = [output_key("/".join([*folders, deepest, "a.jpg"]), "webp") for deepest in ("x", "y")]
    assert keys[0] != keys[1]
    for key in keys:
        assert key.split("/")[:-2] == folders[:4]
        assert key.endswith("/a.webp")
        assert len(key.encode()) <= 991


def test_a_key_that_just_fits_leaves_room_for_a_mark() -> None:
    for length in range(970, 1010):
        relative = "/".join(["f" * 240] * 3 + ["f" * (length - 3 * 241 - 7), "ab.jpg"])
        key = disambiguate(output_key(relative, "webp"), relative, 1)
        assert len(key.encode()) <= 1000


def test_an_output_folder_that_leaves_no_room_is_refused() -> None:
    with pytest.raises(ValueError, match="shorter name"):
        output_key("a.jpg", "webp", max_bytes=299)


def test_the_first_of_several_keeps_the_plain_name() -> None:
    keys = plan(["a.jpg", "a.png", "A.jpg", "shoes/a.jpg", "a.jpg"])
    assert (keys[0], keys[3]) == ("a.webp", "shoes/a.webp")
    assert keys[1].startswith("a~")
    assert keys[2].startswith("A~")
    assert keys[4].startswith("a~")
    assert len(set(keys)) == 5
    assert all(key.endswith(".webp") for key in keys)


def test_items_of_one_source_differ_by_their_number() -> None:
    assert disambiguate("a.webp", "a.jpg", 2) != disambiguate("a.webp", "a.jpg", 3)


def test_a_name_that_looks_disambiguated_does_not_take_anothers_place() -> None:
    expected = disambiguate("a.webp", "a.png", 3)
    keys = plan(["a.jpg", expected, "a.png"])
    assert keys == ["a.webp", expected, disambiguate("a.webp", "a.png", 3, 1)]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a/B.webp", "A/b.webp", True),
        (unicodedata.normalize("NFC", "É.webp"), unicodedata.normalize("NFD", "é.webp"), True),
        ("straße.webp", "STRASSE.webp", True),
        ("ΰ.webp", unicodedata.normalize("NFD", "ΰ").upper() + ".webp", True),  # folding changes the form
        ("a.webp", "b.webp", False),
        ("a/b.webp", "ab.webp", False),
        ("é.webp", "e.webp", False),
    ],
)
def test_keys_fold_alike_when_a_file_system_may_take_them_for_one(one: str, other: str, same: bool) -> None:
    assert (fold(one) == fold(other)) is same
    assert len(fold(one)) == 16


# Properties, over names made to collide

parts = st.sampled_from(
    [
        "a",
        "A",
        "b",
        "é",
        "e\u0301",
        "É",
        "ß",
        "ss",
        ".",
        "..",
        "",
        "_restyle",
        "_Restyle",
        "~",
        "\0",
        "\n",
        "a.webp",
        "x" * 250,
        "ü" * 130,
        ".restyle-tmp-1",
        "a.jpg",
        "a.png",
        "A.JPG",
        "a.webp.jpg",
        "a~deadbeef.webp",
    ]
)
sources = st.lists(parts, min_size=1, max_size=7).map("/".join) | st.text(max_size=8)


@given(st.lists(sources, max_size=25), st.integers(300, 1000))
def test_no_two_items_of_a_job_share_a_key_or_a_path(relatives: list[str], max_bytes: int) -> None:
    keys = plan(relatives, max_bytes=max_bytes)
    assert len({fold(key) for key in keys}) == len(keys)
    files = {fold(key) for key in keys}
    for key in keys:
        segments = key.split("/")
        assert not {fold("/".join(segments[:depth])) for depth in range(1, len(segments))} & files


@given(sources, st.sampled_from(["jpg", "png", "webp", "avif"]), st.integers(300, 1000))
def test_a_key_stays_in_its_folder_fits_and_follows_from_its_source_alone(
    relative: str, extension: str, max_bytes: int
) -> None:
    plain = output_key(relative, extension, max_bytes=max_bytes)
    assert plain == output_key(relative, extension, max_bytes=max_bytes)
    for key in (plain, disambiguate(plain, relative, 1_000_000, 3)):
        assert len(key.encode()) <= max_bytes
        assert key.endswith(f".{extension}")
        assert fold(key.split("/")[0]) != fold("_restyle")
        for segment in key.split("/"):
            assert segment not in {"", ".", ".."}
            assert len(segment.encode()) <= 255
            assert not any(unicodedata.category(character) in {"Cc", "Cs"} for character in segment)
        assert Location.parse("s3://shop/out/").child(key).within(Location.parse("s3://shop/out/"))


def test_every_key_can_be_written_beside_the_others_in_a_folder(tmp_path: Path) -> None:
    relatives = [
        "a",
        "a.webp/b.jpg",
        "a/b.jpg",
        "a.jpg",
        "A/b.png",
        "../x.jpg",
        "x" * 300 + ".jpg",
        "a//b.jpg",
        "_restyle/a.jpg",
    ]
    folder = Location.parse(f"file://{tmp_path}/")
    storage = Storages().at(folder)
    keys = [folder.key + key for key in plan(relatives)]
    for key in keys:
        storage.write(key, key.encode(), media_type="image/webp")
    assert sorted(info.key for info in storage.list(folder.key)) == sorted(keys)
