from __future__ import annotations

import contextlib
import csv
import io
import json
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import SourceRefused
from jobs.locations import key_fault
from jobs.manifests import (
    BadRow,
    ManifestFormat,
    Row,
    bad_row_line,
    encode_line,
    manifest_format,
    manifest_line,
    read_rows,
)

CSV, JSONL = ManifestFormat.CSV, ManifestFormat.JSONL


def read(data: bytes | str, form: ManifestFormat) -> list[Row | BadRow]:
    return list(read_rows(io.BytesIO(data.encode() if isinstance(data, str) else data), form))


def rows(data: bytes | str, form: ManifestFormat) -> list[tuple[int, str | None, str, dict[str, object]]]:
    """Read a manifest in which every row is good."""
    found = read(data, form)
    assert all(isinstance(row, Row) for row in found), found
    return [(row.row_no, row.product_id, row.key, row.attributes) for row in found if isinstance(row, Row)]


def bad(data: bytes | str, form: ManifestFormat) -> list[tuple[int, str]]:
    return [(row.row_no, row.code) for row in read(data, form) if isinstance(row, BadRow)]


def only_bad(data: bytes | str, form: ManifestFormat) -> BadRow:
    [row] = [row for row in read(data, form) if isinstance(row, BadRow)]
    return row


@pytest.mark.parametrize(
    ("key", "form"),
    [("m/a.csv", CSV), ("A.CSV", CSV), ("a.jsonl", JSONL), ("a.b.ndjson", JSONL)],
)
def test_the_ending_tells_the_format(key: str, form: ManifestFormat) -> None:
    assert manifest_format(key) is form


@pytest.mark.parametrize("key", ["a.txt", "csv", "a.csv.gz", "a.json", ""])
def test_an_unknown_ending_is_refused(key: str) -> None:
    with pytest.raises(SourceRefused, match=r"\.csv") as refused:
        manifest_format(key)
    assert refused.value.code == "manifest_format_unknown"


# Good rows


def test_csv_gives_ids_keys_and_all_other_columns() -> None:
    data = "product_id,key,colour,note\n7,shoes/a.jpg,red,\n,b.jpg,,x\n"
    assert rows(data, CSV) == [
        (2, "7", "shoes/a.jpg", {"colour": "red", "note": ""}),
        (3, None, "b.jpg", {"colour": "", "note": "x"}),
    ]


def test_jsonl_gives_ids_keys_and_all_other_members() -> None:
    data = '{"product_id":"7","key":"a.jpg","colour":"red","size":{"eu":[40,41.5]},"new":null}\n{"key":"b.jpg"}'
    assert rows(data, JSONL) == [
        (1, "7", "a.jpg", {"colour": "red", "size": {"eu": [40, 41.5]}, "new": None}),
        (2, None, "b.jpg", {}),
    ]


def test_a_product_id_may_be_a_number_in_jsonl() -> None:
    assert rows('{"key":"a","product_id":12345678901234567890}', JSONL)[0][1] == "12345678901234567890"


@pytest.mark.parametrize("form", [CSV, JSONL])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_line_ends_blank_lines_and_the_byte_order_mark_do_not_matter(
    form: ManifestFormat, end: str, mark: bytes
) -> None:
    lines = (
        ["key", "", "a.jpg", "  ", "b.jpg"] if form is CSV else ["", "", '{"key":"a.jpg"}', " \t", '{"key":"b.jpg"}']
    )
    data = mark + end.join(lines).encode()
    assert rows(data, form) == [(3, None, "a.jpg", {}), (5, None, "b.jpg", {})]


def test_quoted_csv_fields_may_hold_commas_quotes_and_line_breaks() -> None:
    data = 'key,note\n"a,1.jpg","say ""hi""\n\nand bye"\n"b.jpg",x\n'
    assert rows(data, CSV) == [
        (2, None, "a,1.jpg", {"note": 'say "hi"\n\nand bye'}),
        (5, None, "b.jpg", {"note": "x"}),
    ]


def test_headers_are_read_without_the_spaces_around_them_and_nameless_columns_left_out() -> None:
    assert rows(" product_id , key,,\n7,a.jpg,,left\n", CSV) == [(2, "7", "a.jpg", {})]


@pytest.mark.parametrize("data", ["", "\n\n", "\ufeff", "key\n", "key,a\r\n\r\n"])
def test_an_empty_manifest_has_no_rows(data: str) -> None:
    assert read(data, CSV) == []


