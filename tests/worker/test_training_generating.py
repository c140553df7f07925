"""What learns to make pictures, or to read words off them: tiny networks, drawn shapes, a few dozen iterations each."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import load_file
from torch import Tensor

from jobs.cards import Card
from jobs.errors import InvalidRequest
from jobs.trainings import WORDED
from worker.checkpoints import build_generating, read_model
from worker.pipelines import attribute_reader
from worker.pipelines.base import Wish
from worker.sentences import load_reader, token_vectors
from worker.training import diffusion, gan
from worker.training.config import RunConfig, parse_config
from worker.training.likeness import made_figures
from worker.training.loop import Watcher
from worker.training.objectives import OBJECTIVES, Contest
from worker.training.photos import Photos
from worker.training.pictures import draw_pictures
from worker.training.runs import run

CPU = torch.device("cpu")
SIDE_PX = 16
WORDS = {"colour": {"red": (200, 40, 40), "green": (40, 160, 60), "blue": (40, 60, 200)}, "shape": ["box", "bar"]}
LATER = 1000  # measured and sampled after the end, that is not at all: most of a tiny run's time would go into it
SIZES: dict[str, dict[str, int]] = {
    "attribute_reader": {"side_px": SIDE_PX, "width": 8, "features": 16},
    "diffusion": {"side_px": SIDE_PX, "width": 16, "deep": 16, "code": 16},
    "gan": {"side_px": SIDE_PX, "width": 8, "latent": 4, "code": 16},
    "growing_gan": {"side_px": SIDE_PX, "width": 8, "latent": 4, "code": 16, "growth": 12},
    "sentence_reader": {"width": 16},
    "style_gan": {"side_px": SIDE_PX, "width": 8, "style": 16},
    "vae": {"side_px": SIDE_PX, "width": 8, "latent": 4, "code": 16},
    "vq_vae": {"side_px": SIDE_PX, "width": 16, "codes": 16, "code": 2},
    "wasserstein_gan": {"side_px": SIDE_PX, "width": 8, "latent": 4, "code": 16},
}


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    threads = torch.get_num_threads()
    for name in SIZES:
        monkeypatch.setattr(type(OBJECTIVES[name]), "side_px", SIDE_PX)
        monkeypatch.setattr(type(OBJECTIVES[name]), "probe_examples", 32)
    monkeypatch.setattr(diffusion.DiffusionObjective, "sizes", SIZES["diffusion"])  # of a run that starts from a codec
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def shapes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of coloured shapes, and what each is in words."""
    folder = tmp_path_factory.mktemp("generating") / "shapes"
    folder.mkdir()
    chance, lines = torch.Generator().manual_seed(1), ["key,colour,shape"]
    for number in range(60):
        colour, shape = list(WORDS["colour"])[number % 3], WORDS["shape"][number // 3 % 2]
        draw_shape(number, colour, shape, chance).save(folder / f"{number}.png")
        lines.append(f"{number}.png,{colour},{shape}")
    (folder / "manifest.csv").write_text("\n".join(lines))
    return folder


def draw_shape(number: int, colour: str, shape: str, chance: torch.Generator) -> Image.Image:
    image = Image.new("RGB", (SIDE_PX, SIDE_PX), (250 - number % 37, 246, 240))
    left, top = (int(torch.randint(2, 5, (1,), generator=chance)) for _ in range(2))
    part = (left, top, left + 9, top + 9) if shape == "box" else (left, top + 3, left + 9, top + 6)
    ImageDraw.Draw(image).rectangle(part, fill=WORDS["colour"][colour])
    return image


def config(shapes: Path, objective: str, **more: Any) -> RunConfig:
    given = {
        "name": objective.replace("_", "-"),
        "licence": "CC0-1.0",
        "objective": objective,
        "photos": [f"file://{shapes}/"],
        "attributes": ["colour", "shape"] if objective in WORDED else [],
        "network": SIZES[objective],
        "iterations": 5,
        "batch": 16,
        "learning_rate": 4e-3,
        "warm_up": 5,
        "ema": 0.9,
        "held_out_every": 6,
        "measure_every": 4,
        "sample_every": 4,
        "checkpoint_every": 100,
        "threads": 1,
        "device": "cpu",
    }
    return parse_config({name: value for name, value in (given | more).items() if value is not None})


def train(config: RunConfig, out: Path, *, until: int | None = None) -> Card | None:
    reached = 0

    def report(progress: Any, _figures: dict[str, float]) -> None:
        nonlocal reached
        reached = progress.iteration

    return run(
        config, out, watcher=Watcher(stop=lambda: until is not None and reached >= until, report=report), command="x"
    )


def curve(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "curve.jsonl").read_text(encoding="utf-8").splitlines()]


