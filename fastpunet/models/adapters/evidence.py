"""Compares what a model's own code does around its prior and its combiner with what is done in its place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from fastpunet.models.adapters.observing import LatentsOfModel, Memory, Network, Pass, results_of
from fastpunet.models.adapters.prior_forms import describe, find_distribution
from fastpunet.models.sampled_prior import PrivateRandomness, draw_once
from fastpunet.warning import warn

_ADVICE = "say what to draw with fastpunet.adapt(model, encode=..., combiner=...)"

_AT_FIRST = 9  # draws that are compared when a model's own code is seen for the first time


def draws_otherwise(done: Pass, own: LatentsOfModel, memory: Memory) -> bool:
    """Whether the model's own code hands latents to its combiner that are neither a draw nor the mean of its prior.

    The draw of key 0, which was observed, is compared in each pass. In the first pass eight more are, and in each later
    pass one more that has not been compared before. Once one differs, that code draws from then on. If it hands over
    the same latents each time, those of the prior are drawn, and a UserWarning says so once. A call with latents that
    are no draw is not what `memory.seen` keeps.
    """
    if memory.draws_own:
        return True
    z = _flat(own.of(done))
    with suppress(TypeError):
        prior = find_distribution(done.prior)
        with suppress(Exception):  # not every distribution has a mean
            if _close(prior.mean, z):
                memory.seen = None  # it may be near 0, where nothing shows what the combiner does to latents
                return False
        for times in {1, done.times}:  # code that draws several hypotheses is known by the last of them
            if _close(draw_once(prior, 0, times=times), z):
                first = max(1, memory.draws_compared)
                keys = range(first, max(first + 1, _AT_FIRST))
                same = all(_close(draw_once(prior, key, times=times), draw_once(own, key)) for key in keys)
                memory.draws_own, memory.draws_compared = not same, keys.stop
                return memory.draws_own
    if not torch.equal(draw_once(own, 1), draw_once(own, 2)):
        memory.draws_own = True
        return True
    memory.seen = None
    if not memory.told_latents:
        memory.told_latents = True
        warn(
            "the model's own code gives its combiner the same latents in every call, and they are not the mean of its "
            f"prior; fastpunet draws latents from the prior instead; if that is wrong, {_ADVICE}"
        )
    return False


def check_result(done: Pass, network: Network) -> None:
    """Raise TypeError if what the model returns is not what its combiner gave, or probabilities or labels of that.

    That is known if something was returned by `sample`, or by another pass that called the combiner once. Labels of one
    class alone prove nothing; the model's own code then runs again with random numbers in place of its logits. It may
    edit logits in place, but not what it has given to its combiner: that is a TypeError too.
    """
    if done.edited_later:
        raise TypeError(
            "model: its own code edits features or latents in place after its combiner was called with them, so that "
            f"its next hypothesis has other ones; {_ADVICE}"
        )
    logits = done.output
    if not isinstance(logits, Tensor) or logits.ndim < 4 or (done.times != 1 and not done.samples):
        return
    passes = [(done.result, logits)]
    labels = _labels(logits)
    if done.result is not None and bool((labels == labels.flatten()[0]).all()):
        with PrivateRandomness(0):
            others = 3 * torch.randn_like(logits)
        passes.append((results_of(done, network, others.clone()), others))
    for result, given in passes:
        values = list(_tensors(result))
        if values and not any(_same(value, given) for value in values):
            raise TypeError(
                f"model: its own code returns {describe(done.result)}, which is neither the last output of its "
                f"combiner ({describe(logits)}, {done.times} calls), nor the probabilities or labels of that; {_ADVICE}"
            )


def _close(expected: Tensor, z: Tensor) -> bool:
    return expected.numel() == z.numel() and torch.allclose(_flat(expected), z, 1e-3, 1e-5)


def _labels(logits: Tensor) -> Tensor:
    """The labels (B, 1, *size) of logits (B, K, *size)."""
    return logits > 0 if logits.shape[1] == 1 else logits.argmax(1, keepdim=True)


def _same(value: Tensor, logits: Tensor) -> bool:
    """Whether a value is logits (B, K, *size), or probabilities or labels of these."""
    value = _flat(value)
    return any(
        form.numel() == value.numel() and torch.allclose(value, _flat(form), 1e-4, 1e-5, equal_nan=True)
        for form in _forms(logits)
    )


def _forms(logits: Tensor) -> Iterator[Tensor]:
    yield logits
    yield logits.sigmoid()
    if logits.shape[1] > 1:
        yield logits.softmax(1)
        yield logits.log_softmax(1)
    yield _labels(logits)


def _flat(values: Tensor) -> Tensor:
    return values.detach().flatten().float()


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for entry in value.values():
            yield from _tensors(entry)
    elif isinstance(value, (tuple, list)):
        for entry in value:
            yield from _tensors(entry)