def test_two_megabytes_of_rows_are_read_in_flat_memory() -> None:
    class Endless(io.RawIOBase):
        """A manifest that is never in memory as a whole."""

        left = 2_000_000

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
            size = min(len(buffer), self.left) // 100 * 100
            buffer[:size] = (b"a" * 99 + b"\n") * (size // 100)
            self.left -= size
            return size

    tracemalloc.start()
    try:
        with io.BufferedReader(Endless()) as stream:
            assert sum(1 for _ in read_rows(stream, JSONL)) == 20_000
        assert tracemalloc.get_traced_memory()[1] < 500_000
    finally:
        tracemalloc.stop()


# Bad rows: each costs itself alone


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("{", "broken_line", "not JSON"),
        ("[1]", "broken_line", "no JSON object"),
        ("a.jpg", "broken_line", "not JSON"),
        ('{"key":"a"} {"key":"b"}', "broken_line", "not JSON"),
        ('{"key":"a","n":NaN}', "broken_line", "not finite"),
        ('{"key":"a","n":1e999}', "broken_line", "not finite"),
        ('{"key":"a","n":' + "9" * 5000 + "}", "broken_line", "too long"),
        ('{"key":"a","n":' + "[" * 30_000, "broken_line", "nested"),
        ('{"key":"a","n":' + "[" * 40 + "]" * 40 + "}", "broken_line", "nested more than 32 deep"),
        ('{"key":"a","n":"\\u0000"}', "broken_line", "NUL"),
        ('{"key":"a","n":{"\\ud800":1}}', "broken_line", "half a character"),
        ('{"key":"a","n":"\0"}', "broken_line", "NUL"),
        ('{"key":"a","key":"b"}', "member_repeated", "'key' is there twice"),
        ('{"key":"a","n":{"x":1,"x":2}}', "member_repeated", "'x' is there twice"),
        ('{"product_id":"7"}', "key_missing", "name the picture in `key`"),
        ('{"key":null}', "key_missing", "name the picture in `key`"),
        ('{"key":""}', "key_missing", "name the picture in `key`"),
        ('{"key":7}', "key_invalid", "key is 7: write it as text"),
        ('{"key":["a"]}', "key_invalid", "write it as text"),
        ('{"key":"../a.jpg"}', "key_invalid", "without . and .. segments"),
        ('{"key":"' + "k" * 1025 + '"}', "key_invalid", "at most 1024 bytes"),
        ('{"key":"a","product_id":[7]}', "product_id_invalid", "write it as text"),
        ('{"key":"a","product_id":true}', "product_id_invalid", "write it as text"),
        ('{"key":"a","product_id":7.5}', "product_id_invalid", "write it as text"),
        ('{"key":"' + "k" * 70_000 + '"}', "row_too_long", "more than 65536 bytes"),
    ],
)
def test_a_bad_line_of_jsonl_is_named_and_reading_goes_on(line: str, code: str, message: str) -> None:
    data = '{"key":"before.jpg"}\n' + line + '\n{"key":"after.jpg"}\n'
    before, row, after = read(data, JSONL)
    assert isinstance(before, Row)
    assert isinstance(after, Row)
    assert (before.key, after.key, after.row_no) == ("before.jpg", "after.jpg", 3)
    assert isinstance(row, BadRow)
    assert (row.row_no, row.code) == (2, code)
    assert message in row.message
    assert row.text == line.replace("\0", "\ufffd")[:200]


@pytest.mark.parametrize(
    ("line", "code", "message"),
    [
        ("7", "field_count", "has 1 fields, the header 2"),
        ("7,a.jpg,red", "field_count", "has 3 fields, the header 2"),
        ("7,", "key_missing", "name the picture in `key`"),
        ("7,a/../b.jpg", "key_invalid", "without . and .. segments"),
        ('7,"a.jpg"x', "broken_line", "close quotes"),
        ('7,"a.jpg', "broken_line", "close quotes"),
        ("7,a\rb.jpg", "broken_line", "not CSV"),
        ("7,a\0.jpg", "broken_line", "NUL"),
        ("7," + "k" * 70_000, "row_too_long", "more than 65536 bytes"),
    ],
)
def test_a_bad_line_of_csv_is_named_and_reading_goes_on(line: str, code: str, message: str) -> None:
    data = "product_id,key\n6,before.jpg\n" + line + '\n8,after.jpg\n9,"last.jpg"\n'
    before, row, after, last = read(data, CSV)
    assert isinstance(before, Row)
    assert isinstance(after, Row)
    assert isinstance(last, Row)
    assert (before.key, after.key, after.row_no, last.key) == ("before.jpg", "after.jpg", 4, "last.jpg")
    assert isinstance(row, BadRow)
    assert (row.row_no, row.code) == (3, code)
    assert message in row.message


