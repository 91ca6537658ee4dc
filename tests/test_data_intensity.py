"""The rule by which stored grey values become a model's floats."""

import json

import numpy as np
import pytest
import torch

import fastpunet
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.intensity import EIGHT_BIT, PERCENTILES, Intensity, warn_if_unscaled
from fastpunet.models.checkpoint import save
from fastpunet.training.config import TrainingConfig
from fastpunet.training.run import new_model


def test_eight_bit_values_are_divided_by_255_bit_for_bit():
    values = np.arange(256, dtype=np.uint8).reshape(16, 16)
    np.testing.assert_array_equal(EIGHT_BIT.apply(values), values.astype(np.float32) / np.float32(255))
    np.testing.assert_array_equal(EIGHT_BIT.apply(values), EIGHT_BIT.apply(values.astype(np.int64)))


def test_ranges_and_windows_clip():
    hounsfield = np.array([-2000, -1000, -600, 150, 900], np.int16)
    np.testing.assert_allclose(Intensity.window(-600, 1500).apply(hounsfield), [0, 350 / 1500, 0.5, 1, 1], rtol=1e-6)
    np.testing.assert_array_equal(Intensity.range(0, 4095).apply(np.array([4095, 0], np.uint16)), [1, 0])


def test_percentiles_are_of_the_image():
    values = np.random.default_rng(0).normal(100, 10, (20, 30)).astype(np.float32)
    low, high = np.percentile(values, (5, 90))
    got = Intensity.percentiles(5, 90).apply(values)
    np.testing.assert_allclose(got, np.clip((values - low) / (high - low), 0, 1), atol=1e-6)
    mostly_flat = np.zeros((40, 40), np.uint16)
    mostly_flat[0, 0] = 9
    assert np.unique(PERCENTILES.apply(mostly_flat)).tolist() == [0, 1]
    for constant in (0, 7, -3, 60000):
        assert not PERCENTILES.apply(np.full((2, 2), constant, np.int32)).any()


def test_a_rule_survives_json_and_text():
    for rule in (EIGHT_BIT, PERCENTILES, Intensity.window(40, 400)):
        assert Intensity.from_dict(json.loads(json.dumps(rule.to_dict()))) == rule
    window = {"rule": "window", "centre": 40, "width": 400}
    assert Intensity.from_dict(window) == Intensity.parse("window:40:400") == Intensity.range(-160, 240)
    assert Intensity.parse("range:-1000:400") == Intensity.range(-1000, 400)
    assert Intensity.parse("percentiles:1:99") == Intensity.percentiles(1, 99)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Intensity.range(3, 3), "expected low < high"),
        (lambda: Intensity.range(0, float("inf")), "expected a finite number"),
        (lambda: Intensity("log", 0, 1), "intensity.rule: got 'log'"),
        (lambda: Intensity.percentiles(-1, 99), "expected 0 .. 100"),
        (lambda: Intensity.window(0, -4), "width > 0"),
        (lambda: Intensity.parse("range:0"), "expected range:LOW:HIGH"),
        (lambda: Intensity.parse("range:a:b"), "expected range:LOW:HIGH"),
        (lambda: Intensity.from_dict({"rule": "range", "low": 0}), "expected rule"),
        (lambda: Intensity.from_dict({"rule": "range", "low": "0", "high": 1}), "intensity.low: got '0'"),
        (lambda: Intensity.from_dict({"rule": "range", "low": 0, "high": 10**400}), "intensity.high: got 1000"),
        (lambda: Intensity.range(-1.7e308, 1.7e308), "expected low < high"),
        (lambda: Intensity.from_dict(None), "got None"),
    ],
)
def test_rules_that_make_no_sense_are_named(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.filterwarnings("error")
def test_grey_values_in_other_units_are_warned_about():
    for rule, values in (
        (Intensity.range(0, 65535), [0, 4095]),  # 12 bits in 16
        (EIGHT_BIT, [-1000, 400]),  # Hounsfield units
        (EIGHT_BIT, [0.0, 1.0]),  # scaled already
    ):
        with pytest.warns(UserWarning, match=r"a.png: got grey values from .*, expected about"):
            rule.warn_if_outside(np.array(values), "a.png")
    EIGHT_BIT.warn_if_outside(np.array([3, 200], np.uint8), "a.png")
    EIGHT_BIT.warn_if_outside(np.zeros(4), "a.png")  # a black image
    PERCENTILES.warn_if_outside(np.array([-1000, 400]), "a.png")
    Intensity.range(0, 100).warn_if_outside(np.array([-50, 150]), "a.png")


@pytest.mark.filterwarnings("error")
def test_floats_far_from_zero_to_one_are_warned_about():
    images = torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    warn_if_unscaled(*map(float, images.aminmax()))
    for factor in (255, 1 / 255):
        with pytest.warns(UserWarning, match="images: got grey values"):
            warn_if_unscaled(*map(float, (images * factor).aminmax()))


def test_a_model_knows_how_its_images_were_scaled(tmp_path):
    """From the records that it is trained on, through its checkpoint, to a warning about images in other units."""
    records = SyntheticLesions(2, seed=1)
    config = TrainingConfig(kind="lesions", model={"channels": [4, 8]})
    save(new_model(config, records), tmp_path / "model.safetensors")
    images = torch.from_numpy(records[0].image)[None]
    for source in (tmp_path / "model.safetensors", "lesions", "lidc-tiny"):
        model = fastpunet.load(source)
        assert model.intensity == EIGHT_BIT
        fastpunet.sample(model, images, n=1, seed=0)
        message = r"images: got grey values from .* to 2\d\d.*, expected about 0 to 1"
        with pytest.warns(UserWarning, match=message) as caught:
            fastpunet.sample(model, images * 255, n=1, seed=0)
        assert [warning.filename for warning in caught] == [__file__]