def figures(out: Path, name: str) -> list[float]:
    return [line[name] for line in curve(out) if name in line]


# --- what holds for each -------------------------------------------------------------------------------


@pytest.mark.parametrize("objective", SIZES)
def test_a_run_that_was_stopped_ends_as_if_it_had_not_been(shapes: Path, tmp_path: Path, objective: str) -> None:
    assert train(config(shapes, objective), tmp_path / "straight") is not None
    assert train(config(shapes, objective), tmp_path / "stopped", until=3) is None
    card = train(config(shapes, objective), tmp_path / "stopped")
    for name in ("curve.jsonl", "weights.safetensors"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "straight" / name).read_bytes()
    assert card is not None
    if objective in WORDED:
        assert card.config["attributes"] == {"colour": ["blue", "green", "red"], "shape": ["bar", "box"]}
    assert len(list((tmp_path / "stopped" / "samples").iterdir())) == 1


@pytest.mark.parametrize("objective", ["diffusion", "gan", "vae"])
def test_it_learns_without_words_too(shapes: Path, tmp_path: Path, objective: str) -> None:
    card = train(config(shapes, objective, attributes=[], iterations=2, measure_every=2), tmp_path / "run")
    assert card is not None
    pipeline = build_generating(read_model(tmp_path / "run"), CPU)
    assert pipeline.attributes == {}
    assert pipeline.generate([Wish(attributes={}, seed=3)], card.complete({})).shape == (1, 3, SIDE_PX, SIDE_PX)


def test_a_network_of_another_size_than_its_photos_is_refused(shapes: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="side_px is 32; this objective's photos have 16 px"):
        train(config(shapes, "vae", network={**SIZES["vae"], "side_px": 32}), tmp_path / "run")


# --- reading -------------------------------------------------------------------------------------------


def test_words_are_read_off_pictures_that_were_held_out(shapes: Path, tmp_path: Path) -> None:
    card = train(
        config(shapes, "attribute_reader", iterations=60, weights="float16", measure_every=LATER), tmp_path / "run"
    )
    assert card is not None
    assert card.operation == "describe"
    assert card.metrics["held_out_accuracy_colour"] == 1.0
    assert card.metrics["held_out_accuracy"] > 0.75  # chance gives 0.42
    model = read_model(tmp_path / "run")
    reader = attribute_reader.load(model.card.config, model.weights, CPU)
    pictures = torch.stack([picture_of("red", "box"), picture_of("blue", "bar"), picture_of("green", "bar")])
    assert reader.read(pictures)["colour"] == ["red", "blue", "green"]
    assert reader.features(pictures).shape == (3, 16)
    assert (tmp_path / "run" / "weights.safetensors").stat().st_size < 2.2 * sum(
        tensor.numel() for tensor in model.weights.values()
    ) + 8192


def picture_of(colour: str, shape: str) -> Tensor:
    image = draw_shape(0, colour, shape, torch.Generator().manual_seed(5))
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(SIDE_PX, SIDE_PX, 3).permute(2, 0, 1)


def test_words_that_are_not_known_are_no_fault_of_anybody(shapes: Path, tmp_path: Path) -> None:
    (tmp_path / "shapes").mkdir()
    lines = (shapes / "manifest.csv").read_text().splitlines()
    for path in shapes.glob("*.png"):
        (tmp_path / "shapes" / path.name).write_bytes(path.read_bytes())
    half = [line if number % 2 else f"{line.split(',')[0]},," for number, line in enumerate(lines[1:])]
    (tmp_path / "shapes" / "manifest.csv").write_text("\n".join([lines[0], *half]))
    card = train(config(tmp_path / "shapes", "attribute_reader", iterations=40, measure_every=LATER), tmp_path / "run")
    assert card is not None
    assert card.metrics["held_out_accuracy_colour"] > 0.7


def test_words_are_read_out_of_sentences_about_products_that_were_held_out(shapes: Path, tmp_path: Path) -> None:
    more = {"iterations": 60, "batch": 32, "network": {"width": 32}, "weights": "float16", "measure_every": LATER}
    card = train(config(shapes, "sentence_reader", **more), tmp_path / "run")
    assert card is not None
    assert card.operation == "describe"
    assert card.metrics["held_out_accuracy_said"] > 0.9  # of words of a shop's own, by no other names
    assert card.metrics["held_out_accuracy_not_said"] > 0.9
    reader = load_reader(read_model(tmp_path / "run"), token_vectors())
    assert reader.read("a blue box, please") == {"colour": "blue", "shape": "box"}
    assert reader.read("the green one") == {"colour": "green"}


