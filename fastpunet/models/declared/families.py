"""The distributions that a declared prior net may give, besides a diagonal Gaussian."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.distributions import (
    Categorical,
    Distribution,
    Independent,
    LowRankMultivariateNormal,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
)

from fastpunet.arguments import check_choice, check_count

DIAGONAL, FULL, LOW_RANK = "diagonal", "full", "low-rank"
_ADDED = 1e-4  # to the diagonal of a Cholesky factor, or of a covariance of low rank


class Family(NamedTuple):
    """The distribution of GeneralizedProbabilisticUNet (Bhat et al. 2022, arXiv 2207.12872), read off its last layer.

    That gives, one after another, mean and spread of each component (components, 2, latent_dim); what its covariance
    takes besides; and with several components the logits of their weights. The spread is the log sigma on the diagonal
    of a Cholesky factor, or the log variance beside a factor (latent_dim, rank).
    """

    covariance: str
    latent_dim: int
    components: int = 1
    rank: int = 0

    @property
    def numbers(self) -> int:
        """The width of the last layer."""
        own = {DIAGONAL: 0, FULL: self.latent_dim, LOW_RANK: self.rank}[self.covariance]
        return self.components * (self.latent_dim * (2 + own) + (self.components > 1))

    @staticmethod
    def read(values: Any) -> Family:
        """Check an entry of a config. Raises ValueError or TypeError."""
        family = Family(**values)
        check_choice("family: covariance", family.covariance, (DIAGONAL, FULL, LOW_RANK))
        check_count("family: latent_dim", family.latent_dim)
        check_count("family: components", family.components)
        check_count("family: rank", family.rank, least=1 if family.covariance == LOW_RANK else 0)
        return family

    def of(self, values: Tensor) -> Distribution:
        """The distribution over (B, latent_dim) with these numbers (B, numbers)."""
        count, dim = self.components, self.latent_dim
        moments, rest = values.tensor_split([2 * dim * count], dim=1)
        covariance, logits = rest.tensor_split([rest.shape[1] - (count if count > 1 else 0)], dim=1)
        shape = (count,) if count > 1 else ()
        mean, spread = moments.unflatten(1, (*shape, 2, dim)).unbind(-2)
        own = self._gaussian(mean, spread, covariance.unflatten(1, (*shape, covariance.shape[1] // count)))
        if count == 1:
            return own
        return MixtureSameFamily(Categorical(logits=logits, validate_args=False), own, validate_args=False)

    def _gaussian(self, mean: Tensor, spread: Tensor, covariance: Tensor) -> Distribution:
        """Of means and spreads (..., latent_dim), and the numbers of the covariance (..., k)."""
        if self.covariance == FULL:
            below = covariance.unflatten(-1, (self.latent_dim, -1)).tril(-1)
            factor = below + torch.diag_embed(spread.exp() + _ADDED)
            return MultivariateNormal(mean, scale_tril=factor, validate_args=False)
        if self.covariance == LOW_RANK:
            factor = covariance.unflatten(-1, (self.latent_dim, -1))
            return LowRankMultivariateNormal(mean, factor, spread.exp() + _ADDED, validate_args=False)
        return Independent(Normal(mean, spread.exp(), validate_args=False), 1, validate_args=False)
