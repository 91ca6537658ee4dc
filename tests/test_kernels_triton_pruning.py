"""Pruned decoding by the Triton kernels is their dense decoding, bit for bit; on a GPU, or in Triton's interpreter."""

from typing import Any

import numpy as np
import pytest
import torch
from decode_problems import COMPILED, LATENT_DIM, random_decoder, random_gaussian
from torch import Tensor

from fastpunet.waits import RefuseWaits
from fastpunet_kernels import Decoder, Gaussian, decode_samples
from fastpunet_kernels.problem import empty_output

pytest.importorskip("triton")

from triton.runtime import interpreter

from fastpunet_kernels.triton import decode, groups, pruning

BINARY = (32, 32, 32, 1)


@pytest.fixture(autouse=True)
def _several_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "FEWEST", 16)
    monkeypatch.setattr(pruning, "FEWEST", 16)


def problem(
    device: torch.device, widths: tuple[int, ...] = BINARY, pixels: int = 70, n: int = 70, images: int = 1
) -> tuple[Tensor, Decoder, Tensor]:
    """base, decoder and z of hypotheses so alike that bounds prove some labels."""
    torch.manual_seed(len(widths))
    base, z = torch.randn(images, pixels, widths[0]), torch.randn(images, n, LATENT_DIM) / 4 + 1
    return base.to(device), random_decoder(widths, device), z.to(device)


def both(
    base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, output: str, precision: str
) -> tuple[Tensor, Tensor]:
    """What the kernel makes that decodes everything, and what bounds and the decoder of the rest make."""
    n = latents.n if isinstance(latents, Gaussian) else latents.shape[1]
    dense, pruned = (empty_output(base, n, 1, output).fill_(77) for _ in range(2))
    decode.launch_decode(base, decoder, latents, dense, output, precision)
    return dense, pruning.launch_pruned(base, decoder, latents, pruned, output, precision)


@pytest.mark.parametrize(
    ("output", "precision"), [("labels", "ieee"), ("bits", "bf16"), *([] if COMPILED else [("bits", "tf32")])]
)
def test_pruned_decoding_is_dense_decoding(output: str, precision: str, device: torch.device) -> None:
    dense, pruned = both(*problem(device), output, precision)
    assert torch.equal(pruned, dense)


@pytest.mark.parametrize(
    ("widths", "pixels", "n", "images"),
    [((16, 1), 1, 33, 2), *([] if COMPILED else [((64, 64, 1), 40, 20, 1), ((100, 100, 1), 33, 16, 1)])],
)
def test_pruned_labels_of_other_layers_and_sizes(
    widths: tuple[int, ...], pixels: int, n: int, images: int, device: torch.device
) -> None:
    dense, pruned = both(*problem(device, widths, pixels, n, images), "labels", "ieee")
    assert torch.equal(pruned, dense)


def test_latents_that_are_drawn_and_strided_tensors(device: torch.device) -> None:
    base, decoder, _ = problem(device, (16, 1), images=2)
    across = torch.empty_like(base.mT).copy_(base.mT).mT  # its pixels lie side by side
    latents = random_gaussian(2, 40, device)
    dense, _ = both(base, decoder, latents, "labels", "ieee")
    around = torch.full((2, 50, 70), 77, dtype=torch.uint8, device=device)
    pruning.launch_pruned(across, decoder, latents, around[:, 5:45], "labels", "ieee")
    assert torch.equal(around[:, 5:45], dense)
    assert (around[:, :5] == 77).all()
    assert (around[:, 45:] == 77).all()


@pytest.mark.quick
def test_bounds_prove_labels_and_the_rest_is_listed(device: torch.device) -> None:
    base, decoder, z = problem(device, (16, 1), pixels=100, n=64)
    dense = decode.launch_decode(base, decoder, z, empty_output(base, 64, 1, "labels"), "labels", "ieee")
    out = empty_output(base, 64, 1, "labels")
    (order, _, _), counts, listed = pruning.launch_bounds(base, decoder, z, out, "labels", "ieee")
    assert order.shape == (1, 4, 16)
    assert 0 < counts.sum() < 300  # of 400
    for members, count, pixels in zip(order[0], counts[0], listed[0], strict=True):
        still_open = pixels[:count].long()
        assert len(still_open.unique()) == count
        assert not out[0, members.long()][:, still_open].any()
        proved = torch.ones(100, dtype=torch.bool, device=device)
        proved[still_open] = False
        assert torch.equal(out[0, members.long()][:, proved], dense[0, members.long()][:, proved])


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 3e38])
def test_what_is_no_number_or_overflows_is_decoded(value: float, device: torch.device) -> None:
    base, decoder, z = problem(device, (16, 1), pixels=40, n=32)
    base[0, ::5, 3] = value
    z[0, 7, 2] = value
    dense, pruned = both(base, decoder, z, "labels", "ieee")
    assert torch.equal(pruned, dense)
    decoder.weights[0][0, 3] = value
    dense, pruned = both(base, decoder, z, "labels", "ieee")
    assert torch.equal(pruned, dense)


