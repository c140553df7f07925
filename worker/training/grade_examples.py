"""Examples for `reference-grade`: pairs of graded photos whose right answer is known.

The same random grade is put on a reference and, unseen, on the content: what the network must produce. Many pictures
stand on white, as a catalogue's do. Whether that white is to stay white is for a recipe to say, so the network is told:
where it is, the grade is on the product alone, cut out, in the answer and in half of the references; where it is not,
the grade is on the whole picture, as a photographer grades, and tints the white too.

Some examples that follow one another share their wanted grade. Half of them have one reference, as the hardest of users
would give; the others see what the whole group was given.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor

from worker.networks.grade import THUMBNAIL_PX
from worker.training.grades import Grades, apply_grades, random_grades, random_hues
from worker.training.photos import random_outlines, random_views, random_whites

# The shares below are chosen: about what shops' pictures look like, with enough of every case to learn it.
_BOTH_ON_WHITE = 0.32
_CONTENT_ON_WHITE = 0.15
_REFERENCE_ON_WHITE = 0.08
_WHITE_STAYS = 0.5
_CUT_OUT = 0.5  # of the references of those
_SAME_PHOTO = 0.2  # the reference is another crop of the content's photo
_CONTENT_GRADE = 0.7  # strength of the content's own grade, which must come off first
_COLLAGE = 0.5  # two photos in one: the few thousand photos there are must not be recognised, and their grade recalled
_UNGRADED = 0.1  # of contents, and of references: ordinary photos must be left in peace
_RECOLOURED = 0.3  # inside of an outline: things come in any colour, whatever light and camera did to them
_TOGETHER = 4  # examples that share a wanted grade
_ALONE = 0.5  # of these: have one reference all the same
_POINTS = 576  # colours per picture that the loss is taken over: a table is a function of the colour alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Examples:
    """A batch. Pictures are float [N, 3, 48, 48], colours [N, P, 3], all in [0, 1]."""

    content: Tensor  # graded, as the network sees it
    reference: Tensor  # another photo with the grade that is wanted
    shares: Tensor  # [N, N]: how much of its style an example has from each reference; rows add up to 1
    white_stays: Tensor  # [N, 1]: 1 where a white background is exempt from the grade, else 0
    colours: Tensor  # some of the content's pixels
    plain: Tensor  # the same pixels without any grade
    wanted: Tensor  # the same pixels with the reference's grade

    def to(self, device: torch.device) -> Examples:
        """Return the same on a device."""
        return Examples(**{field.name: getattr(self, field.name).to(device) for field in fields(self)})


@dataclass(frozen=True, slots=True)
class _Scene:
    """Ungraded pictures, some on white."""

    photo: Tensor  # [N, 3, S, S]
    background: Tensor  # [N, 3, S, S]
    outline: Tensor  # [N, 1, S, S]: 1 where the photo shows
    cut_out: Tensor  # bool [N]: the background is exempt from grading

    def at(self, places: Tensor) -> _Scene:
        """Return the scene at these pixels alone, as [N, C, 1, P]."""
        photo, background, outline = (
            t.flatten(2)[:, :, None, places] for t in (self.photo, self.background, self.outline)
        )
        return _Scene(photo, background, outline, self.cut_out)

    def graded(self, grades: Grades | None) -> Tensor:
        """Return the pictures under these grades."""
        mixed = torch.lerp(self.background, self.photo, self.outline)
        if grades is None:
            return mixed
        exempt = self.cut_out.view(-1, 1, 1, 1)
        before = torch.where(exempt, self.photo, mixed)
        after = apply_grades(before.flatten(2).transpose(1, 2), grades).transpose(1, 2).reshape(before.shape)
        return torch.where(exempt, torch.lerp(self.background, after, self.outline), after)


def draw_examples(pixels: Tensor, count: int, generator: torch.Generator, *, wanted_strength: float = 1.0) -> Examples:
    """Draw examples from photos, uint8 [N, 3, S, S] with S at least 48. At strength 0 their own look is wanted."""
    which = torch.randint(len(pixels), (count,), generator=generator)
    other = torch.randint(len(pixels), (count,), generator=generator)
    same = torch.rand(count, generator=generator) < _SAME_PHOTO
    other = torch.where(same, which, other)
    group = torch.arange(count) // _TOGETHER
    groups = int(group[-1]) + 1

    kind = torch.rand(count, generator=generator)
    both = kind < _BOTH_ON_WHITE
    content_white = both | ((kind >= _BOTH_ON_WHITE) & (kind < _BOTH_ON_WHITE + _CONTENT_ON_WHITE))
    reference_white = both | (kind >= 1 - _REFERENCE_ON_WHITE)
    white_stays = (torch.rand(groups, generator=generator) < _WHITE_STAYS)[group]
    cut_out = white_stays & (torch.rand(count, generator=generator) < _CUT_OUT)

    content = _scene(_photos(pixels, which, generator), content_white, white_stays, generator)
    reference = _scene(_photos(pixels, other, generator), reference_white, cut_out, generator)
    own = random_grades(count, strength=_strengths(count, _CONTENT_GRADE, generator), generator=generator)
    wanted = random_grades(groups, strength=_strengths(groups, wanted_strength, generator), generator=generator)[group]
    picture = content.graded(own)
    places = torch.randperm(THUMBNAIL_PX**2, generator=generator)[:_POINTS]
    few = content.at(places)
    return Examples(
        content=picture,
        reference=reference.graded(wanted),
        shares=_shares(group, generator),
        white_stays=white_stays[:, None].float(),
        colours=picture.flatten(2)[:, :, places].transpose(1, 2),
        plain=few.graded(None).flatten(2).transpose(1, 2),
        wanted=few.graded(wanted).flatten(2).transpose(1, 2),
    )


def _shares(group: Tensor, generator: torch.Generator) -> Tensor:
    """Say which references make each example's style: its own, or all of its group, [N] -> [N, N]."""
    together = (group[:, None] == group).float()
    alone = torch.rand(len(group), 1, generator=generator) < _ALONE
    return torch.where(alone, torch.eye(len(group)), together / together.sum(1, keepdim=True))


