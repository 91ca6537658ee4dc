"""What all baselines promise alike."""

import math

import numpy as np
import pytest
import torch
from baseline_cases import BASELINES, IDS, LIMITED, all_logits, annotations, build, loss, pictures

import fastpunet
from fastpunet.models import SSN, DropoutUNet, Image2ImageVAE, MHeads, ProbabilisticUNet, UNetEnsemble


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("method", BASELINES)
def test_a_hypothesis_depends_on_seed_id_and_number_alone(method, num_classes):
    many = {LIMITED[method]: 16} if method in LIMITED else {}
    model, images = build(method, num_classes, **many), pictures()
    sixteen = all_logits(model, images, 16, ids=IDS)
    for options in ({}, {"chunk": 1}, {"chunk": 3}, {"chunk": 5}):
        torch.testing.assert_close(all_logits(model, images, 4, ids=IDS, **options), sixteen[:, :4])
    alone = all_logits(model, images[1:2], 16, ids=IDS[1:2], chunk=7)
    torch.testing.assert_close(alone, sixteen[1:2])
    turned = all_logits(model, images.flip(0), 16, ids=IDS.flip(0))
    torch.testing.assert_close(turned.flip(0), sixteen)
    assert all(not torch.equal(sixteen[:, 0], sixteen[:, k]) for k in range(1, 16))
    other = all_logits(model, images, 16, seed=8, ids=IDS)
    assert not torch.equal(other, sixteen)
    if method not in LIMITED:  # their randomness is each image's own
        twins = images[:1].expand(2, -1, -1, -1)
        first, second = all_logits(model, twins, 4, ids=IDS[:2])
        assert not torch.allclose(first, second)


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("method", BASELINES)
def test_every_output_is_the_same_hypotheses(method, num_classes):
    model, images = build(method, num_classes), pictures()
    logits, probs, labels, bits = (
        fastpunet.sample(model, images, 5, seed=7, ids=IDS, output=output, chunk=2)
        for output in ("logits", "probs", "labels", "bits")
    )
    torch.testing.assert_close(logits, all_logits(model, images, 5, ids=IDS))
    expected = logits.sigmoid() if num_classes == 1 else logits.softmax(2)
    torch.testing.assert_close(probs, expected, rtol=1e-5, atol=1e-6)
    assert torch.equal(labels, (logits[:, :, 0] > 0).byte() if num_classes == 1 else logits.argmax(2).byte())
    assert labels.float().std() > 0.1  # not all one label
    assert torch.equal(bits.unpack(), labels)


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("size", [(1, 1), (1, 9), (5, 3), (16, 31)])
@pytest.mark.parametrize("method", BASELINES)
def test_any_size(method, size, num_classes):
    model = build(method, num_classes)
    logits = all_logits(model, pictures(2, size), 3)
    assert logits.shape == (2, 3, num_classes, *size)
    assert torch.isfinite(logits).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16])
@pytest.mark.parametrize("method", [*BASELINES, ProbabilisticUNet])
def test_images_of_any_float_dtype(method, dtype):
    model, images = build(method), pictures().half()
    expected = fastpunet.sample(model, images.float(), 3, seed=7)
    assert torch.equal(fastpunet.sample(model, images.to(dtype), 3, seed=7), expected)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        (DropoutUNet, {"dropout": 0.3}),
        (UNetEnsemble, {"members": 5}),
        (MHeads, {"heads": 5, "epsilon": 0.1}),
        (Image2ImageVAE, {"latent_dim": 2, "log_sigma_bound": None}),
        (SSN, {"rank": 3, "draws": 8}),
    ],
)
def test_a_checkpoint_brings_the_model_back(method, arguments, tmp_path):
    model = build(method, 3, **arguments)
    fastpunet.save(model, tmp_path / "model.safetensors")
    again = fastpunet.load(tmp_path / "model.safetensors")
    assert type(again) is method
    assert again.config == model.config
    assert {name: model.config[name] for name in arguments} == arguments
    images = pictures()
    assert torch.equal(all_logits(again, images, 5, ids=IDS), all_logits(model, images, 5, ids=IDS))


