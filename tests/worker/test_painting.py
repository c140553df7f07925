"""What pipelines that paint promise, on networks of chance: both kinds, of the same contract as all others."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.worker.test_pipelines import batch, photo
from worker.networks.any_painting import AnyPaintingNetwork
from worker.networks.colour import delta_e_2000, srgb_to_lab
from worker.networks.painter import PainterNetwork
from worker.networks.protected_colours import ProtectedColour
from worker.networks.strokes import noise, stroked
from worker.pipelines import any_painting, painter, resizing
from worker.pipelines.base import Batch, Pipeline, TiledPipeline
from worker.pipelines.resizing import Enlarged, smaller

CPU = torch.device("cpu")
KINDS = ("painter", "any_painting")
FULL: Mapping[str, Any] = {"strength": 1.0, "painting": "reeds"}
SIDE_PX = 64  # of the copies that are painted, so that there are larger pictures


@pytest.fixture(scope="module")
def models() -> dict[str, Pipeline]:
    torch.manual_seed(4)
    networks = PainterNetwork(paintings=["reeds", "stones"], width=4, blocks=1), AnyPaintingNetwork(width=4, blocks=1)
    with torch.no_grad():
        for network in networks:
            network.out.weight *= 4  # enough to be seen
        for name, table in networks[0].named_parameters():
            if name.endswith(("scale", "shift")):
                table += torch.rand(table.shape)  # manners that differ
    return {"painter": painter.Painter(networks[0], CPU), "any_painting": any_painting.AnyPainting(networks[1], CPU)}


@pytest.fixture(autouse=True)
def small_copies(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (painter, any_painting):
        monkeypatch.setattr(module, "WORKING_PX", SIDE_PX)


@pytest.fixture(params=KINDS)
def pipeline(request: pytest.FixtureRequest, models: dict[str, Pipeline]) -> Pipeline:
    return models[request.param]


def run(pipeline: Pipeline, given: Batch, **parameters: Any) -> list[Tensor]:
    style = pipeline.encode_style([photo(80, 120, seed=100) // 2, photo(50, 40, seed=101)])
    images = pipeline.run(given, style, {**FULL, **parameters})
    assert images.dtype == torch.uint8
    assert images.shape == given.images.shape
    return [image[:, :h, :w] for image, (h, w) in zip(images, given.sizes, strict=True)]


@pytest.mark.parametrize("size", [(61, 47), (97, 131)])
def test_a_picture_does_not_depend_on_its_company_place_padding_or_layout(
    pipeline: Pipeline, size: tuple[int, int]
) -> None:
    picture = photo(*size)
    (alone,) = run(pipeline, batch(picture))
    assert (alone.float() - picture).abs().mean() > 4  # something has been painted
    others = [photo(60 + 9 * k, 140 - 7 * k, seed=k) for k in range(1, 8)]
    for count, place, padding, fill in ((3, 0, (0, 0), 0), (3, 2, (31, 5), 255), (8, 4, (3, 64), 9)):
        company = others[: count - 1]
        company.insert(place, picture)
        given = batch(*company, padding=padding, fill=fill)
        assert torch.equal(run(pipeline, given)[place], alone), (count, place, padding)
        interleaved = dataclasses.replace(given, images=given.images.contiguous(memory_format=torch.channels_last))
        assert torch.equal(run(pipeline, interleaved)[place], alone)


def test_no_seam_is_to_be_seen_however_the_strips_lie(pipeline: Pipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    picture = photo(197, 131)
    (whole,) = run(pipeline, batch(picture))
    style = pipeline.encode_style([photo(80, 120, seed=100) // 2, photo(50, 40, seed=101)])
    assert isinstance(pipeline, TiledPipeline)
    for rows in (1, 10, 196):
        monkeypatch.setattr(resizing, "STRIP_PIXELS", rows * 131)
        tiled = pipeline.run_tiled(batch(picture), style, FULL)
        assert torch.equal(tiled[0], whole), f"seams every {rows} rows"


def test_strength_leads_from_the_photo_byte_for_byte_to_the_painting(pipeline: Pipeline) -> None:
    picture = photo(97, 131)
    none, half, full = (run(pipeline, batch(picture), strength=s)[0] for s in (0.0, 0.5, 1.0))
    assert torch.equal(none, picture)
    middle = (picture.float() + full) / 2
    inside = (full > 0) & (full < 255)  # what is painted beyond black or white is cut off
    assert (half - middle).abs()[inside].max() <= 1


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (500, 3), (5, 5)])
def test_pictures_of_any_shape_go_through(pipeline: Pipeline, size: tuple[int, int]) -> None:
    (found,) = run(pipeline, batch(photo(*size)))
    assert found.shape == (3, *size)


def test_product_and_background_have_their_own_strength_by_the_mask(pipeline: Pipeline) -> None:
    picture = photo(97, 131)
    mask = torch.zeros(1, 1, 97, 131, dtype=torch.uint8)
    mask[..., 20:60], mask[..., 60:64] = 255, 128
    given = dataclasses.replace(batch(picture), masks=mask, background_strength=1.0)
    (found,) = run(pipeline, given, strength=0.0)
    (whole,) = run(pipeline, batch(picture))
    assert torch.equal(found[:, :, 20:60], picture[:, :, 20:60])  # the product stays itself
    assert torch.equal(found[:, :, :20], whole[:, :, :20])
    between = (picture[:, :, 60:64].int() * 128 + whole[:, :, 60:64].int() * 127) / 255
    assert (found[:, :, 60:64] - between).abs().max() <= 0.5
    assert isinstance(pipeline, TiledPipeline)
    style = pipeline.encode_style([photo(80, 120, seed=100) // 2, photo(50, 40, seed=101)])
    assert torch.equal(pipeline.run_tiled(given, style, {**FULL, "strength": 0.0})[0], found)


def test_a_protected_colour_stays_and_the_others_are_painted(pipeline: Pipeline) -> None:
    red = torch.tensor([200, 16, 46], dtype=torch.uint8).view(3, 1, 1)
    picture = photo(97, 131)
    picture[:, :40, :40] = red
    held = ProtectedColour(colour=(200, 16, 46), delta_e=2.0)
    (found,) = run(pipeline, dataclasses.replace(batch(picture), protected=(held,)))
    (free,) = run(pipeline, batch(picture))
    shift = [
        delta_e_2000(*(srgb_to_lab(p[:, :40, :40].flatten(1).T / 255) for p in (each, picture))).max()
        for each in (found, free)
    ]
    assert shift[0] <= held.delta_e < shift[1]
    assert torch.equal(found[:, 60:, 60:], free[:, 60:, 60:]) or (found - free.float()).abs()[:, 60:, 60:].mean() < 9


def test_a_large_picture_keeps_its_own_fine_detail_under_the_paint(pipeline: Pipeline) -> None:
    plain = photo(256, 256) // 2 + 60
    stripes = ((torch.arange(256) % 2) * 40 - 20).to(torch.int16)  # far finer than the copy that is painted
    fine = (plain.to(torch.int16) + stripes).to(torch.uint8)
    painted, with_stripes = (run(pipeline, batch(p), strength=0.5)[0].float() for p in (plain, fine))
    kept = (with_stripes - painted)[:, 8:-8, 8:-8]
    assert (kept * stripes[8:-8].sign()).mean() == pytest.approx(20, abs=3)


def test_a_copy_is_smaller_by_averages_and_enlarging_goes_through_it_smoothly() -> None:
    whites = torch.full((3, 70, 131), 255, dtype=torch.uint8)
    torch.testing.assert_close(smaller(whites, 32, CPU), torch.ones(1, 3, 17, 32))  # borders are not darker
    row = torch.arange(8.0).view(1, 1, 8).expand(1, 4, 8)
    large = Enlarged(row, 40, 80).rows(0, 40)
    torch.testing.assert_close(large[:, :, 15:-15], ((torch.arange(80) + 0.5) / 10 - 0.5)[15:-15].expand(1, 40, -1))
    assert torch.equal(Enlarged(row, 4, 8).rows(1, 3), row[:, 1:3])


def test_a_painter_paints_as_it_is_told_and_one_picture_alike_every_time(models: dict[str, Pipeline]) -> None:
    picture = photo(64, 64)
    reeds, stones = (run(models["painter"], batch(picture), painting=name)[0] for name in ("reeds", "stones"))
    assert (reeds.float() - stones).abs().mean() > 2
    assert models["painter"].encode_style([picture]) is None
    flat = torch.full((3, 64, 64), 255, dtype=torch.uint8)
    (painted,) = run(models["painter"], batch(flat))
    assert painted.float().std((1, 2)).min() > 1  # a plain background gets strokes too


def test_strokes_run_along_edges_and_where_there_are_none_in_eddies() -> None:
    drawn = noise(1, 96, 96, torch.Generator().manual_seed(3))
    axis = torch.arange(96) / 6
    across, down = axis.sin().expand(1, 3, 96, 96), axis.sin().view(96, 1).expand(1, 3, 96, 96)
    for waves, along in ((across, 2), (down, 3)):  # edges run down, and across
        smeared, strokes = stroked(waves * 0.4 + 0.5, drawn)
        torch.testing.assert_close(smeared[..., 8:-8, 8:-8], (waves * 0.4 + 0.5)[..., 8:-8, 8:-8], atol=0.1, rtol=0)
        one, other = (strokes.diff(dim=axis).abs().mean() for axis in (along, 5 - along))
        assert one < 0.7 * other
    _, strokes = stroked(torch.full((1, 3, 96, 96), 0.9), drawn)
    assert strokes.std((2, 3)).min() > 0.4  # a plain background has strokes too
    assert strokes.abs().max() <= 1


def test_a_style_is_the_middle_of_its_references_by_their_weights(models: dict[str, Pipeline]) -> None:
    pictures = [photo(50, 60, seed=1), photo(300, 40, seed=2)]
    model = models["any_painting"]
    first, second = (model.encode_style([picture]) for picture in pictures)
    mixed = model.encode_style(pictures, [3.0, 1.0])
    assert isinstance(first, Tensor)
    assert isinstance(second, Tensor)
    assert isinstance(mixed, Tensor)
    torch.testing.assert_close(mixed, first * 0.75 + second * 0.25)
    with pytest.raises(ValueError, match="needs a style"):
        model.run(batch(pictures[0]), None, FULL)
