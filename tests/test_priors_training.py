"""Priors of every kind: trained, stored, and refused where they make no sense."""

import json
import math

import pytest
import torch
from helpers.priors import BENT, KINDS, distribution_of, images_of, model_of
from safetensors.torch import load_file, save_file

import fastpunet
from fastpunet import ProbabilisticUNet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.models import checkpoint
from fastpunet.models.raters import of_rater
from fastpunet.models.scaling import Scaling, scaled
from fastpunet.training.objective import Objective, ObjectiveConfig

EVERY = pytest.mark.parametrize("kind", KINDS)
RATERS = "raters:ann,bob,cem"


def told(kind, shape):
    return torch.arange(shape[0] * shape[1]).view(shape) % 3 if kind == RATERS else None


@EVERY
@pytest.mark.parametrize("samples", [1, 3])
def test_gradients_reach_every_parameter(kind, samples):
    model, images = model_of(kind), images_of()
    labels = torch.randint(0, 2, (2, 3, 16, 16), generator=torch.Generator().manual_seed(0))
    raters = told(kind, (2, 3))
    terms = model.loss_terms(
        images, labels, seed=0, ids=torch.arange(2), hypotheses=2, bound_samples=samples, raters=raters
    )
    assert terms.kl.shape == (2, 3, 4 if kind in ("diagonal", RATERS) else 1)
    assert terms.hypotheses.shape == (2, 2, 1, 16, 16)
    bound = terms.kl.sum(-1) + terms.reconstruction if samples == 1 else terms.bound
    bound.mean().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in model.parameters())


@EVERY
def test_hypotheses_in_training_are_those_of_the_prior(kind):
    model, images = model_of(kind), images_of()
    labels = torch.zeros(2, 1, 16, 16, dtype=torch.long)
    with torch.no_grad():
        terms = model.loss_terms(
            images, labels, seed=3, ids=torch.tensor([5, 6]), hypotheses=2000, raters=told(kind, (2, 1))
        )
    drawn = fastpunet.sample(model, images, 2000, seed=1, output="probs").mean(1)
    torch.testing.assert_close(terms.hypotheses.sigmoid().mean(1), drawn, atol=0.04, rtol=0)


@EVERY
def test_the_importance_weighted_bound_is_that_of_torchs_densities(kind):
    """Burda et al. 2016, equation 8, with the weights p(y | z) p(z) / q(z) of three given samples."""
    model, images = model_of(kind), images_of()
    labels, raters = (images > 0.5).long(), told(kind, (2, 1))
    noise = torch.randn(2, 1, 3, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = model.elbo(images, labels, noise=noise, raters=raters)
        each = [model.elbo(images, labels, noise=part, raters=raters).reconstruction for part in noise.unbind(2)]
        posterior, prior = model.posterior_of(images, labels[:, 0]), model.prior_for(images)
    if kind == RATERS:
        prior = prior.of_graders(raters)
    z = posterior.mean[:, None] + posterior.stddev[:, None] * noise[:, 0]
    log_p = distribution_of(prior).log_prob(z.double().movedim(1, 0)).movedim(0, 1)
    log_q = posterior.log_prob(z.movedim(1, 0)).movedim(0, 1)
    weights = log_p - log_q - torch.cat(each, 1)
    expected = math.log(3) - weights.logsumexp(1)
    torch.testing.assert_close(found.bound[:, 0].double(), expected, rtol=1e-5, atol=1e-4)
    if found.kl.shape[2] == 1 and kind not in ("full", "low-rank:2"):
        torch.testing.assert_close(found.kl[:, 0, 0].double(), (log_q - log_p).mean(1), rtol=1e-5, atol=1e-4)


@EVERY
def test_training_on_lesions_improves_the_bound(kind):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, channels=(8, 12), latent_dim=3, convs_per_block=1, prior=kind)
    records = SyntheticLesions(16, seed=0, size=16)
    images = torch.stack([torch.tensor(record.image) for record in records])
    labels = torch.stack([torch.tensor(record.masks[1:]) for record in records]).long()  # tight, medium, wide
    raters = torch.arange(3).expand(16, 3).contiguous() if kind == RATERS else None
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)

    def loss(step):
        terms = model.loss_terms(images, labels, seed=0, ids=torch.arange(16) + 16 * step, raters=raters)
        return Objective(ObjectiveConfig())(terms, step)

    before = loss(1000).item()
    for step in range(50):
        optimizer.zero_grad()
        loss(step).backward()
        optimizer.step()
    assert loss(1000).item() < 0.6 * before


@EVERY
def test_files_and_state_dicts_give_the_same_hypotheses(kind, tmp_path):
    model, images = model_of(kind), images_of()
    expected = fastpunet.sample(model, images, 8, seed=0, output="logits")
    fastpunet.save(model, tmp_path / "model.safetensors")
    torch.save(model.state_dict(), tmp_path / "state.pt")
    for name in ("model.safetensors", "state.pt"):
        again = fastpunet.load(tmp_path / name)
        assert again.config.get("prior", "diagonal") == kind
        assert torch.equal(fastpunet.sample(again, images, 8, seed=0, output="logits"), expected)


@EVERY
def test_a_calibrated_prior_is_the_wider_one(kind):
    model, images = model_of(kind), images_of()
    wide = scaled(model, Scaling(prior_scale=1.5))
    with torch.no_grad():
        before, after = (m.prior_for(images) for m in (model, wide))
    normals = torch.randn(2, 5, before.normals, generator=torch.Generator().manual_seed(0))
    z, wider = before.of_normals(normals), after.of_normals(normals)
    if hasattr(before, "base"):
        assert torch.equal(after.base.sigma, 1.5 * before.base.sigma)
    elif not hasattr(before, "components"):
        torch.testing.assert_close(wider - after.mu[:, None], 1.5 * (z - before.mu[:, None]))
    else:
        assert all(
            torch.equal(b.sigma, 1.5 * a.sigma) for a, b in zip(before.components, after.components, strict=True)
        )


