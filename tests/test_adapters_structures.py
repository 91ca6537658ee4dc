"""Models with the structures of published Probabilistic U-Nets: given latents decode as their own networks do."""

import copy
import warnings
from itertools import count

import pytest
import torch
from helpers.structures import LATENTS, STRUCTURES

import fastpunet
from fastpunet.latents import Noise
from fastpunet.models.adapters.adapted import VerifiedEncoding
from fastpunet.models.priors import LowRank

WIDTH = 8
pytestmark = pytest.mark.filterwarnings("ignore:the model's `sample`")  # cFlow's needs a segmentation


def _model(name, dtype=torch.float32):
    torch.manual_seed(0)
    return STRUCTURES[name].make(WIDTH).to(dtype)


@pytest.mark.parametrize("name", STRUCTURES)
def test_the_error_for_given_latents_is_at_most_twice_that_of_the_models_own_float32(name):
    structure, model = STRUCTURES[name], _model(name)
    images, z = torch.rand(2, 1, *structure.size), torch.randn(2, 6, LATENTS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "the model's `sample`")  # cFlow's needs a segmentation
        sampler = fastpunet.Sampler(model, precision="ieee")
        encoding = sampler.encode(images)
    assert type(encoding) is VerifiedEncoding
    got = sampler.decode(encoding, z, output="logits")
    exact = copy.deepcopy(model).double().eval()
    model.eval()
    with torch.no_grad():
        own = torch.stack([model.own_logits(images, z[:, k]) for k in range(6)], 1)
        truth = torch.stack([exact.own_logits(images.double(), z[:, k].double()) for k in range(6)], 1)
    assert (got - truth).norm() <= 2 * (own - truth).norm()


@pytest.mark.parametrize("name", STRUCTURES)
def test_hypotheses_are_distributed_as_those_of_the_models_own_loop(name):
    """Quantiles of a logit agree within sampling errors, at the pixel where it varies most."""
    n, model, size = 300, _model(name).eval(), STRUCTURES[name].size
    images = torch.rand(1, 1, *size)
    ours = fastpunet.sample(model, images, n, seed=1, output="logits")[0]
    torch.manual_seed(0)
    with torch.no_grad():
        model.begin(images)
        own = torch.cat([model.hypothesis() for _ in range(n)])
    ours, own = (values.double().flatten(1) for values in (ours, own))
    pixel = own.std(0).argmax()
    ours, own = ours[:, pixel], own[:, pixel]
    for share in (0.25, 0.5, 0.75):  # the share of our hypotheses below a quantile of its own
        assert abs((ours < own.quantile(share)).double().mean() - share) < 5 * (share * (1 - share) * 2 / n) ** 0.5


@pytest.mark.parametrize("name", ["a flow prior", "GeneralizedProbabilisticUNet, mixture of full"])
def test_latents_that_only_the_model_can_draw_are_functions_of_seed_id_and_k(name):
    model, images = _model(name), torch.rand(2, 1, *STRUCTURES[name].size)
    sampler = fastpunet.Sampler(model)
    z = sampler.encode(images).prior.latents(Noise(3, torch.tensor([7, 8]), 0, 12))
    alone = sampler.encode(images[1:]).prior
    torch.testing.assert_close(alone.latents(Noise(3, torch.tensor([8]), 0, 5)), z[1:, :5])
    torch.testing.assert_close(alone.latents(Noise(3, torch.tensor([8]), 9, 3)), z[1:, 9:])
    assert not torch.equal(alone.latents(Noise(4, torch.tensor([8]), 0, 5)), z[1:, :5])


def test_a_low_rank_prior_is_drawn_in_its_own_form():
    model = _model("GeneralizedProbabilisticUNet, low rank")
    images = torch.rand(2, 1, 16, 16)
    prior = fastpunet.Sampler(model).encode(images).prior
    assert type(prior) is LowRank
    torch.testing.assert_close(prior.factor, model.prior(images)[1].cov_factor.detach())


def test_a_pass_that_does_not_take_images_alone_is_tried_once():
    """`forward` of lightning-uq-box calls the U-Net alone; its `predict_step` runs the U-Net without its hooks."""
    model, images, calls = _model("lightning-uq-box"), torch.rand(1, 1, 16, 16), count()  # twins share a counter
    model.model.register_forward_pre_hook(lambda *_: (next(calls), None)[1])
    sampler = fastpunet.Sampler(model)
    passes = []
    for _ in range(3):
        before = next(calls)
        sampler.encode(images)
        passes.append(next(calls) - before - 1)
    assert passes == [1, 0, 0]


def test_a_network_inside_another_module_is_found():
    class Outer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.model = _model("jenspetersen, PULASki")

    images = torch.rand(1, 1, 16, 16)
    expected = fastpunet.sample(_model("jenspetersen, PULASki"), images, 3, seed=1, output="logits")
    torch.testing.assert_close(fastpunet.sample(Outer(), images, 3, seed=1, output="logits"), expected)


def test_latents_that_enter_before_the_last_layers_are_refused():
    model = _model("jenspetersen, PULASki")
    task = model.task_net
    task.forward = lambda x, z, reuse_last_activations=False, store_activations=False: type(task).forward(task, x, z)  # noqa: ARG005
    with pytest.raises(TypeError, match="^model: its U-Net, a InjectionUNet, stores no last_activations"):
        fastpunet.sample(model, torch.rand(1, 1, 16, 16), 2)
