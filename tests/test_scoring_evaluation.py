"""Scores over a data set, their means, and their intervals over patients."""

import numpy as np
import pytest
import torch

from fastpunet import PackedMasks, energy_distance, load, sample
from fastpunet.data import IGNORE, Record, lidc
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.metrics import convention, presence, present_distance
from fastpunet.models import DropoutUNet, MHeads, ProbabilisticUNet
from fastpunet.scoring.estimates import estimate, mean
from fastpunet.scoring.evaluate import evaluate
from fastpunet.scoring.image_names import ImageNames


def test_the_shipped_weights_know_lung_lesions(data_root):
    """Every fifth slice of the test part: well below an untrained network's 0.6, not collapsed, and not blind."""
    records = lidc.read_npz(data_root / "lidc" / "lidc_tiny_test_64.npz")[::5]
    result = evaluate(load("lidc-tiny"), records, ns=(16,))
    assert result.estimate(16, "value").value < 0.32
    assert result.estimate(16, "sample_diversity").value > 0.3
    assert result.estimate(16, "presence_correlation").value > 0.25


def test_scores_are_those_of_each_image_alone(bundle):
    """Batches, several n from one drawing, and packing change nothing."""
    model, records = MHeads(1, 1, (4, 6), heads=5, convs_per_block=1), lidc.read_npz(bundle)
    result = evaluate(model, records, ns=(5, 2))
    assert list(result.scores) == [2, 5]
    for i, record in enumerate(records):
        drawn = sample(model, torch.from_numpy(record.image)[None], 5, seed=0, ids=torch.tensor([record.id]))
        references = torch.from_numpy(record.masks)[None]
        for n in (2, 5):
            energy = energy_distance(drawn[:, :n], references)
            expected = {
                "value": energy.value,
                "expected_value": energy_distance(drawn, references).expected(n),
                "unbiased": energy.unbiased,
                "cross": energy.cross,
                "present_distance": present_distance(drawn[:, :n], references),
                "presence": presence(drawn[:, :n]),
            }
            for name, value in expected.items():
                np.testing.assert_allclose(result.scores[n][name][i], float(value), atol=1e-12)
        assert result.scores[2]["graders_presence"][i] == record.masks.any((1, 2)).mean()
        assert result.images[i] == ImageNames(record.id, record.patient, 4)


def test_evaluation_does_not_depend_on_order_and_draws_patients(bundle):
    model, records = load("lesions"), lidc.read_npz(bundle)
    forward = evaluate(model, records[:], ns=(8,))
    backward = evaluate(model, [records[i] for i in reversed(range(8))], ns=(8,))
    np.testing.assert_allclose(forward.scores[8]["value"], backward.scores[8]["value"][::-1], atol=1e-6)
    assert forward.patients == [f"p{i // 2}" for i in range(8)]
    alike = [Record(records[0].image, records[0].masks, 0, patient) for patient in "abcd"]
    narrow = evaluate(model, alike, ns=(8,)).estimate(8, "value")
    assert (narrow.low, narrow.high) == pytest.approx((narrow.value,) * 2)
    assert np.isnan(evaluate(model, alike[:1] * 4, ns=(8,)).estimate(8, "value")[1:3]).all()  # one patient's images
    with pytest.raises(ValueError, match="records: got none"):
        evaluate(model, [], ns=(8,))


def test_records_of_any_shape_are_scored_in_order():
    """Other sizes and numbers of graders start a batch of their own; ignored pixels and weights reach the metrics."""
    model = DropoutUNet(1, 1, (4, 6), convs_per_block=1)
    rng = np.random.default_rng(0)
    shapes = [(3, 8, 8), (3, 8, 8), (2, 8, 8), (2, 6, 9), (3, 8, 8)]
    records = []
    for i, (graders, *size) in enumerate(shapes):
        masks = rng.integers(0, 2, (graders, *size)).astype(np.uint8)
        masks[0, :2] = IGNORE if i == 1 else masks[0, :2]
        weights = np.array([0.2, 0.3, 0.5], np.float32) if i == 4 else None
        records.append(Record(rng.random((1, *size)).astype(np.float32), masks, i, "", weights))
    result = evaluate(model, records, ns=(3,))
    assert result.patients == [str(i) for i in range(5)]
    for i, record in enumerate(records):
        drawn = sample(model, torch.from_numpy(record.image)[None], 3, seed=0, ids=torch.tensor([i]))
        labels = torch.from_numpy(record.masks)[None]
        ignored = (labels == IGNORE).any(1)
        weights = None if record.weights is None else torch.from_numpy(record.weights)
        expected = energy_distance(drawn, labels.masked_fill(labels == IGNORE, 0), weights=weights, ignore=ignored)
        assert result.scores[3]["value"][i] == pytest.approx(float(expected.value), abs=1e-12)
    present = records[4].masks.any((1, 2))
    assert result.scores[3]["graders_presence"][4] == pytest.approx((present * records[4].weights).sum())


