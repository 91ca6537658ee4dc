"""Problems for the Triton kernels, what float64 and plain PyTorch make of them, and how far apart answers may be."""

import math
from itertools import pairwise

import torch
from hypothesis import HealthCheck, settings
from torch import Tensor

from fastpunet_kernels import Decoder, Gaussian, decode_samples, pack_bits, reference, unpack_bits
from fastpunet_kernels.environment import triton_is_interpreted

COMPILED = (
    not triton_is_interpreted()
)  # each variant of a kernel takes seconds: helpers/compiled_variants.py counts them
PRECISIONS = ("ieee", "tf32", "bf16")
LATENT_DIM = 6
MEASURED_PIXELS = 1024  # plain PyTorch's error is a maximum over at least so many pixels, so that it is no accident


def quick(examples: int) -> settings:
    return settings(max_examples=examples, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def random_decoder(widths: tuple[int, ...], device: torch.device, latent_dim: int = LATENT_DIM) -> Decoder:
    """Layers of `widths` units, the classes last, of weights about as large as trained ones."""
    weights = [torch.randn(outs, ins) * (2 / ins) ** 0.5 for ins, outs in pairwise(widths)]
    biases = [torch.randn(outs) / 4 for outs in widths[1:]]
    z_weight = torch.randn(widths[0], latent_dim) / latent_dim**0.5
    return Decoder(z_weight.to(device), [w.to(device) for w in weights], [b.to(device) for b in biases])


def random_gaussian(images: int, n: int, device: torch.device, first: int = 3) -> Gaussian:
    mu, sigma = torch.randn(images, LATENT_DIM), torch.rand(images, LATENT_DIM) + 0.5
    ids = torch.tensor([2**63 - 1, 5, 0])[:images]
    return Gaussian(mu.to(device), sigma.to(device), ids.to(device), 2**63 - 1, first, n)


def exact_normal(seed: int, ids: Tensor, first: int, n: int, dim: int) -> Tensor:
    """`philox_normal` with Box-Muller in float64: float64 (B, n, dim)."""
    shape = (ids.numel(), n, -(-dim // 4))
    hypothesis = torch.arange(first, first + n).view(1, n, 1).expand(shape)
    block = torch.arange(shape[2]).expand(shape)
    image = ids.cpu().view(-1, 1, 1).expand(shape)
    mask = 0xFFFFFFFF
    counter = (hypothesis & mask, block, image & mask, (image >> 32) & mask)
    words = torch.stack(reference.philox_4x32(counter, (seed & mask, (seed >> 32) & mask)), -1)
    return exact_box_muller(words).flatten(-2)[..., :dim]


def exact_box_muller(words: Tensor) -> Tensor:
    """Philox words (..., 4) to normals (..., 4) in float64; the uniforms are float32 by definition."""
    u = (words.float() * 2.0**-32 + 2.0**-33).double()
    radius, angle = (-2 * u[..., 0::2].log()).sqrt(), 2 * math.pi * u[..., 1::2]
    return torch.stack((radius * angle.cos(), radius * angle.sin()), -1).flatten(-2)


def exact_latents(latents: Tensor | Gaussian) -> Tensor:
    """z in float64 (B, n, latent_dim) on the CPU."""
    if isinstance(latents, Tensor):
        return latents.cpu().double()
    noise = exact_normal(latents.seed, latents.ids, latents.first, latents.n, latents.mu.shape[1])
    return latents.mu.cpu().double()[:, None] + latents.sigma.cpu().double()[:, None] * noise


def exact_logits(base: Tensor, decoder: Decoder, latents: Tensor | Gaussian) -> Tensor:
    """Logits in float64 (B, n, K, P) on the CPU."""
    offset = exact_latents(latents) @ decoder.z_weight.cpu().double().T
    hidden = base.cpu().double()[:, None] + offset[:, :, None]
    for weight, bias in zip(decoder.weights, decoder.biases, strict=True):
        hidden = hidden.relu() @ weight.cpu().double().T + bias.cpu().double()
    return hidden.movedim(-1, -2)


def to_probs(logits: Tensor) -> Tensor:
    return logits.sigmoid() if logits.shape[2] == 1 else logits.softmax(2)


def round_to_tf32(x: Tensor) -> Tensor:
    bits = x.view(torch.int32)
    return ((bits + 0xFFF + ((bits >> 13) & 1)) & ~0x1FFF).view(torch.float32)


def plain_logits(base: Tensor, decoder: Decoder, latents: Tensor | Gaussian, precision: str) -> Tensor:
    """What plain PyTorch makes of it, float32 (B, n, K, P).

    Operands are rounded to TF32 by hand: CPUs have none, and on a GPU PyTorch multiplies by a single row in float32.
    """
    if precision != "tf32":
        return decode_samples(base, decoder, latents, output="logits", precision=precision, backend="reference")
    z = exact_latents(latents).float().to(base.device)
    hidden = base[:, None] + (z @ decoder.z_weight.T)[:, :, None]
    for weight, bias in zip(decoder.weights, decoder.biases, strict=True):
        hidden = round_to_tf32(hidden.relu()) @ round_to_tf32(weight).T + bias
    return hidden.movedim(-1, -2)


def check_decode(
    pixels: int,
    widths: tuple[int, ...],
    latents: Tensor | Gaussian,
    precision: str,
    device: torch.device,
    also: tuple[str, ...] = (),
) -> None:
    """One problem: floats at most twice as wrong as PyTorch, decisions wrong only within that.

    also: outputs besides the logits. What becomes of the logits depends on the number of classes alone.
    """
    images = latents.shape[0] if isinstance(latents, Tensor) else latents.mu.shape[0]
    everywhere = torch.randn(images, max(pixels, MEASURED_PIXELS), widths[0]).to(device)
    base, decoder = everywhere[:, :pixels], random_decoder(widths, device)

    def run(output: str) -> Tensor:
        return decode_samples(base, decoder, latents, output=output, precision=precision, backend="triton").cpu()

    exact = exact_logits(everywhere, decoder, latents)
    plain = plain_logits(everywhere, decoder, latents, precision).cpu()
    truth = exact[..., :pixels]
    allowed = 2 * float((plain - exact).abs().max())
    assert (run("logits") - truth).abs().max() <= allowed
    if "probs" in also:
        allowed_probs = 2 * float((to_probs(plain) - to_probs(exact)).abs().max())
        assert (run("probs") - to_probs(truth)).abs().max() <= allowed_probs
    if "labels" in also:
        _check_labels(truth, allowed, run("labels"))
    if "bits" in also:
        words = run("bits")
        planes = unpack_bits(words, pixels)  # (B, n, K, P)
        assert torch.equal(pack_bits(planes), words)  # spare bits are 0
        assert widths[-1] == 1 or (planes.sum(2) == 1).all()
        _check_labels(truth, allowed, planes[:, :, 0].long() if widths[-1] == 1 else planes.long().argmax(2))


def _check_labels(truth: Tensor, allowed: float, labels: Tensor) -> None:
    """Labels (B, n, P) of logits (B, n, K, P) that may be wrong by `allowed`."""
    if truth.shape[2] == 1:
        expected, margin = truth[:, :, 0] > 0, truth[:, :, 0].abs()
    else:
        top = truth.topk(2, dim=2).values
        expected, margin = truth.argmax(2), (top[:, :, 0] - top[:, :, 1]) / 2
    assert (margin[labels != expected] <= allowed).all()
