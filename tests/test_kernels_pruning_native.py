"""Pruned decoding by the compiled kernels: every bit is the dense kernels', and bounds are used where they pay."""

import pytest
import torch

import fastpunet_kernels as ops
from fastpunet_kernels import Decoder, pruning
from fastpunet_kernels.native import launch

if launch.kernels is None:
    pytest.skip(f"native kernels: {launch.WHY_MISSING}", allow_module_level=True)

from fuzz_pruning import Problem, decoded, differences, random_problem

CAPABILITIES = range(launch.capability() + 1)
HAS_BOUNDS = [(capability, "ieee") for capability in CAPABILITIES] + [
    (capability, "bf16") for capability in CAPABILITIES if launch.kernels.CAPABILITIES[capability] == "avx512_bf16"
]


def easy(pixels=4133, n=300, spread=0.02, images=1):
    """A problem in which similar hypotheses agree nearly everywhere."""
    generator = torch.Generator().manual_seed(0)
    weights = [torch.randn(8, 8, generator=generator), torch.randn(1, 8, generator=generator)]
    biases = [torch.randn(8, generator=generator) / 4, torch.zeros(1)]
    z_weight = torch.randn(8, 3, generator=generator)
    base = torch.randn(images, pixels, 8, generator=generator)
    z = torch.randn(images, n, 3, generator=generator) * spread
    return Problem(base, Decoder(z_weight, weights, biases), z)


@pytest.mark.parametrize("index", range(12))
def test_bounds_change_no_bit_of_random_problems(index):
    assert list(differences(*random_problem(1, index))) == []


@pytest.mark.parametrize("output", ["bits", "labels"])
@pytest.mark.parametrize("levels", [[0], [5], [0, 1, 2, 3], [2, 9]])
@pytest.mark.parametrize(("capability", "precision"), HAS_BOUNDS)
def test_any_levels_and_threads_give_the_same_bits(capability, precision, levels, output):
    problem = easy(images=2)
    dense, none = decoded(problem, [], capability, output, precision)
    assert none == [[], []]
    assert 0 < dense.float().mean() < 1 or output == "bits"
    for threads in (1, 3):
        pruned, used = decoded(problem, levels, capability, output, precision, threads)
        assert used == [levels, levels]
        assert torch.equal(pruned, dense)


@pytest.mark.parametrize(("capability", "precision"), HAS_BOUNDS)
def test_the_reference_has_the_same_labels(capability, precision):
    problem = easy(pixels=200, n=40)
    pruned, _ = decoded(problem, [1, 3], capability, "labels", precision)
    reference = pruning.decode_pruned(problem.base, *problem.decoder, problem.z, "labels", precision, [1, 3])
    assert (pruned != reference).float().mean() < 1e-3  # sums of another order differ where a logit is close to zero


@pytest.mark.parametrize(("capability", "precision"), HAS_BOUNDS)
def test_bounds_are_used_where_they_pay(capability, precision):
    _, chosen = decoded(easy(), None, capability, "bits", precision)
    assert chosen[0]
    unlike, chosen = decoded(easy(spread=50), None, capability, "bits", precision)
    assert chosen == [[]]
    assert unlike.any()


def test_few_hypotheses_or_pixels_and_other_outputs_are_decoded_without_bounds():
    best = launch.capability()
    assert decoded(easy(n=8), None, best, "bits", "ieee")[1] == [[]]
    assert decoded(easy(pixels=64), None, best, "bits", "ieee")[1] == [[]]
    base, decoder, z = easy(n=50)
    two = Decoder(decoder.z_weight, [decoder.weights[0], decoder.weights[0][:2]], [decoder.biases[0], torch.zeros(2)])
    assert ops.decode_samples(base, two, z, output="bits", backend="native").shape[2] == 2


@pytest.mark.parametrize("capability", CAPABILITIES)
@pytest.mark.parametrize("levels", [None, [0, 3]])
def test_features_that_are_no_numbers_are_refused_with_bounds_too(capability, levels):
    problem = easy()
    problem.base[0, 4100, 3] = float("nan")
    with pytest.raises(ValueError, match="^base: got NaN, infinity or numbers so large"):
        decoded(problem, levels, capability, "bits", "ieee")


@pytest.mark.parametrize("levels", [[-1], [3, 3], [2, 1], [25]])
def test_levels_that_do_not_go_down_are_refused(levels):
    with pytest.raises(ValueError, match="levels: expected"):
        decoded(easy(pixels=40, n=4), levels, launch.capability(), "bits", "ieee")


def test_an_environment_variable_turns_bounds_off(monkeypatch):
    monkeypatch.setenv("FASTPUNET_PRUNING", "off")
    assert launch.pruned_levels() == []
    monkeypatch.setenv("FASTPUNET_PRUNING", "auto")
    assert launch.pruned_levels() is None
    monkeypatch.setenv("FASTPUNET_PRUNING", "yes")
    with pytest.raises(ValueError, match="^FASTPUNET_PRUNING: got 'yes', expected one of auto, off"):
        launch.pruned_levels()