@pytest.mark.parametrize("method", BASELINES)
def test_training_reaches_every_parameter_and_leaves_no_trace(method):
    model = build(method, 3, **({LIMITED[method]: 3} if method in LIMITED else {})).requires_grad_(True)
    before = {name: set(vars(module)) for name, module in model.named_modules()}
    state = torch.get_rng_state()
    terms = loss(model, pictures(), annotations(3, None), None, None, torch.arange(3))
    (terms.reconstruction.mean() + terms.kl.sum(-1).mean()).backward()
    assert not [name for name, parameter in model.named_parameters() if not parameter.grad.abs().sum() > 0]
    fastpunet.sample(model, pictures(), 3, seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    assert {name: set(vars(module)) for name, module in model.named_modules()} == before


@pytest.mark.parametrize(("method", "limit"), LIMITED.items())
def test_no_more_hypotheses_than_there_are(method, limit):
    model, images = build(method, **{limit: 4}), pictures()
    message = f"^n: got 5, expected at most 4: {method.__name__} has no more hypotheses"
    with pytest.raises(ValueError, match=message):
        fastpunet.sample(model, images, 5)


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize(
    ("error", "name", "images", "options"),
    [
        (TypeError, "images", np.zeros((1, 2, 8, 8)), {}),
        (ValueError, "images", torch.rand(2, 8, 8), {}),
        (ValueError, "images", torch.rand(1, 3, 8, 8), {}),
        (ValueError, "images", torch.full((1, 2, 8, 8), math.nan), {}),
        (TypeError, "images", torch.zeros(1, 2, 8, 8, dtype=torch.uint8), {}),
        (ValueError, "n", torch.rand(1, 2, 8, 8), {"n": 0}),
        (TypeError, "n", torch.rand(1, 2, 8, 8), {"n": 2.0}),
        (ValueError, "seed", torch.rand(1, 2, 8, 8), {"seed": -1}),
        (ValueError, "ids", torch.rand(1, 2, 8, 8), {"ids": torch.tensor([1, 2])}),
        (TypeError, "ids", torch.rand(1, 2, 8, 8), {"ids": [1]}),
    ],
)
def test_bad_input_to_sampling_is_named(method, error, name, images, options):
    with pytest.raises(error, match=f"^{name}: "):
        fastpunet.sample(build(method), images, **{"n": 2, **options})


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize(
    ("name", "value"), [("chunk", 0), ("output", "masks"), ("backend", "fast"), ("precision", "fp8")]
)
def test_bad_options_of_sample_are_named(method, name, value):
    with pytest.raises(ValueError, match=f"^{name}: got"):
        fastpunet.sample(build(method), pictures(), 2, **{name: value})


@pytest.mark.parametrize("method", BASELINES)
@pytest.mark.parametrize(("num_classes", "label"), [(1, 2), (3, 3), (3, -1)])
def test_labels_out_of_range_are_refused(method, num_classes, label):
    with pytest.raises(ValueError, match=f"^labels: got .*{label}"):
        loss(build(method, num_classes), pictures(), torch.full((3, 2, 13, 17), label), None, None)


@pytest.mark.parametrize(
    ("method", "arguments"),
    [
        *((method, {name: 0}) for method in BASELINES for name in ("in_channels", "num_classes", "convs_per_block")),
        *((method, {"channels": ()}) for method in BASELINES),
        *((DropoutUNet, {"dropout": rate}) for rate in (0.0, 1.0, -0.5, math.nan, 1)),
        (DropoutUNet, {"channels": (8,)}),
        (UNetEnsemble, {"members": 0}),
        (MHeads, {"heads": 1}),
        (MHeads, {"epsilon": 1.0}),
        (MHeads, {"epsilon": -0.1}),
        (Image2ImageVAE, {"latent_dim": 0}),
        (Image2ImageVAE, {"log_sigma_bound": 0.0}),
        (SSN, {"rank": 0}),
        (SSN, {"draws": 0}),
    ],
)
def test_impossible_architectures_are_refused(method, arguments):
    (name,) = arguments
    with pytest.raises(ValueError, match=f"^{name}: got"):
        method(**arguments)
