"""Assessments against brute-force integration over the latent, and against loops in NumPy."""

import math

import numpy as np
import pytest
import torch

from benchmarks.port import PortModel
from fastpunet import PackedMasks, ProbabilisticUNet, Sampler, windowed
from fastpunet.hypotheses import assess
from fastpunet.hypotheses.assessments.distances import DistancesFrom
from fastpunet.hypotheses.assessments.importance import log_evidence
from fastpunet.hypotheses.fits.evidence import label_log_probs
from fastpunet.metrics import default_convention
from fastpunet.models import DropoutUNet, Image2ImageVAE, MHeads

SIZE = (9, 7)


def make_model(classes=1, latent_dim=1, dims=2, gain=3.0):
    """Untrained, but with hypotheses that differ and a posterior that is not the prior."""
    torch.manual_seed(1)
    model = ProbabilisticUNet(1, classes, channels=(8, 8), latent_dim=latent_dim, convs_per_block=1, dims=dims)
    with torch.no_grad():
        model.fcomb.last_layer.weight.mul_(gain)
        for net in (model.prior, model.posterior):
            net.conv_layer.bias.uniform_(-0.7, 0.7)
        size = SIZE if dims == 2 else (4, *SIZE)
        model.fcomb.last_layer.bias.sub_(model(torch.rand(8, 1, *size)).transpose(0, 1).flatten(1).mean(1))
    return model


def make_image(dims=2):
    return torch.rand(1, *(SIZE if dims == 2 else (4, *SIZE)), generator=torch.Generator().manual_seed(1))


def some_masks(model, image, count=3):
    """Hypotheses with a tenth of their pixels changed, one of them with pixels that nobody annotated."""
    rng = torch.Generator().manual_seed(5)
    masks = Sampler(model).sample(image[None], count, seed=11)[0].long()
    classes = max(2, model.num_classes)
    changed = torch.rand(masks.shape, generator=rng) < 0.1
    masks = torch.where(changed, torch.randint(0, classes, masks.shape, generator=rng), masks)
    masks[0, ..., 2:5] = 255
    return masks


def log_likelihood(logits, mask):
    """float64 (n,), of logits (n, K, *size) and one mask, by NumPy's indexing."""
    log_probs = label_log_probs(logits.flatten(2)).numpy()
    labels = mask.flatten().numpy()
    known = np.flatnonzero(labels != 255)
    return log_probs[:, labels[known], known].sum(1)


def by_quadrature(model, image, masks, points):
    """log p(y | x) of masks by the trapezoid rule over a grid of the standardised latent, -9 .. 9 along each axis."""
    sampler = Sampler(model, precision="ieee")
    encoding = sampler.encode(image[None])
    mu, sigma = encoding.prior.mu[0].double(), encoding.prior.sigma[0].double()
    axis = torch.linspace(-9, 9, points, dtype=torch.float64)
    u = torch.cartesian_prod(*[axis] * len(mu)).view(-1, len(mu))
    z = (mu + sigma * u)[None]
    logits = torch.cat([sampler.method.differentiable_logits(encoding, some)[0] for some in z.split(2000, 1)])
    log_density = -(u**2).sum(1) / 2 - len(mu) / 2 * math.log(2 * math.pi)
    cell = math.log(float(axis[1] - axis[0])) * len(mu)
    return [float((torch.tensor(log_likelihood(logits, mask)) + log_density).logsumexp(0)) + cell for mask in masks]


@pytest.mark.parametrize(("classes", "latent_dim", "points"), [(1, 1, 4001), (3, 1, 4001), (1, 2, 201)])
def test_log_evidence_is_the_integral_over_the_latent(classes, latent_dim, points):
    model, image = make_model(classes, latent_dim), make_image()
    masks = some_masks(model, image)
    exact = by_quadrature(model, image, masks, points)
    found = assess(model, image, masks, 20_000)
    p = np.exp(found.log_evidence.numpy() - exact)
    np.testing.assert_allclose(p, 1, atol=0.01)  # of p itself, not of its logarithm
    assert (found.standard_error < 0.01).all()
    assert (found.effective > 5000).all()
    assert found.notes == ()


def test_standard_errors_are_honest():
    model, image = make_model(latent_dim=2, gain=6.0), make_image()
    masks = some_masks(model, image)
    exact = torch.tensor(by_quadrature(model, image, masks, 301))
    runs = [assess(model, image, masks, 200, seed=seed) for seed in range(40)]
    scaled = torch.stack([(run.log_evidence - exact) / run.standard_error for run in runs])
    assert 0.9 < (scaled.abs() < 1.96).double().mean() < 0.99
    assert 0.75 < scaled.std() < 1.25
    assert abs(scaled.mean()) < 0.3


