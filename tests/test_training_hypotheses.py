"""Training through hypotheses from the prior: the energy score, best of n, and importance-weighted bounds."""

import csv
import math
from itertools import combinations

import pytest
import torch
from torch.distributions import Normal

from fastpunet import ProbabilisticUNet, energy_distance
from fastpunet.latents import Noise
from fastpunet.metrics import Convention
from fastpunet.models import MHeads
from fastpunet.models.cross_entropy import cross_entropy
from fastpunet.training.config import TrainingConfig
from fastpunet.training.energy_score import energy_score
from fastpunet.training.objective import Objective, ObjectiveConfig
from fastpunet.training.run import train

BINARY = {"classes": (1,), "smoothing": 2.0, "ignore_label": None}


def hard(masks):
    """Logits (B, n, 1, P) whose probabilities are 0 and 1."""
    return torch.tensor(masks)[:, :, None] * 2000.0 - 1000.0


def model_of(method=ProbabilisticUNet, classes=1, **arguments):
    torch.manual_seed(0)
    arguments = arguments if method is MHeads else {"latent_dim": 2, **arguments}
    return method(1, classes, channels=(4, 6), convs_per_block=1, **arguments)


@pytest.mark.parametrize(
    ("hypotheses", "graders", "expected"),
    [
        # d of [1, 1, 0, 0] and [1, 1, 1, 1] is 1 - (2 + 2) / (4 + 2) = 1/3
        ([[1, 1, 0, 0], [1, 1, 1, 1]], [[1, 1, 0, 0]], 2 * (0 + 1 / 3) / 2 - 1 / 3),
        ([[1, 1, 1, 1], [1, 1, 1, 1]], [[1, 1, 0, 0]], 2 / 3),
        ([[1, 1, 0, 0], [1, 1, 1, 1]], [[1, 1, 0, 0], [1, 1, 1, 1]], 0.0),
        ([[0, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 0]], 0.0),
        # d of [1, 1, 0, 0] and nothing is 1 - 2 / 4
        ([[0, 0, 0, 0], [0, 0, 0, 0]], [[1, 1, 0, 0]], 1.0),
    ],
)
def test_energy_scores_by_hand(hypotheses, graders, expected):
    score = energy_score(hard([hypotheses]), torch.tensor([graders]), **BINARY)
    assert score.tolist() == pytest.approx([expected], abs=1e-6)


def test_the_iou_of_probabilities_is_soft():
    half, whole = torch.zeros(1, 2, 1, 12), torch.ones(1, 1, 12, dtype=torch.int64)
    d = 1 - (6 + 2) / (12 + 2), 1 - (3 + 2) / (9 + 2)  # of one half and one; of one half and one half
    assert float(energy_score(half, whole, **BINARY)) == pytest.approx(2 * d[0] - d[1], abs=1e-6)


@pytest.mark.parametrize("classes", [1, 4])
def test_of_hard_masks_it_is_the_energy_distance_that_is_reported(classes):
    torch.manual_seed(0)
    averaged = (1,) if classes == 1 else (1, 3)
    samples, graders = torch.randint(0, max(2, classes), (3, 5, 6, 7)), torch.randint(0, max(2, classes), (3, 4, 6, 7))
    ignore = torch.rand(3, 6, 7) < 0.2
    one_hot = samples[:, :, None] if classes == 1 else torch.eye(classes)[samples].movedim(-1, 2)
    labels = torch.where(ignore[:, None] & (torch.arange(4) == 2)[:, None, None], 255, graders)
    score = energy_score(one_hot * 2000.0 - 1000, labels, classes=averaged, smoothing=1e-6, ignore_label=255)
    rule = Convention("these", max(2, classes), averaged)
    known = energy_distance(samples, graders, convention=rule, ignore=ignore)
    torch.testing.assert_close(score.double(), 2 * known.cross - known.different_samples, rtol=1e-5, atol=1e-5)