def test_several_classes_take_their_own_convention():
    model = ProbabilisticUNet(1, 3, (4, 6), latent_dim=2, convs_per_block=1)
    rng = np.random.default_rng(1)
    record = Record(rng.random((1, 8, 8)).astype(np.float32), rng.integers(0, 3, (2, 8, 8)).astype(np.uint8), 0)
    result = evaluate(model, [record], ns=(4,))
    drawn = sample(model, torch.from_numpy(record.image)[None], 4, seed=0)
    rule = convention("ccdm", num_classes=3)
    expected = energy_distance(drawn, torch.from_numpy(record.masks)[None], convention=rule).value
    assert result.scores[4]["value"][0] == pytest.approx(float(expected), abs=1e-12)
    assert not result.has(4, "presence")
    assert not result.has(4, "presence_correlation")


def test_a_method_with_few_hypotheses_is_scored_where_it_has_them(bundle):
    model, records = MHeads(1, 1, (4, 6), heads=4, convs_per_block=1), lidc.read_npz(bundle)[:2]
    assert list(evaluate(model, records, ns=(1, 4, 8)).scores) == [1, 4]
    with pytest.raises(ValueError, match=r"ns: got \[8\], expected at least one number up to 4: MHeads"):
        evaluate(model, records, ns=(8,))


def test_known_distributions_are_scored_with_their_weights():
    """The exact distribution of synthetic lesions, drawn from: U is 0 within its interval."""
    records = SyntheticLesions(40, seed=1)[:]
    rng = np.random.default_rng(0)
    values = []
    for record in records:
        drawn = record.masks[rng.choice(len(record.masks), 200, p=record.weights / record.weights.sum())]
        packed = PackedMasks.pack(torch.from_numpy(drawn)[None])
        exact = energy_distance(packed, torch.from_numpy(record.masks)[None], weights=torch.from_numpy(record.weights))
        values.append(float(exact.unbiased))
    _, low, high, *_ = estimate([np.array(values)], [str(i) for i in range(40)], mean)
    assert low < 0 < high
    assert high - low < 0.01


def random_record(rng, *, id, labels=2, graders=2, channels=1, size=(8, 8), patient=""):
    image = rng.random((channels, *size)).astype(np.float32)
    return Record(image, rng.integers(0, labels, (graders, *size)).astype(np.uint8), id, patient)


@pytest.mark.parametrize("classes", [1, 2, 3])
def test_masks_of_classes_that_the_model_lacks_are_refused(classes):
    model = MHeads(1, classes, (4,), heads=4)
    record = random_record(np.random.default_rng(0), id=7, labels=11, patient="p3")
    last = max(2, classes) - 1
    message = rf"masks of record 7 of patient p3 have the label 10, but the model has the classes 0 .. {last}"
    with pytest.raises(ValueError, match=message):
        evaluate(model, [random_record(np.random.default_rng(1), id=0), record], ns=(4,))


def test_images_of_other_channels_are_refused():
    record = random_record(np.random.default_rng(0), id=3, channels=3)
    with pytest.raises(ValueError, match="the image of record 3 has 3 channels, but the model takes 1"):
        evaluate(MHeads(1, 1, (4,), heads=4), [record], ns=(4,))


def test_images_that_nobody_annotated_are_drawn_and_have_no_scores():
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    model = DropoutUNet(1, 1, (4, 6), convs_per_block=1)
    known = [random_record(rng, id=i) for i in (0, 2)]
    unknown = random_record(rng, id=1, graders=0)
    assert unknown.masks.shape == (0, 8, 8)
    result = evaluate(model, [known[0], unknown, known[1]], ns=(4,))
    alone = evaluate(model, known, ns=(4,))
    columns = result.scores[4]
    for name in ("value", "matched_iou", "graders_presence", "pixel_calibration_error", "false_alarms"):
        np.testing.assert_array_equal(columns[name][[0, 2]], alone.scores[4][name])
        assert np.isnan(columns[name][1]).all()
    for name in ("value", "presence_correlation", "pixel_calibration_error"):
        np.testing.assert_array_equal(result.estimate(4, name), alone.estimate(4, name))
        assert result.estimate(4, name).images == 2
    drawn = sample(model, torch.from_numpy(unknown.image)[None], 4, seed=0, ids=torch.tensor([1]))
    assert columns["presence"][1] == presence(drawn).item()
    assert [image.graders for image in result.images] == [2, 0, 2]
    only = evaluate(model, [unknown], ns=(4,))
    assert np.isnan(only.estimate(4, "value").value)


