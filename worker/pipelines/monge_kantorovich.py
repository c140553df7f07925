"""`monge-kantorovich`: the linear map that moves a photo's colours onto a reference's with the least displacement.

Pitié & Kokaram 2007, "The Linear Monge-Kantorovitch Linear Colour Mapping for Example-Based Colour Transfer", CVMP,
equation 5: T = A^(-1/2) (A^(1/2) B A^(1/2))^(1/2) A^(-1/2), with A and B the covariances of photo and reference.
Departures: in sRGB as it is stored; 10⁻⁵ is added to the variances, so that a photo of few colours has an inverse;
several references count as one, by their weights. An affine map is exact in a colour table.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from worker.networks.colour_table import lattice_colours, table_of_colours
from worker.pipelines.base import Batch, Parameters
from worker.pipelines.by_table import mean_code, needed, run_by_table, run_by_table_tiled, tables_of
from worker.pipelines.looking import sample_colours

_LEAST_VARIANCE = 1e-5  # of sRGB in [0, 1]; chosen: below the noise of an 8-bit picture


class MongeKantorovich:
    """The pipeline; see `worker.pipelines.base.Pipeline`."""

    def __init__(self, device: torch.device) -> None:
        self._lattice = lattice_colours(device=device).double()

    @torch.inference_mode()
    def encode_style(self, references: Sequence[Tensor], weights: Sequence[float] | None = None) -> Tensor:
        """Return the style: float64 [4, 3], the mean colour and the matrix of second moments."""
        return mean_code(references, weights, self._moments)

    @torch.inference_mode()
    def run(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Move the colours."""
        wanted = _mean_and_covariance(needed(style))
        return run_by_table(batch, lambda picture: self._table(picture, *wanted), parameters)

    @torch.inference_mode()
    def run_tiled(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Move the colours, piece by piece."""
        wanted = _mean_and_covariance(needed(style))
        return run_by_table_tiled(batch, lambda whole: self._table(whole, *wanted), parameters)

    @torch.inference_mode()
    def tables(self, batch: Batch, style: Tensor | None, parameters: Parameters) -> Tensor:
        """Return the tables."""
        wanted = _mean_and_covariance(needed(style))
        return tables_of(batch, lambda picture: self._table(picture, *wanted), parameters)

    def _table(self, picture: Tensor, wanted_mean: Tensor, wanted_covariance: Tensor) -> Tensor:
        mean, covariance = _mean_and_covariance(self._moments(picture))
        root = _root(covariance)
        inverse = torch.linalg.inv(root)
        transport = inverse @ _root(root @ wanted_covariance @ root) @ inverse  # equation 5
        return table_of_colours(((self._lattice - mean) @ transport + wanted_mean).float())

    def _moments(self, picture: Tensor) -> Tensor:
        colours = sample_colours(picture, self._lattice.device)
        return torch.cat((colours.mean(0)[None], colours.T @ colours / len(colours)))


def _mean_and_covariance(moments: Tensor) -> tuple[Tensor, Tensor]:
    mean, second = moments[0], moments[1:]
    noise = torch.eye(3, dtype=second.dtype, device=second.device) * _LEAST_VARIANCE
    return mean, second - torch.outer(mean, mean) + noise


def _root(matrix: Tensor) -> Tensor:
    """Return the root of a symmetric positive matrix."""
    values, vectors = torch.linalg.eigh(matrix)
    root: Tensor = vectors @ torch.diag(values.clamp(min=0).sqrt()) @ vectors.T
    return root
