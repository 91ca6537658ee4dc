"""Decoding with gradients: `decode_logits` against exact arithmetic and finite differences, on every backend."""

from itertools import pairwise, product

import pytest
import torch
from decode_problems import COMPILED
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from torch import library

from fastpunet_kernels import Decoder, decode_logits, decode_samples, dispatch, why_unavailable
from fastpunet_kernels.native import launch

NATIVE = [] if launch.kernels is None else launch.kernels.CAPABILITIES[: launch.capability() + 1]
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
FAST = [*(f"native, {name}" for name in NATIVE), *(["triton"] if why_unavailable("triton", DEVICE) is None else [])]
# Inputs of each layer, and classes: those of Triton are of test_kernels_triton_decode.py, for others are compiled anew.
LAYERS = {
    "native": tuple(product([(16, 16, 16), (32, 32, 32), (64, 64, 64), (24, 40), (32,)], (1, 2, 24))),
    "triton": (((8, 8, 8), 3), ((32, 32), 24), ((32, 32, 32), 1), ((16, 48, 24, 32), 3)),
}
few_examples = settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)


@pytest.fixture(params=FAST)
def backend(request, monkeypatch):
    """Every backend but the reference; the native one with every instruction set that this processor has."""
    name, _, capability = request.param.partition(", ")
    if capability:
        monkeypatch.setattr(launch, "capability", lambda: NATIVE.index(capability))
    return name


def case(pixels=37, widths=(8, 8, 8), latent_dim=3, classes=3, images=2, n=5, seed=0, dtype=torch.float32):
    """base, decoder and z of random numbers, whose gradients are wanted; `widths` are the inputs of each layer."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(shape, generator=generator).to(dtype).requires_grad_()

    sizes = [*widths, classes]
    weights = [(normal(o, i) / i**0.5).detach().requires_grad_() for i, o in pairwise(sizes)]
    decoder = Decoder(normal(widths[0], latent_dim), weights, [normal(o) for o in sizes[1:]])
    return normal(images, pixels, widths[0]), decoder, normal(images, n, latent_dim)


def decoded(problem, backend, dtype=torch.float32):
    """Logits of a problem on the backend's device, and in another dtype."""
    device = DEVICE if backend == "triton" else torch.device("cpu")
    base, (z_weight, weights, biases), z = problem
    moved = Decoder(z_weight.to(device), [w.to(device) for w in weights], [b.to(device) for b in biases])
    return decode_logits(base.to(device, dtype), moved.to(dtype), z.to(device, dtype), backend=backend).to("cpu")


def gradients(problem, backend, dtype=torch.float32):
    """Of a sum of the logits, weighted at random: by name."""
    base, decoder, z = problem
    parts = {"base": base, "z": z, "z_weight": decoder.z_weight}
    parts |= {f"weights[{i}]": weight for i, weight in enumerate(decoder.weights)}
    parts |= {f"biases[{i}]": bias for i, bias in enumerate(decoder.biases)}
    logits = decoded(problem, backend, dtype)
    weight = torch.randn(logits.shape, generator=torch.Generator().manual_seed(1)).to(dtype)
    return dict(zip(parts, torch.autograd.grad((logits * weight).sum(), list(parts.values())), strict=True))


def exact_gradients(problem):
    def exact(part):
        return part.detach().double().requires_grad_()

    base, (z_weight, weights, biases), z = problem
    doubled = Decoder(exact(z_weight), [*map(exact, weights)], [*map(exact, biases)])
    return gradients((exact(base), doubled, exact(z)), "reference", torch.float64)


@torch.no_grad()
def distance_to_a_kink(problem):
    """The least size of what any ReLU takes: closer to 0, rounding decides whether there is a gradient."""
    base, (z_weight, weights, biases), z = problem
    hidden = base.double()[:, None] + (z.double() @ z_weight.double().T)[:, :, None]
    least = hidden.abs().min()
    for weight, bias in zip(weights[:-1], biases[:-1], strict=True):
        hidden = hidden.relu() @ weight.double().T + bias.double()
        least = torch.minimum(least, hidden.abs().min())
    return least


@pytest.mark.parametrize(("widths", "classes"), LAYERS["triton"][:2])
def test_its_logits_are_those_of_decode_samples(backend, widths, classes):
    problem = case(widths=widths, classes=classes)
    expected = decode_samples(*problem, output="logits", backend="reference")
    for name in (backend, "reference"):
        logits = decoded(problem, name)
        assert logits.requires_grad
        torch.testing.assert_close(logits, expected)


@pytest.mark.parametrize("widths", [(4,), (5, 3), (4, 4, 4)])
def test_the_references_gradients_are_finite_differences(widths):
    base, decoder, z = case(3, widths, 2, classes=2, n=2, dtype=torch.float64)
    layers = len(widths)

    def flat(base, z_weight, z, *parts):
        return decode_logits(base, Decoder(z_weight, list(parts[:layers]), list(parts[layers:])), z)

    assert torch.autograd.gradcheck(flat, (base, decoder.z_weight, z, *decoder.weights, *decoder.biases))


