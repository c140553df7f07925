"""The published FID, with weights of no knowledge: what it is computed from, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import linalg

from benchmarks import generate_from_words
from benchmarks.generate import main
from benchmarks.generate_from_words import Amounts
from benchmarks.inception import InceptionUnusable, inception_features, read_inception
from jobs.cards import CardShelf
from tests.benchmarks.test_generate import shelf  # noqa: F401  # a fixture
from worker.networks.inception import FEATURES, Inception
from worker.quality.distribution import frechet_distance


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as it is published: with the classes that nobody asks for, and without counters."""
    torch.manual_seed(0)
    with torch.no_grad():
        network = Inception()
        for name, tensor in network.named_parameters():
            if name.endswith("conv.weight"):
                tensor.mul_(3)  # else a network without knowledge sees next to no difference
    state = {name: value for name, value in network.state_dict().items() if "num_batches" not in name}
    path = tmp_path_factory.mktemp("inception") / "weights.pth"
    torch.save({**state, "fc.weight": torch.zeros(1008, FEATURES), "fc.bias": torch.zeros(1008)}, path)
    return path


def test_the_distance_is_that_of_the_published_formula() -> None:
    chance = torch.Generator().manual_seed(1)
    for counts in ((90, 70), (20, 70), (20, 15)):  # more pictures than features, and fewer
        made, real = (torch.randn(count, 40, generator=chance) * 1.3 + 0.2 for count in counts)
        (mean, spread), (wanted_mean, wanted) = (
            (each.double().numpy().mean(0), np.cov(each.double().numpy(), rowvar=False)) for each in (made, real)
        )
        # As in pytorch_fid.fid_score.calculate_frechet_distance, whose small offset is for products without a root.
        offset = np.eye(40) * (1e-6 if min(counts) <= 40 else 0)
        root = linalg.sqrtm((spread + offset) @ (wanted + offset)).real
        published = ((mean - wanted_mean) ** 2).sum() + np.trace(spread) + np.trace(wanted) - 2 * np.trace(root)
        assert frechet_distance(made, real) == pytest.approx(published, rel=1e-3)
        assert frechet_distance(made, made) == pytest.approx(0, abs=1e-6)


def test_the_fid_is_the_distance_of_what_the_network_sees(
    weights: Path,
    shelf: CardShelf,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(generate_from_words, "QUICK", Amounts(real=5, made=4, known=0))
    assert main(["--quick", "--models", str(shelf.folder), "--inception", str(weights)]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["vae_fid"] > 0
    network = read_inception(weights)
    pictures = torch.stack([torch.arange(3 * 24 * 24).view(3, 24, 24) % 256, torch.zeros(3, 24, 24)]).to(torch.uint8)
    seen = inception_features(network, pictures)
    assert seen.shape == (2, FEATURES)
    # What pytorch-fid 0.3.0 makes of the same weights: by the ways of the last block, of which the last is pooled.
    parts = [float(part.mean()) for part in seen[0].split([320, 768, 768, 192])]
    assert parts == pytest.approx([72.0115, 85.6637, 92.9134, 91.4847], rel=1e-3)
    assert float((seen[0] - seen[1]).abs().mean()) > 0.1
    assert frechet_distance(seen, seen) == pytest.approx(0, abs=1e-6 * float(seen.square().sum()))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "cannot be read"),
        (b"no weights", "is no file of weights alone"),
        ({"fc.weight": torch.zeros(3)}, r"lacks \d+ of the network's tensors, such as Conv2d_1a_3x3"),
        ([torch.zeros(3)], "lacks"),
    ],
)
def test_another_file_is_refused_by_name_and_with_where_the_weights_come_from(
    content: object, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "weights.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InceptionUnusable, match=f"weights.pth {reason}.*: give .*pytorch-fid/releases"):
        read_inception(path)
    with pytest.raises(SystemExit) as ended:
        main(["--quick", "--inception", str(path)])
    assert ended.value.code == 2
    assert "pt_inception-2015-12-05-6726825d.pth" in capsys.readouterr().err


def test_tensors_of_other_shapes_are_refused(weights: Path, tmp_path: Path) -> None:
    state = torch.load(weights, weights_only=True)
    torch.save({**state, "Conv2d_1a_3x3.conv.weight": torch.zeros(1)}, tmp_path / "odd.pth")
    with pytest.raises(InceptionUnusable, match="has tensors of other shapes"):
        read_inception(tmp_path / "odd.pth")
