"""Best fits against brute force, and the likelihood of annotations against loops in NumPy and cases by hand."""

import math

import numpy as np
import pytest
import torch

from benchmarks.port import PortModel
from fastpunet import ProbabilisticUNet, Sampler, windowed
from fastpunet.hypotheses import Annotation, best_fit
from fastpunet.hypotheses.fits.evidence import Evidence, label_log_probs
from fastpunet.latents import Noise
from fastpunet.models import SSN, DropoutUNet, Image2ImageVAE, MHeads
from fastpunet.models.adapters import adapt

SIZE = (9, 7)
CPU = torch.device("cpu")


def make_model(classes=1, dims=2):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, classes, channels=(8, 8), latent_dim=3, convs_per_block=1, dims=dims)
    with torch.no_grad():
        model.fcomb.last_layer.weight.mul_(4)
        size = SIZE if dims == 2 else (4, *SIZE)
        model.fcomb.last_layer.bias.sub_(model(torch.rand(8, 1, *size)).transpose(0, 1).flatten(1).mean(1))
    return model


def make_image(dims=2):
    return torch.rand(1, *(SIZE if dims == 2 else (4, *SIZE)), generator=torch.Generator().manual_seed(1))


def log_likelihood(annotation, logits, classes):
    """By `Evidence`, of logits (n, K, *size)."""
    evidence = Evidence.of(annotation, tuple(logits.shape[2:]), classes, CPU)
    return evidence.log_likelihood(label_log_probs(logits.flatten(2)[..., evidence.pixels]))


