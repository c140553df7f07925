"""What a person types about further models, masks, backgrounds and a brand's colours, as members of a recipe."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from restyle.sources import parameters_of, url_of

COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
DELTA_E = 2.0
MASK_SOURCES = ("manifest", "alpha", "plain")


def then_of(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return further models from `reinhard`, or `reinhard,style=dusk,on=background,strength=0.5`.

    Raises:
        ValueError: not of that form.

    """
    return [_step(text) for text in texts]


def _step(text: str) -> dict[str, Any]:
    model, *rest = text.split(",")
    named = {name: value for name, _, value in (part.partition("=") for part in rest) if name in ("style", "on")}
    settings = [part for part in rest if part.partition("=")[0] not in named]
    if not model or "=" in model:
        raise ValueError(
            f"{text!r} does not begin with a model, as reinhard,style=dusk,on=background,strength=0.5 does"
        )
    return {"model": model} | named | ({"parameters": parameters_of(settings)} if settings else {})


def mask_of(text: str) -> str | dict[str, str]:
    """Return where masks come from: `manifest`, `alpha`, `plain` or `model=NAME`.

    Raises:
        ValueError: none of these.

    """
    word, equals, name = text.partition("=")
    if word == "model" and name:
        return {"model": name}
    if equals or word not in MASK_SOURCES:
        raise ValueError(f"{text!r} is none of {', '.join(MASK_SOURCES)} and model=NAME")
    return word


def protected_of(texts: Sequence[str]) -> list[dict[str, Any]]:
    """Return protected colours from `#c8102e` or `#c8102e=2.0`.

    Raises:
        ValueError: not of that form.

    """
    return [_protected(text) for text in texts]


def _protected(text: str) -> dict[str, Any]:
    colour, _, bound = text.partition("=")
    try:
        delta_e = float(bound) if bound else DELTA_E
    except ValueError:
        delta_e = 0.0
    if not COLOUR.fullmatch(colour) or not 0 < delta_e <= 20:
        raise ValueError(f"{text!r} is not a colour with its ΔE, such as #c8102e or #c8102e=2.0")
    return {"colour": colour.lower(), "delta_e": delta_e}


def background_of(text: str | None, shadow: float | None) -> dict[str, Any] | None:
    """Return the treatment of the background: `#rrggbb`, `#rrggbb-#rrggbb`, `keep=STRENGTH`, a URL or a local picture.

    Raises:
        ValueError: none of these, or a shadow where there is nothing to throw it on.

    """
    if text is None:
        if shadow is not None:
            raise ValueError("a shadow needs a background to lie on")
        return None
    kept = re.fullmatch(r"keep=([0-9.]+)", text)
    if kept:
        if shadow is not None:
            raise ValueError("a background that is kept has its own shadow")
        return {"type": "kept", "strength": float(kept[1])}
    return _new_background(text) | {"shadow": shadow or 0.0}


def _new_background(text: str) -> dict[str, Any]:
    top, dash, bottom = text.partition("-")
    if COLOUR.fullmatch(text):
        return {"type": "colour", "colour": text.lower()}
    if dash and COLOUR.fullmatch(top) and COLOUR.fullmatch(bottom):
        return {"type": "gradient", "top": top.lower(), "bottom": bottom.lower()}
    if text.startswith("#"):
        raise ValueError(f"{text!r} is no colour such as #f4efe6, nor two with a dash between them")
    return {"type": "picture", "url": url_of(text)}