def test_false_alarms_are_counted_where_no_grader_outlines_anything():
    rng = np.random.default_rng(0)
    records = [random_record(rng, id=i) for i in range(2)]
    empty = Record(records[1].image, np.zeros((2, 8, 8), np.uint8), 1)
    torch.manual_seed(0)
    result = evaluate(MHeads(1, 1, (4, 6), heads=6, convs_per_block=1), [records[0], empty], ns=(6,))
    alarms = result.scores[6]["false_alarms"]
    assert np.isnan(alarms[0])
    assert alarms[1] == result.scores[6]["presence"][1]
    assert result.estimate(6, "false_alarms").value == alarms[1]


def test_the_batch_size_changes_nothing(bundle):
    model, records = load("lesions"), lidc.read_npz(bundle)
    results = [evaluate(model, records, ns=(8,), batch_size=size) for size in (1, 3, None)]
    for result in results[1:]:
        np.testing.assert_allclose(result.scores[8]["value"], results[0].scores[8]["value"], atol=1e-6)
    with pytest.raises(ValueError, match="batch_size: got 0"):
        evaluate(model, records, ns=(8,), batch_size=0)


@pytest.mark.parametrize(("ns", "message"), [([], "ns: got"), ([0], "ns: got 0"), ([2.5], "ns: got 2.5")])
def test_bad_numbers_of_hypotheses_are_named(ns, message, bundle):
    with pytest.raises((ValueError, TypeError), match=message):
        evaluate(load("lesions"), lidc.read_npz(bundle), ns=ns)


def test_conventions_are_of_the_models_classes(bundle):
    """A preset's name stands for as many classes as the model has; a convention of others is refused."""
    model = ProbabilisticUNet(1, 3, (4, 6), latent_dim=2, convs_per_block=1)
    record = random_record(np.random.default_rng(1), id=0, labels=3)
    named, default = (evaluate(model, [record], ns=(4,), convention=rule) for rule in ("phiseg", None))
    np.testing.assert_array_equal(named.scores[4]["value"], default.scores[4]["value"])
    with pytest.raises(ValueError, match="convention: got 'ccdm' of 4 classes, but the model has 3"):
        evaluate(model, [record], ns=(4,), convention=convention("ccdm", num_classes=4))
    with pytest.raises(ValueError, match="num_classes: got 2, expected 24"):
        evaluate(load("lesions"), lidc.read_npz(bundle), ns=(4,), convention="kohl-cityscapes")


def test_a_model_of_volumes_is_scored_on_volumes():
    """Scores of a 3-D Probabilistic U-Net are those of its hypotheses, drawn and compared by themselves."""
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, (4, 6), latent_dim=2, convs_per_block=1, dims=3)
    with torch.no_grad():
        model.fcomb.last_layer.weight.mul_(20)
    rng = np.random.default_rng(0)
    records = [random_record(rng, id=i, graders=3, size=(5, 8, 7)) for i in range(3)]
    records[1].masks[0, 0] = IGNORE
    result = evaluate(model, records, ns=(2, 6))
    drawn = sample(
        model, torch.stack([torch.from_numpy(record.image) for record in records]), 6, seed=0, ids=torch.arange(3)
    )
    assert drawn.shape == (3, 6, 5, 8, 7)
    assert 0 < drawn.float().mean() < 1
    for n in (2, 6):
        for i, record in enumerate(records):
            labels = torch.from_numpy(record.masks)[None]
            ignored = (labels == IGNORE).any(1)
            known = labels.masked_fill(labels == IGNORE, 0)
            expected = energy_distance(drawn[i : i + 1, :n], known, ignore=ignored)
            assert result.scores[n]["value"][i] == pytest.approx(expected.value.item(), abs=1e-12)
            counted = drawn[i, :n].flatten(1)[:, ~ignored.flatten()]
            truth = known[0].flatten(1)[:, ~ignored.flatten()]
            both, either = (counted[:, None] & truth).sum(-1), (counted[:, None] | truth).sum(-1)
            assert result.scores[n]["best_iou"][i] == pytest.approx((both / either).amax(0).mean().item(), abs=1e-6)
    with pytest.raises(ValueError, match="the image of record 0 has 2 dimensions, 8 x 8, but the model takes 3"):
        evaluate(model, [random_record(rng, id=0)], ns=(2,))
    with pytest.raises(ValueError, match="the image of record 1 has 3 dimensions, 5 x 8 x 7, but the model takes 2"):
        evaluate(MHeads(1, 1, (4,), heads=2), records[1:], ns=(2,))
