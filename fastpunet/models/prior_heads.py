"""What the last layer of a prior net gives for each kind of prior, and the distribution that is made of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from torch import Tensor, nn

from fastpunet.models.prior_names import FLOW, FULL, LOW_RANK, MIXTURE, RATERS, PriorName
from fastpunet.models.priors import AxisAligned, Coupling, Flow, LowRank, Mixture, OfNormals, Raters

_HIDDEN = 32  # units between the two halves of a coupling
_SMALL = 0.01  # of initial weights that bend a prior, so that it begins close to a diagonal Gaussian

GaussianOf = Callable[[Tensor], AxisAligned]  # of means and raw log standard deviations (B, 2 latent_dim)


class PriorHead(nn.Module, ABC):
    """Makes a prior over (B, latent_dim) of the last layer's output.

    numbers: float32 (B, numbers) is that output.
    bending: the first of these that only bends the prior away from a diagonal Gaussian; its initial weights are small.
    """

    numbers: int
    bending: int

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim

    @abstractmethod
    def forward(self, values: Tensor, gaussian_of: GaussianOf) -> OfNormals: ...


class FullHead(PriorHead):
    """N(mu, L L^T) with sigma on the diagonal of the lower triangular L (MultivariateNormal of torch.distributions).

    Values are mu, log sigma, and the entries below the diagonal, row by row. As a prior of a Probabilistic U-Net: Bhat
    et al. 2023, "Effect of latent space distribution on the segmentation of images with multiple annotations" (arXiv
    2304.13476).
    """

    def __init__(self, latent_dim: int) -> None:
        super().__init__(latent_dim)
        self.bending = 2 * latent_dim
        self.numbers = self.bending + latent_dim * (latent_dim - 1) // 2

    def forward(self, values: Tensor, gaussian_of: GaussianOf) -> LowRank:
        moments, below = values.tensor_split([self.bending], dim=1)
        gaussian = gaussian_of(moments)
        rows, columns = torch.tril_indices(self.latent_dim, self.latent_dim, -1, device=values.device)
        factor = torch.diag_embed(gaussian.sigma)
        factor[:, rows, columns] = below
        return LowRank(gaussian.mu, factor)


class LowRankHead(PriorHead):
    """N(mu, F F^T + diag(sigma^2)) with F (latent_dim, rank): values are mu, log sigma and the rows of F (as above)."""

    def __init__(self, latent_dim: int, rank: int) -> None:
        super().__init__(latent_dim)
        self.bending = 2 * latent_dim
        self.numbers = self.bending + latent_dim * rank

    def forward(self, values: Tensor, gaussian_of: GaussianOf) -> LowRank:
        moments, factor = values.tensor_split([self.bending], dim=1)
        gaussian = gaussian_of(moments)
        return LowRank(gaussian.mu, factor.unflatten(1, (self.latent_dim, -1)), gaussian.sigma)


class MixtureHead(PriorHead):
    """A mixture of diagonal Gaussians: values are mu and log sigma of each component, and the logits of the weights.

    A mixture as the prior of a Probabilistic U-Net: Bhat et al. 2022, "Generalized Probabilistic U-Net for medical
    image segmentation" (arXiv 2207.12872).
    """

    def __init__(self, latent_dim: int, components: int) -> None:
        super().__init__(latent_dim)
        self.bending = 2 * latent_dim * components
        self.numbers = self.bending + components

    def forward(self, values: Tensor, gaussian_of: GaussianOf) -> Mixture:
        moments, logits = values.tensor_split([self.bending], dim=1)
        return Mixture(logits.softmax(1), _each(moments, logits.shape[1], gaussian_of))


class RatersHead(PriorHead):
    """A diagonal Gaussian for each rater: values are mu and log sigma of each.

    A bank of raters' distributions over one latent space: Wu et al. 2024, "Diversified and Personalized Multi-rater
    Medical Image Segmentation" (D-Persona, arXiv 2403.13417), without its attention between banks and features.
    """

    def __init__(self, latent_dim: int, raters: int) -> None:
        super().__init__(latent_dim)
        self.raters = raters
        self.numbers = self.bending = 2 * latent_dim * raters

    def forward(self, values: Tensor, gaussian_of: GaussianOf) -> Raters:
        equal = values.new_full((values.shape[0], self.raters), 1 / self.raters)
        return Raters(equal, _each(values, self.raters, gaussian_of))


class FlowHead(PriorHead):
    """A diagonal Gaussian bent by affine couplings (`priors.Flow`): values are mu, log sigma and each one's context.

    Its couplings are our own and no library's: a model is drawn from with what fastpunet needs to run, and every latent
    is, to the last bit, the same function of its own normals however many are computed together.
    """

    def __init__(self, latent_dim: int, couplings: int) -> None:
        super().__init__(latent_dim)
        self.bending = 2 * latent_dim
        self.numbers = self.bending + couplings * _HIDDEN
        halves = (latent_dim // 2, latent_dim - latent_dim // 2)
        self.couplings = nn.ModuleList(_CouplingWeights(*halves[:: 1 if i % 2 else -1]) for i in range(couplings))

    def forward(self, values: Tensor, gaussian_of: GaussianOf) -> Flow:
        moments, *contexts = values.split([self.bending, *[_HIDDEN] * len(self.couplings)], dim=1)
        bent = (own(context, i) for i, (context, own) in enumerate(zip(contexts, self.couplings, strict=True)))
        return Flow(gaussian_of(moments), tuple(bent))


class _CouplingWeights(nn.Module):
    """The weights of a `priors.Coupling` that do not depend on the image."""

    def __init__(self, kept: int, moved: int) -> None:
        super().__init__()
        self.kept, self.moved = nn.Linear(kept, _HIDDEN, bias=False), nn.Linear(_HIDDEN, 2 * moved)
        nn.init.normal_(self.moved.weight, std=_SMALL)
        nn.init.zeros_(self.moved.bias)

    def forward(self, context: Tensor, place: int) -> Coupling:
        return Coupling(context, self.kept.weight, self.moved.weight, self.moved.bias, first=bool(place % 2))


def make_head(name: PriorName, latent_dim: int) -> PriorHead:
    """The head of a prior other than the diagonal one."""
    if name.kind == FULL:
        return FullHead(latent_dim)
    return _NUMBERED[name.kind](latent_dim, name.number)


_NUMBERED: dict[str, Callable[[int, int], PriorHead]] = {
    LOW_RANK: LowRankHead,
    MIXTURE: MixtureHead,
    FLOW: FlowHead,
    RATERS: RatersHead,
}


def _each(moments: Tensor, count: int, gaussian_of: GaussianOf) -> tuple[AxisAligned, ...]:
    return tuple(gaussian_of(part) for part in moments.chunk(count, dim=1))