def test_weights_of_several_proposals_by_a_loop():
    rng = np.random.default_rng(0)
    draws = [rng.normal(0, 1, 50), rng.normal(1, 0.5, 20)]

    def normal(z, mean, sigma):
        return math.exp(-(((z - mean) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))

    weights = [
        [normal(z, 1.2, 0.3) * normal(z, 0, 1) / (5 / 7 * normal(z, 0, 1) + 2 / 7 * normal(z, 1, 0.5)) for z in stratum]
        for stratum in draws
    ]
    flat = np.concatenate(weights)
    z = [torch.tensor(each) for each in draws]
    gaussians = [torch.distributions.Normal(*torch.tensor(p, dtype=torch.float64)) for p in ((0, 1), (1, 0.5))]
    likelihood = torch.distributions.Normal(torch.tensor(1.2).double(), torch.tensor(0.3).double())
    found = log_evidence(
        [likelihood.log_prob(each) for each in z],
        [gaussians[0].log_prob(each) for each in z],
        [torch.stack([gaussian.log_prob(each) for gaussian in gaussians]) for each in z],
    )
    assert found.value == pytest.approx(math.log(flat.mean()))
    variance = (50 * np.var(weights[0], ddof=1) + 20 * np.var(weights[1], ddof=1)) / 70**2
    assert found.standard_error == pytest.approx(math.sqrt(variance) / flat.mean())
    assert found.effective == pytest.approx(flat.sum() ** 2 / (flat**2).sum())
    exact = math.log(normal(1.2, 0, math.hypot(1, 0.3)))
    assert abs(found.value - exact) < 3 * found.standard_error


def test_likelihoods_that_no_float_holds_are_no_problem():
    tiny = torch.tensor([-4000.0, -4001.0], dtype=torch.float64)
    found = log_evidence([tiny], [tiny * 0], [tiny[None] * 0])
    assert found.value == pytest.approx(-4000 + math.log((1 + math.exp(-1)) / 2))
    single = log_evidence([tiny[:1]], [tiny[:1] * 0], [tiny[None, :1] * 0])
    assert (single.value, single.effective) == (-4000, 1)


def iou(a, b, classes, known):
    """Mean over classes 1 .. K - 1 of the IoU at known pixels, 1 where both lack a class."""
    values = []
    for label in range(1, classes):
        one, two = (a == label) & known, (b == label) & known
        union = (one | two).sum()
        values.append(1.0 if union == 0 else (one & two).sum() / union)
    return float(np.mean(values))


@pytest.mark.parametrize("classes", [1, 3])
def test_distances_by_loops(classes):
    rng = np.random.default_rng(classes)
    total = max(2, classes)
    hypotheses = rng.integers(0, total, (12, 4, 5)) * (rng.random((12, 4, 5)) < 0.4)
    hypotheses[3] = 0
    packed = PackedMasks.pack(torch.tensor(hypotheses)[None], None if classes == 1 else classes)
    compared = DistancesFrom(packed, default_convention(classes))
    for case in range(4):
        labels = hypotheses[5].copy() if case == 0 else rng.integers(0, total, (4, 5)) * (case != 1)
        known = np.ones((4, 5), bool)
        if case == 3:
            known[1:3] = False
        found = compared.of(
            torch.tensor(labels * known, dtype=torch.uint8), torch.tensor(~known) if case == 3 else None
        )
        d = np.array([1 - iou(labels, other, total, known) for other in hypotheses])
        assert found.mean == pytest.approx(d.mean())
        assert found.iou == pytest.approx(1 - d.min(), abs=1e-6)
        assert d[found.nearest] == pytest.approx(d.min(), abs=1e-6)
        sums = [
            d[k] + sum(1 - iou(hypotheses[k], hypotheses[j], total, known) for j in range(12) if j != k)
            for k in range(12)
        ]
        assert found.typicality == pytest.approx((1 + sum(total >= d.sum() - 1e-6 for total in sums)) / 13)


def test_positions_are_the_posteriors_and_their_distances_the_priors():
    model, image = make_model(latent_dim=3), make_image()
    masks = some_masks(model, image)
    found = assess(model, image, masks, 50)
    with torch.no_grad():
        q = model.posterior_of(image.expand(3, -1, -1, -1), masks, 255).base_dist
        p = model.prior(image[None]).base_dist
    torch.testing.assert_close(found.position, q.loc)
    standard = ((q.loc - p.loc) / p.scale).double()
    torch.testing.assert_close(found.distance, standard.norm(dim=1), rtol=1e-5, atol=0)
    expected = torch.special.gammaincc(torch.tensor(1.5).double(), found.distance**2 / 2)
    torch.testing.assert_close(found.plausibility, expected)
    torch.testing.assert_close(found.kl, torch.distributions.kl_divergence(q, p).sum(1).double(), rtol=1e-4, atol=1e-5)
    assert found.pixels.tolist() == [36, 63, 63]
    torch.testing.assert_close(found.per_pixel, found.log_evidence / torch.tensor([36, 63, 63]))
    order = found.log_evidence.argsort(descending=True)
    assert found.rank[order].tolist() == [1, 2, 3]


def test_hypotheses_are_the_samplers_and_the_nearest_is_one_of_them():
    model, image = make_model(latent_dim=3), make_image()
    drawn = Sampler(model).sample(image[None], 30, seed=4, ids=torch.tensor([9]))[0]
    found = assess(model, image, torch.cat((drawn[[7, 19]], 1 - drawn[:1])), 30, seed=4, id=9)
    assert found.nearest_iou[:2].tolist() == [1, 1]
    assert torch.equal(drawn[found.nearest], found.nearest_masks)
    assert found.typicality[2] == found.typicality.min()


@pytest.mark.parametrize(("classes", "dims"), [(4, 2), (1, 3)])
def test_classes_and_volumes(classes, dims):
    model, image = make_model(classes, 2, dims), make_image(dims)
    masks = some_masks(model, image)
    found = assess(model, image, masks, 300, names=["ann", "ben", "cleo"])
    exact = by_quadrature(model, image, masks, 121)
    np.testing.assert_allclose(found.log_evidence, exact, atol=0.2)
    assert found.masks.shape == found.nearest_masks.shape == masks.shape
    assert [row["annotation"] for row in found.rows()] == ["ann", "ben", "cleo"]


def test_models_without_a_posterior_or_a_latent_give_what_they_have():
    image = make_image()
    small = {"channels": (4, 6), "convs_per_block": 1}
    torch.manual_seed(0)
    masks = torch.randint(0, 2, (2, *SIZE))
    heads = MHeads(1, 1, heads=8, **small)
    found = assess(heads, image, masks, 8)
    logits = Sampler(heads).sample(image[None], 8, seed=0, output="logits")[0]
    for m in range(2):
        each = log_likelihood(logits, masks[m])
        assert float(found.log_evidence[m]) == pytest.approx(np.logaddexp.reduce(each) - math.log(8))
    assert (found.position, found.distance, found.plausibility, found.kl) == (None,) * 4
    assert found.missing["position"] == "MHeads has no latent."
    assert found.missing["kl"] == "No posterior net of MHeads is known."
    assert any("fewer than 30 effective draws" in note for note in found.notes)
    assert assess(DropoutUNet(1, 1, **small), image, masks, 8).position is None

    port = PortModel(1, 1, (4, 6), 2)  # its own posterior is not used: the best-fitting latent takes its place
    found = assess(port, image, masks, 200)
    assert found.position.shape == (2, 2)
    assert found.kl is None
    assert (found.plausibility > 0).all()

    large = torch.rand(1, 20, 17, generator=torch.Generator().manual_seed(3))  # than the windows
    windows = windowed(make_model(latent_dim=2), 9)
    found = assess(windows, large, Sampler(windows).sample(large[None], 2, seed=8)[0], 100)
    assert (found.plausibility > 0).all()

    vae = Image2ImageVAE(1, 1, latent_dim=2, **small)
    found = assess(vae, image, masks, 100)
    with torch.no_grad():
        q = vae.posterior_of(image.expand(2, -1, -1, -1), masks).base_dist
    torch.testing.assert_close(found.distance, q.loc.norm(dim=1).double())
    assert (found.effective > 30).all()


def test_full_and_empty_masks_and_a_single_hypothesis():
    model, image = make_model(latent_dim=2), make_image()
    found = assess(model, image, torch.stack([torch.zeros(SIZE), torch.ones(SIZE)]).long(), 1)
    assert torch.isfinite(found.log_evidence).all()
    assert all(typicality in (0.5, 1) for typicality in found.typicality.tolist())
    assert found.nearest.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"masks": torch.zeros(2, 9, 8).long()}, ValueError, r"masks: got shape \(2, 9, 8\), expected \(M, 9, 7\)"),
        ({"masks": torch.zeros(SIZE).long()}, ValueError, r"masks: got shape \(9, 7\), expected \(M, 9, 7\)"),
        ({"masks": torch.zeros(2, *SIZE)}, TypeError, "masks: got torch.float32, expected a tensor of whole-number"),
        ({"masks": torch.full((1, *SIZE), 2)}, ValueError, "masks: got labels 2 .. 2, expected 0 .. 1"),
        ({"masks": torch.full((1, *SIZE), 255)}, ValueError, "masks: got a mask without any annotated pixel"),
        ({"image": torch.zeros(1, 1, *SIZE)}, ValueError, r"image: got \(1, 1, 9, 7\)"),
        ({"names": ["a"]}, ValueError, "names: got 1, expected 2, one for each mask"),
        ({"n": 0}, ValueError, "n: got 0"),
        ({"id": -1}, ValueError, "id: got -1"),
    ],
)
def test_bad_input_is_named(change, error, message):
    given = {"image": make_image(), "masks": torch.zeros(2, *SIZE).long(), "n": 4, **change}
    with pytest.raises(error, match=message):
        assess(make_model(), **given)


def test_it_shows_itself():
    pytest.importorskip("matplotlib")
    model, image = make_model(), make_image()
    found = assess(model, image, some_masks(model, image), 50, names=["ann", "<ben>", "cleo"])
    lines = str(found).splitlines()
    assert lines[0].split()[:2] == ["annotation", "rank"]
    assert [line.split()[0] for line in lines[1:4]] == ["ann", "<ben>", "cleo"]
    html = found._repr_html_()
    assert "&lt;ben&gt;" in html
    assert "data:image/png" in html
    assert len(found.plot(image).axes) == 3