@pytest.mark.parametrize(
    ("backend", "widths", "classes"),
    [(name, *layers) for name in FAST for layers in LAYERS[name.partition(", ")[0]]],
    indirect=["backend"],
)
def test_errors_are_at_most_twice_those_of_autograd(backend, widths, classes):
    # Several tiles for Triton too, whose interpreter is slow.
    pixels, images, n = (50, 1, 4) if backend == "triton" else (300, 2, 9)
    problem = case(pixels, widths, 6, classes, images, n)
    exact, plain, ours = exact_gradients(problem), gradients(problem, "reference"), gradients(problem, backend)
    for name, expected in exact.items():
        error, allowed = (ours[name] - expected).norm(), 2 * (plain[name] - expected).norm()
        assert ours[name].shape == expected.shape
        assert error <= allowed + 1e-7 * expected.norm(), name


@few_examples
@given(
    pixels=st.integers(1, 130),
    widths=st.lists(st.integers(1, 70), min_size=1, max_size=4),
    classes=st.integers(1, 20),
    images=st.integers(1, 3),
    n=st.integers(1, 9),
)
def test_gradients_are_autograds_for_any_size(backend, pixels, widths, classes, images, n):
    if backend == "triton":  # whose interpreter is slow
        pixels, images, n = pixels % 36 + 1, 1, 2
        widths, classes = LAYERS["triton"][pixels % 4] if COMPILED else (widths, classes)
    problem = case(pixels, widths, 2, classes, images, n, seed=pixels)
    assume(distance_to_a_kink(problem) > 2e-6)
    expected, ours = exact_gradients(problem), gradients(problem, backend)
    for name in expected:
        scale = float(expected[name].abs().max())
        torch.testing.assert_close(ours[name].double(), expected[name], rtol=1e-4, atol=1e-5 * scale + 1e-6)


def test_many_parts_and_threads_change_no_bit(backend, monkeypatch):
    problem = case(70, n=5) if backend == "triton" else case(1000, (16, 16), n=40)
    found = []
    for threads in (1, 2, 3):
        monkeypatch.setattr(torch, "get_num_threads", lambda threads=threads: threads)
        found.append(gradients(problem, backend))
    monkeypatch.undo()
    exact = exact_gradients(problem)
    for name, expected in exact.items():
        assert torch.equal(found[0][name], found[1][name])
        assert torch.equal(found[0][name], found[2][name])
        torch.testing.assert_close(
            found[0][name].double(), expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max())
        )


def test_of_strided_arguments_and_an_expanded_gradient(backend):
    base, decoder, z = case(20, latent_dim=4)
    wide = torch.randn(8, 12, requires_grad=True)
    strided = base.movedim(1, 2).contiguous().movedim(1, 2), decoder._replace(z_weight=wide[:, 8:]), z
    ours, expected = (
        torch.autograd.grad(decoded(strided, name).mean(), [wide, base]) for name in (backend, "reference")
    )
    torch.testing.assert_close(ours, expected)
    assert not ours[0][:, :8].any()


def test_activations_are_not_kept(backend):
    """What autograd keeps between forward and backward pass is the arguments, however many hypotheses there are."""
    base, decoder, z = problem = case(64, (8, 8, 8), images=1, n=50)
    kept = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: kept.append(t) or t, lambda t: t):
        decoded(problem, backend)
    arguments = (base, decoder.z_weight, *decoder.weights, *decoder.biases, z)
    assert sorted(part.shape for part in kept) == sorted(part.shape for part in arguments)


def test_it_is_an_operator_of_pytorch(backend):
    if backend == "triton" and DEVICE.type == "cpu":
        pytest.skip("Triton's interpreter runs no tensors without values")
    base, (z_weight, weights, biases), z = case(9, n=3)

    def leaf(part):
        return part.detach().to(DEVICE if backend == "triton" else "cpu").requires_grad_()

    parts = (leaf(base), leaf(z_weight), [*map(leaf, weights)], [*map(leaf, biases)], leaf(z))
    library.opcheck(dispatch._decode_logits, (*parts, backend))


@pytest.mark.parametrize("name", ["reference", *dict.fromkeys(fast.partition(", ")[0] for fast in FAST)])
def test_nan_stays_nan(name):
    problem = case()
    with torch.no_grad():
        problem[0][0, 3] = float("nan")
    logits = decoded(problem, name)
    assert logits[0, :, :, 3].isnan().all()
    assert logits.isnan().sum() == logits[0, :, :, 3].numel()


def test_no_hypotheses_have_gradients_of_zero(backend):
    problem = case(n=0)
    assert not any(part.any() for part in gradients(problem, backend).values())


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


@pytest.mark.skipif(not NATIVE, reason=f"native kernels: {launch.WHY_MISSING}")
def test_float64_is_the_references_alone():
    base, decoder, z = case(dtype=torch.float64)
    with pytest.raises(ValueError, match="backend: got 'native' for float64"):
        decode_logits(base, decoder, z, backend="native")
    assert decode_logits(base, decoder, z).dtype == torch.float64