@pytest.mark.parametrize(
    ("form", "lines"),
    [
        (CSV, [b"key,colour", b"a.jpg,red", b"b.jpg,caf\xe9", b"c.jpg,blue"]),
        (JSONL, [b"", b'{"key":"a.jpg"}', b'{"key":"b\xe9.jpg"}', b'{"key":"c.jpg"}']),
    ],
)
def test_a_line_that_is_not_utf8_is_named_and_reading_goes_on(form: ManifestFormat, lines: list[bytes]) -> None:
    found = read(b"\n".join(lines), form)
    assert [row.row_no for row in found] == [2, 3, 4]
    wrong = found[1]
    assert isinstance(wrong, BadRow)
    assert wrong.code == "wrong_encoding"
    assert "line 3 is not UTF-8 (byte 0xe9 at position 10)" in wrong.message.replace("position 9", "position 10")
    assert "\ufffd" in wrong.text


def test_a_manifest_in_utf16_is_told_to_be_saved_as_utf8() -> None:
    with pytest.raises(SourceRefused, match="line 1 is not UTF-8"):
        read("key,colour\na.jpg,red\n".encode("utf-16"), CSV)
    assert bad('{"key":"a.jpg"}\n'.encode("utf-16"), JSONL)[0] == (1, "wrong_encoding")


def test_a_broken_byte_inside_a_quoted_field_costs_the_whole_record_and_no_other() -> None:
    data = b'key,note\na.jpg,"first\nsec\xe9nd\nb.jpg,third"\nc.jpg,x\n'
    assert [row.row_no for row in read(data, CSV)] == [2, 5]
    assert "line 3 is not UTF-8" in only_bad(data, CSV).message


def test_a_record_of_several_lines_with_too_many_fields_costs_itself_alone() -> None:
    data = 'key,note\na.jpg,"one\nb.jpg,two",three\nc.jpg,x\n'
    assert [row.row_no for row in read(data, CSV)] == [2, 4]
    assert bad(data, CSV) == [(2, "field_count")]


def test_a_quote_that_is_never_closed_does_not_swallow_the_manifest() -> None:
    good = [f"{number}.jpg,x\n" for number in range(20_000)]  # more than a row may hold
    data = "key,note\n" + good[0] + 'bad.jpg,"open\n' + "".join(good[1:])
    found = read(data, CSV)
    assert bad(data, CSV) == [(3, "broken_line")]
    assert len(found) == 20_001
    assert found[-1].row_no == 20_002


def test_a_bad_row_shows_its_text_in_a_form_that_is_safe_to_print() -> None:
    row = only_bad(b'{"key": \x1b[31m\x07' + b"x" * 1000, JSONL)
    assert row.text == '{"key": \ufffd[31m\ufffd' + "x" * 186
    assert len(row.text) == 200


# Headers


@pytest.mark.parametrize("header", ["product_id,name", "Key,SKU", "product_id;key;name", "a.jpg"])
def test_a_csv_without_a_key_column_is_refused_and_told_what_was_found(header: str) -> None:
    with pytest.raises(SourceRefused) as refused:
        read(header + "\n1,2\n", CSV)
    assert refused.value.code == "manifest_no_key_column"
    assert all(repr(name) in str(refused.value) for name in header.split(","))


@pytest.mark.parametrize(
    "header",
    [
        b"key,a,a\n",
        b"key,caf\xe9\n",
        b"key,\0\n",
        b'key,"a\n',
        "key,a\n".encode("utf-16"),
        b"key," + b"a" * 70_000,
    ],
)
def test_a_header_that_cannot_be_read_is_refused(header: bytes) -> None:
    with pytest.raises(SourceRefused) as refused:
        read(header, CSV)
    assert refused.value.code == "manifest_header_broken"


# What we write is a manifest