def test_it_is_unbiased():
    """The mean over all pairs out of five hypotheses is the score of the five."""
    torch.manual_seed(0)
    logits, labels = torch.randn(2, 5, 3, 4, 4), torch.randint(0, 3, (2, 3, 4, 4))
    options = {"classes": (1, 2), "smoothing": 1.0, "ignore_label": None}
    pairs = [energy_score(logits[:, list(pair)], labels, **options) for pair in combinations(range(5), 2)]
    torch.testing.assert_close(torch.stack(pairs).mean(0), energy_score(logits, labels, **options))


@pytest.mark.parametrize("classes", [1, 3])
def test_hypotheses_are_those_of_the_prior_and_the_bound_is_undisturbed(classes):
    model = model_of(classes=classes)
    images, labels, ids = torch.rand(3, 1, 8, 9), torch.randint(0, 2, (3, 2, 8, 9)), torch.tensor([5, 2**40, 0])
    terms = model.loss_terms(images, labels, seed=3, ids=ids, hypotheses=6)
    plain = model.loss_terms(images, labels, seed=3, ids=ids)
    torch.testing.assert_close(terms[:2], plain[:2])
    assert plain.bound is None
    assert plain.hypotheses is None
    noise = Noise(3, ids, 2**31, 6).normals(2)
    prior, features = model.prior(images), model.unet(images)
    for k in range(6):
        expected = model.fcomb(features, prior.mean + prior.stddev * noise[:, k])
        torch.testing.assert_close(terms.hypotheses[:, k], expected)
    alone = model.loss_terms(images[1:2], labels[1:2], seed=3, ids=ids[1:2], hypotheses=6)
    torch.testing.assert_close(alone.hypotheses, terms.hypotheses[1:2])


def test_an_importance_weighted_bound_by_its_definition():
    model = model_of()
    images, labels, noise = torch.rand(2, 1, 8, 8), torch.randint(0, 2, (2, 3, 8, 8)), torch.randn(2, 3, 4, 2)
    terms = model.elbo(images, labels, noise=noise)
    prior, features = model.prior(images), model.unet(images)
    for image in range(2):
        for grader in range(3):
            truth = labels[image : image + 1, grader]
            q = model.posterior_of(images[image : image + 1], truth)
            weights = []
            for k in range(4):
                z = q.mean + q.stddev * noise[image, grader, k]
                entropy = cross_entropy(model.fcomb(features[image : image + 1], z), truth, None, None)
                p = Normal(prior.mean[image], prior.stddev[image])
                weights.append((p.log_prob(z).sum() - q.log_prob(z) - entropy).double())
            expected = -torch.cat(weights).exp().mean().log()
            torch.testing.assert_close(terms.bound[image, grader].double(), expected)


@torch.no_grad()
def test_bounds_are_the_tighter_the_more_samples_they_have():
    """The evidence itself is an integral over one latent dimension."""
    model = model_of(latent_dim=1)
    model.posterior.conv_layer.bias.copy_(torch.tensor([1.0, 0.2]))  # a posterior that is not the prior
    image, truth = torch.rand(1, 1, 8, 8), torch.randint(0, 2, (1, 1, 8, 8))
    prior, z = model.prior(image), torch.linspace(-12, 12, 4001)[:, None]
    logits = model.fcomb(model.unet(image).expand(len(z), -1, -1, -1), z)
    joint = prior.log_prob(z) - cross_entropy(logits, truth[0].expand(len(z), -1, -1), None, None)
    evidence = -float(joint.double().logsumexp(0) + math.log(24 / 4000))
    many = image.expand(4000, -1, -1, -1), truth.expand(4000, -1, -1, -1)
    terms = model.elbo(*many, noise=torch.randn(4000, 1, 1, 1))
    elbo = float((terms.reconstruction + terms.kl.sum(-1)).mean())
    two, sixteen = (float(model.elbo(*many, noise=torch.randn(4000, 1, k, 1)).bound.mean()) for k in (2, 16))
    assert elbo > two + 0.01 > sixteen + 0.02 > evidence + 0.01
    assert float(model.elbo(image, truth, noise=torch.randn(1, 1, 100_000, 1)).bound) == pytest.approx(
        evidence, abs=0.01
    )


