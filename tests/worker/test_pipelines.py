"""What every built-in model promises, and what each one does."""

import dataclasses
from functools import cache

import pytest
import torch
from torch import Tensor

from jobs.cards import CardShelf
from worker.checkpoints import load_pipeline
from worker.networks.colour import srgb_to_lab
from worker.pipelines.base import Batch, Parameters, Pipeline, TiledPipeline

MODELS = sorted(name for name, card in CardShelf().cards.items() if card.tables)  # the others: test_painting
STYLED = [name for name in MODELS if CardShelf().get(name).needs_style]
CPU = torch.device("cpu")
FULL = {"strength": 1.0, "keep_white": False}


@cache
def model(name: str) -> Pipeline:
    return load_pipeline(CardShelf(), name, CPU)


def photo(height: int, width: int, seed: int = 0) -> Tensor:
    """A smooth picture with some noise: uint8 [3, height, width]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 4, 5, generator=generator)
    smooth = torch.nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=True)[0]
    noisy = smooth * 0.8 + 0.1 + torch.randn(3, height, width, generator=generator) * 0.02
    return (noisy.clamp(0, 1) * 255).to(torch.uint8)


def style(name: str) -> Tensor | None:
    return model(name).encode_style([photo(80, 120, seed=100) // 2, photo(50, 40, seed=101)])


def batch(*pictures: Tensor, padding: tuple[int, int] = (0, 0), fill: int = 0) -> Batch:
    height = max(p.shape[1] for p in pictures) + padding[0]
    width = max(p.shape[2] for p in pictures) + padding[1]
    images = torch.full((len(pictures), 3, height, width), fill, dtype=torch.uint8)
    for image, picture in zip(images, pictures, strict=True):
        image[:, : picture.shape[1], : picture.shape[2]] = picture
    return Batch(images=images, sizes=[(p.shape[1], p.shape[2]) for p in pictures])


def batch_of_one(picture: Tensor) -> Batch:
    return Batch(images=picture[None], sizes=[(picture.shape[1], picture.shape[2])])


def run(name: str, given: Batch, parameters: Parameters | None = None) -> list[Tensor]:
    complete = CardShelf().get(name).complete({}) if parameters is None else parameters
    images = model(name).run(given, style(name), complete)
    assert images.dtype == torch.uint8
    assert images.shape == given.images.shape
    return [image[:, :h, :w] for image, (h, w) in zip(images, given.sizes, strict=True)]


@pytest.mark.parametrize("name", MODELS)
def test_a_picture_does_not_depend_on_its_company_place_or_padding(name: str) -> None:
    picture = photo(97, 131)
    (alone,) = run(name, batch(picture))
    others = [photo(60 + 9 * k, 140 - 7 * k, seed=k) for k in range(1, 8)]
    for size in (3, 8):
        for place in (0, size // 2, size - 1):
            company = others[: size - 1]
            company.insert(place, picture)
            for padding, fill in (((0, 0), 0), ((31, 5), 255)):
                found = run(name, batch(*company, padding=padding, fill=fill))[place]
                assert torch.equal(found, alone), (size, place, padding)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("keep", [True, False])
def test_a_picture_that_runs_in_tiles_gets_the_same_bytes(
    name: str, keep: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = photo(97, 131)
    parameters = CardShelf().get(name).complete({}) | ({"keep_white": keep} if name in STYLED else {})
    (whole,) = run(name, batch(picture), parameters)
    for rows in (1, 10, 96):
        monkeypatch.setattr("worker.pipelines.by_table._TILE_PIXELS", rows * 131)
        pipeline = model(name)
        assert isinstance(pipeline, TiledPipeline)
        interleaved = picture.permute(1, 2, 0).contiguous().permute(2, 0, 1)  # as decoded pictures come
        tiled = pipeline.run_tiled(batch_of_one(interleaved), style(name), parameters)
        assert torch.equal(tiled[0], whole), f"seams every {rows} rows"


@pytest.mark.parametrize("name", MODELS)
def test_memory_layout_of_the_batch_changes_nothing(name: str) -> None:
    given = batch(photo(97, 131), photo(97, 131, seed=1))
    interleaved = Batch(images=given.images.contiguous(memory_format=torch.channels_last), sizes=given.sizes)
    for a, b in zip(run(name, given), run(name, interleaved), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_loaded_again_gives_the_same_bytes(name: str) -> None:
    given = batch(photo(97, 131))
    again = load_pipeline(CardShelf(), name, CPU)
    parameters = CardShelf().get(name).complete({})
    assert torch.equal(again.run(given, style(name), parameters)[0], run(name, given)[0])


@pytest.mark.parametrize("name", MODELS)
def test_equal_colours_stay_equal(name: str) -> None:
    palette = photo(1, 40)[:, 0]
    places = torch.randint(0, 40, (90, 70), generator=torch.Generator().manual_seed(5))
    (found,) = run(name, batch(palette[:, places]))
    for colour in range(40):
        assert len(found[:, places == colour].unique(dim=1).T) == 1


@pytest.mark.parametrize("name", STYLED)
@pytest.mark.parametrize("keep", [True, False])
def test_strength_zero_leaves_every_byte(name: str, keep: bool) -> None:
    picture = photo(97, 131)
    assert torch.equal(run(name, batch(picture), {"strength": 0.0, "keep_white": keep})[0], picture)


@pytest.mark.parametrize("name", STYLED)
def test_strength_leads_from_the_photo_to_the_look(name: str) -> None:
    picture = photo(97, 131)
    half, full = (run(name, batch(picture), FULL | {"strength": s})[0].float() for s in (0.5, 1.0))
    assert (full - picture.float()).abs().mean() > 4  # the reference is dark: something must happen
    assert (half - picture.float()).abs().mean() < (full - picture.float()).abs().mean()


@pytest.mark.parametrize("name", STYLED)
def test_keep_white_keeps_white_and_leaves_no_step(name: str) -> None:
    picture = photo(120, 256)
    picture[:, :60] = 255
    picture[:, 60:80] = torch.arange(256, dtype=torch.uint8)  # a ramp of greys
    (free,) = run(name, batch(picture), {"strength": 1.0, "keep_white": False})
    (kept,) = run(name, batch(picture), {"strength": 1.0, "keep_white": True})
    assert (kept[:, :60].int() - 255).abs().max() <= 1
    steps = kept[:, 70].int().diff(dim=1).abs().max()
    assert steps <= 6 + free[:, 70].int().diff(dim=1).abs().max()
    if name != "reference-grade":  # whose network grades otherwise where white is to stay
        dark = slice(0, 180)
        assert torch.equal(kept[:, 70, dark], free[:, 70, dark])  # only what is nearly white is blended


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("size", [(1, 1), (1, 300), (500, 3)])
def test_pictures_of_any_shape_go_through(name: str, size: tuple[int, int]) -> None:
    (found,) = run(name, batch(photo(*size)))
    assert found.shape == (3, *size)


@pytest.mark.parametrize("name", STYLED)
def test_pictures_of_one_colour_go_through(name: str) -> None:
    for value in (0, 128, 255):
        (found,) = run(name, batch(torch.full((3, 40, 40), value, dtype=torch.uint8)))
        assert len(found.flatten(1).unique(dim=1).T) == 1


@pytest.mark.parametrize("name", STYLED)
def test_a_style_is_the_middle_of_its_references(name: str) -> None:
    first, second = photo(50, 60, seed=1), photo(70, 40, seed=2)
    codes = [model(name).encode_style(references) for references in ([first], [second], [first, second])]
    assert all(isinstance(code, Tensor) for code in codes)
    torch.testing.assert_close(codes[2], (codes[0] + codes[1]) / 2)


@pytest.mark.parametrize("name", STYLED)
def test_a_mix_lies_between_its_styles_by_their_weights(name: str) -> None:
    pictures = [photo(50, 60, seed=1), photo(70, 40, seed=2)]
    first, second = (model(name).encode_style([picture]) for picture in pictures)
    mixed = model(name).encode_style(pictures, [3.0, 1.0])
    assert all(isinstance(code, Tensor) for code in (first, second, mixed))
    torch.testing.assert_close(mixed, first * 0.75 + second * 0.25)
    assert torch.equal(model(name).encode_style(pictures, [2.0, 2.0]), model(name).encode_style(pictures))


@pytest.mark.parametrize("name", STYLED)
def test_product_and_background_have_their_own_strength_by_the_mask(name: str) -> None:
    picture = photo(60, 80)
    mask = torch.zeros(1, 1, 60, 80, dtype=torch.uint8)
    mask[..., 20:60], mask[..., 60:64] = 255, 128
    given = dataclasses.replace(batch(picture), masks=mask, background_strength=0.0)
    (found,) = run(name, given, FULL)
    (whole,) = run(name, batch(picture), FULL)
    assert torch.equal(found[:, :, 20:60], whole[:, :, 20:60])
    assert torch.equal(found[:, :, :20], picture[:, :, :20])
    between = (whole[:, :, 60:64].int() * 128 + picture[:, :, 60:64].int() * 127) / 255
    assert (found[:, :, 60:64] - between).abs().max() <= 0.5
    pipeline = model(name)
    assert isinstance(pipeline, TiledPipeline)
    assert torch.equal(pipeline.run_tiled(given, style(name), FULL)[0], found)
    padded = batch(picture, photo(40, 90), padding=(5, 9))
    masks = torch.zeros(2, 1, *padded.images.shape[2:], dtype=torch.uint8)
    masks[0, :, :60, :80] = mask[0]
    company = dataclasses.replace(padded, masks=masks, background_strength=0.0)
    assert torch.equal(run(name, company, FULL)[0], found)


@pytest.mark.parametrize("name", STYLED)
def test_a_style_needs_a_reference_and_a_run_needs_a_style(name: str) -> None:
    with pytest.raises(ValueError, match="at least one reference"):
        model(name).encode_style([])
    with pytest.raises(ValueError, match="needs a style"):
        model(name).run(batch(photo(9, 9)), None, FULL)


@pytest.mark.parametrize("name", MODELS)
def test_a_batch_that_breaks_the_contract_is_refused(name: str) -> None:
    images = photo(9, 9)[None]
    for bad, message in (
        (Batch(images=images.float(), sizes=[(9, 9)]), "uint8"),
        (Batch(images=images[0], sizes=[(9, 9)]), "uint8"),
        (Batch(images=images, sizes=[]), "0 sizes"),
        (Batch(images=images, sizes=[(9, 10)]), "does not fit"),
        (Batch(images=images, sizes=[(9, 9)], masks=images), "masks are"),
    ):
        with pytest.raises(ValueError, match=message):
            model(name).run(bad, style(name), FULL)


def test_unchanged_changes_nothing_and_needs_no_style() -> None:
    given = batch(photo(40, 50), photo(30, 60))
    assert model("unchanged").encode_style([photo(9, 9)]) is None
    found = model("unchanged").run(given, None, {})
    assert torch.equal(found, given.images)
    found.zero_()
    assert given.images.any()  # a copy: who gets the result may write on it


def test_reinhard_gives_the_reference_its_mean_and_deviation_in_lab() -> None:
    picture, reference = photo(97, 131), photo(80, 120, seed=7) // 2 + 60
    code = model("reinhard").encode_style([reference])
    found = model("reinhard").run(batch(picture), code, FULL)[0]
    lab, wanted = (srgb_to_lab(p.flatten(1).T / 255) for p in (found, reference))
    torch.testing.assert_close(lab.mean(0), wanted.mean(0), atol=1.5, rtol=0)
    torch.testing.assert_close(lab.std(0), wanted.std(0), atol=1.5, rtol=0)


def test_monge_kantorovich_recovers_a_symmetric_linear_map() -> None:
    picture = photo(97, 131)
    colours = picture.flatten(1).T / 255
    matrix = torch.tensor(
        [[0.7, 0.1, 0.0], [0.1, 0.6, 0.05], [0.0, 0.05, 0.8]]
    )  # symmetric and positive: its own optimum
    wanted = (colours @ matrix + 0.05).T.reshape(picture.shape)
    reference = (wanted * 255).round().to(torch.uint8)
    code = model("monge-kantorovich").encode_style([reference])
    found = model("monge-kantorovich").run(batch(picture), code, FULL)[0]
    assert (found.float() - wanted * 255).abs().max() <= 1.5


def test_reference_grade_takes_on_a_reference_that_is_darker_or_warmer() -> None:
    picture, other = photo(97, 131), photo(80, 120, seed=7)
    plain, dark = other, other // 2
    warm = (other.float() * torch.tensor([1.0, 0.8, 0.6]).view(3, 1, 1)).to(torch.uint8)
    pipeline = model("reference-grade")

    def mean(reference: Tensor) -> Tensor:
        found = pipeline.run(batch(picture), pipeline.encode_style([reference]), FULL)[0]
        return found.float().mean((1, 2))

    assert (mean(dark) < mean(plain) - 20).all()
    assert mean(warm)[0] - mean(warm)[2] > mean(plain)[0] - mean(plain)[2] + 8
