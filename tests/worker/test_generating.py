"""Networks and pipelines that make pictures, without any training: what must hold of them whatever they know."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from worker.networks.denoiser import Denoiser, shares
from worker.networks.growing_gan import GrowingCritic, GrowingGan, GrowingGenerator
from worker.networks.style_gan import StyleGenerator
from worker.networks.vae import Vae as VaeNetwork
from worker.networks.vae import divergence
from worker.networks.vq_vae import VqVae
from worker.networks.words import Words
from worker.pipelines.base import Wish
from worker.pipelines.diffusion import denoised
from worker.pipelines.style_gan import StyleGan
from worker.pipelines.vae import Vae
from worker.pipelines.wishes import chosen_words

CPU = torch.device("cpu")
SIDE_PX = 16
ATTRIBUTES = {"kind": ["cup", "bag"], "colour": ["red", "green", "blue"]}
RED_CUP = {"kind": "cup", "colour": "red"}


@pytest.fixture(autouse=True)
def seeded() -> Iterator[None]:
    torch.manual_seed(0)
    with torch.no_grad():
        yield


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- words ---------------------------------------------------------------------------------------------


def test_what_is_left_out_is_drawn_and_what_is_said_does_not_change_the_rest() -> None:
    drawn = {tuple(chosen_words({}, ATTRIBUTES, generator(seed))[0].tolist()) for seed in range(40)}
    assert drawn == {(kind, colour) for kind in range(2) for colour in range(3)}
    for seed in range(5):
        free, said = (chosen_words(asked, ATTRIBUTES, generator(seed)) for asked in ({}, {"kind": "bag"}))
        assert said[0, 0] == 1
        assert said[0, 1] == free[0, 1]


def test_an_unknown_word_has_a_code_of_its_own() -> None:
    words = Words(ATTRIBUTES, 8)
    codes = words(torch.tensor([[0, 0], [1, 0], [-1, 0], [-1, -1]]))
    assert len({tuple(code.tolist()) for code in codes}) == 4
    assert torch.equal(words(torch.tensor([[-1, 2]])), words(torch.tensor([[2, 2]])))  # the row behind the last word
    assert torch.equal(Words({}, 8)(torch.zeros(3, 0, dtype=torch.int64)), torch.zeros(3, 8))


# --- VAE -----------------------------------------------------------------------------------------------


def test_what_lies_between_two_vectors_begins_with_one_and_ends_with_the_other() -> None:
    pipeline = Vae(VaeNetwork(side_px=SIDE_PX, width=8, latent=4, code=8, attributes=ATTRIBUTES), CPU)
    pictures = (torch.rand(2, 3, SIDE_PX, SIDE_PX, generator=generator()) * 255).to(torch.uint8)
    first, second = (pipeline.encode(picture, RED_CUP) for picture in pictures)
    assert first.shape == (4,)
    assert not torch.equal(first, second)
    between = [pipeline.between(first, second, share, RED_CUP) for share in (0, 0.5, 1)]
    assert torch.equal(between[0], pipeline.decode(first, RED_CUP))
    assert torch.equal(between[2], pipeline.decode(second, RED_CUP))
    assert between[1].shape == (3, SIDE_PX, SIDE_PX)


def test_the_divergence_is_that_of_normal_distributions() -> None:
    assert divergence(torch.zeros(1, 5), torch.zeros(1, 5)) == 0
    wide, moved = torch.full((1, 1), 2.0).log(), torch.full((1, 1), 3.0)
    assert divergence(moved, wide) == pytest.approx(0.5 * (9 + 4 - 1) - 0.6931, abs=1e-3)


# --- diffusion -----------------------------------------------------------------------------------------


def test_noise_is_taken_off_exactly_by_a_network_that_knows_the_picture() -> None:
    wanted = torch.randn(2, 4, 4, 4, generator=generator(1))

    def knows(noisy: Tensor, times: Tensor, words: Tensor) -> Tensor:
        picture, chance = shares(times)
        noise = (noisy - picture * wanted) / chance
        return picture * noise - chance * wanted

    noise = torch.randn(2, 4, 4, 4, generator=generator(2))
    found = denoised(knows, noise, torch.zeros(2, 0, dtype=torch.int64), steps=5, guidance=2.0)  # type: ignore[arg-type]
    assert torch.allclose(found, wanted, atol=1e-4)


def test_guidance_goes_further_from_what_is_made_without_words() -> None:
    def told_more(noisy: Tensor, times: Tensor, words: Tensor) -> Tensor:
        return torch.where(words[:, :1, None, None] == -1, 0.0, 1.0).expand_as(noisy)

    noise = torch.zeros(1, 1, 2, 2)
    words = torch.zeros(1, 1, dtype=torch.int64)
    plain, guided = (denoised(told_more, noise, words, steps=1, guidance=share) for share in (0.0, 2.0))  # type: ignore[arg-type]
    assert torch.allclose(guided, 3 * plain)


CODEC = {"side_px": SIDE_PX, "width": 8, "codes": 8, "code": 2}


@pytest.mark.parametrize("codec", [None, CODEC, CODEC | {"parts": 3}])
def test_a_diffusion_works_on_pixels_or_on_codes(codec: dict[str, int] | None) -> None:
    network = Denoiser(side_px=SIDE_PX, width=8, deep=8, code=8, attributes=ATTRIBUTES, codec=codec)
    pictures = torch.rand(2, 3, SIDE_PX, SIDE_PX, generator=generator())
    hidden = network.hidden(pictures)
    assert hidden.shape == (2, *network.shape)
    shown = network.shown(hidden)
    assert shown.shape == pictures.shape
    if codec is None:
        assert torch.allclose(shown, pictures, atol=1e-6)
    else:
        assert not any(parameter.requires_grad for name, parameter in network.named_parameters() if "codec" in name)


@pytest.mark.parametrize("parts", [1, 3])
def test_codes_of_a_book_are_kept_and_unused_ones_move_to_where_features_are(parts: int) -> None:
    network = VqVae(**CODEC, parts=parts)
    places = torch.randint(8, (3, parts, 4, 4), generator=generator())
    codes = network.look_up(places)
    assert torch.equal(codes[1, 2 * parts - 2 :, 3, 0], network.codebook[places[1, -1, 3, 0]])
    assert torch.equal(network.nearest(codes), places)
    far = 50 + torch.randn(4, 2 * parts, 4, 4, generator=generator())
    network.learn_codes(far)
    assert float((network.codebook - 50).abs().max()) < 10
    assert len(network.nearest(far).unique()) > 2


# --- styles and growing --------------------------------------------------------------------------------


def test_styles_are_kept_mixed_and_truncated() -> None:
    network = StyleGenerator(side_px=SIDE_PX, width=8, style=8, attributes=ATTRIBUTES)
    pipeline = StyleGan(network, CPU)
    first, second = (pipeline.style(Wish(attributes=RED_CUP, seed=seed)) for seed in (1, 2))
    assert torch.equal(first, pipeline.style(Wish(attributes=RED_CUP, seed=1)))

    def mixed(from_px: int) -> Tensor:
        return pipeline.mixed(first, second, from_px=from_px, seed=3)

    assert torch.equal(mixed(SIDE_PX * 2), pipeline.mixed(first, first, from_px=8, seed=3))
    assert torch.equal(mixed(4), pipeline.mixed(second, second, from_px=8, seed=3))
    assert not torch.equal(mixed(8), mixed(SIDE_PX))
    wishes = [Wish(attributes={"colour": colour}, seed=seed) for seed, colour in enumerate(ATTRIBUTES["colour"])]
    alike, apart = (pipeline.generate(wishes, {"truncation": share}).float() for share in (0.0, 1.0))
    assert float((alike[0] - alike[1]).abs().max()) == 0  # all of the usual style; their noise is not loud yet
    assert float((apart[0] - apart[1]).abs().max()) > 0


def test_a_modulated_convolution_keeps_the_spread_of_what_comes_in() -> None:
    network = StyleGenerator(side_px=SIDE_PX, width=8, style=8)
    features = torch.randn(6, 32, 16, 16, generator=generator())
    for loud in (0.1, 1.0, 10.0):
        found = network.levels[0].convolution(features, loud * torch.randn(6, 8, generator=generator(1)))
        assert float(found.std()) == pytest.approx(1, abs=0.25)


def grown(part: GrowingGenerator | GrowingCritic, value: float) -> Any:
    part.grown.fill_(value)
    return part


def test_a_size_is_faded_in_without_a_jump_and_pictures_have_the_detail_of_their_size() -> None:
    network = GrowingGan(side_px=SIDE_PX, width=8, latent=4, code=8, growth=10)
    noise, words = torch.randn(2, 4, generator=generator()), torch.zeros(2, 0, dtype=torch.int64)
    smallest = grown(network.generator, 0.0)(noise, words)
    assert smallest.shape == (2, 3, SIDE_PX, SIDE_PX)
    blocks = smallest.unfold(2, 4, 4).unfold(3, 4, 4)
    assert float((blocks - blocks[..., :1, :1]).abs().max()) == 0  # 4 px, enlarged
    assert torch.allclose(grown(network.generator, 1e-4)(noise, words), smallest, atol=1e-3)
    assert not torch.allclose(grown(network.generator, 1.0)(noise, words), smallest, atol=1e-3)
    pictures = torch.rand(2, 3, SIDE_PX, SIDE_PX, generator=generator())
    judged = [grown(network.critic, value)(pictures, words) for value in (1.0, 1.0001, 2.0)]
    assert torch.allclose(judged[0], judged[1], atol=1e-3)
    assert not torch.allclose(judged[0], judged[2], atol=1e-5)


def test_sizes_come_one_after_another() -> None:
    network = GrowingGan(side_px=SIDE_PX, width=8, latent=4, code=8, growth=10)
    seen = []
    for _ in range(70):
        network.grow()
        seen.append(float(network.generator.grown))
    assert seen[8] == 0  # left alone
    assert seen[14] == pytest.approx(0.5)
    assert seen[24] == 1
    assert max(seen) == seen[-1] == 2  # 16 px: it grows no further
    assert float(network.critic.grown) == 2