def _photos(pixels: Tensor, which: Tensor, generator: torch.Generator) -> Tensor:
    """Show photos [N, 3, 48, 48], with other colours inside of an outline of some, and lay some over another one."""
    photo = random_views(pixels[which], THUMBNAIL_PX, generator)
    for share, changed in ((_RECOLOURED, _recoloured), (_COLLAGE, _laid_over)):
        some = torch.rand(len(which), generator=generator) < share
        if some.any():  # of a small batch it may be none
            outlines = random_outlines(int(some.sum()), THUMBNAIL_PX, generator)
            photo[some] = changed(photo[some], outlines, pixels, generator)
    return photo


def _recoloured(photo: Tensor, outline: Tensor, _pixels: Tensor, generator: torch.Generator) -> Tensor:
    colours = photo.flatten(2).transpose(1, 2)
    other = apply_grades(colours, random_hues(len(photo), generator=generator))
    return torch.lerp(photo, other.transpose(1, 2).reshape(photo.shape), outline)


def _laid_over(photo: Tensor, outline: Tensor, pixels: Tensor, generator: torch.Generator) -> Tensor:
    which = torch.randint(len(pixels), (len(photo),), generator=generator)
    return torch.lerp(random_views(pixels[which], THUMBNAIL_PX, generator), photo, outline)


def _scene(photo: Tensor, on_white: Tensor, cut_out: Tensor, generator: torch.Generator) -> _Scene:
    """Stand those of the photos that `on_white` [N] names on white."""
    count = len(photo)
    outline = random_outlines(count, THUMBNAIL_PX, generator)
    outline = torch.where(on_white.view(-1, 1, 1, 1), outline, 1.0)
    background = random_whites(count, THUMBNAIL_PX, generator)
    return _Scene(photo, background, outline, cut_out)


def _strengths(count: int, usual: float, generator: torch.Generator) -> Tensor:
    """Draw the strength of each grade, [N, 1]: the usual one, or none at all."""
    ungraded = torch.rand(count, 1, generator=generator) < _UNGRADED
    return torch.where(ungraded, 0.0, usual)
