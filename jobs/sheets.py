"""A comparison sheet: several products on one canvas, written as a URL in the place of a source picture's.

`sheet:///?cell_px=512&columns=2&ground=%23ffffff&picture=s3://shop/a.jpg&picture=s3://shop/b.jpg`: the pictures, in
order, and how they are laid out. It says all that a sheet follows from, so equal sheets are equal texts.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode

PREFIX = "sheet:///?"
PICTURE = "picture"
MIN_PICTURES, MAX_PICTURES = 2, 12
MIN_CELL_PX, MAX_CELL_PX, CELL_PX = 64, 2048, 512
WHITE = "#ffffff"
MAX_COLUMNS = 4  # unless a row asks for more: what is compared is seen at a glance
MAX_BYTES = 16_384  # of a sheet's URL: twelve keys of full length, or fewer of which much has to be escaped
COLOUR = re.compile(r"#[0-9a-f]{6}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What a sheet shows, and where.

    Raises ValueError for what can be no sheet.
    """

    pictures: tuple[str, ...]  # their URLs, row by row from the top left
    columns: int
    cell_px: int = CELL_PX  # the side of each product's square
    ground: str = WHITE  # sRGB, in hexadecimal digits

    def __post_init__(self) -> None:
        if not MIN_PICTURES <= len(self.pictures) <= MAX_PICTURES:
            raise ValueError(f"a sheet has {MIN_PICTURES} to {MAX_PICTURES} pictures, not {len(self.pictures)}")
        if not 1 <= self.columns <= len(self.pictures):
            raise ValueError(f"{len(self.pictures)} pictures stand in 1 to {len(self.pictures)} columns")
        if not MIN_CELL_PX <= self.cell_px <= MAX_CELL_PX:
            raise ValueError(f"a cell has {MIN_CELL_PX} to {MAX_CELL_PX} px")
        if not COLOUR.fullmatch(self.ground):
            raise ValueError(f"the ground is {self.ground!r}, not a colour such as {WHITE}")

    @property
    def rows(self) -> int:
        """How many rows of cells there are; in the last one some may be empty."""
        return math.ceil(len(self.pictures) / self.columns)


def columns_for(pictures: int) -> int:
    """Return how many columns as few rows as possible have, all of them about equally full."""
    return math.ceil(pictures / math.ceil(pictures / MAX_COLUMNS))


def is_sheet(url: str) -> bool:
    """Whether this stands for a sheet that is to be put together."""
    return url.startswith(PREFIX)


def sheet_url(sheet: Sheet) -> str:
    """Write a sheet."""
    layout = [("cell_px", str(sheet.cell_px)), ("columns", str(sheet.columns)), ("ground", sheet.ground)]
    return PREFIX + urlencode([*layout, *((PICTURE, url) for url in sheet.pictures)], safe="/:")


def read_sheet(url: str) -> Sheet:
    """Read what `sheet_url` has written.

    Raises:
        ValueError: it is no sheet.

    """
    if not is_sheet(url):
        raise ValueError(f"{url!r} does not begin with {PREFIX}")
    members = parse_qsl(url.removeprefix(PREFIX), keep_blank_values=True, strict_parsing=True)
    layout = {name: value for name, value in members if name != PICTURE}
    if len(members) > MAX_PICTURES + 3 or layout.keys() != {"cell_px", "columns", "ground"}:
        raise ValueError(f"{url!r:.200} has not each of cell_px, columns and ground once, and pictures besides")
    return Sheet(
        pictures=tuple(value for name, value in members if name == PICTURE),
        columns=int(layout["columns"]),
        cell_px=int(layout["cell_px"]),
        ground=layout["ground"],
    )
