"""Stored values on the way to a model: channels, grey values, spacing, slices, and what does not fit."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch

from fastpunet import ProbabilisticUNet
from fastpunet.data.inputs import Input
from fastpunet.intensity import EIGHT_BIT, PERCENTILES, Intensity
from fastpunet.prediction.fitting import check_fits
from fastpunet.prediction.preparation import prepare, resample
from fastpunet.prediction.request import Request


def _input(values, spacing=None, default=EIGHT_BIT):
    return Input(
        name="case",
        files=(Path(__file__),),
        format="npz",
        channels=len(values),
        size=values.shape[1:],
        spacing=spacing,
        grid=None,
        default_intensity=default,
        load=lambda *index: values[(slice(None), *index)],
    )


def _model(channels=1, dims=2, **inputs):
    model = ProbabilisticUNet(channels, 1, channels=(2, 2), latent_dim=1, convs_per_block=1, dims=dims)
    for name, value in inputs.items():
        setattr(model, name, value)
    return model


GREY = np.arange(48, dtype=np.uint8).reshape(1, 6, 8) * 5


def test_grey_values_follow_the_request_then_the_model_then_the_format():
    window = Intensity.window(100, 200)
    assert prepare(_input(GREY), _model(), Request()).intensity == EIGHT_BIT
    assert prepare(_input(GREY, default=PERCENTILES), _model(), Request()).intensity == PERCENTILES
    assert prepare(_input(GREY), _model(intensity=window), Request()).intensity == window
    asked = prepare(_input(GREY), _model(intensity=window), Request(intensity=Intensity.range(0, 510)))
    np.testing.assert_array_equal(asked.images[0].numpy(), (GREY / 510).astype(np.float32))


def test_values_far_outside_the_trained_range_are_warned_of():
    model = _model(intensity=EIGHT_BIT)
    assert prepare(_input(GREY), model, Request()).warnings == {}
    hounsfield = GREY.astype(np.int16) * 10 - 1000
    (warning,) = prepare(_input(hounsfield), model, Request()).warnings.values()
    assert warning.startswith("case: got grey values from -1000 to 1350, expected about 0 to 255, as in training")


def test_colours_are_converted_only_when_asked():
    colours = np.stack((GREY[0], GREY[0] // 2, GREY[0] * 0))
    message = r"^case: has colours \(RGB\), but the model takes grey values; pass --convert to convert them$"
    with pytest.raises(ValueError, match=message):
        prepare(_input(colours), _model(), Request())
    grey = prepare(_input(colours), _model(), Request(convert=True)).images
    expected = (0.299 * colours[0] + 0.587 * colours[1]) / 255
    np.testing.assert_allclose(grey[0, 0].numpy(), expected, atol=1e-6)
    with pytest.raises(ValueError, match=r"^case: has grey values, but the model takes colours \(RGB\)"):
        prepare(_input(GREY), _model(3), Request())
    rgb = prepare(_input(GREY), _model(3), Request(convert=True)).images
    assert rgb.shape == (1, 3, 6, 8)
    assert (rgb == rgb[:, :1]).all()
    with pytest.raises(ValueError, match=r"^case: has 2 channels, but the model takes 1; convert it$"):
        prepare(_input(colours[:2]), _model(), Request(convert=True))


def test_a_volume_becomes_slices_or_stays_whole_as_the_model_has_it():
    volume = np.random.default_rng(0).integers(0, 256, (1, 5, 6, 8), dtype=np.uint8)
    slices = prepare(_input(volume), _model(), Request()).images
    np.testing.assert_array_equal(slices[:, 0].numpy() * 255, volume[0].astype(np.float32))
    whole = prepare(_input(volume), _model(dims=3), Request()).images
    assert torch.equal(whole[0], slices.movedim(1, 0))
    with pytest.raises(ValueError, match=r"^case: is a single slice, expected a volume \(D, H, W\)"):
        prepare(_input(GREY), _model(dims=3), Request())


def test_images_are_resampled_to_the_spacing_of_training():
    model = _model(spacing=(0.5, 0.5))
    same = prepare(_input(GREY, (0.502, 0.5)), model, Request())
    assert (same.resampled, same.images.shape[2:], same.warnings) == (False, (6, 8), {})
    finer = prepare(_input(GREY, (1.0, 0.75)), model, Request())
    assert (finer.resampled, tuple(finer.images.shape[2:]), finer.spacing) == (True, (12, 12), (1.0, 0.75))
    asked = prepare(_input(GREY), model, Request(spacing=(1.0,)))
    assert (tuple(asked.images.shape[2:]), asked.spacing, asked.warnings) == ((12, 16), (1.0, 1.0), {})
    (warning,) = prepare(_input(GREY), model, Request()).warnings.values()
    assert warning.startswith("case: does not say how many mm are between its pixels, but the model was trained on 0.5")
    volume = np.zeros((1, 3, 6, 8), np.uint8)
    of_slices = prepare(_input(volume, (3.0, 1.0, 0.5)), model, Request())
    assert tuple(of_slices.images.shape) == (3, 1, 12, 8)
    whole = prepare(_input(volume, (3.0, 1.0, 0.5)), _model(dims=3, spacing=(1.0, 1.0, 1.0)), Request())
    assert tuple(whole.images.shape) == (1, 1, 9, 6, 4)


def test_spacing_that_is_missing_or_odd_is_named():
    with pytest.raises(ValueError, match=r"^case: does not say how many mm are between its pixels; give --spacing, or"):
        prepare(_input(GREY), _model(), Request(unit="mm"))
    with pytest.raises(ValueError, match=r"^case: has 2 axes, but the spacing has 3 numbers; give one for each axis"):
        prepare(_input(GREY), _model(), Request(spacing=(1.0, 1.0, 1.0)))
    for odd in ((0.0,), (-1.0, 1.0), (float("nan"),), (float("inf"),)):
        with pytest.raises(ValueError, match="^spacing: got .*, expected positive numbers of mm"):
            Request(spacing=odd)


def test_resampling_keeps_the_edges_and_ramps_linear():
    ramp = torch.arange(8.0)[None, None, None, :].expand(1, 1, 4, 8)
    finer = resample(ramp, (4, 16))
    torch.testing.assert_close(finer[0, 0, 0, 1:-1], torch.arange(14) / 2 + 0.25)
    torch.testing.assert_close(resample(finer, (4, 8))[..., 1:-1], ramp[..., 1:-1])
    volume = torch.arange(6.0)[None, None, :, None, None].expand(1, 1, 6, 4, 4)
    deeper = resample(volume, (12, 2, 2))
    torch.testing.assert_close(deeper[0, 0, 1:-1, 0, 0], torch.arange(10) / 2 + 0.25)


def test_an_image_much_larger_than_those_of_training_is_named():
    large = np.arange(512, dtype=np.uint8).reshape(1, 64, 8)
    model = _model(image_size=(16, 16))
    (warning,) = prepare(_input(large), model, Request()).warnings.values()
    assert warning.startswith(
        "case: has 64 x 8 pixels at the resolution of the model, but the images in training had 16 x 16; crop"
    )
    assert warning.endswith("or pass --window 16")
    assert prepare(_input(large), model, Request(window=16)).warnings == {}
    assert prepare(_input(GREY), model, Request()).warnings == {}


def test_an_image_of_one_value_is_warned_of():
    (warning,) = prepare(_input(np.full((1, 6, 8), 77, np.uint8)), _model(), Request()).warnings.values()
    assert warning == "case: has the value 77 everywhere, so there is nothing to segment"


def test_what_files_held_is_kept():
    assert prepare(_input(GREY), _model(), Request()).sha256 == hashlib.sha256(Path(__file__).read_bytes()).hexdigest()


def test_too_much_asked_of_an_input_is_said_before_anything_is_read():
    volume = _input(np.zeros((1, 3, 6, 8), np.uint8))
    check_fits(volume, _model(), Request(thresholds=(("volume", 3.0),), format="nifti"))
    with pytest.raises(ValueError, match="^case: threshold: got 'area', expected one of volume, "):
        check_fits(volume, _model(), Request(thresholds=(("area", 3.0),)))
    with pytest.raises(
        ValueError, match="^format: got png for case, a volume of 3 x 6 x 8; expected nifti, seg or npz"
    ):
        check_fits(volume, _model(), Request(format="png"))
    with pytest.raises(ValueError, match="^case: threshold: got 'volume', expected one of area, "):
        check_fits(_input(GREY), _model(), Request(thresholds=(("volume", 3.0),)))
    with pytest.raises(ValueError, match="^format: got seg for case, which is npz, expected a DICOM image"):
        check_fits(_input(GREY), _model(), Request(format="seg"))
    for name, value in (("distance_to_structure", 3.0), ("area", float("nan"))):
        with pytest.raises(ValueError, match=f"^thresholds: got '?{name}"):
            Request(thresholds=((name, value),))
