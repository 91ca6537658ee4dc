"""Models with priors of every kind, and torch.distributions' own form of these priors."""

from __future__ import annotations

import torch
from torch import distributions as D

from fastpunet import ProbabilisticUNet
from fastpunet.models.priors import AxisAligned, Flow, LowRank, Mixture

KINDS = ("diagonal", "full", "low-rank:2", "mixture:3", "flow:4", "raters:ann,bob,cem")
BENT = KINDS[1:]
L = 4


def model_of(kind, *, latent_dim=L, bend=20.0, seed=0, **options):
    """A small model, whose prior is as bent away from a diagonal Gaussian as after some training."""
    torch.manual_seed(seed)
    options = {"channels": (4, 6, 8), "convs_per_block": 1, **options}
    model = ProbabilisticUNet(1, 1, latent_dim=latent_dim, prior=kind, **options).eval()
    if kind != "diagonal":
        with torch.no_grad():
            net = model.prior
            net.conv_layer.bias.normal_(std=1.0)
            for name, parameter in net.head.named_parameters():
                if name.endswith("moved.weight"):
                    parameter.mul_(bend)
    return model


def images_of(count=2, size=16):
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(3))


def distribution_of(prior):
    """The same distribution as torch.distributions have it, in float64."""
    if isinstance(prior, AxisAligned):
        return D.Independent(D.Normal(prior.mu.double(), prior.sigma.double()), 1)
    if isinstance(prior, LowRank):
        mu, factor = prior.mu.double(), prior.factor.double()
        if prior.sigma is None:
            return D.MultivariateNormal(mu, scale_tril=factor)
        return D.LowRankMultivariateNormal(mu, factor, prior.sigma.double() ** 2)
    if isinstance(prior, Mixture):
        mu, sigma = (
            torch.stack([getattr(component, name) for component in prior.components], 1).double()
            for name in ("mu", "sigma")
        )
        return D.MixtureSameFamily(D.Categorical(prior.weights.double()), D.Independent(D.Normal(mu, sigma), 1))
    assert isinstance(prior, Flow)
    return D.TransformedDistribution(distribution_of(prior.base), [_Affine(coupling) for coupling in prior.couplings])


class _Affine(D.Transform):
    """An affine coupling in matrix products, whose determinant is that of the Jacobian by automatic differentiation."""

    domain = codomain = D.constraints.real_vector
    bijective = True

    def __init__(self, coupling):
        super().__init__()
        self.coupling = coupling

    def _moving(self, z):
        own, kept = self.coupling, self.coupling.kept.shape[1]
        stays = z[..., :kept] if own.first else z[..., -kept:]
        hidden = (stays @ own.kept.T.double() + own.context.double()).clamp(min=0)
        raw, shift = (hidden @ own.moved.T.double() + own.bias.double()).chunk(2, -1)
        scale = (raw / (1 + raw.abs() / 2)).exp()
        ones, zeros = torch.ones_like(stays), torch.zeros_like(stays)
        pairs = ((ones, scale), (zeros, shift)) if own.first else ((scale, ones), (shift, zeros))
        return [torch.cat(pair, -1) for pair in pairs]

    def _call(self, x):
        scale, shift = self._moving(x)
        return x * scale + shift

    def _inverse(self, y):
        scale, shift = self._moving(y)
        return (y - shift) / scale

    def log_abs_det_jacobian(self, x, y):  # noqa: ARG002
        shape, x = x.shape[:-1], x.detach()
        rows = torch.autograd.functional.jacobian(lambda t: self._call(t).flatten(0, -2).sum(0), x)
        jacobians = rows.movedim(0, -2)  # (..., latent_dim, latent_dim): each output depends on its own row alone
        return torch.linalg.slogdet(jacobians).logabsdet.view(shape)


def energy_distances(x, y, permutations, seed=0):
    """2 E |x - y| - E |x - x'| - E |y - y'| of two samples (n, d), and of permutations of both: Szekely and Rizzo 2013.

    With weights s, 1 / n for x and -1 / n for y, it is -s^T D s for the matrix D of all distances.
    """
    n, generator = len(x), torch.Generator().manual_seed(seed)
    own = torch.cat((torch.full((n,), 1 / n), torch.full((n,), -1 / n))).double()
    orders = [torch.randperm(2 * n, generator=generator) for _ in range(permutations)]
    signs = torch.stack([own, *(own[order] for order in orders)])
    both = torch.cat((x, y))
    found = -((signs @ torch.cdist(both, both)) * signs).sum(1)
    return found[0], found[1:]
