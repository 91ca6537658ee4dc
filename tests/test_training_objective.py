"""The objective: both terms of the bound, weighed."""

import pytest
import torch

from fastpunet import ProbabilisticUNet
from fastpunet.models import LossTerms
from fastpunet.training.objective import Objective, ObjectiveConfig

ELBO = LossTerms(torch.tensor([[10.0, 20.0], [30.0, 40.0]]), torch.tensor([[[0.1, 2.0]] * 2, [[0.3, 4.0]] * 2]))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (dict(), 25 + 3.2),
        (dict(beta=10.0), 25 + 32.0),
        (dict(free_bits=0.5), 25 + 0.5 + 3.0),
        (dict(free_bits=0.2, beta=2.0), 25 + 2 * (0.25 + 3.0)),
        (dict(geco_target=15.0), 3.2 + 10.0),
    ],
)
def test_hand_computed_losses(config, expected):
    assert float(Objective(ObjectiveConfig(**config))(ELBO, step=0)) == pytest.approx(expected)


@pytest.mark.parametrize(("step", "beta"), [(0, 0.5), (1, 1.0), (3, 2.0), (4, 2.0)])
def test_beta_rises_evenly_over_its_warm_up(step, beta):
    objective = Objective(ObjectiveConfig(beta=2.0, beta_warmup=4))
    assert float(objective(ELBO, step)) == pytest.approx(25 + beta * 3.2)


def test_geco_presses_while_the_target_is_missed_and_eases_after():
    objective = Objective(ObjectiveConfig(geco_target=20.0))
    for _ in range(10):
        objective.update(torch.tensor(30.0))
    pressed = float(objective.multiplier)
    assert pressed == pytest.approx(torch.tensor(10 * 0.02 * 0.5).exp().item())
    for _ in range(20):
        objective.update(torch.tensor(10.0))
    assert float(objective.multiplier) < 1 < pressed
    assert objective.state_dict()["multiplier"] == objective.multiplier


def test_without_geco_the_multiplier_rests():
    objective = Objective(ObjectiveConfig())
    objective.update(torch.tensor(30.0))
    assert float(objective.multiplier) == 1


@pytest.mark.parametrize("num_classes", [1, 3])
def test_class_weights_weigh_the_pixels_of_a_class(num_classes):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, num_classes, channels=(4, 6), latent_dim=2, convs_per_block=1)
    images, noise = torch.rand(2, 1, 8, 8), torch.randn(2, 2)
    labels = torch.randint(0, max(2, num_classes), (2, 8, 8))
    weights = torch.tensor([1.0, 5.0, 0.0][: max(2, num_classes)])
    weighed = model.elbo(images, labels, noise=noise, class_weights=weights).reconstruction
    expected = sum(
        weights[label] * model.elbo(images, labels, noise=noise, class_weights=one).reconstruction
        for label, one in enumerate(torch.eye(max(2, num_classes)))
    )
    torch.testing.assert_close(weighed, expected)


def test_graders_of_an_image_share_a_pass_and_nothing_else():
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, channels=(4, 6), latent_dim=2, convs_per_block=1)
    images, noise = torch.rand(2, 1, 8, 8), torch.randn(2, 3, 2)
    labels = torch.randint(0, 2, (2, 3, 8, 8))
    together = model.elbo(images, labels, noise=noise)
    for grader in range(3):
        alone = model.elbo(images, labels[:, grader], noise=noise[:, grader])
        torch.testing.assert_close(together.reconstruction[:, grader : grader + 1], alone.reconstruction)
        torch.testing.assert_close(together.kl[:, grader : grader + 1], alone.kl)


def test_the_priors_mean_gets_its_gradient_in_standard_deviations():
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, channels=(4, 6), latent_dim=2, convs_per_block=1)
    images, labels = torch.rand(3, 1, 8, 8), torch.randint(0, 2, (3, 8, 8))
    with torch.no_grad():
        model.prior.conv_layer.bias[2:] = torch.tensor([2.0, -1.0])
        model.prior.conv_layer.weight[2:] = 0
    sigma = model.prior(images).stddev[0].detach()
    model.elbo(images, labels, noise=torch.zeros(3, 2)).kl.sum(-1).mean().backward()
    q, p = model.posterior_of(images, labels), model.prior(images)
    plain = ((p.mean - q.mean) / p.variance).mean(0)  # derivative of the KL by the prior's mean
    torch.testing.assert_close(model.prior.conv_layer.bias.grad[:2], plain * sigma, rtol=1e-4, atol=1e-6)
