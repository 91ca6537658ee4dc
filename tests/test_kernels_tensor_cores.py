"""float32 by three products of TF32 in a model of tensor cores, which cut sums off: what that loses is given back."""

import pytest
import torch
from decode_problems import LATENT_DIM, exact_logits, random_decoder
from torch import Tensor

from fastpunet_kernels import Decoder, decode_samples

pytest.importorskip("triton")

from helpers.tensor_cores import multiply_as_tensor_cores

from fastpunet_kernels.triton import decode, layers

CPU = torch.device("cpu")
PIXELS, HYPOTHESES = 256, 8


def errors(base: Tensor, decoder: Decoder, z: Tensor, backend: str) -> Tensor:
    logits = decode_samples(base, decoder, z, output="logits", precision="ieee", backend=backend)
    return (logits - exact_logits(base, decoder, z)).abs()


@pytest.mark.parametrize(
    ("widths", "kept"),
    [((16, 16, 16, 1), True), ((32, 32, 32, 1), True), ((64, 64, 64, 1), True), ((40, 16, 3), False)],
)
def test_errors_are_nearly_as_small_as_pytorchs(
    widths: tuple[int, ...], kept: bool, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    if device != CPU:
        pytest.skip("the model is for Triton's interpreter; test_kernels_triton_decode.py has the GPU's own errors")
    multiply_as_tensor_cores(monkeypatch)
    monkeypatch.setattr(decode, "keeps", lambda *_: kept)
    torch.manual_seed(sum(widths))
    base, decoder = torch.randn(1, PIXELS, widths[0]), random_decoder(widths, CPU)
    z = torch.randn(1, HYPOTHESES, LATENT_DIM)
    ours, plain = (errors(base, decoder, z, backend) for backend in ("triton", "reference"))
    assert ours.max() <= 2 * plain.max()
    assert ours.mean() <= 1.5 * plain.mean()
    monkeypatch.setattr(layers, "LOST", 0.0)
    assert errors(base, decoder, z, "triton").mean() > ours.mean()