def probabilities(logits):
    """p(label) in float64 (n, K', *size), by NumPy."""
    values = logits.double().numpy()
    if values.shape[1] == 1:
        one = 1 / (1 + np.exp(-values))
        return np.concatenate((1 - one, one), 1)
    powers = np.exp(values - values.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


@pytest.mark.parametrize("classes", [1, 2, 4])
def test_a_masks_likelihood_is_the_product_over_known_pixels(classes):
    rng = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(3, classes, *SIZE, generator=rng)
    labels = torch.randint(0, max(2, classes), SIZE, generator=rng, dtype=torch.uint8)
    labels[2, 3:] = 255
    p = probabilities(logits)
    expected = [
        sum(math.log(p[k, labels[i, j], i, j]) for i in range(9) for j in range(7) if labels[i, j] != 255)
        for k in range(3)
    ]
    np.testing.assert_allclose(log_likelihood(Annotation.mask(labels), logits, classes), expected, rtol=1e-9)
    scribbled = Annotation.scribbles(labels.numpy().astype(np.int64), weight=0.5)
    np.testing.assert_allclose(log_likelihood(scribbled, logits, classes), np.array(expected) / 2, rtol=1e-9)


def test_points_say_inside_and_outside_of_one_structure():
    logits = torch.randn(2, 3, *SIZE, generator=torch.Generator().manual_seed(2))
    p = probabilities(logits)
    clicks = Annotation.points(include=[(0, 1), (8, 6)], exclude=[(4, 4)], label=2, weight=3)
    inside = np.log(p[:, 2, 0, 1]) + np.log(p[:, 2, 8, 6])
    expected = 3 * (inside + np.log(1 - p[:, 2, 4, 4]))  # outside: another class, not the background alone
    np.testing.assert_allclose(log_likelihood(clicks, logits, 3), expected, rtol=1e-9)


def test_parts_add_up():
    logits = torch.randn(2, 1, *SIZE, generator=torch.Generator().manual_seed(3))
    clicks, box = Annotation.points(include=[(3, 3)]), Annotation.box((2, 2), (5, 4))
    both = log_likelihood(clicks + box, logits, 1)
    torch.testing.assert_close(both, log_likelihood(clicks, logits, 1) + log_likelihood(box, logits, 1))


@pytest.mark.parametrize("slack", [0, 1])
def test_a_box_is_touched_and_not_left(slack):
    logits = torch.randn(2, 1, *SIZE, generator=torch.Generator().manual_seed(4))
    one = probabilities(logits)[:, 1]
    low, high = (2, 1), (6, 4)
    rows, columns = slice(2 - slack, 7 + slack), slice(1 - slack, 5 + slack)
    touched = [
        one[:, 2 - slack : 3 + slack, columns],
        one[:, 6 - slack : 7 + slack, columns],
        one[:, rows, 1 - slack : 2 + slack],
        one[:, rows, 4 - slack : 5 + slack],
    ]
    beyond = [one[:, : 2 - slack], one[:, 7 + slack :], one[:, :, : 1 - slack], one[:, :, 5 + slack :]]
    expected = sum(np.log(part.reshape(2, -1).max(1)) for part in touched)
    expected = expected + sum(np.log(1 - part.reshape(2, -1).max(1)) for part in beyond if part.size)
    found = log_likelihood(Annotation.box(low, high, slack=slack, weight=1), logits, 1)
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_box_around_the_whole_image_only_asks_to_touch_its_sides():
    evidence = Evidence.of(Annotation.box((0, 0), (8, 6)), SIZE, 1, CPU)
    assert [side.some for side in evidence.sides] == [True] * 4
    full, empty = torch.ones(SIZE, dtype=torch.uint8), torch.zeros(SIZE, dtype=torch.uint8)
    assert (evidence.agreement(full), evidence.agreement(empty)) == (1, 0)


def test_agreement_is_the_share_of_what_is_said():
    mask = torch.zeros(SIZE, dtype=torch.uint8)
    mask[2:5, 2:4] = 1
    said = Annotation.points(include=[(2, 2), (6, 6)], exclude=[(3, 3)], weight=1)  # one of three holds
    assert Evidence.of(said, SIZE, 1, CPU).agreement(mask) == pytest.approx(1 / 3)
    assert Evidence.of(Annotation.box((2, 2), (4, 3)), SIZE, 1, CPU).agreement(mask) == 1
    wide = Annotation.box((2, 2), (4, 5))  # its right side is not touched: seven of eight statements hold
    assert Evidence.of(wide, SIZE, 1, CPU).agreement(mask) == pytest.approx(7 / 8)
    assert Evidence.of(Annotation.mask(mask), SIZE, 1, CPU).agreement(1 - mask) == 0


def brute_force(model, image, annotation, n, classes):
    """The objective of every drawn hypothesis."""
    sampler = Sampler(model, precision="ieee")
    encoding = sampler.encode(image[None])
    z = encoding.prior.draw(Noise(3, torch.tensor([7]), 0, n))
    likelihood = log_likelihood(annotation, sampler.decode(encoding, z, output="logits")[0], classes)
    prior = torch.distributions.Normal(encoding.prior.mu[0].double(), encoding.prior.sigma[0].double())
    return z[0], likelihood + prior.log_prob(z[0].double()).sum(1)


@pytest.mark.parametrize(("classes", "dims"), [(1, 2), (3, 2), (1, 3)])
def test_the_start_is_the_best_drawn_and_refinement_ends_at_a_maximum(classes, dims):
    model, image = make_model(classes, dims), make_image(dims)
    sampler = Sampler(model, precision="ieee")
    encoding = sampler.encode(image[None])
    wanted = sampler.decode(encoding, encoding.prior.mu[None] + 2 * encoding.prior.sigma[None])[0, 0]
    annotation = Annotation.mask(wanted)
    found = best_fit(model, image, annotation, 40, seed=3, id=7)
    z, objectives = brute_force(model, image, annotation, 40, classes)
    assert found.start == int(objectives.argmax())
    assert found.drawn.objective == pytest.approx(float(objectives.max()), rel=1e-4)
    assert torch.equal(found.drawn.z, z[found.start])
    assert found.refined is not None
    assert found.best.objective > found.drawn.objective
    assert torch.equal(found.mask, sampler.decode(encoding, found.z[None, None])[0, 0])
    assert found.agreement >= found.drawn.agreement - 0.02
    near = found.z + 0.05 * encoding.prior.sigma[0] * torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    around = log_likelihood(annotation, sampler.decode(encoding, near[None], output="logits")[0], classes)
    around = around + encoding.prior.log_density(near[None])[0]
    assert float(around.max()) <= found.best.objective + 1e-3
    assert found.log_prior == pytest.approx(float(encoding.prior.log_density(found.z[None, None])), rel=1e-6)
    assert 0 < found.plausibility < 1
    alone = best_fit(model, image, annotation, 40, seed=3, id=7, refine=False)
    assert (alone.start, alone.refined, alone.not_refined) == (found.start, None, "No refinement was asked for.")


def test_what_an_annotation_leaves_open_the_prior_decides():
    model, image = make_model(), make_image()
    weak = best_fit(model, image, Annotation.points(include=[(0, 0)], weight=1e-6), 50)
    sampler = Sampler(model)
    assert torch.allclose(weak.z, sampler.encode(image[None]).prior.mu[0], atol=1e-3)
    assert weak.plausibility == pytest.approx(1, abs=1e-4)


def test_one_hypothesis_full_and_empty_masks():
    model, image = make_model(), make_image()
    for value in (0, 1):
        found = best_fit(model, image, Annotation.mask(torch.full(SIZE, value)), 1)
        assert found.start == 0
        assert found.best.objective >= found.drawn.objective
        assert found.agreement >= found.drawn.agreement


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_it_works_in_any_mode_of_gradients_and_leaves_the_model_alone(mode):
    model, image = make_model(), make_image()
    with mode():
        found = best_fit(model, image, Annotation.points(include=[(1, 1)], exclude=[(7, 5)]), 20)
    assert found.refined is not None
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not found.z.requires_grad


def test_methods_without_gradients_give_the_nearest_hypothesis_and_say_so():
    image, annotation = make_image(), Annotation.points(include=[(1, 1)], exclude=[(7, 5)])
    small = {"channels": (4, 6), "convs_per_block": 1}
    torch.manual_seed(0)
    for model, reason in (
        (DropoutUNet(1, 1, **small), "DropoutUNet has no latent."),
        (MHeads(1, 1, heads=8, **small), "MHeads has no latent."),
        (SSN(1, 1, **small), "SSN has no latent."),
        (Image2ImageVAE(1, 1, latent_dim=2, **small), "Hypotheses of Image2ImageVAE have no gradient"),
    ):
        found = best_fit(model, image, annotation, 8, seed=2)
        logits = Sampler(model).sample(image[None], 8, seed=2, output="logits")[0]
        objectives = log_likelihood(annotation, logits, 1)
        if found.z is not None:  # N(0, I)
            assert found.log_prior == pytest.approx(float(-(found.z**2).sum() / 2 - math.log(2 * math.pi)), rel=1e-5)
        else:
            assert found.start == int(objectives.argmax())
            assert (found.log_prior, found.plausibility) == (None, None)
        assert found.refined is None
        assert found.not_refined.startswith(reason)
        assert reason in str(found)
        assert torch.equal(found.mask, (logits[found.start, 0] > 0).byte())


def test_large_images_in_windows_are_refined():
    large = torch.rand(1, 20, 17, generator=torch.Generator().manual_seed(3))
    found = best_fit(windowed(make_model(), 9), large, Annotation.points(include=[(1, 1)], exclude=[(18, 15)]), 20)
    assert found.refined is not None
    assert found.mask.shape == (20, 17)


def test_live_models_of_other_makes_are_refined():
    torch.manual_seed(0)
    model = PortModel(1, 1, (4, 6), 3)
    found = best_fit(model, make_image(), Annotation.points(include=[(1, 1)]), 30)
    assert found.refined is not None

    class Drawn:  # a prior that is known by its draws alone
        def __init__(self, mean):
            self.mean = mean

        def sample(self):
            return self.mean + torch.rand_like(self.mean)

    unknown = adapt(
        model, encode=lambda images: (model.unet(images, False), Drawn(torch.zeros(1, 3))), combiner=model.fcomb
    )
    found = best_fit(unknown, torch.rand(1, 12, 8), Annotation.points(include=[(1, 1)]), 5)
    assert found.not_refined.startswith("The density of the prior of")
    assert found.z is not None
    assert found.log_prior is None


@pytest.mark.parametrize(
    ("annotation", "error", "message"),
    [
        (torch.zeros(SIZE, dtype=torch.uint8), TypeError, "annotation: got Tensor, expected an Annotation"),
        (Annotation(), TypeError, "annotation: got an empty Annotation"),
        (
            Annotation.mask(torch.zeros(9, 8, dtype=torch.uint8)),
            ValueError,
            "got labels of 9 x 8 pixels, expected 9 x 7",
        ),
        (Annotation.mask(torch.full(SIZE, 2)), ValueError, "annotation: got labels 2 .. 2, expected 0 .. 1"),
        (Annotation.mask(torch.full(SIZE, 255)), ValueError, "annotation: got 255 .unknown. at every pixel"),
        (Annotation.points(include=[(9, 0)]), ValueError, r"got \(9, 0\), expected a pixel inside the image of 9 x 7"),
        (Annotation.points(include=[(0, 0, 0)]), ValueError, r"got \(0, 0, 0\), expected a pixel inside the image"),
        (
            Annotation.points(include=[(1, 1)], label=2),
            ValueError,
            "annotation: got label 2, expected one of the model's",
        ),
        (Annotation.points([(1, 1)], [(1, 1)]), ValueError, r"parts with different labels for pixel \(1, 1\)"),
        (
            Annotation.points([(1, 1)]) + Annotation.box((2, 2), (4, 4)),
            ValueError,
            r"got parts with different labels for pixel \(1, 1\)",
        ),
        (Annotation.box((2, 2), (9, 4)), ValueError, r"got \(9, 4\), expected a pixel"),
    ],
)
def test_annotations_that_do_not_fit_are_named(annotation, error, message):
    with pytest.raises(error, match=message):
        best_fit(make_model(), make_image(), annotation, 4)


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Annotation.points(), ValueError, "include: got no point"),
        (lambda: Annotation.points(include=[(1.5, 2)]), TypeError, "include: got 1.5, expected a whole number"),
        (lambda: Annotation.points(include=[(1,)]), ValueError, r"include: got \(1,\), expected \(row, column\)"),
        (lambda: Annotation.points(include=[(1, -2)]), ValueError, "include: got -2"),
        (lambda: Annotation.mask(torch.zeros(SIZE)), TypeError, "labels: got dtype torch.float32"),
        (lambda: Annotation.mask(torch.zeros(1, 1, *SIZE).byte()), ValueError, r"labels: got shape \(1, 1, 9, 7\)"),
        (lambda: Annotation.mask([[0, 1]]), TypeError, "labels: got list"),
        (lambda: Annotation.mask(torch.zeros(SIZE).byte(), weight=0), ValueError, "weight: got 0"),
        (lambda: Annotation.box((3, 3), (2, 4)), ValueError, r"high: got \(2, 4\) and low \(3, 3\)"),
        (lambda: Annotation.box((3, 3), (4, 4, 4)), ValueError, "high: got"),
        (lambda: Annotation.box((3, 3), (4, 4), slack=-1), ValueError, "slack: got -1"),
    ],
)
def test_annotations_that_mean_nothing_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_other_arguments_are_checked():
    model, image, said = make_model(), make_image(), Annotation.points(include=[(1, 1)])
    for arguments, message in (
        ({"n": 0}, "n: got 0"),
        ({"seed": -1}, "seed: got -1"),
        ({"id": -1}, "id: got -1"),
        ({"refine": 1}, "refine: got 1"),
    ):
        with pytest.raises(ValueError, match=message):
            best_fit(model, image, said, **arguments)
    with pytest.raises(ValueError, match=r"image: got \(1, 1, 9, 7\), expected a tensor \(C, H, W\), one image"):
        best_fit(model, image[None], said)


def test_it_shows_itself():
    pytest.importorskip("matplotlib")
    found = best_fit(make_model(), make_image(), Annotation.points(include=[(1, 1)], exclude=[(7, 5)]), 20)
    assert f"hypothesis {found.start} is the nearest of those drawn" in str(found)
    html = found._repr_html_()
    assert html.count("<tr>") == 3
    assert "data:image/png" in html
    assert found.plot(make_image()).axes[0].get_title() == "drawn (blue), refined (orange)"
