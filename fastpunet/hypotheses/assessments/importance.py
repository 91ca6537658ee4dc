"""log p(y | x) of a segmentation by importance sampling, with its standard error (Burda et al. 2016, equation 8)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class LogEvidence:
    """An estimate of log p(y | x) in nats.

    value           the logarithm of the mean of the importance weights
    standard_error  of the value, by the delta method: the relative standard error of the mean
    effective       the effective number of draws, (sum w)^2 / sum w^2 (Kong 1992): how many draws from the posterior
                    of z would have been as good
    """

    value: float
    standard_error: float
    effective: float


def log_evidence(
    log_likelihoods: Sequence[Tensor], log_priors: Sequence[Tensor], log_proposals: Sequence[Tensor]
) -> LogEvidence:
    """Estimate log p(y | x) = log E_{p(z|x)}[p(y | z)] from draws of several proposals together.

    Proposal s has n_s draws: log_likelihoods[s] and log_priors[s] are float64 (n_s,), log p(y | z) and log p(z | x) of
    its draws, and log_proposals[s] float64 (S, n_s), their log density under each of the S proposals. The weight of a
    draw is p(y | z) p(z | x) / q(z), where q is the mixture of all proposals in proportion to their numbers of draws:
    the balance heuristic of Veach and Guibas 1995, with the stratified draws of Owen and Zhou 2000 (section 4), for
    whom the prior among the proposals makes the mixture "defensive": no weight exceeds p(y | z) / share of the prior.

    >>> even = torch.zeros(4, dtype=torch.float64)
    >>> log_evidence([even - 3], [even], [even[None]])
    LogEvidence(value=-3.0, standard_error=0.0, effective=4.0)
    """
    counts = torch.tensor([len(each) for each in log_likelihoods], dtype=torch.float64)
    total = counts.sum()
    shares = (counts / total).log()[:, None].to(log_proposals[0].device)
    parts = [
        likelihood + prior - (proposals + shares).logsumexp(0)
        for likelihood, prior, proposals in zip(log_likelihoods, log_priors, log_proposals, strict=True)
    ]
    largest = float(max(part.max() for part in parts))
    weights = [(part - largest).exp() for part in parts]
    mean = float(sum(each.sum() for each in weights) / total)
    # The strata are independent and their sizes fixed, so that the variance of the sum is that within the strata.
    variance = float(sum(len(each) * each.var() for each in weights if len(each) > 1)) / float(total) ** 2
    effective = float(sum(each.sum() for each in weights)) ** 2 / float(sum((each**2).sum() for each in weights))
    return LogEvidence(largest + math.log(mean), math.sqrt(variance) / mean, effective)
