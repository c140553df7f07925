"""Weights in their smaller forms, and back."""

import pytest
import torch

from worker.packing import packed, unpacked


def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(6, 3, 2, 2, generator=generator) * torch.tensor([1e-3, 1, 1, 10, 100, 0]).view(6, 1, 1, 1)
    matrix[torch.rand(6, 3, 2, 2, generator=generator) < 0.5] = 0
    return {"layer.weight": matrix, "layer.bias": torch.randn(6, generator=generator)}


def test_half_precision_is_as_near_as_float16() -> None:
    again = unpacked(packed(weights(), "half"))
    for name, tensor in weights().items():
        assert again[name].dtype == torch.float32
        torch.testing.assert_close(again[name], tensor, rtol=1e-3, atol=1e-6)


def test_whole_numbers_have_a_scale_for_each_channel() -> None:
    small = packed(weights(), "int8")
    assert small["layer.weight:int8"].dtype == torch.int8
    again, wanted = unpacked(small)["layer.weight"], weights()["layer.weight"]
    steps = wanted.abs().amax((1, 2, 3), keepdim=True) / 127
    assert ((again - wanted).abs() <= steps / 2 + 1e-9).all()  # a small channel does not suffer from a large one


def test_without_zeros_nothing_is_lost() -> None:
    small = packed(weights(), "sparse")
    assert len(small["layer.weight:values"]) == int((weights()["layer.weight"] != 0).sum())
    for name, tensor in weights().items():
        assert torch.equal(unpacked(small)[name], tensor)
    assert all(torch.equal(value, weights()[name]) for name, value in unpacked(weights()).items())


@pytest.mark.parametrize("missing", ["layer.weight:scale", "layer.weight:kept"])
def test_parts_that_are_missing_are_named(missing: str) -> None:
    small = packed(weights(), "int8" if "scale" in missing else "sparse")
    del small[missing]
    with pytest.raises(ValueError, match=r"packed weights of layer\.weight"):
        unpacked(small)
