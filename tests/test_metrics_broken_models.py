"""Shipped weights broken on purpose: which diagnostic tells, and that it says nothing of the healthy model."""

import copy
import math
from pathlib import Path

import pytest
import torch
from torch import nn

import fastpunet
from fastpunet import ProbabilisticUNet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.latents import draw_latents
from fastpunet.metrics import convention, energy_distance, nestedness, pairwise_iou, presence, present_distance
from fastpunet.training.diagnostics import diagnose
from fastpunet.training.objective import Objective, ObjectiveConfig

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints/lidc-tiny"
RECORDS = SyntheticLesions(12, seed=5)
IMAGES, MASKS, WEIGHTS = (
    torch.stack([torch.from_numpy(getattr(record, name)) for record in RECORDS])
    for name in ("image", "masks", "weights")
)


@pytest.fixture(scope="module")
def lesions():
    return fastpunet.load("lesions").requires_grad_(False)


@pytest.fixture(scope="module")
def healthy(lesions):
    return diagnosed(lesions)


def diagnosed(model):
    return diagnose(model, RECORDS, convention("kohl-lidc"), n=16, seed=0, objective=Objective(ObjectiveConfig()))


def test_the_healthy_model(healthy):
    assert healthy["energy_distance_unbiased"] < 0.1
    assert healthy["sample_diversity"] > 0.4
    assert healthy["active_units"] >= 3
    assert healthy["kl"] > 2


# Collapsed


def forget_the_latent(model):
    """f_comb without a weight for z: all hypotheses of an image are one."""
    model.fcomb.layers[0].weight[:, -model.latent_dim :] = 0


def forget_the_segmentation(model):
    """A posterior that is the prior."""
    state = model.prior.state_dict()
    first = "encoder.layers.0.weight"
    state[first] = torch.cat((state[first], torch.zeros_like(state[first][:, :1])), dim=1)
    model.posterior.load_state_dict(state)


def forget_both(model):
    forget_the_latent(model)
    forget_the_segmentation(model)


@pytest.mark.parametrize(
    ("break_it", "diverse", "active"),
    [(forget_the_latent, False, True), (forget_the_segmentation, True, False), (forget_both, False, False)],
)
def test_a_collapsed_model(lesions, healthy, break_it, diverse, active):
    broken = copy.deepcopy(lesions)
    break_it(broken)
    found = diagnosed(broken)
    if diverse:
        assert found["sample_diversity"] == healthy["sample_diversity"]
    else:
        assert found["sample_diversity"] == 0
        assert math.isnan(found["nestedness"])  # no two hypotheses differ
        assert found["energy_distance_unbiased"] > healthy["energy_distance_unbiased"] + 0.3
    if active:
        assert found["active_units"] == healthy["active_units"]
    else:
        assert found["active_units"] == 0
        assert found["kl"] == pytest.approx(0, abs=1e-6)


# An affine f_comb


def without_relus(model):
    broken = copy.deepcopy(model)
    broken.fcomb.layers = nn.Sequential(*(layer for layer in model.fcomb.layers if isinstance(layer, nn.Conv2d)))
    return broken


def with_relus_that_never_cut(model, far=512.0):
    """All hidden units of f_comb moved up, where ReLU is the identity, and what that adds taken off again."""
    broken = copy.deepcopy(model)
    *hidden, last = [layer for layer in broken.fcomb.modules() if isinstance(layer, nn.Conv2d)]
    for layer, following in zip(hidden, [*hidden[1:], last], strict=True):
        layer.bias += far
        following.bias -= far * following.weight.sum((1, 2, 3))
    return broken


def decoded(model, images=IMAGES, n=16):
    """As `fastpunet.sample`, by f_comb as it is."""
    features, prior = model.unet(images), model.prior(images)
    z = draw_latents(prior.mean, prior.stddev, n, seed=0)
    return torch.stack([model.fcomb(features, z[:, k])[:, 0] > 0 for k in range(n)], dim=1).byte()


def test_an_f_comb_without_relus_is_sampled_as_it_is(lesions):
    broken = without_relus(lesions)
    assert (fastpunet.sample(broken, IMAGES, 16, seed=0) != decoded(broken)).float().mean() < 1e-4


def test_an_affine_f_comb_has_nested_hypotheses():
    # a network without latent maps; the synthetic lesions' borders are nested in truth, so "lesions" would tell little
    model = fastpunet.load(CHECKPOINTS / "Probabilistic-U-Net-seed0.safetensors").requires_grad_(False)
    found = nestedness(decoded(model))
    assert found.mean() < 0.96
    assert found.max() < 0.99
    assert torch.equal(nestedness(decoded(without_relus(model))), torch.ones(12, dtype=torch.float64))


