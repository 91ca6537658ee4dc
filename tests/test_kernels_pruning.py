"""Pruned decoding in plain PyTorch: bounds hold after rounding, and results are those of the dense decoder."""

from itertools import pairwise

import pytest
import torch

from fastpunet_kernels import Decoder, decode_samples, pruning


def problem(scale=1.0, spread=1.0, widths=(8, 6), pixels=40, n=23, images=2, latent_dim=3, seed=0):
    """base, decoder of one class, z: layers whose scales differ by `scale`, latents `spread` apart."""
    generator = torch.Generator().manual_seed(seed)
    sizes = [*widths, 1]
    weights, biases, size = [], [], 1.0  # size: of a layer's output
    for layer, (ins, outs) in enumerate(pairwise(sizes)):
        factor = 1 / scale if layer % 2 else scale
        size *= factor
        weights.append(torch.randn(outs, ins, generator=generator) * factor)
        biases.append(torch.randn(outs, generator=generator) * size)
    z_weight = torch.randn(widths[0], latent_dim, generator=generator)
    base = torch.randn(images, pixels, widths[0], generator=generator)
    return base, Decoder(z_weight, weights, biases), torch.randn(images, n, latent_dim, generator=generator) * spread


@pytest.mark.parametrize("precision", ["ieee", "bf16"])
@pytest.mark.parametrize("scale", [1.0, 1e6, 1e-18])
def test_bounds_hold_for_the_rounded_logits_without_a_margin(precision, scale):
    base, decoder, z = problem(scale, spread=1e-7, n=200, images=1)
    offset = z[0] @ decoder.z_weight.T
    lower, upper = pruning.logit_bounds(base[0], offset.amin(0), offset.amax(0), *decoder[1:], precision)
    for one in offset:
        logits, same = pruning.logit_bounds(base[0], one, one, *decoder[1:], precision)
        assert torch.equal(logits, same)
        assert (lower <= logits).all()
        assert (logits <= upper).all()
    assert precision == "bf16" or (lower < upper).any()  # by a few units in the last place


@pytest.mark.parametrize("output", ["labels", "bits"])
@pytest.mark.parametrize("precision", ["ieee", "bf16"])
@pytest.mark.parametrize("levels", [[0], [2], [1, 2, 4]])
def test_pruned_decoding_equals_decoding_every_hypothesis(levels, precision, output):
    base, decoder, z = problem(spread=0.2)
    dense = pruning.decode_pruned(base, *decoder, z, output, precision, [])
    assert torch.equal(pruning.decode_pruned(base, *decoder, z, output, precision, levels), dense)
    if precision == "ieee":  # the reference rounds otherwise, which no logit here is small enough to show
        assert torch.equal(dense, decode_samples(base, decoder, z, output=output, backend="reference"))


def test_a_logit_of_exactly_zero_is_label_0_for_the_whole_group():
    base, z = torch.zeros(1, 4, 2), torch.zeros(1, 8, 1)
    decoder = Decoder(torch.ones(2, 1), [torch.tensor([[1.0, -1.0]])], [torch.zeros(1)])
    assert not pruning.decode_pruned(base, *decoder, z, "labels", "ieee", [0]).any()


def test_similar_hypotheses_become_neighbours():
    offset = torch.tensor([5.0, 1, 4, 0, 3, 2])[:, None] * torch.tensor([1.0, 2])
    order = pruning.similarity_order(offset, levels=2)
    groups = [
        set(offset[order[pruning.group_edge(1, g, 6) : pruning.group_edge(1, g + 1, 6)], 0].tolist()) for g in (0, 1)
    ]
    assert sorted(map(sorted, groups)) == [[0, 1, 2], [3, 4, 5]]


def test_levels_are_chosen_by_what_they_decide():
    assert pruning.best_levels([1.0, 1.0, 1.0], n=64, cost=2) == []  # nothing is decided
    assert pruning.best_levels([1.0, 0.1, 0.1], n=64, cost=2) == [1]  # all that is decided is decided there
    # 2 * 1 / 64 + 0.5 * 2 * 16 / 64 + 0.05 = 0.33, in place of 0.55 with level 4 alone, and 0.53 with level 0 alone
    assert pruning.best_levels([0.5, 0.5, 0.5, 0.5, 0.05], n=64, cost=2) == [0, 4]
    assert pruning.best_levels([0.5, 0.5, 0.5, 0.5, 0.05], n=64, cost=20, dense=1) == [0]