def edited(model, path, **config):
    """A file of the model, whose header claims another architecture."""
    fastpunet.save(model, path)
    header = json.dumps({"method": "ProbabilisticUNet", "config": {**model.config, **config}})
    save_file(load_file(path), path, metadata={checkpoint.HEADER_KEY: header})
    return path


@pytest.mark.parametrize(
    "claimed",
    [
        "mixture:10000000", "mixture:99999999999999999999", "flow:100000", "low-rank:3000", "mixture:-1", "mixture:٣",
        "raters:" + ",".join(map(str, range(100000))), "mixture", "full:2", "", "nonsense", 3, None, ["mixture", 3],
        {"kind": "mixture"}, "diagonal:1", "raters:a,,b", "raters:a,a", "low-rank:4",
    ],
)  # fmt: skip
def test_a_file_that_claims_an_impossible_prior_is_refused_before_anything_is_built(claimed, tmp_path):
    path = edited(model_of("mixture:3"), tmp_path / "odd.safetensors", prior=claimed)
    with pytest.raises(ValueError, match="^checkpoint: .* does not fit a ProbabilisticUNet: prior: got ") as raised:
        fastpunet.load(path)
    assert len(str(raised.value)) < 400 + len(str(path))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("claimed", ["diagonal", "mixture:4", "full", "low-rank:1", "flow:2", "raters:a,b"])
def test_a_file_whose_tensors_are_of_another_prior_is_refused(claimed, tmp_path):
    path = edited(model_of("mixture:3"), tmp_path / "odd.safetensors", prior=claimed)
    with pytest.raises(ValueError, match="^checkpoint: .* does not fit a ProbabilisticUNet: "):
        fastpunet.load(path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(prior="mixed"), "^prior: got 'mixed', expected diagonal, full, low-rank:RANK, mixture:COMPONENTS, "),
        (dict(prior="mixture:1"), "^prior: got 'mixture:1', expected mixture:2 to mixture:64$"),
        (dict(prior="raters:ann"), "^prior: got 'raters:ann', expected the names of 2 to 64 different raters$"),
        (dict(prior="low-rank:6"), "^prior: got rank 6 with latent_dim 6, expected a smaller rank; use full for any"),
        (dict(prior="flow:2", latent_dim=1), "^prior: got a flow with latent_dim 1, expected at least 2"),
        (dict(prior="full", latent_maps=1), "^latent_maps: got 1 with prior 'full', expected 0, or prior 'diagonal'"),
    ],
)
def test_impossible_priors_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        ProbabilisticUNet(channels=(4, 6), **options)


@pytest.mark.parametrize(
    ("raters", "message"),
    [
        (None, r"^raters: got NoneType, expected int64 \(2, 1\), the rater of each segmentation"),
        (torch.zeros(2, 3, dtype=torch.long), r"^raters: got torch.int64 \(2, 3\), expected int64 \(2, 1\)"),
        (torch.zeros(2, 1), r"^raters: got torch.float32 \(2, 1\)"),
        (torch.tensor([[0], [3]]), r"^raters: got 0 .. 3, expected 0 .. 2$"),
    ],
)
def test_segmentations_without_a_rater_are_named(raters, message):
    images = images_of()
    with pytest.raises(ValueError, match=message):
        model_of(RATERS).elbo(images, torch.zeros(2, 16, 16, dtype=torch.long), raters=raters)


def test_hypotheses_of_one_rater_are_those_of_their_own_prior(tmp_path):
    model, images = model_of(RATERS), images_of()
    model.image_size = (16, 16)
    with torch.no_grad():
        bank = model.prior_for(images)
    alone = [of_rater(model, name) for name in ("ann", "bob", "cem")]
    for place, own in enumerate(alone):
        prior = own.prior_for(images)
        assert torch.equal(prior.mu, bank.components[place].mu)
        assert torch.equal(prior.sigma, bank.components[place].sigma)
        assert own.image_size == (16, 16)
    fastpunet.save(alone[1], tmp_path / "bob.safetensors")
    expected = fastpunet.sample(alone[1], images, 4, seed=0, sampler="antithetic")
    assert torch.equal(
        fastpunet.sample(fastpunet.load(tmp_path / "bob.safetensors"), images, 4, seed=0, sampler="antithetic"),
        expected,
    )
    panel = torch.stack([fastpunet.sample(own, images, 4000, seed=2, output="probs").mean(1) for own in alone]).mean(0)
    together = fastpunet.sample(model, images, 12000, seed=1, output="probs").mean(1)
    torch.testing.assert_close(together, panel, atol=0.02, rtol=0)
    with pytest.raises(ValueError, match="^rater: got 'dan', expected one of ann, bob, cem$"):
        of_rater(model, "dan")
    with pytest.raises(TypeError, match="^model: got a ProbabilisticUNet without raters, expected one with a prior"):
        of_rater(alone[0], "ann")


@pytest.mark.parametrize("kind", BENT)
def test_priors_that_are_no_gaussian_are_refused_by_name(kind):
    model, images = model_of(kind), images_of(1)
    if kind in ("full", "low-rank:2"):
        fastpunet.sample(fastpunet.windowed(model, 8), images, 2, seed=0)
        return
    with pytest.raises(ValueError, match="^sampler: got 'antithetic', expected random or sobol: the prior of Probabil"):
        fastpunet.sample(model, images, 2, sampler="antithetic")
    with pytest.raises(ValueError, match="^model: its prior is not one Gaussian"):
        fastpunet.sample(fastpunet.windowed(model, 8), images, 2)
