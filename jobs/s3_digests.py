"""What S3 says about the bytes of an object, and the same computed here. Pure.

Where an answer carries a checksum that boto knows, boto has compared it. Else the tag of an object that was stored in
one part, and not under a key of KMS or of the caller, is the MD5 of its bytes.
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib
from collections.abc import Mapping
from typing import Any

_MD5 = re.compile("[0-9a-f]{32}")
_CHECKED_BY_BOTO = ("ChecksumCRC32", "ChecksumSHA1", "ChecksumSHA256")


def crc32_of(data: bytes) -> str:
    """Return the checksum as S3 writes it."""
    return base64.b64encode(zlib.crc32(data).to_bytes(4, "big")).decode()


def md5_of(data: bytes) -> str:
    """Return the digest as tags have it."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def promised_md5(answer: Mapping[str, Any]) -> str | None:
    """Return the MD5 that is all an object's bytes can be checked by: None where there is none or a checksum was."""
    if any("-" not in answer.get(name, "-") for name in _CHECKED_BY_BOTO):
        return None
    return tag_md5(answer)


def tag_md5(answer: Mapping[str, Any]) -> str | None:
    """Return the MD5 that an object's tag is, None where it is none."""
    if answer.get("ServerSideEncryption", "AES256") != "AES256" or answer.get("SSECustomerAlgorithm"):
        return None
    tag = str(answer.get("ETag", "")).strip('"')
    return tag if _MD5.fullmatch(tag) else None