def test_an_errors_file_is_a_manifest_again() -> None:
    attributes: dict[str, object] = {"colour": "red", "state": "new", "key": "k", "attributes": {"item": 1}}
    line = manifest_line(
        key="a.jpg",
        product_id="7",
        attributes=attributes,
        item=12,
        state="failed",
        error_code="truncated",
        error_message="the file ends early",
    )
    note = bad_row_line(only_bad("{", JSONL))
    assert rows(line + note + line, JSONL) == [(1, "7", "a.jpg", attributes), (3, "7", "a.jpg", attributes)]


def test_a_catalogues_own_state_column_is_kept() -> None:
    assert rows("key,state,item\na.jpg,new,12\n", CSV) == [(2, None, "a.jpg", {"state": "new", "item": "12"})]


def test_only_notes_of_ours_are_passed_over() -> None:
    assert bad('{"bad_row":"text"}\n{"bad_rows":{}}\n', JSONL) == [(1, "key_missing"), (2, "key_missing")]
    assert rows('{"key":"a","bad_row":{}}', JSONL) == [(1, None, "a", {"bad_row": {}})]


def test_equal_members_give_equal_bytes() -> None:
    assert encode_line({"b": 1, "a": "é"}) == encode_line({"a": "é", "b": 1}) == '{"a":"é","b":1}\n'.encode()


# Properties

texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
keys = texts.filter(lambda text: bool(text.strip()) and key_fault(text) is None)
# A byte order mark at the very beginning would be taken off.
names = texts.map(lambda name: name.strip(" \ufeff").strip()).filter(
    lambda name: name.strip("\ufeff") == name not in {"", "key", "product_id", "attributes"}
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[list[str]]]:
    columns = draw(st.permutations(["key", "product_id", *draw(st.sets(names, max_size=3))]))
    cell = {"key": keys}
    return columns, draw(st.lists(st.tuples(*(cell.get(name, texts) for name in columns)).map(list), max_size=5))


# Python's own writer leaves "\r" without quotes when lines end in "\n"; its own reader then refuses the line.
dialects = st.sampled_from([("\r\n", csv.QUOTE_MINIMAL), ("\r\n", csv.QUOTE_ALL), ("\n", csv.QUOTE_ALL)])


@given(tables(), dialects)
def test_what_is_written_as_csv_reads_back_equal(
    table: tuple[list[str], list[list[str]]], dialect: tuple[str, int]
) -> None:
    (end, quoting), (columns, records) = dialect, table
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator=end, quoting=quoting)  # type: ignore[arg-type]
    writer.writerows([columns, *records])
    found = rows(text.getvalue(), CSV)
    expected = [dict(zip(columns, record, strict=True)) for record in records]
    assert [(key, product_id, attributes) for _, product_id, key, attributes in found] == [
        (each.pop("key"), each.pop("product_id") or None, each) for each in expected
    ]


@given(st.lists(st.tuples(keys, texts | st.none(), st.dictionaries(names, values, max_size=3)), max_size=5))
def test_what_is_written_as_jsonl_reads_back_equal(
    records: list[tuple[str, str | None, dict[str, object]]],
) -> None:
    data = b"".join(
        encode_line({"key": key, "product_id": product_id, **attributes}) for key, product_id, attributes in records
    )
    assert [(key, product_id, attributes) for _, product_id, key, attributes in rows(data, JSONL)] == [
        (key, product_id or None, attributes) for key, product_id, attributes in records
    ]


pieces = st.sampled_from(
    [b"key", b",", b"\n", b"\r", b'"', b"\xff", b"\0", b"{", b"}", b'{"key":"a"}', b"\xef\xbb\xbf"]
)


@given(st.binary(max_size=60) | st.lists(pieces, max_size=30).map(b"".join), st.sampled_from([CSV, JSONL]))
def test_no_bytes_whatever_break_the_reader(data: bytes, form: ManifestFormat) -> None:
    for manifest in (data, b"key,n\n" + data):
        last = 0
        with contextlib.suppress(SourceRefused):
            for row in read_rows(io.BytesIO(manifest), form):
                assert last < row.row_no <= manifest.count(b"\n") + 1
                last = row.row_no
                if isinstance(row, Row):
                    assert key_fault(row.key) is None
                    encode_line({"product_id": row.product_id, "attributes": row.attributes})
                else:
                    json.loads(bad_row_line(row))
