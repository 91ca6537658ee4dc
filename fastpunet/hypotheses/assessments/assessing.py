"""Assesses annotations: how they lie among the hypotheses, in the latent space, and how likely the model finds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.distributions import MultivariateNormal

from fastpunet.arguments import check_count
from fastpunet.data import IGNORE
from fastpunet.hypotheses.assessments.assessment import Assessment
from fastpunet.hypotheses.assessments.distances import DistancesFrom
from fastpunet.hypotheses.assessments.importance import LogEvidence, log_evidence
from fastpunet.hypotheses.assessments.placing import place
from fastpunet.hypotheses.drawn import Latents, decoded_log_probs, drawn_log_probs
from fastpunet.hypotheses.one_image import check_known_labels, check_segmentations, encode_one
from fastpunet.latents import SAMPLERS, Noise, check_seed
from fastpunet.masks import PackedMasks
from fastpunet.metrics import default_convention
from fastpunet.sampler import Sampler


@torch.inference_mode(False)
@torch.no_grad()
def assess(
    model: nn.Module,
    image: Tensor,
    masks: Tensor,
    n: int = 1000,
    *,
    seed: int = 0,
    id: int = 0,
    names: Sequence[str] | None = None,
    laplace: bool = True,
    precision: str = "auto",
    backend: str = "auto",
) -> Assessment:
    """Assess M annotations of one image against n hypotheses of a model.

    log p(y | x) = log E_{p(z | x)}[p(y | z, x)] is estimated by importance sampling with a mixture of up to four
    proposals: the prior, which are the n hypotheses themselves; the posterior net's Gaussian, if there is one; and
    Laplace's approximation around the best-fitting latent, once as it is and once twice as wide, if hypotheses have
    gradients. All but the prior share n draws. p(y | z, x) is the model's own likelihood, independent over the
    annotated pixels.

    Args:
        model: any model that `fastpunet.sample` takes. What a model does not have (a latent, a posterior) leaves fields
            of the result None, and `Assessment.missing` says why.
        image: float (C, H, W), or (C, D, H, W) for a model of volumes, scaled as in training, on the model's device.
        masks: int (M, *size), class indices, on the same device; pixels labelled 255 are not annotated.
        n, seed, precision, backend: see `fastpunet.sample`.
        id: the image's id: hypothesis k is that of `fastpunet.sample(..., ids=torch.tensor([id]))`.
        names: who made each annotation; by default 1 .. M.
        laplace: whether Laplace's approximation is among the proposals. It takes second derivatives, whose time grows
            with the square of the latent's dimensions; without it fewer draws are effective.

    Raises ValueError or TypeError, naming the argument, for input that does not fit.

    >>> import fastpunet, torch
    >>> from fastpunet.data.lesions import SyntheticLesions
    >>> case = SyntheticLesions(1, seed=1)[0]
    >>> mask = torch.tensor(case.masks[2])  # of its exact distribution
    >>> elsewhere = mask.roll(9, 1)
    >>> found = assess(fastpunet.load("lesions"), torch.tensor(case.image), torch.stack([elsewhere, mask]), n=200)
    >>> found.rank.tolist(), bool(found.typicality[0] < 0.05 < found.typicality[1])
    ([2, 1], True)
    """
    n, seed = check_count("n", n, limit=SAMPLERS["random"]), check_seed(seed)
    id = check_count("id", id, least=0, limit=2**63 - 1)
    sampler = Sampler(model, precision=precision, backend=backend)
    encoding = encode_one(sampler, image)
    labels = check_segmentations("masks", masks, sampler, encoding.size)
    check_known_labels("masks", labels, sampler.num_classes, IGNORE)
    if not bool((labels != IGNORE).flatten(1).any(1).all()):
        raise ValueError(
            "masks: got a mask without any annotated pixel, expected at least one such pixel; leave that mask out"
        )
    given = tuple(str(m + 1) for m in range(len(labels))) if names is None else tuple(names)
    if len(given) != len(labels):
        raise ValueError(f"names: got {len(given)}, expected {len(labels)}, one for each mask")
    latents = Latents.of(sampler, encoding, n, seed, id)
    hypotheses, log_likelihoods = _hypotheses(sampler, encoding, n, seed, id, labels)
    placed = place(sampler, image, encoding, labels, latents, log_likelihoods, laplace=laplace)
    evidence = [
        _log_evidence(sampler, encoding, mask, latents, own, proposals, Noise(seed, _ids(sampler, id), 0, n))
        for mask, own, proposals in zip(labels, log_likelihoods.T, placed.proposals, strict=True)
    ]
    compared = DistancesFrom(hypotheses, default_convention(sampler.num_classes))
    distances = [compared.of(mask.masked_fill(mask == IGNORE, 0), _ignored(mask)) for mask in labels]
    values = torch.tensor([each.value for each in evidence], dtype=torch.float64)
    nearest = torch.tensor([each.nearest for each in distances])
    return Assessment(
        names=given,
        masks=labels.to(torch.uint8),
        position=placed.position,
        distance=placed.distance,
        plausibility=placed.plausibility,
        kl=placed.kl,
        log_evidence=values,
        standard_error=torch.tensor([each.standard_error for each in evidence], dtype=torch.float64),
        effective=torch.tensor([each.effective for each in evidence], dtype=torch.float64),
        pixels=(labels != IGNORE).flatten(1).sum(1).cpu(),
        nearest=nearest,
        nearest_masks=hypotheses[:, nearest.to(hypotheses.device)].unpack()[0],
        nearest_iou=torch.tensor([each.iou for each in distances], dtype=torch.float64),
        mean_distance=torch.tensor([each.mean for each in distances], dtype=torch.float64),
        typicality=torch.tensor([each.typicality for each in distances], dtype=torch.float64),
        rank=1 + (values[None] > values[:, None]).sum(1),
        missing=placed.missing,
    )


def _ids(sampler: Sampler, id: int) -> Tensor:
    return torch.tensor([id], device=sampler.device)


def _ignored(mask: Tensor) -> Tensor | None:
    ignored = mask == IGNORE
    return ignored if bool(ignored.any()) else None


def _one_hot(labels: Tensor, num_classes: int) -> Tensor:
    """float64 (M, K' * pixels), 1 for the label of each annotated pixel."""
    flat = labels.flatten(1).long()
    classes = max(2, num_classes)
    planes = F.one_hot(flat.masked_fill(flat == IGNORE, 0), classes).movedim(2, 1) * (flat != IGNORE)[:, None]
    return planes.flatten(1).double()


def _hypotheses(
    sampler: Sampler, encoding: Any, n: int, seed: int, id: int, labels: Tensor
) -> tuple[PackedMasks, Tensor]:
    """The hypotheses, packed (1, n, *size), and log p(y | z), float64 (n, M), of each annotation under each of them."""
    classes = None if sampler.num_classes == 1 else sampler.num_classes
    annotated = _one_hot(labels, sampler.num_classes).T
    words, likelihoods = [], []
    for masks, log_probs in drawn_log_probs(sampler, encoding, n, seed, id):
        words.append(PackedMasks.pack(masks[None], classes).words)
        likelihoods.append(log_probs.flatten(1) @ annotated)
    return PackedMasks(torch.cat(words, 1), encoding.size), torch.cat(likelihoods)


def _log_evidence(
    sampler: Sampler,
    encoding: Any,
    mask: Tensor,
    latents: Latents,
    log_likelihood: Tensor,
    proposals: list[MultivariateNormal],
    noise: Noise,
) -> LogEvidence:
    """log p(y | x) of one annotation from the hypotheses, with their log-likelihoods (n,), and from its proposals."""
    if latents.z is None or latents.log_prior is None or latents.prior is None or not proposals:
        zeros = torch.zeros_like(log_likelihood)
        return log_evidence([log_likelihood], [zeros], [zeros[None]])
    annotated = _one_hot(mask[None], sampler.num_classes)[0]
    draws, likelihoods = [latents.z], [log_likelihood]
    for layer, proposal in enumerate(proposals, start=1):
        normals = replace(noise, n=-(-noise.n // len(proposals))).normals(len(proposal.loc), layer)[0]
        z = (proposal.loc + normals.double() @ proposal.scale_tril.T).float()
        draws.append(z)
        parts = (log_probs.flatten(1) @ annotated for _, log_probs in decoded_log_probs(sampler, encoding, z))
        likelihoods.append(torch.cat(list(parts)))
    priors = [latents.log_prior, *(latents.prior.log_density(z[None])[0] for z in draws[1:])]
    under = [
        torch.stack([prior, *(proposal.log_prob(z.double()) for proposal in proposals)])
        for z, prior in zip(draws, priors, strict=True)
    ]
    return log_evidence(likelihoods, priors, under)
