"""Further models, masks, backgrounds, brand colours and mixes, as they are typed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from restyle.looks import background_of, mask_of, protected_of, then_of
from restyle.sources import shares_of


@pytest.mark.parametrize(
    ("text", "shadow", "wanted"),
    [
        (None, None, None),
        ("#F4EFE6", None, {"type": "colour", "colour": "#f4efe6", "shadow": 0.0}),
        ("#ffffff-#e8e2d8", 0.5, {"type": "gradient", "top": "#ffffff", "bottom": "#e8e2d8", "shadow": 0.5}),
        ("s3://shop/oak.jpg", 0.2, {"type": "picture", "url": "s3://shop/oak.jpg", "shadow": 0.2}),
        ("keep=0.25", None, {"type": "kept", "strength": 0.25}),
    ],
)
def test_backgrounds(text: str | None, shadow: float | None, wanted: dict[str, Any] | None) -> None:
    assert background_of(text, shadow) == wanted


def test_a_local_picture_becomes_a_url(tmp_path: Path) -> None:
    found = background_of(str(tmp_path / "oak.jpg"), None)
    assert found == {"type": "picture", "url": f"file://{tmp_path}/oak.jpg", "shadow": 0.0}


@pytest.mark.parametrize(("text", "shadow"), [(None, 0.5), ("keep=0.5", 0.5), ("#12345", None), ("#123456-#1", None)])
def test_backgrounds_that_make_no_sense_are_refused(text: str | None, shadow: float | None) -> None:
    with pytest.raises(ValueError, match=r"shadow|colour"):
        background_of(text, shadow)


def test_protected_colours() -> None:
    found = protected_of(["#C8102E", "#0046a0=1.5"])
    assert found == [{"colour": "#c8102e", "delta_e": 2.0}, {"colour": "#0046a0", "delta_e": 1.5}]
    for wrong in ("red", "#c8102e=0", "#c8102e=x", "#c8102e=99"):
        with pytest.raises(ValueError, match="is not a colour"):
            protected_of([wrong])


def test_shares_of_a_mix() -> None:
    assert shares_of(["autumn=0.7", "night=3"]) == {"autumn": 0.7, "night": 3.0}
    for wrong in (["autumn=1"], ["a=1", "a=2"], ["a=1", "b"], ["a=1", "b=0"], ["a=1", "b=inf"], ["a=1", "=1"]):
        with pytest.raises(ValueError, match="style"):
            shares_of(wrong)


def test_further_models() -> None:
    found = then_of(["unchanged", "reinhard,style=dusk,on=background,strength=0.5,keep_white=false"])
    dusk = {"style": "dusk", "on": "background", "parameters": {"strength": 0.5, "keep_white": False}}
    assert found == [{"model": "unchanged"}, {"model": "reinhard"} | dusk]
    for wrong in ("", "style=dusk", "reinhard,dusk", "reinhard,strength={}"):
        with pytest.raises(ValueError, match=r"does not begin with a model|is not name=value"):
            then_of([wrong])


def test_where_masks_come_from() -> None:
    assert [mask_of(text) for text in ("alpha", "model=ours")] == ["alpha", {"model": "ours"}]
    for wrong in ("sky", "model", "model=", "alpha=1", "ours=x"):
        with pytest.raises(ValueError, match="is none of"):
            mask_of(wrong)
