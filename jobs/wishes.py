"""What a generated picture is to show, written as a URL in the place of a source picture's.

`wish:///?colour=red&kind=mug&seed=77`: words by attribute, and the seed of all chance in it. It says all that a picture
follows from, so an item is made again from its own row, in another job too.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

PREFIX = "wish:///?"
SEED = "seed"
MAX_SEED = (1 << 63) - 1


def is_wish(url: str) -> bool:
    """Whether this stands for a picture that is to be made."""
    return url.startswith(PREFIX)


def wish_url(attributes: Mapping[str, str], seed: int) -> str:
    """Write a wish: equal wishes are equal texts."""
    return PREFIX + urlencode([*sorted(attributes.items()), (SEED, str(seed))])


def read_wish(url: str) -> tuple[dict[str, str], int]:
    """Return the attributes and the seed of a wish.

    Raises:
        ValueError: it is none, or has no seed from 0 to 2^63 - 1.

    """
    if not is_wish(url):
        raise ValueError(f"{url!r} does not begin with {PREFIX}")
    attributes = dict(parse_qsl(url.removeprefix(PREFIX), keep_blank_values=True, strict_parsing=True))
    seed = int(attributes.pop(SEED, "-1"))
    if not 0 <= seed <= MAX_SEED:
        raise ValueError(f"{url!r} has no seed from 0 to {MAX_SEED}")
    return attributes, seed


def seed_of(*parts: object) -> int:
    """Return a seed that follows from some parts alone, from 0 to 2^63 - 1."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode(errors="surrogatepass")).digest()
    return int.from_bytes(digest[:8], "big") >> 1
