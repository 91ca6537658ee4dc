"""Probabilities of classes at pixels, which some scores take in the place of label maps."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

_TOLERANCE = 1e-3  # of a sum of probabilities, which may be bfloat16


@dataclass(frozen=True, eq=False)
class Probabilities:
    """What `fastpunet.sample(..., output="probs")` returns, as hypotheses for the scores that take probabilities.

    values  float (B, n, K, H, W) or (B, n, K, D, H, W), 0 to 1. K = 1: of the foreground of binary masks; else of the
            classes 0 .. K - 1, whose sum is 1. A network with one answer has n = 1

    Raises TypeError or ValueError, naming the argument, for values that are not as above.

    >>> Probabilities(torch.full((1, 2, 1, 4, 4), 0.25)).mean().shape
    torch.Size([1, 1, 16])
    """

    values: Tensor

    def __post_init__(self) -> None:
        values = self.values
        if not isinstance(values, Tensor) or not values.is_floating_point():
            got = f"dtype {values.dtype}" if isinstance(values, Tensor) else type(values).__name__
            raise TypeError(f"values: got {got}, expected a float tensor of probabilities; pass label maps as they are")
        if values.ndim not in (5, 6) or 0 in values.shape:
            raise ValueError(
                f"values: got shape {tuple(values.shape)}, expected (B, n, K, H, W) or (B, n, K, D, H, W), none of "
                "them 0; add the axis of hypotheses with values[:, None]"
            )
        if not bool(((values >= 0) & (values <= 1)).all()):
            raise ValueError(
                "values: got values outside 0 .. 1 or NaN, expected probabilities; apply sigmoid or softmax"
            )
        worst = 0.0 if values.shape[2] == 1 else float((values.double().sum(2) - 1).abs().max())
        if worst > _TOLERANCE:
            raise ValueError(
                f"values: got sums over classes that differ from 1 by {worst:.3g}; apply softmax over axis 2"
            )

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(self.values.shape[3:])

    def mean(self, weights: Tensor | None = None) -> Tensor:
        """The mean over hypotheses, float64 (B, K, pixels). weights: float64 (B, n), relative; None: all alike."""
        values = self.values.flatten(3)
        if weights is None:
            return values.mean(1, dtype=torch.float64)
        shares = weights / weights.sum(1, keepdim=True)
        return torch.einsum("bn,bnkp->bkp", shares, values.double())
