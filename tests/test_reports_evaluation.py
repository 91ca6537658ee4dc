"""Scores over a data set, their means, and their intervals over patients."""

import numpy as np
import pytest
import torch

from fastpunet import PackedMasks, energy_distance, load, sample
from fastpunet.data import IGNORE, Record, lidc
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.metrics import convention, presence, present_distance
from fastpunet.models import DropoutUNet, MHeads, ProbabilisticUNet
from fastpunet.reports.bootstrap import PatientBootstrap
from fastpunet.reports.evaluation import Evaluation, evaluate


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
                "unbiased": energy.unbiased,
                "cross": energy.cross,
                "present_distance": present_distance(drawn[:, :n], references),
                "presence": presence(drawn[:, :n]),
            }
            for name, value in expected.items():
                np.testing.assert_allclose(result.scores[n][name][i], float(value), atol=1e-12)
        assert result.graders_presence[i] == record.masks.any((1, 2)).mean()


def test_evaluation_does_not_depend_on_order_and_draws_patients(bundle):
    model, records = load("lesions"), lidc.read_npz(bundle)
    forward = evaluate(model, records[:], ns=(8,))
    backward = evaluate(model, [records[i] for i in reversed(range(8))], ns=(8,))
    np.testing.assert_allclose(forward.scores[8]["value"], backward.scores[8]["value"][::-1], atol=1e-6)
    assert forward.patients == [f"p{i // 2}" for i in range(8)]
    alike = [Record(records[0].image, records[0].masks, 0, patient) for patient in "abcd"]
    narrow = evaluate(model, alike, ns=(8,)).estimate(8, "value")
    assert (narrow.low, narrow.high) == pytest.approx((narrow.value,) * 2)
    assert np.isnan(evaluate(model, alike[:1] * 4, ns=(8,)).estimate(8, "value")[1:]).all()  # one patient's images
    with pytest.raises(ValueError, match="records, ns: got 0 records"):
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
    assert result.graders_presence[4] == pytest.approx((present * records[4].weights).sum())


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
    with pytest.raises(ValueError, match=r"ns: got \[8\], and MHeads has 4 hypotheses"):
        evaluate(model, records, ns=(8,))


def test_seeds_are_pooled_by_image_and_patient():
    rng = np.random.default_rng(0)
    parts = [
        Evaluation(
            {4: {"value": rng.random(6)}}, rng.random(6), list("aabbcc"), seconds={"drawing": 1.0, "scoring": 0.5}
        )
        for _ in range(3)
    ]
    pooled = Evaluation.pooled(parts)
    assert pooled.seconds == {"drawing": 3.0, "scoring": 1.5}
    estimate = pooled.estimate(4, "value")
    assert estimate.value == pytest.approx(np.mean([part.scores[4]["value"] for part in parts]))
    mean = Evaluation(
        {4: {"value": np.mean([part.scores[4]["value"] for part in parts], 0)}}, np.ones(6), list("aabbcc")
    )
    assert estimate == pytest.approx(mean.estimate(4, "value"))


def test_presence_correlation_is_that_of_numpy_and_lies_in_its_interval():
    rng = np.random.default_rng(0)
    graders = rng.integers(1, 5, 60) / 4
    hypotheses = 0.5 * graders + 0.2 * rng.random(60)
    patients = [f"{i // 2:02}" for i in range(60)]
    result = Evaluation({4: {"presence": hypotheses}}, graders, patients).estimate(4, "presence_correlation")
    assert result.value == pytest.approx(np.corrcoef(hypotheses, graders)[0, 1])
    assert result.low < result.value < result.high
    found = PatientBootstrap(patients, draws=500).correlation_interval(hypotheses, graders)
    loop = []
    for counts in np.random.default_rng(0).multinomial(30, np.full(30, 1 / 30), 500):
        drawn = np.repeat(np.arange(60), np.repeat(counts, 2))
        loop.append(np.corrcoef(hypotheses[drawn], graders[drawn])[0, 1])
    np.testing.assert_allclose(found, np.quantile(loop, [0.025, 0.975]), rtol=1e-6)


def test_a_mean_has_the_interval_of_a_loop_over_drawn_patients():
    rng = np.random.default_rng(3)
    values = rng.random(10)
    values[[2, 7]] = np.nan
    patients = list("aaabbcdddd")
    found = PatientBootstrap(patients, draws=400, seed=5).mean_interval(values, level=0.8)
    loop = []
    for counts in np.random.default_rng(5).multinomial(4, np.full(4, 1 / 4), 400):
        drawn = np.concatenate([values[np.array(patients) == "abcd"[p]] for p in range(4) for _ in range(counts[p])])
        loop.append(np.nanmean(drawn) if np.isfinite(drawn).any() else np.nan)
    np.testing.assert_allclose(found, np.nanquantile(loop, [0.1, 0.9]))
    assert np.isnan(PatientBootstrap(patients).mean_interval(np.full(10, np.nan))).all()
    assert np.isnan(PatientBootstrap(["one"] * 10).mean_interval(np.arange(10.0))).all()


def test_a_perfect_model_draws_as_graders_do():
    """With n hypotheses and m graders of a common distribution, V has the mean a (1/n + 1/m)."""
    rng = np.random.default_rng(0)
    result = Evaluation({16: {"reference_diversity": np.full(3, 0.3)}}, np.ones(3), ["a", "b", "c"])
    assert result.perfect(4, 1) == pytest.approx(0.4 * 1.25)
    assert result.perfect(4, 16) == pytest.approx(0.4 * (1 / 16 + 1 / 4))
    labels = torch.from_numpy(rng.integers(0, 2, (4000, 6, 1, 1), dtype=np.uint8))
    measured = energy_distance(labels[:, :4], labels[:, 4:]).value.mean()
    assert float(measured) == pytest.approx(0.5 * (1 / 4 + 1 / 2), rel=0.05)


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
    low, high = PatientBootstrap([str(i) for i in range(40)]).mean_interval(np.array(values))
    assert low < 0 < high
    assert high - low < 0.01
