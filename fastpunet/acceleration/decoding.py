"""The forward pass that takes the place of a combiner's own: by kernels, and ahead of the calls where that is possible.

It is a function of features, weights and latents alone, so what was computed before is right whenever all three have
the same values. They are compared by their values at each call: no counter or identity tells every way to change them.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fastpunet.acceleration.foresight import Foresight, foresee, key_of
from fastpunet.models.fcomb import flatten_combiner
from fastpunet.models.snapshot import Snapshot
from fastpunet.models.verification import ACTIVATIONS, Verified, verify
from fastpunet_kernels import Decoder, automatic_precision, decode_samples, fixed_precision

_RANDOM_OR_MOVING = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
_AHEAD_BYTES, _AHEAD = 1 << 24, 64  # at most so much memory, and so many latents, are decoded ahead
_TINY = 1e-30  # saturated probabilities round away


class Verdict:
    """Whether the kernels agree with a combiner's own forward pass, and the structure and modes that it holds for."""

    def __init__(self, combiner: nn.Module, latent_dim: int, verified: Verified | None) -> None:
        self.latent_dim, self.verified = latent_dim, verified
        self._modules = list(combiner.modules())
        self._modes = [module.training for module in self._modules]
        self._snapshot = Snapshot(combiner)  # modules, hooks and attributes, and where the tensors are
        weights = [*combiner.parameters(), *combiner.buffers()]
        self._weights = [(w, _bytes(w) if w.is_contiguous() else None) for w in weights if w.is_cpu]

    def weights(self) -> bytes:
        """The values of the combiner's weights on a CPU."""
        return b"".join([(_bytes(w) if memory is None else memory).tobytes() for w, memory in self._weights])

    def holds(self, latent_dim: int) -> bool:
        modes = [module.training for module in self._modules]
        return self.latent_dim == latent_dim and modes == self._modes and self._snapshot.holds()


class Prepared(NamedTuple):
    """What the calls for the same features and weights share, and the values that it was computed from."""

    features: Tensor
    weights: bytes
    verdict: Verdict
    options: tuple[str, torch.dtype]  # the precision, and the type of the latents
    base: Tensor
    decoder: Decoder

    def fits(self, features: Tensor, weights: bytes, verdict: Verdict, options: tuple[str, torch.dtype]) -> bool:
        same = self.verdict is verdict and self.options == options and self.weights == weights
        return same and _same(self.features, features)


class Ahead(NamedTuple):
    """Hypotheses that are there already, by their latents."""

    prepared: Prepared
    rows: dict[bytes, Tensor]
    foresight: Foresight | None


class Memory:
    """What is kept between the calls. Its parts are replaced as wholes, so that threads see one state or another."""

    def __init__(self, model: nn.Module | None = None) -> None:
        self.model = None if model is None else weakref.ref(model)  # whose attributes tell the prior
        self.verdict: Verdict | None = None
        self.ahead: Ahead | None = None

    def __deepcopy__(self, copies: dict[int, Any]) -> Memory:
        model = None if self.model is None else self.model()
        return Memory(copies.get(id(model)))

    def __reduce__(self) -> tuple[type[Memory], tuple[()]]:
        return Memory, ()


def forward(combiner: nn.Module, memory: Memory, *args: Any, **options: Any) -> Any:
    """The combiner's output for one latent per image, in the form of its own forward pass."""
    own = partial(type(combiner).forward, combiner, *args, **options)
    if torch.is_grad_enabled() or options or len(args) != 2 or not all(isinstance(value, Tensor) for value in args):
        return own()
    features, z = sorted(args, key=lambda value: (value.ndim, value.numel()), reverse=True)
    if features.ndim < 4 or z.numel() != len(z) * z[0].numel() or len(z) != len(features) or z.shape[2:].numel() != 1:
        return own()
    z = z.flatten(1)
    verdict = memory.verdict
    if verdict is not None and verdict.holds(z.shape[1]):
        return own() if verdict.verified is None else _decode(combiner, memory, verdict, verdict.verified, features, z)
    result = own()
    if isinstance(result, Tensor) and not _runs_itself(combiner) and torch.isfinite(result).all():
        memory.verdict = _compare(combiner, features, z, result)
    return result


