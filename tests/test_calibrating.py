"""`fastpunet calibrate`: a scaling that is fitted, folded into a model, and kept only where it helps."""

import math

import numpy as np
import pytest
import torch

from fastpunet import ProbabilisticUNet, load, sample, save
from fastpunet.cli import main
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.data.npz import write_members
from fastpunet.intensity import Intensity
from fastpunet.latents import Noise
from fastpunet.models import METHODS
from fastpunet.models.header_entries import describe
from fastpunet.models.raters import of_rater
from fastpunet.models.scaling import Scaling, scaled
from fastpunet.reports.calibrating import calibrate
from fastpunet.scoring.fitting_scaling import energy_score, fit_temperature, pattern_search, pixel_log_score


def _model(**changes):
    torch.manual_seed(0)
    return ProbabilisticUNet(channels=(3, 4), latent_dim=2, convs_per_block=1, **changes).eval()


IMAGES = torch.rand(2, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def test_scaling_is_what_it_says():
    model = _model()
    before = model.encode(IMAGES)
    changed = scaled(model, Scaling(prior_scale=1.5, shift=0.25, temperature=2.0))
    after = changed.encode(IMAGES)
    torch.testing.assert_close(after.prior.mu, before.prior.mu)
    torch.testing.assert_close(after.prior.sigma, 1.5 * before.prior.sigma)
    z = torch.randn(2, 5, 2, generator=torch.Generator().manual_seed(1))
    options = dict(output="logits", precision="ieee", backend="auto")
    old, new = model.decode(before, z, **options), changed.decode(after, z, **options)
    torch.testing.assert_close(new, (old + 0.25) / 2, rtol=1e-4, atol=1e-5)
    for backend in ("reference", "native"):
        drawn = changed.draw(after, Noise(0, torch.arange(2), 0, 5), **{**options, "backend": backend})
        torch.testing.assert_close(drawn, sample(changed, IMAGES, 5, seed=0, output="logits").flatten(3))
    assert scaled(changed, Scaling(prior_scale=2)).config["prior_scale"] == 3.0
    assert model.config["prior_scale"] == 1.0


@pytest.mark.parametrize("name", list(METHODS))
def test_logits_of_every_method_are_scaled(name):
    torch.manual_seed(0)
    model = METHODS[name](channels=(3, 4), convs_per_block=1).eval()
    model.image_size = (16, 16)
    changed = scaled(model, Scaling(shift=0.5, temperature=0.5))
    old, new = (sample(each, IMAGES, 3, seed=0, output="logits") for each in (model, changed))
    torch.testing.assert_close(new, 2 * (old + 0.5), rtol=1e-3, atol=1e-4)
    assert changed.image_size == (16, 16)


def test_what_is_known_of_images_and_making_is_handed_on_but_scores():
    volumes = dict(dims=3, channels=(3, 4), latent_dim=2, convs_per_block=1)
    model, of_two = ProbabilisticUNet(**volumes).eval(), ProbabilisticUNet(**volumes, prior="raters:ann,bob").eval()
    for each, copy_of in ((model, lambda m: scaled(m, Scaling())), (of_two, lambda m: of_rater(m, "bob"))):
        each.intensity, each.spacing, each.image_size = Intensity.range(0, 200), (5.0, 1.0, 1.0), (8, 16, 16)
        each.orientation = "RAS"
        each.about = {"license": "mit", "scores": "those of other weights"}
        facts = describe(each)
        assert describe(copy_of(each)) == {**facts, "about": {"license": "mit"}}


@pytest.mark.parametrize("form", ["safetensors", "pt"])
def test_files_keep_the_scale_of_the_prior(tmp_path, form):
    model = scaled(_model(), Scaling(prior_scale=1.25))
    if form == "safetensors":
        save(model, tmp_path / "m.safetensors")
    else:
        torch.save(model.state_dict(), tmp_path / "m.pt")
    loaded = load(tmp_path / f"m.{form}")
    assert loaded.config["prior_scale"] == 1.25
    assert torch.equal(sample(loaded, IMAGES, 4, seed=0), sample(model, IMAGES, 4, seed=0))
    with pytest.raises(ValueError, match="^prior_scale: got 0"):
        _model(prior_scale=0)


@pytest.mark.slow
def test_a_spoiled_model_is_mended():
    spoiled = scaled(load("lesions"), Scaling(prior_scale=0.5, shift=-2.0, temperature=3.0))
    found = calibrate(spoiled, SyntheticLesions(12, seed=5), n=8)
    assert "; kept" in found.report
    assert found.model.config["prior_scale"] > 0.7
    new = SyntheticLesions(6, seed=6)
    before, after = (energy_score(model, new, n=8, seed=1) for model in (spoiled, found.model))
    assert after < before
    assert found.model.calibration.images == 6
    assert found.model.calibration.data == "data given to calibrate, not used for the fit"
    assert "| scaled | as it was |" in found.report


def test_the_temperature_is_found_by_the_log_score():
    records = SyntheticLesions(4, seed=5)
    spoiled = scaled(load("lesions"), Scaling(temperature=4.0))
    fitted = fit_temperature(spoiled, records, n=100, seed=0)
    assert fitted.temperature < 0.7
    before, after = (pixel_log_score(model, records, n=100, seed=0) for model in (spoiled, scaled(spoiled, fitted)))
    assert after < before


def test_what_does_not_help_is_left_out(monkeypatch):
    monkeypatch.setattr("fastpunet.reports.calibrating.fit_masks", lambda *_, **__: Scaling(shift=9.0))
    monkeypatch.setattr("fastpunet.reports.calibrating.fit_temperature", lambda *_, **__: Scaling(temperature=200.0))
    model = load("lesions")
    before = model.calibration
    found = calibrate(model, SyntheticLesions(8, seed=5), n=4)
    assert found.report.count("; left out, because it does not help there") == 2
    assert "| scaled |" not in found.report
    for name, value in found.model.state_dict().items():
        assert torch.equal(value, model.state_dict()[name])
    assert found.model.calibration is not None
    assert found.model.calibration is not before
    assert model.calibration is before


def test_patterns_are_searched_within_limits():
    assert pattern_search(lambda _: 0.0, []) == []
    assert pattern_search(lambda place: -place[0], [1.0]) == [8.0]
    assert pattern_search(lambda place: abs(place[0] - 0.3), [1.0])[0] == pytest.approx(0.25)
    assert math.isclose(Scaling().prior_scale, 1)


def test_the_command(tmp_path, capsys):
    rng = np.random.default_rng(0)
    masks = np.zeros((6, 2, 16, 16), np.uint8)
    masks[:, :, 4:9, 5:12] = 1
    members = {
        "images": rng.integers(0, 256, (6, 16, 16)).astype(np.uint8),
        "masks_packed": np.packbits(masks, axis=-1),
        "patient": np.array([f"p{k}" for k in range(6)]),
    }
    write_members(tmp_path / "val.npz", members)
    save(_model(), tmp_path / "m.safetensors")
    command = ["calibrate", str(tmp_path / "m.safetensors"), "--data", str(tmp_path / "val.npz"), "-n", "4"]
    out = tmp_path / "new" / "c.safetensors"
    assert main([*command, "--output", str(out)]) == 0
    said = capsys.readouterr().out
    assert "prior and shift, fitted on 3 images: " in said
    assert said.endswith(f"\n{out}\n")
    assert load(out).calibration.images == 3
    assert main([*command, "--output", str(out), "--measure-only"]) == 0
    assert load(out).calibration.images == 6
    assert load(out).config == load(tmp_path / "m.safetensors").config
    assert main([*command, "--output", str(tmp_path), "--measure-only"]) == 2
    assert "--output: got" in capsys.readouterr().err