@torch.no_grad()
def test_one_sample_gives_the_elbo_itself():
    config = ObjectiveConfig(bound_samples=1)
    model = model_of()
    images, labels, ids = torch.rand(2, 1, 8, 8), torch.randint(0, 2, (2, 2, 8, 8)), torch.arange(2)
    terms = Objective(config).terms_of(model, images, labels, seed=0, ids=ids)
    expected = terms.reconstruction.mean() + terms.kl.sum(-1).mean()
    assert float(Objective(config)(terms, 0)) == float(expected)
    assert terms.bound is None
    three = Objective(ObjectiveConfig(bound_samples=3))
    terms = three.terms_of(model, images, labels, seed=0, ids=ids)
    assert float(three(terms, 0)) == float(terms.bound.mean())


@torch.no_grad()
def test_the_bound_of_some_graders_beside_the_score_of_all():
    model = model_of()
    images, labels, ids = torch.rand(2, 1, 8, 8), torch.randint(0, 2, (2, 3, 8, 8)), torch.arange(2)
    some = Objective(ObjectiveConfig(bound_graders=1, energy_weight=1.0, hypotheses=4))
    every = Objective(ObjectiveConfig(energy_weight=1.0, hypotheses=4))
    terms, of_all = (objective.terms_of(model, images, labels, seed=0, ids=ids) for objective in (some, every))
    assert terms.reconstruction.shape == (2, 1)
    torch.testing.assert_close(terms.reconstruction, of_all.reconstruction[:, :1])
    torch.testing.assert_close(some.scores(terms, labels), every.scores(of_all, labels))
    with pytest.raises(ValueError, match=r"objective\.bound_graders"):
        ObjectiveConfig(bound_graders=0)


@torch.no_grad()
@pytest.mark.parametrize("method", [ProbabilisticUNet, MHeads])
def test_scores_are_weighted_and_added(method):
    model = model_of(method)
    images, labels, ids = torch.rand(2, 1, 8, 8), torch.randint(0, 2, (2, 3, 8, 8)), torch.arange(2)
    objective = Objective(ObjectiveConfig(energy_weight=7.0, best_of_weight=0.5, hypotheses=4))
    terms = objective.terms_of(model, images, labels, seed=0, ids=ids)
    assert terms.hypotheses.shape == (2, 16 if method is MHeads else 4, 1, 8, 8)
    scores = objective.scores(terms, labels)
    energy = energy_score(terms.hypotheses, labels, **BINARY).mean()
    best = [
        min(float(cross_entropy(one[None], truth[None], None, None)) for one in terms.hypotheses[image])
        for image in range(2)
        for truth in labels[image]
    ]
    assert float(scores["energy_score"]) == pytest.approx(float(energy))
    assert float(scores["best_of"]) == pytest.approx(sum(best) / 6)
    bound = float(terms.reconstruction.mean() + terms.kl.sum(-1).mean())
    expected = bound + 7 * float(energy) + 0.5 * sum(best) / 6
    assert float(objective(terms, 0, scores)) == pytest.approx(expected)