def test_a_logit_of_exactly_zero_is_label_0(device: torch.device) -> None:
    base, z = torch.zeros(1, 40, 16, device=device), torch.zeros(1, 32, 1, device=device)
    weight = torch.tensor([1.0, -1.0] * 8, device=device)[None]
    decoder = Decoder(torch.ones(16, 1, device=device), [weight], [torch.zeros(1, device=device)])
    dense, pruned = both(base, decoder, z, "labels", "ieee")
    assert not dense.any()
    assert not pruned.any()


@pytest.mark.skipif(torch.cuda.is_available(), reason="it rounds in Triton's interpreter")
def test_a_margin_covers_products_that_are_rounded_in_another_way(
    monkeypatch: pytest.MonkeyPatch, device: torch.device
) -> None:
    """Products err by up to 2^-20 of their terms' magnitudes, more than those of tensor cores, as if by chance."""

    def create_dot(_: Any, a: Any, b: Any, d: Any, *__: Any) -> Any:
        left, right = (part.data.astype(np.float64) for part in (a, b))
        exact = (left @ right).astype(np.float32)
        chance = exact.view(np.uint32) * np.uint32(2654435761) / 2.0**31 - 1
        error = 2.0**-20 * chance * (np.abs(left) @ np.abs(right))
        return interpreter.TensorHandle((exact + error + d.data).astype(np.float32), d.dtype.scalar)

    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)
    base, decoder, z = problem(device, (16, 16, 1), pixels=120, n=16)
    base, z = base[:, :1] + torch.randn(1, 120, 16) * 1e-6, z[:, :1].expand(-1, 16, -1)
    logits = decode_samples(base, decoder, z, output="logits", backend="reference")
    decoder.biases[1][0] -= logits.mean()  # now all are close to 0
    dense, pruned = both(base, decoder, z, "labels", "ieee")
    assert torch.equal(pruned, dense)
    monkeypatch.setattr(pruning, "margin", lambda _: 0.0)
    dense, pruned = both(base, decoder, z, "labels", "ieee")
    assert not torch.equal(pruned, dense)


@pytest.mark.quick
def test_groups_are_of_similar_hypotheses_and_hold_each_one_once() -> None:
    offsets = torch.tensor([5.0, 1, 4, 0, 3, 2]).repeat_interleave(16)[:90, None] * torch.tensor([1.0, 2])
    order, grouped, boxes = groups.similar_groups(offsets[None], columns=8)
    assert order.shape == (1, 4, 24)
    assert order.flatten().sort().values.tolist() == list(range(96))
    assert torch.equal(grouped[0].flatten(0, 1), offsets[order.flatten().clamp(max=89).long()])
    assert torch.equal(boxes[:, :, 0], grouped.amin(2))
    assert torch.equal(boxes[:, :, 1], grouped.amax(2))
    assert (boxes[0, :, 1, 0] - boxes[0, :, 0, 0]).max() <= 2  # of values from 0 to 5


@pytest.mark.quick
def test_the_host_never_waits_for_groups() -> None:
    with RefuseWaits(torch.device("meta")):
        found = groups.similar_groups(torch.empty(2, 1000, 32, device="meta"), columns=8)
    assert found.boxes.shape == (2, 32, 2, 32)


@pytest.mark.quick
def test_pruning_is_asked_for(monkeypatch: pytest.MonkeyPatch, device: torch.device) -> None:
    base, decoder, z = problem(device, (16, 1), pixels=33, n=32)
    calls: list[str] = []
    monkeypatch.setattr(pruning, "launch_open", lambda *_: calls.append("pruned"))
    for chosen, expected in (("auto", []), ("off", []), ("gpu", ["pruned"])):
        monkeypatch.setenv("FASTPUNET_PRUNING", chosen)
        decode_samples(base, decoder, z, output="labels", backend="triton")
        assert calls == expected
    for output, given in (("logits", z), ("bits", z[:, :31])):
        decode_samples(base, decoder, given, output=output, backend="triton")
    assert len(calls) == 1
