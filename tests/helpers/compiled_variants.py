"""A plugin of pytest for a machine without a GPU: the variants of Triton's kernels that the tests would compile on one.

Kernels are launched as on a Hopper and compute nothing. What they should have computed is the reference's, so that a
test goes its whole way and makes every launch. `TRITON_INTERPRET` must be 0. The summary has a line for every test that
needs variants that no test before it needs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from fastpunet import Sampler
from fastpunet_kernels import backends, dispatch, reference
from fastpunet_kernels.problem import Decoder, Gaussian, Maps
from fastpunet_kernels.triton import decode, pruning
from helpers.hopper import Variant, note_variants

VARIANTS: set[Variant] = set()
NEW: dict[str, Counter[str]] = {}  # of each test, by kernel


def as_the_reference(backend: str, op: str) -> Callable[..., Any]:
    """What `backends.implementation` returns, but that the results of Triton's are those of the reference."""
    function = backends.implementation(backend, op)
    if backend != "triton":
        return function
    plain = gradients if op == "decode_logits_gradients" else backends.implementation("reference", op)

    def launch(*arguments: Any) -> Any:
        function(*arguments)
        return plain(*map(contiguous, arguments))

    return launch


def contiguous(argument: Any) -> Any:
    """As the kernels see it: their results do not depend on strides, and those of PyTorch's products do."""
    if isinstance(argument, list):
        return [part.contiguous() if isinstance(part, Tensor) else part for part in argument]
    return argument.contiguous() if isinstance(argument, Tensor) else argument


def gradients(*arguments: Any) -> list[Tensor]:
    """Those of autograd, which is off within an operator of PyTorch, but not in other threads."""
    return ThreadPoolExecutor(1).submit(autograd, *arguments).result()


def autograd(
    gradient: Tensor, base: Tensor, z_weight: Tensor, weights: list[Tensor], biases: list[Tensor], z: Tensor
) -> list[Tensor]:
    parts = [part.detach().requires_grad_() for part in (base, z_weight, *weights, *biases, z)]
    base, z_weight, *layers, z = parts
    logits = reference.decode_logits(base, z_weight, layers[: len(weights)], layers[len(weights) :], z)
    return list(torch.autograd.grad(logits, parts, gradient))


def with_the_references_output(launch: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """`launch_decode` or `launch_pruned`, which some tests call themselves."""

    def decoded(
        base: Tensor,
        decoder: Decoder,
        latents: Tensor | Gaussian,
        out: Tensor,
        output: str,
        precision: str,
        *rest: Any,
        **maps: Maps,
    ) -> Tensor:
        launch(base, decoder, latents, out, output, precision, *rest, **maps)
        plain, given = (
            (reference.decode_gaussian, latents)
            if isinstance(latents, Gaussian)
            else (reference.decode_maps, (latents, *maps["maps"]))
            if maps
            else (reference.decode_latents, (latents,))
        )
        return out.copy_(plain(base.contiguous(), *decoder, *given, output, precision))

    return decoded


def sampler_of_any_precision(sampler: Sampler, model: torch.nn.Module, *, precision: str) -> None:
    new_sampler(sampler, model)
    sampler._precision = precision


new_sampler = Sampler.__init__


def pytest_configure() -> None:
    """Only where this is a plugin: whoever merely imports it is left alone."""
    note_variants(VARIANTS)
    dispatch.implementation = as_the_reference
    decode.launch_decode = with_the_references_output(decode.launch_decode)
    pruning.launch_pruned = with_the_references_output(pruning.launch_pruned)
    backends._why_no_triton = lambda _: None
    reference.check_limits = lambda *_: None  # values are not checked on a GPU


@pytest.fixture(autouse=True)
def _as_on_a_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests marked gpu run, with a stand-in for CUDA graphs, in TF32 too, and decode with Triton by default."""
    if request.node.get_closest_marker("gpu"):
        request.getfixturevalue("captures")
        monkeypatch.setattr(Sampler, "__init__", sampler_of_any_precision)
        monkeypatch.setattr(dispatch, "select_backend", lambda backend, _: "triton" if backend == "auto" else backend)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        item.own_markers = [mark for mark in item.own_markers if mark.name != "skip"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    before = set(VARIANTS)
    yield
    NEW[item.nodeid] = Counter(name for name, _ in VARIANTS - before)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for test, new in NEW.items():
        if new:
            terminalreporter.write_line(f"{test}: {', '.join(f'{count} {name}' for name, count in new.items())}")
    kernels = Counter(name for name, _ in VARIANTS)
    terminalreporter.write_line(f"{len(VARIANTS)} variants of {len(kernels)} kernels: {dict(kernels)}")
