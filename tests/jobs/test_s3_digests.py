from __future__ import annotations

from typing import Any

import pytest

from jobs.s3_digests import crc32_of, md5_of, promised_md5, tag_md5

TAG = {"ETag": '"900150983cd24fb0d6963f7d28e17f72"'}


def test_digests_are_written_as_s3_writes_them() -> None:
    assert md5_of(b"abc") == "900150983cd24fb0d6963f7d28e17f72"
    assert crc32_of(b"123456789") == "y/Q5Jg=="  # cbf43926, the check value of this CRC


def test_the_tag_of_an_object_stored_in_one_part_is_its_md5() -> None:
    assert tag_md5(TAG) == md5_of(b"abc")
    assert promised_md5(TAG) == md5_of(b"abc")
    assert promised_md5(TAG | {"ServerSideEncryption": "AES256"}) == md5_of(b"abc")


@pytest.mark.parametrize(
    "answer",
    [
        {},
        {"ETag": '"900150983cd24fb0d6963f7d28e17f72-3"'},
        {"ETag": '"0x8DC"'},
        TAG | {"ServerSideEncryption": "aws:kms"},
        TAG | {"SSECustomerAlgorithm": "AES256"},
    ],
)
def test_a_tag_that_need_not_be_a_digest_promises_nothing(answer: dict[str, Any]) -> None:
    assert tag_md5(answer) is None
    assert promised_md5(answer) is None


def test_where_boto_has_compared_a_checksum_nothing_else_is_computed() -> None:
    assert promised_md5(TAG | {"ChecksumCRC32": "y/Q5Jg=="}) is None
    assert promised_md5(TAG | {"ChecksumCRC64NVME": "AAAAAAAAAAA="}) is not None, "boto alone does not know this one"
    assert promised_md5(TAG | {"ChecksumSHA256": "Ujc=-2"}) is not None, "nor one of parts"
