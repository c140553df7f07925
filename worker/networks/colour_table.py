"""3-D colour tables: the identity, looking colours up, blending, and applying a table to a picture of any size.

A table [3, D, D, D] maps the sRGB colour (r, g, b) in [0, 1] to table[:, b, g, r]; between the lattice points it is
interpolated trilinearly. Tables are not clamped: the picture that they are applied to is, so that a table may say
"beyond white" on one side of the gamut's edge and still be exact on the other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

SIDE = 33  # D of the tables that are applied to pictures; chosen: the usual size of .cube files
_PIXELS_AT_ONCE = 1 << 20  # bounds what applying a table takes to about 30 MB, whatever the picture's size
_TILES = 16  # the atlas is 16 × 16 tiles, one for each of the 256 values of blue

# keep_white: how near white a colour must be. Chosen on catalogue photos: wide enough that the blend leaves no step.
_BRIGHTNESS = (0.75, 0.97)  # mean of the channels: at the first nothing is kept, from the second on all
_SPREAD = (0.05, 0.15)  # between the highest and the lowest channel: all is kept below the first, nothing above


def identity_table(side: int = SIDE, device: torch.device | None = None) -> Tensor:
    """Return the table [3, side, side, side] that changes nothing."""
    axis = torch.linspace(0, 1, side, device=device)
    blue, green, red = torch.meshgrid(axis, axis, axis, indexing="ij")
    return torch.stack((red, green, blue))


def table_of_colours(colours: Tensor) -> Tensor:
    """Return the table whose lattice points have these colours, [D³, 3] in the order of `lattice_colours`."""
    side = round(len(colours) ** (1 / 3))
    return colours.T.reshape(3, side, side, side)


def lattice_colours(side: int = SIDE, device: torch.device | None = None) -> Tensor:
    """Return the colours at the lattice points, [D³, 3]: what a formula is applied to to become a table."""
    return identity_table(side, device).flatten(1).T


def look_up(tables: Tensor, colours: Tensor) -> Tensor:
    """Interpolate each table at its own colours; differentiable in both.

    Shapes: tables [N, 3, D, D, D], colours [N, P, 3] -> [N, P, 3]. Colours outside [0, 1] count as the nearest inside.
    """
    grid = (colours * 2 - 1)[:, None, None]
    found = F.grid_sample(tables, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return found[:, :, 0, 0].transpose(1, 2)


def keep_white(table: Tensor) -> Tensor:
    """Blend the table smoothly into the identity towards white: white stays white.

    Being part of the table, it stays a function of the colour alone: equal colours remain equal.
    """
    plain = identity_table(table.shape[1], table.device)
    spread = plain.amax(0) - plain.amin(0)
    # The mean and not the darkest channel: a minimum has a crease along the greys, where interpolation would ripple.
    kept = smooth_step(plain.mean(0), *_BRIGHTNESS) * (1 - smooth_step(spread, *_SPREAD))
    return torch.lerp(table, plain, kept)


def blend(table: Tensor, strength: float) -> Tensor:
    """Return the table at a strength: 0 is the identity, 1 the table."""
    return torch.lerp(identity_table(table.shape[1], table.device), table, strength)


def smooth_step(values: Tensor, start: float, end: float) -> Tensor:
    """Rise from 0 to 1 between start and end, level at both."""
    t = ((values - start) / (end - start)).clamp(0, 1)
    return t * t * (3 - 2 * t)


# ---------------------------------------------------------------------------------------------------------
# At full resolution this is nearly the whole cost of a model: see docs/models.md for what other ways take.
#
# A channel has 256 values only, so the table is first interpolated along blue, once and for all: 256 slices over
# (green, red), laid out as tiles of one picture, the atlas. A pixel is then one bilinear look-up in a 2-D picture,
# which torch does with vector instructions (it does not for 3-D), and which equals the trilinear look-up.


def apply_table(picture: Tensor, table: Tensor) -> Tensor:
    """Map every colour of a picture, uint8 [3, h, w], through the table; returns uint8 [3, h, w], contiguous.

    The result at a pixel depends on that pixel's colour alone, not on where it stands.
    """
    atlas = _atlas(table * 255)
    result = torch.empty(picture.shape, dtype=torch.uint8, device=picture.device)
    for top, bottom in _strips(picture):
        found = _looked_up(atlas, _places(picture[:, top:bottom], table.shape[1]))
        result[:, top:bottom] = _rounded(found)
    return result


def apply_between(picture: Tensor, first: Tensor, second: Tensor, shares: Callable[[int, int], Tensor]) -> Tensor:
    """Map a picture, uint8 [3, h, w], through two tables, and mix what they say at each place.

    shares: from the first row and the row after the last one to how much of the second table each place has, [rows, w].
    """
    atlas = _atlas(torch.cat((first, second)) * 255)
    result = torch.empty(picture.shape, dtype=torch.uint8, device=picture.device)
    for top, bottom in _strips(picture):
        found = _looked_up(atlas, _places(picture[:, top:bottom], first.shape[1]))
        mixed = torch.lerp(found[:, :3], found[:, 3:], shares(top, bottom)[:, None])
        result[:, top:bottom] = _rounded(mixed)
    return result


def _strips(picture: Tensor) -> Iterator[tuple[int, int]]:
    height, width = picture.shape[1:]
    rows = max(1, _PIXELS_AT_ONCE // width)
    for top in range(0, height, rows):
        yield top, min(height, top + rows)


def _looked_up(atlas: Tensor, places: Tensor) -> Tensor:
    """Return what an atlas [1, C, ...] has at places [h, w, 2]: [h, C, w]. Rows are a batch: torch spreads those."""
    pages = atlas.expand(len(places), -1, -1, -1)
    return F.grid_sample(pages, places[:, None], mode="bilinear", padding_mode="border", align_corners=True)[:, :, 0]


def _rounded(found: Tensor) -> Tensor:
    """Round colours [h, 3, w] in place, for bytes [3, h, w]: the cast rounds down."""
    return found.add_(0.5).clamp_(0, 255).transpose(0, 1)


def _atlas(table: Tensor) -> Tensor:
    """Interpolate along blue and lay the 256 slices out: [C, D, D, D] -> [1, C, 16 D, 16 D]."""
    side = table.shape[1]
    place = torch.arange(256, device=table.device) * (side - 1)  # in steps of 1/255 of a lattice cell
    below = (place // 255).clamp(max=side - 2)
    share = ((place - below * 255) / 255).view(1, 256, 1, 1)
    slices = torch.lerp(table[:, below], table[:, below + 1], share)
    tiles = slices.view(len(table), 256 // _TILES, _TILES, side, side).permute(0, 1, 3, 2, 4)
    return tiles.reshape(1, len(table), 256 // _TILES * side, _TILES * side)


def _places(strip: Tensor, side: int) -> Tensor:
    """Return where each pixel's colour lies in the atlas: uint8 [3, h, w] -> float [h, w, 2] in [-1, 1], x before y."""
    red, green, blue = strip
    unit = 2 / (_TILES * side - 1)  # one cell of the atlas, which spans [-1, 1]
    cell = (side - 1) / 255 * unit  # one step of an 8-bit channel
    places = torch.empty(*red.shape, 2, device=strip.device)
    torch.add((blue % _TILES).float() * (side * unit) - 1, red.float(), alpha=cell, out=places[..., 0])
    torch.add((blue // _TILES).float() * (side * unit) - 1, green.float(), alpha=cell, out=places[..., 1])
    return places