# --- making --------------------------------------------------------------------------------------------


# How near made pictures come to held-out ones, by `worker.training.likeness`, beside those of an untrained network.
@pytest.mark.parametrize(
    ("objective", "iterations", "learning_rate"),
    [
        ("vae", 80, 4e-3),
        ("diffusion", 160, 4e-3),
        ("gan", 100, 2e-3),
        ("wasserstein_gan", 50, 2e-3),
        ("style_gan", 100, 2e-3),
        ("growing_gan", 70, 2e-3),
    ],
)
def test_pictures_come_nearer_to_real_ones_than_noise_is_and_follow_their_words(
    shapes: Path, tmp_path: Path, objective: str, iterations: int, learning_rate: float
) -> None:
    later = {"measure_every": LATER, "sample_every": LATER}
    more = {"iterations": iterations, "learning_rate": learning_rate, **later}
    card = train(config(shapes, objective, **more), tmp_path / "run")
    untrained = train(config(shapes, objective, **more | {"iterations": 1, "learning_rate": 1e-9}), tmp_path / "none")
    assert card is not None
    assert untrained is not None
    chance = torch.Generator().manual_seed(9)
    asked = [(colour, shape) for colour in WORDS["colour"] for shape in WORDS["shape"]] * 4
    real = torch.stack([tensor_of(draw_shape(number, *words, chance)) for number, words in enumerate(asked)]) / 255
    wishes = [Wish(attributes={"colour": colour, "shape": shape}, seed=n) for n, (colour, shape) in enumerate(asked)]
    found = {}
    for name, each in (("run", card), ("none", untrained)):
        made = build_generating(read_model(tmp_path / name), CPU).generate(wishes, each.complete({}))
        found[name] = made_figures(made / 255, real)["held_out_likeness"]
        if name == "run":
            right = [int(nearest_colour(picture) == colour) for picture, (colour, _) in zip(made, asked, strict=True)]
    noise = made_figures(torch.rand(real.shape, generator=chance), real)["held_out_likeness"]
    assert found["run"] > 0.6 * max(noise, found["none"])  # they are negative: nearer than 0.6 of the distance
    assert sum(right) > 0.65 * len(right)  # by chance a third


def tensor_of(image: Image.Image) -> Tensor:
    return torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).view(SIDE_PX, SIDE_PX, 3).permute(2, 0, 1)


def nearest_colour(picture: Tensor) -> str:
    middle = picture[:, 6:10, 6:10].float().mean((1, 2))
    return min(WORDS["colour"], key=lambda name: float((middle - torch.tensor(WORDS["colour"][name])).norm()))


def test_a_picture_depends_on_its_wish_alone(shapes: Path, tmp_path: Path) -> None:
    for objective in ("vae", "diffusion", "gan"):
        card = train(config(shapes, objective, iterations=3), tmp_path / objective)
        assert card is not None
        pipeline = build_generating(read_model(tmp_path / objective), CPU)
        wishes = [Wish(attributes={"colour": "red"}, seed=seed) for seed in (1, 2, 3)]
        together = pipeline.generate(wishes, card.complete({}))
        alone = pipeline.generate(wishes[2:], card.complete({}))
        assert torch.equal(together[2:], alone)
        assert not torch.equal(together[0], together[1])
        with pytest.raises(ValueError, match="colour cannot be 'pink'; it is one of blue, green, red"):
            pipeline.generate([Wish(attributes={"colour": "pink"}, seed=1)], card.complete({}))
        with pytest.raises(ValueError, match="there is no attribute size; there are colour, shape"):
            pipeline.generate([Wish(attributes={"size": "small"}, seed=1)], card.complete({}))