@pytest.mark.parametrize("seed", range(4))
def test_an_affine_f_comb_of_random_weights(seed):
    torch.manual_seed(seed)
    model = ProbabilisticUNet(channels=(8, 12, 16), latent_dim=4).requires_grad_(False)
    assert nestedness(decoded(model)).nanmean() < 0.9
    assert (nestedness(decoded(without_relus(model))) == 1).all()


def test_relus_that_never_cut_are_caught_as_well(lesions):
    broken = with_relus_that_never_cut(lesions)
    samples = fastpunet.sample(broken, IMAGES, 16, seed=0)
    assert (samples != decoded(without_relus(lesions))).float().mean() < 1e-4  # it is the affine one
    assert (nestedness(samples) == 1).all()
    assert (nestedness(fastpunet.sample(lesions, IMAGES, 16, seed=0)) < 1).any()


# Swapped labels


def test_foreground_and_background_swapped(lesions, healthy):
    broken = copy.deepcopy(lesions)
    broken.fcomb.last_layer.weight.neg_()
    broken.fcomb.last_layer.bias.neg_()
    right, wrong = (fastpunet.sample(model, IMAGES, 16, seed=0) for model in (lesions, broken))
    truly_present = (1 - WEIGHTS[:, 0]).double()
    assert (presence(right) - truly_present).abs().mean() < 0.15
    assert (presence(wrong) == 1).all()

    right_scores, wrong_scores = (energy_distance(samples, MASKS, weights=WEIGHTS) for samples in (right, wrong))
    assert right_scores.cross.mean() < 0.65
    assert wrong_scores.cross.mean() > 0.9
    assert right_scores.unbiased.mean() < 0.1
    assert wrong_scores.unbiased.mean() > 1
    assert present_distance(right, MASKS).nanmean() < 0.5
    assert present_distance(wrong, MASKS).nanmean() > 0.9

    best = [pairwise_iou(samples, MASKS[:, 1:]).amax((1, 2)) for samples in (right, wrong)]
    assert best[0].min() > 0.75
    assert best[1].max() < 0.5
    assert diagnosed(broken)["reconstruction"] > 10 * healthy["reconstruction"]


def of_three_classes(model, core):
    """The lesion's rim as class 1, where the logit is below `core`, and its core as class 2."""
    config = {**model.config, "num_classes": 3}
    result = ProbabilisticUNet(**config).requires_grad_(False)
    shared = {name: value for name, value in model.state_dict().items() if "last_layer" not in name}
    own = {name: value for name, value in result.state_dict().items() if "posterior.encoder.layers.0." in name}
    result.load_state_dict({**result.state_dict(), **shared, **own})
    last, binary = result.fcomb.last_layer, model.fcomb.last_layer
    slopes = torch.tensor([0.0, 1.0, 2.0])  # 0, l and 2 l - core: class 1 wins for 0 < l < core, class 2 above
    last.weight.copy_(slopes[:, None, None, None] * binary.weight)
    last.bias.copy_(slopes * binary.bias - torch.tensor([0.0, 0.0, core]))
    return result


def test_two_classes_swapped(lesions):
    model = of_three_classes(lesions, core=4.0)
    broken = copy.deepcopy(model)
    for parameter in broken.fcomb.last_layer.parameters():
        parameter.copy_(parameter[[0, 2, 1]])
    references = fastpunet.sample(model, IMAGES, 16, seed=1)
    right, wrong = (fastpunet.sample(model, IMAGES, 16, seed=0) for model in (model, broken))
    for label in (1, 2):
        assert presence(references == label).mean() > 0.3

    rule = convention("ssn", num_classes=3)
    right_scores, wrong_scores = (energy_distance(samples, references, convention=rule) for samples in (right, wrong))
    assert right_scores.unbiased.mean().abs() < 0.05
    assert wrong_scores.unbiased.mean() > 0.15
    assert wrong_scores.cross.mean() > right_scores.cross.mean() + 0.07
    assert torch.equal(wrong_scores.sample_diversity, right_scores.sample_diversity)  # which cannot tell
    assert torch.equal(presence(wrong > 0), presence(right > 0))  # nor can the presence of any class at all

    for label in (1, 2):
        outlined = (references == label).flatten(2).any(2)
        best = [pairwise_iou(samples == label, references == label).amax(1)[outlined] for samples in (right, wrong)]
        assert best[1].mean() < best[0].mean() / 2
