"""The forward pass that takes the place of a combiner's own: by kernels, and ahead of the calls where that is possible.

It is a function of features, latents and the combiner's state, so what was computed before is right whenever all three
have the same values. They are compared by their values at each call: no counter or identity tells every way to change
them.
"""

from __future__ import annotations

import weakref
from contextlib import suppress
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from fastpunet.acceleration.comparable import memory_of
from fastpunet.acceleration.foresight import Foresight, foresee, key_of
from fastpunet.acceleration.states import State
from fastpunet.models.combiner_comparison import ACTIVATIONS, Verified
from fastpunet.models.fcomb import flatten_combiner
from fastpunet.models.twin import evaluation_twin
from fastpunet.models.verification import verify
from fastpunet_kernels import Decoder, automatic_precision, decode_samples, fixed_precision

_RANDOM_OR_MOVING = (nn.modules.batchnorm._BatchNorm, nn.modules.dropout._DropoutNd)
_AHEAD_BYTES, _AHEAD = 1 << 24, 64  # at most so much memory, and so many latents, are decoded ahead
_TINY = 1e-30  # saturated probabilities round away
Form = tuple[tuple[torch.Size, torch.dtype, torch.device], ...]  # of both arguments, in their order


class Verdict:
    """Whether the kernels agree with a combiner's own forward pass in one state of it, for each form of arguments."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.verified: dict[Form, Verified | None] = {}


class Prepared(NamedTuple):
    """What the calls for the same features and state share, and what it was computed from."""

    features: Tensor
    verdict: Verdict
    options: tuple[str, Form]  # the precision, and the form of the arguments
    base: Tensor
    decoder: Decoder

    def fits(self, features: Tensor, verdict: Verdict, options: tuple[str, Form]) -> bool:
        return self.verdict is verdict and self.options == options and _same(self.features, features)


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
    if torch.is_autocast_enabled(features.device.type):  # which decides the type of each layer's result
        return own()
    if features.ndim < 4 or z.numel() != len(z) * z[0].numel() or len(z) != len(features) or z.shape[2:].numel() != 1:
        return own()
    verdict = memory.verdict
    if verdict is None or not verdict.state.holds():
        verdict = _judged_anew(combiner)
    if verdict is None:
        return own()
    z, form = z.flatten(1), tuple((value.shape, value.dtype, value.device) for value in args)
    if form in verdict.verified:
        verified = verdict.verified[form]
        return own() if verified is None else _decode(combiner, memory, verdict, verified, features, z, form)
    result = own()
    if isinstance(result, Tensor) and torch.isfinite(result).all() and verdict.state.holds():
        verified = _compare(combiner, verdict, features, z, form, result)
        if verdict.state.holds():  # neither the combiner itself nor another thread has changed it meanwhile
            verdict.verified[form] = verified
            memory.verdict = verdict
    return result


def _judged_anew(combiner: nn.Module) -> Verdict | None:
    """A verdict for the combiner's state, without any form as yet; None if only its own forward pass can be right."""
    if _runs_itself(combiner):
        return None
    try:
        return Verdict(State(combiner))
    except (TypeError, ValueError, RuntimeError):  # an attribute that cannot be compared
        return None


def _compare(
    combiner: nn.Module, verdict: Verdict, features: Tensor, z: Tensor, form: Form, result: Tensor
) -> Verified | None:
    """The kernels' form of the combiner, if it gives what the combiner itself has given."""
    verified = None
    with suppress(ValueError):  # whatever is wrong, the combiner itself gives what it gives
        verified = verify(_alone(combiner), features.float(), z.shape[1])
    if verified is None:
        return None
    ours = _decode(combiner, Memory(), verdict, verified, features, z, form)
    exact = result.dtype in (torch.float32, torch.float64) and automatic_precision(features.device) == "ieee"
    return verified if _close(ours, result, 1e-3 if exact else 5e-2) else None


def _alone(combiner: nn.Module) -> nn.Module:
    """Its twin with its own forward pass, without what was put around it, which would ask for a verdict in turn."""
    twin = evaluation_twin(combiner)
    vars(twin).pop("forward", None)
    twin._forward_pre_hooks.clear()
    twin._forward_hooks.clear()
    return twin


def _decode(
    combiner: nn.Module,
    memory: Memory,
    verdict: Verdict,
    verified: Verified,
    features: Tensor,
    z: Tensor,
    form: Form,
) -> Tensor:
    options = (automatic_precision(features.device), form)
    if not features.is_cpu:  # comparing values would make the host wait
        return _outputs(_prepare(combiner, verdict, verified, features, z, options), verified, z[:, None])[0]
    key, ahead = key_of(z), memory.ahead
    if ahead is not None and not ahead.prepared.fits(features, verdict, options):
        ahead = None
    if ahead is not None and key in ahead.rows:
        return ahead.rows[key].clone()
    if ahead is None:
        prepared = _prepare(combiner, verdict, verified, features.detach().clone(), z, options)
    else:
        prepared = ahead.prepared
    model = None if memory.model is None else memory.model()
    bytes_each = 4 * prepared.base.shape[:2].numel() * len(prepared.decoder.biases[-1])
    most = min(_AHEAD, _AHEAD_BYTES // bytes_each)
    foresight = foresee(model, z, key, None if ahead is None else ahead.foresight, most)
    latents = [z] if foresight is None else [z, *foresight.latents]
    outputs = _outputs(prepared, verified, torch.stack(latents, dim=1))
    if verdict.state.holds() and prepared.fits(
        features, verdict, options
    ):  # no other thread has changed them meanwhile
        memory.ahead = Ahead(prepared, dict(zip(map(key_of, latents), outputs, strict=True)), foresight)
    return outputs[0].clone()


def _prepare(
    combiner: nn.Module, verdict: Verdict, verified: Verified, features: Tensor, z: Tensor, options: tuple[str, Form]
) -> Prepared:
    split = flatten_combiner(combiner, z.shape[1], latents_first=verified.latents_first)
    with fixed_precision(options[0], features.device):
        base = split.base(features.float())
    return Prepared(features, verdict, options, base, split.decoder)


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
        return np.array_equal(memory_of(one), memory_of(other))
    return torch.equal(one, other)


def _close(ours: Tensor, own: Tensor, tolerance: float) -> bool:
    ours, own = ours.double(), own.double()
    return ours.shape == own.shape and bool((ours - own).norm() <= tolerance * own.norm() + _TINY)
