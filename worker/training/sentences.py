"""Writes sentences that ask for words: what a network learns from that is to read them.

Each names some of a product's words, in one of many forms, and things besides that no model knows. Words of the studio
are called by other names as well (`worker.training.phrases`); words of other catalogues by themselves alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import Random

from worker.training.phrases import (
    BACKGROUNDS,
    COLOURS,
    CUT_OUT,
    GROUNDS,
    LIGHTS,
    MATERIALS,
    NOUNS,
    PATTERNS,
    PROPORTIONS,
    SEASONS,
    VIEWS,
    Phrases,
)

NOUN, ADJECTIVES, GROUND = "kind", ("colour", "material", "proportions", "pattern"), "background"
_PHRASES: Mapping[str, Phrases] = {
    "kind": NOUNS,
    "colour": COLOURS,
    "material": MATERIALS,
    "pattern": PATTERNS,
    "proportions": PROPORTIONS,
    "view": VIEWS,
    "light": LIGHTS,
    "background": BACKGROUNDS,
    "season": SEASONS,
}
_SELDOM = {
    ("proportions", "regular"): 0.15,
    ("season", "any"): 0.15,
    ("pattern", "plain"): 0.5,
}  # named as often as this
_SHARES = (0.15, 0.3, 0.5, 0.7, 1.0)  # of the words of a product that a sentence names, about
_CLAUSES = ("with", "without", "in", "no", "of", "from")  # what begins so comes after the noun
_LATER: Mapping[str, Sequence[str]] = {
    "colour": ("in {}", "{}", "colour: {}", "{} coloured", "in {} colour"),
    "material": ("made of {}", "of {}", "in {}", "{}", "made from {}"),
}
_THINGS = ("product", "piece", "item", "something", "article", "gift", "model", "design", "one", "thing", "everything")
OTHERS = (
    "sofa", "laptop", "phone", "elephant", "dress", "hat", "umbrella", "bicycle", "fork", "knife", "plate", "table",
    "rug", "curtain", "towel", "ring", "necklace", "scarf", "jacket", "shirt", "guitar", "camera", "headphones",
    "car", "tent", "plant", "apple", "cat", "dog", "tree", "pan", "pot", "spoon", "pen", "keyboard", "mirror",
    "clock", "bed", "shelf", "wardrobe", "soap", "perfume", "cake", "coffee machine", "toaster", "glasses", "belt",
    "glove", "jeans", "jumper", "backpack strap", "poster", "picture frame", "wallet", "sock", "screen", "printer",
    "drill", "garden hose", "house",
)  # fmt: skip
_INTROS = (
    "photo of", "a photo of", "product picture of", "product shot of", "packshot:", "hero shot:", "please show",
    "we need", "new:", "draw", "make", "i want", "show me", "picture:", "studio shot of", "image of", "can you do",
    "for the web shop:", "campaign picture:", "could we have", "close-up of", "photographed:", "we would like",
)  # fmt: skip
_ASIDES = (
    "30 cm", "0.5 l", "size 42", "for the kitchen", "item 4711", "for our web shop", "best seller", "gift idea",
    "handmade in portugal", "dishwasher safe", "with free delivery", "set of two", "sale", "limited edition", "please",
    "for her", "for kids", "two pieces left", "new in", "by our designers", "sku 20-331", "1,200 px", "high quality",
    "as in the catalogue", "eco-friendly", "for the home page", "very nice", "with a ribbon", "with a handle", "asap",
    "price 19.90", "thank you", "in stock", "the usual crop", "for the newsletter", "great value", "open on weekdays",
)  # fmt: skip
_BESIDE = ("next to a {}", "beside a {}", "with a {} behind it", "and not a {}", "together with a {}", "near a {}")
_RULED_OUT = ("no {}", "without {}", "not {}", "that is not {}", "but no {}", "anything but {}", "never {}")
_JOINTS = (" ", ", ", ", ", "; ", " and ", " - ")


def sentence(words: Mapping[str, str], chance: Random) -> tuple[str, set[str]]:
    """Return a sentence about a product with these words, and the attributes that it names."""
    share = chance.choice(_SHARES)
    named = {name for name, word in words.items() if chance.random() < share * _SELDOM.get((name, word), 1)}
    if chance.random() < 0.05:
        named = set()
    before, after = _described({name: words[name] for name in words if name in named}, chance)
    noun = _noun(words, named, chance)
    if chance.random() < 0.35:
        after.append(_aside(named, chance))
    open_to = [name for name in words if name not in named and name != GROUND]
    if open_to and chance.random() < 0.15:  # what is ruled out is not asked for, and does not say what is
        name = chance.choice(open_to)
        after.append(chance.choice(_RULED_OUT).format(_phrase(name, words[name], chance)))
    chance.shuffle(before)
    chance.shuffle(after)
    return _put_together(before, noun, after, chance) or chance.choice(_ASIDES), named


def _described(words: Mapping[str, str], chance: Random) -> tuple[list[str], list[str]]:
    """Return what stands before the noun, and what stands elsewhere."""
    before, after = [], []
    phrases = {name: _phrase(name, word, chance) for name, word in words.items() if name != NOUN}
    if {"colour", "material"} <= phrases.keys() and chance.random() < 0.2:
        both = f"{phrases.pop('colour')} {phrases.pop('material')}"
        after.append(chance.choice(("in {}", "{}", "made of {}", "of {}")).format(both))
    if "colour" in phrases and words.get("pattern") == "plain" and chance.random() < 0.2:
        after.append(f"in plain {phrases.pop('colour')}")
        del phrases["pattern"]
    for name, phrase in phrases.items():
        if name not in ADJECTIVES or phrase.split()[0] in _CLAUSES or (name == "pattern" and " " in phrase):
            after.append(phrase)
        elif name in _LATER and chance.random() < 0.3:
            after.append(chance.choice(_LATER[name]).format(phrase))
        else:
            before.append(phrase)
    return before, after


def _phrase(name: str, word: str, chance: Random) -> str:
    if (name, word) == (GROUND, "none"):
        return chance.choice(CUT_OUT)
    phrase = chance.choice(_PHRASES.get(name, {}).get(word, (word,)))
    if name == GROUND:
        return chance.choice(GROUNDS).format(ground=phrase)
    if name not in _PHRASES:
        return chance.choice(("{0}", "{1} {0}", "{1}: {0}", "in {0}", "with {0}")).format(phrase, name)
    return phrase.format(second=chance.choice(chance.choice(list(COLOURS.values()))))


def _noun(words: Mapping[str, str], named: set[str], chance: Random) -> str:
    if NOUN in named:
        return chance.choice(NOUNS.get(words[NOUN], (words[NOUN],)))
    return chance.choice((chance.choice(_THINGS), chance.choice(OTHERS), ""))


def _aside(named: set[str], chance: Random) -> str:
    """Return what no model knows; beside a product also another, which is not what is asked for."""
    if NOUN not in named or chance.random() < 0.6:
        return chance.choice(_ASIDES)
    other = chance.choice((chance.choice(OTHERS), chance.choice(chance.choice(list(NOUNS.values())))))
    tint = chance.choice(("", f"{chance.choice(chance.choice(list(COLOURS.values())))} "))
    return chance.choice(_BESIDE).format(f"{tint}{other}")


def _put_together(before: list[str], noun: str, after: list[str], chance: Random) -> str:
    head = " ".join((*before, noun)).strip()
    if chance.random() < 0.6 and head:
        head = f"{chance.choice(('a', 'a', 'the', 'our', 'this'))} {head}"
    form = chance.random()
    if form < 0.15:  # keywords
        pieces = [*before, *([noun] if noun else []), *after]
        chance.shuffle(pieces)
        return chance.choice((" ", ", ", "; ", " / ")).join(pieces)
    first = [after.pop()] if form < 0.35 and after else []
    text = head
    for clause in after:
        text += (chance.choice(_JOINTS) if text else "") + clause
    if first:
        return f"{first[0]}{chance.choice((': ', ', ', ' '))}{text}" if text else first[0]
    intro = f"{chance.choice(_INTROS)} " if chance.random() < 0.3 else ""
    return f"{intro}{text}{chance.choice(('', '', '.', '!'))}".strip()
