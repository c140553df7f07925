"""What a picture is to show, in words: each attribute's word has a vector, and their sum is the picture's code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

UNKNOWN = -1  # place of a word that is not known


class Words(nn.Module):
    """Turns words into codes. It learns what an unknown word is like, too."""

    def __init__(
        self,
        attributes: Mapping[str, Sequence[str]],  # the words of each attribute
        code: int,  # length of a code
    ) -> None:
        """Make tables without knowledge."""
        super().__init__()
        self.attributes = {name: tuple(words) for name, words in attributes.items()}
        self.code = code
        self.tables = nn.ModuleList(nn.Embedding(len(words) + 1, code) for words in self.attributes.values())
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=len(self.tables) ** -0.5)  # so that codes are about 1 wide, as chance is

    def forward(self, words: Tensor) -> Tensor:
        """Return codes: int64 [N, A], places of words, -1 where one is not known -> float [N, code]."""
        if not self.attributes:
            return torch.zeros(len(words), self.code, device=words.device)
        columns = zip(self.tables, self.attributes.values(), words.unbind(1), strict=True)
        # The last row of a table is for what is not known: -1 counts from its end.
        return torch.stack([table(column % (len(known) + 1)) for table, known, column in columns]).sum(0)