def _compare(combiner: nn.Module, features: Tensor, z: Tensor, result: Tensor) -> Verdict:
    """Whether the kernels give what the combiner itself has given."""
    verdict = Verdict(combiner, z.shape[1], None)
    with suppress(ValueError):  # whatever is wrong, the combiner itself gives what it gives
        verdict.verified = verify(combiner, features.float(), z.shape[1])
    if verdict.verified is not None:
        ours = _decode(combiner, Memory(), verdict, verdict.verified, features, z)
        exact = result.dtype in (torch.float32, torch.float64) and automatic_precision(features.device) == "ieee"
        if not _close(ours, result, 1e-3 if exact else 5e-2):
            verdict.verified = None
    return verdict


def _decode(
    combiner: nn.Module, memory: Memory, verdict: Verdict, verified: Verified, features: Tensor, z: Tensor
) -> Tensor:
    options = (automatic_precision(features.device), z.dtype)
    if not features.is_cpu:  # comparing values would make the host wait
        return _outputs(_prepare(combiner, verdict, verified, features, b"", options), verified, z[:, None])[0]
    weights, key = verdict.weights(), key_of(z)
    ahead = memory.ahead
    if ahead is not None and not ahead.prepared.fits(features, weights, verdict, options):
        ahead = None
    if ahead is not None and key in ahead.rows:
        return ahead.rows[key].clone()
    if ahead is None:
        prepared = _prepare(combiner, verdict, verified, features.detach().clone(), weights, options)
    else:
        prepared = ahead.prepared
    model = None if memory.model is None else memory.model()
    bytes_each = 4 * prepared.base.shape[:2].numel() * len(prepared.decoder.biases[-1])
    most = min(_AHEAD, _AHEAD_BYTES // bytes_each)
    foresight = foresee(model, z, key, None if ahead is None else ahead.foresight, most)
    latents = [z] if foresight is None else [z, *foresight.latents]
    outputs = _outputs(prepared, verified, torch.stack(latents, dim=1))
    if prepared.fits(features, verdict.weights(), verdict, options):  # no other thread has changed them meanwhile
        memory.ahead = Ahead(prepared, dict(zip(map(key_of, latents), outputs, strict=True)), foresight)
    return outputs[0].clone()


def _prepare(
    combiner: nn.Module,
    verdict: Verdict,
    verified: Verified,
    features: Tensor,
    weights: bytes,
    options: tuple[str, torch.dtype],
) -> Prepared:
    split = flatten_combiner(combiner, verdict.latent_dim, latents_first=verified.latents_first)
    with fixed_precision(options[0], features.device):
        base = split.base(features.float())
    return Prepared(features, weights, verdict, options, base, split.decoder)


def _outputs(prepared: Prepared, verified: Verified, z: Tensor) -> list[Tensor]:
    """The outputs (B, K, *size) of latents z (B, n, latent_dim), one after the other."""
    precision = prepared.options[0]
    logits = decode_samples(prepared.base, prepared.decoder, z.float(), output="logits", precision=precision)
    outputs = ACTIVATIONS[verified.last_activation](logits.flatten(0, 1)).to(prepared.features.dtype)
    outputs = outputs.unflatten(0, logits.shape[:2]).unflatten(-1, prepared.features.shape[2:])
    return [output.contiguous() for output in outputs.unbind(1)]


def _runs_itself(combiner: nn.Module) -> bool:
    """Whether a combiner is random, changes as it runs, or has hooks inside that would not run."""
    return any(
        (module.training and isinstance(module, _RANDOM_OR_MOVING))
        or (module._forward_hooks and module is not combiner)
        for module in combiner.modules()
    )


def _same(one: Tensor, other: Tensor) -> bool:
    if one.dtype != other.dtype or one.shape != other.shape or one.device != other.device:
        return False
    if one.is_contiguous() and other.is_contiguous():
        return np.array_equal(_bytes(one), _bytes(other))
    return torch.equal(one, other)


def _bytes(values: Tensor) -> Any:
    """The memory of a contiguous tensor on a CPU, or of a copy; in words where they fit, for these compare faster."""
    plain = values.detach().flatten().view(torch.uint8).numpy()
    return plain.view(np.int64) if plain.nbytes % 8 == 0 else plain


def _close(ours: Tensor, own: Tensor, tolerance: float) -> bool:
    ours, own = ours.double(), own.double()
    return ours.shape == own.shape and bool((ours - own).norm() <= tolerance * own.norm() + _TINY)
