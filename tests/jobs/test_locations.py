from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import InvalidRequest
from jobs.locations import Location, Scheme, check_allowed

# Text that may stand between two slashes, in any script.
segments = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1, max_size=12).filter(
    lambda text: text not in {".", ".."}
)
paths = st.lists(segments, max_size=5).map("/".join)
urls = st.builds("{}{}{}".format, st.sampled_from(["s3://bucket-1/", "file:///"]), paths, st.sampled_from(["", "/"]))
urls = urls.filter(lambda url: not url.endswith("//") and "////" not in url)


@given(urls)
def test_a_location_reads_back_as_it_was_written(url: str) -> None:
    location = Location.parse(url)
    assert str(location) == url
    assert Location.parse(str(location)) == location


@pytest.mark.parametrize(
    ("url", "scheme", "root", "key"),
    [
        ("s3://shop/photos/a.jpg", "s3", "shop", "photos/a.jpg"),
        ("s3://shop", "s3", "shop", ""),
        ("s3://shop/a%20b+c d?e#f.jpg", "s3", "shop", "a%20b+c d?e#f.jpg"),
        ("s3://shop//a//b", "s3", "shop", "/a//b"),
        ("s3://shop/a\\b", "s3", "shop", "a\\b"),
        ("file:///srv/photos/", "file", "/", "srv/photos/"),
        ("file:///srv/50%25 off.jpg", "file", "/", "srv/50%25 off.jpg"),
        ("file:///", "file", "/", ""),
    ],
)
def test_keys_are_taken_as_they_are(url: str, scheme: str, root: str, key: str) -> None:
    location = Location.parse(url)
    assert (location.scheme, location.root, location.key) == (scheme, root, key)


@pytest.mark.parametrize(
    ("url", "remedy"),
    [
        ("", "write s3://"),
        ("photos/a.jpg", "write s3://"),
        ("https://example.com/a.jpg", "write s3://"),
        ("S3://shop/a.jpg", "write s3://"),
        ("s3:///a.jpg", "name a bucket"),
        ("s3://", "name a bucket"),
        ("s3://sh/a.jpg", "3 to 63"),
        ("s3://user:secret@shop/a.jpg", "name a bucket"),
        ("file://srv/photos/", "three slashes"),
        ("file://", "three slashes"),
        ("file:///srv//photos/", "empty segments"),
        ("file:////srv/photos/", "empty segments"),
        ("file:///srv/../etc/passwd", r"without \. and \.\."),
        ("s3://shop/photos/../other/a.jpg", r"without \. and \.\."),
        ("s3://shop/./a.jpg", r"without \. and \.\."),
        ("s3://shop/..", r"without \. and \.\."),
        ("s3://shop/a\0.jpg", "NUL"),
        ("s3://shop/a\udcff.jpg", "UTF-8"),
        ("s3://shop/" + "é" * 513, "at most 1024 bytes in UTF-8; this one has 1026"),
    ],
)
def test_what_is_no_location_is_refused_with_field_value_and_remedy(url: str, remedy: str) -> None:
    with pytest.raises(InvalidRequest, match=remedy) as refused:
        Location.parse(url, field="source.location")
    [problem] = refused.value.problems
    assert (problem.field, problem.value, refused.value.code) == ("source.location", url, "location_invalid")


def test_no_location_can_be_built_around_the_checks() -> None:
    with pytest.raises(ValueError, match=r"without \. and \.\."):
        Location(Scheme.S3, "shop", "a/../b")


def test_a_child_lies_below_the_folder_with_or_without_its_slash() -> None:
    for folder in ("s3://shop/cat", "s3://shop/cat/"):
        assert str(Location.parse(folder).child("shoes/a.jpg")) == "s3://shop/cat/shoes/a.jpg"
    assert str(Location.parse("s3://shop").child("a.jpg")) == "s3://shop/a.jpg"
    assert str(Location.parse("file:///").child("a.jpg")) == "file:///a.jpg"


@pytest.mark.parametrize("relative", ["", "..", "../a.jpg", "a/../../b.jpg", "./a.jpg", "a\0", "/etc/passwd", "a//b"])
def test_a_child_cannot_leave_its_folder(relative: str) -> None:
    with pytest.raises(InvalidRequest):
        Location.parse("file:///srv/photos/").child(relative)


@given(st.sampled_from(["s3://bucket-1/cat/", "file:///srv/cat", "s3://bucket-1"]), st.text(max_size=20))
def test_whatever_a_child_is_called_it_lies_within(folder: str, relative: str) -> None:
    try:
        child = Location.parse(folder).child(relative)
    except InvalidRequest:
        return
    assert child.within(Location.parse(folder))


@pytest.mark.parametrize(
    ("url", "prefix", "inside"),
    [
        ("s3://shop/cat/a.jpg", "s3://shop/cat", True),
        ("s3://shop/cat/a.jpg", "s3://shop/cat/", True),
        ("s3://shop/cat", "s3://shop/cat/", True),
        ("s3://shop/cat/", "s3://shop/cat", True),
        ("s3://shop/catalogue", "s3://shop/cat", False),
        ("s3://shop/catalogue/a.jpg", "s3://shop/cat", False),
        ("s3://shop/Cat/a.jpg", "s3://shop/cat/", False),
        ("s3://shop/", "s3://shop/cat/", False),
        ("s3://shop/cat/a.jpg", "s3://shop", True),
        ("s3://shop2/cat/a.jpg", "s3://shop", False),
        ("file:///shop/cat/a.jpg", "s3://shop/cat/", False),
        ("file:///srv/photos/a.jpg", "file:///", True),
        ("file:///srv/photos2/a.jpg", "file:///srv/photos", False),
    ],
)
def test_within_goes_by_whole_segments(url: str, prefix: str, inside: bool) -> None:
    assert Location.parse(url).within(Location.parse(prefix)) is inside


@pytest.mark.parametrize(
    ("url", "folder"),
    [
        ("s3://shop/cat/a.jpg", "s3://shop/cat/"),
        ("s3://shop/a.jpg", "s3://shop/"),
        ("file:///srv/", "file:///srv/"),
    ],
)
def test_the_folder_of_an_object(url: str, folder: str) -> None:
    assert str(Location.parse(url).folder) == folder


def test_an_allowed_location_passes() -> None:
    allowed = [Location.parse("s3://other/"), Location.parse("s3://shop/cat/")]
    check_allowed(Location.parse("s3://shop/cat/shoes/"), allowed, "source.location")


def test_a_location_outside_the_allowed_prefixes_is_refused_and_told_where_to_go() -> None:
    allowed = [Location.parse("s3://shop/cat/")]
    with pytest.raises(InvalidRequest, match="s3://shop/cat/") as refused:
        check_allowed(Location.parse("s3://shop/catalogue/"), allowed, "source.location")
    assert refused.value.code == "source_not_allowed"
    assert refused.value.problems[0].field == "source.location"
    assert refused.value.problems[0].value == "s3://shop/catalogue/"


def test_where_nothing_is_allowed_everything_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="none"):
        check_allowed(Location.parse("file:///"), [], "source.location")
