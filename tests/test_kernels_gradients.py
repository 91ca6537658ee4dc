"""Decoding with gradients: `decode_logits` against exact arithmetic and finite differences."""

from itertools import pairwise

import pytest
import torch

from fastpunet_kernels import Decoder, decode_logits, decode_samples


def case(pixels=37, widths=(8, 8, 8), latent_dim=3, classes=1, images=2, n=5, seed=0, dtype=torch.float32):
    """base, decoder and z of random numbers, whose gradients are wanted; `widths` are the inputs of each layer."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator).to(dtype).requires_grad_()

    sizes = [*widths, classes]
    weights, biases = [normal(o, i) for i, o in pairwise(sizes)], [normal(o) for o in sizes[1:]]
    decoder = Decoder(normal(widths[0], latent_dim), weights, biases)
    return normal(images, pixels, widths[0]), decoder, normal(images, n, latent_dim)


def leaves_of(base, decoder, z):
    return [base, decoder.z_weight, *decoder.weights, *decoder.biases, z]


@pytest.mark.parametrize("classes", [1, 3])
def test_its_logits_are_those_of_decode_samples(classes):
    base, decoder, z = case(classes=classes)
    logits = decode_logits(base, decoder, z)
    assert logits.requires_grad
    torch.testing.assert_close(logits, decode_samples(base, decoder, z, output="logits", backend="reference"))


@pytest.mark.parametrize("widths", [(4,), (5, 3), (4, 4, 4)])
def test_its_gradients_are_finite_differences(widths):
    base, decoder, z = case(3, widths, 2, classes=2, n=2, dtype=torch.float64)
    layers = len(widths)

    def flat(base, z_weight, z, *parts):
        return decode_logits(base, Decoder(z_weight, list(parts[:layers]), list(parts[layers:])), z)

    assert torch.autograd.gradcheck(flat, (base, decoder.z_weight, z, *decoder.weights, *decoder.biases))


def test_nan_stays_nan():
    base, decoder, z = case()
    with torch.no_grad():
        base[0, 3] = float("nan")
    logits = decode_logits(base, decoder, z)
    assert logits[0, :, :, 3].isnan().all()
    assert logits.isnan().sum() == logits[0, :, :, 3].numel()


def test_arguments_that_do_not_fit_are_named():
    base, decoder, z = case()
    with pytest.raises(ValueError, match="base: got float16 .*expected float32 or float64 of shape"):
        decode_logits(base.half(), decoder, z)
    with pytest.raises(ValueError, match=r"decoder.z_weight: got float32, expected float64, the dtype of base"):
        decode_logits(base.double(), decoder, z.double())
    with pytest.raises(ValueError, match=r"z: got float64, expected float32, the dtype of base"):
        decode_logits(base, decoder, z.double())
    mixed = decoder._replace(biases=[bias.double() for bias in decoder.biases])
    with pytest.raises(ValueError, match=r"decoder.biases\[0\]: got float64, expected float32, the dtype of base"):
        decode_logits(base, mixed, z)
    with pytest.raises(ValueError, match=r"latents: got float32 \(2, 5, 2\), expected \(2, n, 3\)"):
        decode_logits(base, decoder, z[..., :2])
