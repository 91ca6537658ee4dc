"""Numbers that float32 cannot hold on their way through f_comb are refused, with the name of the part."""

import math

import pytest
import torch
from decode_problems import random_decoder

from fastpunet_kernels import Decoder, Gaussian, decode_samples, decode_sums, why_unavailable

CPU = torch.device("cpu")
BACKENDS = [backend for backend in ("native", "reference") if why_unavailable(backend, CPU) is None]
BAD = (math.nan, math.inf, -math.inf)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def problem() -> tuple[torch.Tensor, Decoder, torch.Tensor]:
    torch.manual_seed(3)
    return torch.randn(2, 70, 9), random_decoder((9, 5, 3), CPU, latent_dim=4), torch.randn(2, 3, 4)


@pytest.mark.parametrize("precision", ["ieee", "bf16"])
@pytest.mark.parametrize("value", BAD)
def test_nan_and_infinity_are_refused_by_name(value: float, precision: str, backend: str) -> None:
    base, decoder, z = problem()
    parts = {
        "base": base,
        "latents": z,
        r"decoder.z_weight": decoder.z_weight,
        r"decoder.weights\[1\]": decoder.weights[1],
        r"decoder.biases\[0\]": decoder.biases[0],
    }
    for name, part in parts.items():
        last = part.flatten()[-1].clone()
        part.flatten()[-1] = value
        with pytest.raises(ValueError, match=f"^{name}: got NaN"):
            decode_samples(base, decoder, z, output="bits", precision=precision, backend=backend)
        with pytest.raises(ValueError, match=f"^{name}: got NaN"):
            decode_sums(base, decoder, z, precision=precision, backend=backend)
        part.flatten()[-1] = last
    decode_samples(base, decoder, z, backend=backend)


def test_a_drawn_latent_that_is_not_finite_is_refused(backend: str) -> None:
    base, decoder, _ = problem()
    mu, sigma, ids = torch.zeros(2, 4), torch.ones(2, 4), torch.arange(2)
    sigma[1, 2] = math.inf
    with pytest.raises(ValueError, match="^latents: got NaN, infinity"):
        decode_samples(base, decoder, Gaussian(mu, sigma, ids, 1, 0, 3), backend=backend)


def test_numbers_that_would_overflow_are_refused(backend: str) -> None:
    base, decoder, z = problem()
    with pytest.raises(ValueError, match="^base: got NaN, infinity or numbers so large"):
        decode_samples(base * 1e37, decoder, z, backend=backend)
    with pytest.raises(ValueError, match="^latents: got NaN, infinity or numbers so large"):
        decode_samples(base, decoder, z * 1e37, backend=backend)
    steep = decoder._replace(weights=[decoder.weights[0] * 1e20, decoder.weights[1] * 1e20])
    with pytest.raises(ValueError, match="^latents: got NaN, infinity or numbers so large"):
        decode_samples(base, steep, z, backend=backend)
    far = decoder._replace(biases=[decoder.biases[0], torch.full((3,), 2e38)])
    with pytest.raises(ValueError, match=r"^decoder: got numbers in weights\[1\] and biases\[1\]"):
        decode_samples(base, far, z, backend=backend)


@pytest.mark.parametrize("place", [0, 5, -1])
def test_a_single_nan_among_the_latents_is_refused_wherever_it_is(backend: str, place: int) -> None:
    base, decoder, z = problem()
    z.view(-1)[place] = math.nan
    with pytest.raises(ValueError, match="^latents: got NaN, infinity or numbers so large"):
        decode_samples(base, decoder, z, backend=backend)


def test_large_numbers_that_do_not_overflow_are_taken(backend: str) -> None:
    base, decoder, z = problem()
    linear = Decoder(torch.zeros(9, 4), [torch.ones(1, 9)], [torch.zeros(1)])
    logits = decode_samples(base.abs() * 1e36, linear, z, output="logits", backend=backend)
    torch.testing.assert_close(logits[:, 0, 0], base.abs().sum(2) * 1e36)
    probs = decode_samples(base * 1e30, decoder, z, output="probs", backend=backend)
    assert probs.isfinite().all()


def test_shapes_that_do_not_fit_are_refused_by_name() -> None:
    base, decoder, z = problem()
    for arguments, message in (
        ((base.double(), decoder, z), r"^base: got float64 \(2, 70, 9\), expected float32"),
        ((base[0], decoder, z), "^base: got"),
        ((base, decoder, z[:1]), r"^latents: got float32 \(1, 3, 4\), expected \(2, n, 4\)"),
        ((base, decoder, z[..., :2]), "^latents: got"),
        ((base[..., :8], decoder, z), r"^decoder.z_weight: got float32 \(9, 4\), expected \(8, latent_dim\)"),
        ((base, decoder._replace(weights=decoder.weights[:1]), z), "^decoder: got 1 weights and 2 biases"),
        ((base, decoder._replace(weights=decoder.weights[::-1]), z), r"^decoder: got weights\[0\]"),
        ((base, Decoder(decoder.z_weight, [torch.ones(257, 9)], [torch.ones(257)]), z), "^decoder: got 257 classes"),
        ((base, decoder, Gaussian(z[:, 0, :3], z[:, 0], torch.arange(2), 1, 0, 3)), "^latents.mu: got"),
    ):
        with pytest.raises(ValueError, match=message):
            decode_samples(*arguments)