def test_codes_keep_pictures_and_a_diffusion_can_be_built_on_them(shapes: Path, tmp_path: Path) -> None:
    codec = train(config(shapes, "vq_vae", iterations=150, measure_every=5, sample_every=LATER), tmp_path / "codec")
    assert codec is not None
    psnr = figures(tmp_path / "codec", "held_out_psnr_db")
    assert psnr[-1] > psnr[0] + 3
    state = load_file(tmp_path / "codec" / "checkpoint.safetensors")
    assert torch.equal(state["average/codebook"], state["network/codebook"])  # the average has no book of its own
    more = {"network": None, "start_from": str(tmp_path / "codec"), "iterations": 3}
    assert train(config(shapes, "diffusion", **more), tmp_path / "run", until=2) is None
    card = train(config(shapes, "diffusion", **more), tmp_path / "run")
    assert card is not None
    assert card.config["codec"] == SIZES["vq_vae"]
    assert card.training is not None
    assert card.training["started_from"]["name"] == "vq-vae"
    before, after = read_model(tmp_path / "codec").weights, read_model(tmp_path / "run").weights
    assert all(torch.equal(after[f"codec.{name}"], tensor) for name, tensor in before.items())
    again = train(config(shapes, "diffusion", **more | {"start_from": str(tmp_path / "run")}), tmp_path / "again")
    assert again is not None  # and a diffusion can go on from itself
    with pytest.raises(InvalidRequest, match="architecture diffusion or vq_vae; this is reference_grade"):
        train(config(shapes, "diffusion", **more | {"start_from": "reference-grade"}), tmp_path / "other")


def test_other_attributes_than_those_of_the_model_to_start_from_are_refused(shapes: Path, tmp_path: Path) -> None:
    assert train(config(shapes, "vae", iterations=1), tmp_path / "run") is not None
    more = {"network": None, "start_from": str(tmp_path / "run"), "iterations": 1}
    assert train(config(shapes, "vae", **more), tmp_path / "more") is not None
    with pytest.raises(InvalidRequest, match=r"attributes is .*: name those that the model to start from knows"):
        train(config(shapes, "vae", **more, attributes=["shape"]), tmp_path / "other")


# --- contests ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("learns", "stays"), [("critic", "generator"), ("generator", "critic")])
def test_each_part_of_a_contest_is_moved_by_its_own_loss_alone(
    shapes: Path, tmp_path: Path, learns: str, stays: str
) -> None:
    class OnlyOne(gan.GanObjective):
        def losses(self, network: Any, examples: Any) -> Iterator[tuple[str, Tensor]]:
            yield from ((part, loss) for part, loss in super().losses(network, examples) if part == learns)

    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(OBJECTIVES, "gan", OnlyOne())
        for name, iterations in (("start", 1), ("end", 3)):
            train(config(shapes, "gan", iterations=iterations, learning_rate=1e-2), tmp_path / name)
    start, end = (load_file(tmp_path / name / "checkpoint.safetensors") for name in ("start", "end"))
    changed = {name.split(".")[0] for name in start if not torch.allclose(start[name], end[name], atol=1e-4)}
    assert f"network/{learns}" in changed
    assert f"network/{stays}" not in changed


def test_the_model_of_a_contest_is_what_makes_the_pictures(shapes: Path, tmp_path: Path) -> None:
    train(config(shapes, "gan", iterations=2), tmp_path / "run")
    assert {"loss", "loss_critic", "loss_generator", "rate"} <= curve(tmp_path / "run")[0].keys()
    assert not any("critic" in name for name in read_model(tmp_path / "run").weights)
    assert isinstance(OBJECTIVES["gan"], Contest)
    assert not isinstance(OBJECTIVES["vae"], Contest)


def test_the_collapse_of_a_generator_is_told() -> None:
    real = torch.rand(32, 3, SIDE_PX, SIDE_PX, generator=torch.Generator().manual_seed(0)) * 0.2
    real = (real + torch.rand(32, 3, 1, 1, generator=torch.Generator().manual_seed(1)) * 0.8).clamp(0, 1)
    assert made_figures(real.flip(0), real)["held_out_variety"] == pytest.approx(1, abs=0.01)
    assert made_figures(real[:1].expand_as(real), real)["held_out_variety"] < 0.01
    assert made_figures(real, real)["held_out_likeness"] == pytest.approx(0, abs=1e-6)


def test_pictures_are_moved_and_not_mirrored() -> None:
    pixels = torch.zeros(1, 3, SIDE_PX, SIDE_PX, dtype=torch.uint8)
    pixels[:, :, :, :5] = 255  # light comes from the left
    photos = Photos(pixels=pixels, words=torch.zeros(1, 0, dtype=torch.int64), vocabulary={}, sidecars={})
    drawn = draw_pictures(photos, 40, torch.Generator().manual_seed(0), shift=2)
    left, right = drawn.pixels[..., 1:3].mean((1, 2, 3)), drawn.pixels[..., 10:].mean((1, 2, 3))
    assert (left > right).all()
    assert len({round(float(picture.sum())) for picture in drawn.pixels}) > 2