def after_training(objective):
    """What a model reaches whose images show both halves of a square, of which each grader marks another one.

    It is measured with other noise than in training.
    """
    images = torch.rand(4, 1, 16, 16, generator=torch.Generator().manual_seed(1))
    labels = torch.zeros(4, 2, 16, 16, dtype=torch.int64)
    labels[:, 0, 4:12, 4:8], labels[:, 1, 4:12, 8:12] = 1, 1
    images[:, 0] += 2.0 * labels[:, 0] - 2.0 * labels[:, 1]
    model = model_of()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for step in range(150):
        optimizer.zero_grad()
        terms = objective.terms_of(model, images, labels, seed=0, ids=torch.arange(4) + 4 * step)
        objective(terms, step, objective.scores(terms, labels)).backward()
        optimizer.step()
    watched = Objective(ObjectiveConfig(hypotheses=16, energy_weight=1.0, best_of_weight=1.0, bound_samples=8))
    with torch.no_grad():
        terms = watched.terms_of(model, images, labels, seed=1, ids=torch.arange(4))
        return {**watched.scores(terms, labels), "bound": terms.bound.mean()}


@pytest.fixture(scope="module")
def without():
    return after_training(Objective(ObjectiveConfig()))


@pytest.mark.parametrize(
    ("options", "lowered"),
    [
        ({"energy_weight": 300.0}, "energy_score"),
        ({"best_of_weight": 1.0}, "best_of"),
        ({"bound_samples": 8}, "bound"),
    ],
)
def test_training_with_it_lowers_it_further_than_training_without_it(without, options, lowered):
    reached = after_training(Objective(ObjectiveConfig(hypotheses=8, **options)))
    assert float(reached[lowered]) < 0.97 * float(without[lowered])


def test_the_curve_shows_them_and_a_resumed_run_goes_on_as_if_nothing_had_happened(tmp_path):
    options = dict(energy_weight=10.0, best_of_weight=0.1, bound_samples=2, hypotheses=3)
    sizes = dict(kind="lesions", count=12, size=16, batch_size=4, validate_every=2, validation_images=3)
    model = dict(channels=[4, 6], latent_dim=2, convs_per_block=1)
    curves = []
    for steps in ((4,), (2, 4)):
        folder = tmp_path / str(len(steps))
        for last in steps:
            config = TrainingConfig(**sizes, model=model, objective=options, steps=last, schedule="constant")
            train(config, folder, resume=True, say=lambda _: None)
        with (folder / "curve.csv").open() as file:
            curves.append(list(csv.DictReader(file)))
    assert curves[0] == curves[1]
    last = {name: float(value) for name, value in curves[0][-1].items()}
    assert {"energy_score", "best_of", "validation_energy_score", "validation_best_of"} <= set(last)
    assert 0 < last["validation_energy_score"] < 2
    assert last["best_of"] > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"energy_weight": -1.0}, "objective.energy_weight: got -1.0"),
        ({"energy_smoothing": 0.0}, "objective.energy_smoothing: got 0.0, expected a positive number"),
        ({"hypotheses": 1}, "objective.hypotheses: got 1, expected a whole number of at least 2 and at most 256"),
        ({"bound_samples": 0}, "objective.bound_samples: got 0"),
        ({"bound_samples": 2, "beta": 2.0}, "objective.bound_samples: got 2, which excludes beta"),
        ({"bound_samples": 2, "geco_target": 9.0}, "objective.bound_samples: got 2, which excludes beta"),
        ({"best_of_weight": float("nan")}, "objective.best_of_weight: got nan"),
    ],
)
def test_impossible_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        ObjectiveConfig(**options)


@pytest.mark.parametrize(
    ("method", "options", "able"),
    [
        ("DropoutUNet", {"energy_weight": 5.0}, "ProbabilisticUNet or MHeads"),
        ("UNetEnsemble", {"best_of_weight": 5.0}, "ProbabilisticUNet or MHeads"),
        ("Image2ImageVAE", {"bound_samples": 5}, "ProbabilisticUNet"),
        ("MHeads", {"bound_samples": 5}, "ProbabilisticUNet"),
    ],
)
def test_methods_that_cannot_are_named(method, options, able):
    (key,) = options
    with pytest.raises(ValueError, match=rf"objective.{key}: got 5.* with method {method}, expected method {able}$"):
        TrainingConfig(kind="lesions", method=method, objective=options)
