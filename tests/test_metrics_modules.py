"""The torchmetrics modules: batches and processes add up to the scores of all images together."""

import itertools
import pickle

import pytest
import torch
from torchmetrics import MetricCollection

from fastpunet import PackedMasks, energy_distance
from fastpunet.metrics import (
    ENERGY_DISTANCE_TERMS,
    Convention,
    Probabilities,
    Reliability,
    best_dice,
    best_iou,
    brier_score,
    cohens_kappa,
    collective_insight,
    consensus_dice,
    consensus_iou,
    energy_parts,
    image_log_likelihood,
    matched_dice,
    matched_iou,
    ncc,
    normal_volume_crps,
    pixel_nll,
    pixel_reliability,
    presence_reliability,
    selective_risk,
    soft_dice,
    uncertainty_ncc,
    volume_crps,
)
from fastpunet.metrics.modules import (
    NCC,
    BestDice,
    BestIoU,
    BrierScore,
    CohensKappa,
    CollectiveInsightMetric,
    ConsensusDice,
    ConsensusIoU,
    EnergyDistanceMetric,
    EnergyPartsMetric,
    ImageLogLikelihood,
    MatchedDice,
    MatchedIoU,
    NormalVolumeCRPS,
    PixelCalibrationError,
    PixelNLL,
    PresenceCalibrationError,
    SelectiveRiskMetric,
    SoftDice,
    UncertaintyNCC,
    VolumeCRPS,
)


def masks():
    """Twelve images; in the first nobody sees anything, so that its NCC is undefined."""
    generator = torch.Generator().manual_seed(0)
    labels = (torch.rand(12, 9, 6, 6, generator=generator) < 0.3).to(torch.uint8)
    labels[3:6, 5:] = 0
    labels[0] = 0
    return labels[:, :5], labels[:, 5:]


def pooled(reliability):
    return float((reliability.predicted - reliability.observed).sum(0).abs().sum() / reliability.count.sum())


def together(reliability):
    return Reliability(*(part.sum(0, keepdim=True) for part in vars(reliability).values()))


def mean(scores):
    return float(scores[~scores.isnan()].mean())


SAMPLES, REFERENCES = masks()
MODULES = {
    "energy": (EnergyDistanceMetric(), mean(energy_distance(SAMPLES, REFERENCES).value)),
    "unbiased": (EnergyDistanceMetric("phiseg", "unbiased"), mean(energy_distance(SAMPLES, REFERENCES).unbiased)),
    "matched": (MatchedIoU(), mean(matched_iou(SAMPLES, REFERENCES))),
    "best": (BestIoU(), mean(best_iou(SAMPLES, REFERENCES))),
    "dice": (BestDice(), mean(best_dice(SAMPLES, REFERENCES))),
    "ncc": (NCC(), mean(ncc(SAMPLES, REFERENCES))),
    "pixels": (PixelCalibrationError(), pooled(pixel_reliability(SAMPLES, REFERENCES))),
    "presence": (PresenceCalibrationError(bins=4), pooled(presence_reliability(SAMPLES, REFERENCES, bins=4))),
    "mean gap": (
        PresenceCalibrationError(bins=4, statistic="mean_gap"),
        float(together(presence_reliability(SAMPLES, REFERENCES, bins=4)).mean_gap),
    ),
    "equal count": (
        PixelCalibrationError(bins=50, equal_count=4),
        float(together(pixel_reliability(SAMPLES, REFERENCES, bins=50)).equal_count(4).error),
    ),
    "top label": (
        PixelCalibrationError(kind="top-label"),
        pooled(pixel_reliability(SAMPLES, REFERENCES, kind="top-label")),
    ),
    "once": (MatchedDice(repeat=False), mean(matched_dice(SAMPLES, REFERENCES, repeat=False))),
    "of samples": (BestDice(of="samples"), mean(best_dice(SAMPLES, REFERENCES, of="samples"))),
    "detection": (EnergyPartsMetric(), mean(energy_parts(SAMPLES, REFERENCES).detection)),
    "shape": (EnergyPartsMetric(statistic="shape"), mean(energy_parts(SAMPLES, REFERENCES).shape)),
    "insight": (
        CollectiveInsightMetric(variance="variances"),
        mean(collective_insight(SAMPLES, REFERENCES, variance="variances").value),
    ),
    "kappa": (CohensKappa(), mean(cohens_kappa(SAMPLES, REFERENCES))),
    "volume": (VolumeCRPS(unit=0.5), mean(volume_crps(SAMPLES, REFERENCES, unit=0.5))),
    "normal volume": (NormalVolumeCRPS(), mean(normal_volume_crps(SAMPLES, REFERENCES))),
    "uncertainty": (UncertaintyNCC(), mean(uncertainty_ncc(SAMPLES, REFERENCES))),
    "soft": (SoftDice(thresholds="qubiq"), mean(soft_dice(SAMPLES, REFERENCES, thresholds="qubiq"))),
    "consensus": (ConsensusDice(rule="staple"), mean(consensus_dice(SAMPLES, REFERENCES, rule="staple"))),
    "consensus IoU": (ConsensusIoU(empty=0.0), mean(consensus_iou(SAMPLES, REFERENCES, empty=0.0))),
    "brier": (BrierScore(), mean(brier_score(SAMPLES, REFERENCES))),
    "nll": (PixelNLL(smallest=0.01), mean(pixel_nll(SAMPLES, REFERENCES, smallest=0.01))),
    "aurc": (SelectiveRiskMetric(), mean(selective_risk(SAMPLES, REFERENCES).aurc)),
    "auroc": (SelectiveRiskMetric(statistic="auroc"), mean(selective_risk(SAMPLES, REFERENCES).auroc)),
}


@pytest.mark.parametrize("name", MODULES)
def test_batches_add_up(name):
    metric, expected = MODULES[name][0].clone(), MODULES[name][1]
    assert ncc(SAMPLES, REFERENCES).isnan().any()
    for first, last in ((0, 5), (5, 6), (6, 12)):
        batch = SAMPLES[first:last], REFERENCES[first:last]
        metric.update(*(PackedMasks.pack(labels) if first == 5 else labels for labels in batch))
    assert float(metric.compute()) == pytest.approx(expected, abs=1e-12)
    restored = pickle.loads(pickle.dumps(metric))
    assert float(restored.compute()) == pytest.approx(expected, abs=1e-12)
    metric.reset()
    with pytest.warns(UserWarning, match="before the ``update`` method"):
        assert torch.isnan(metric.compute())


def test_a_collection_scores_a_batch_and_all_batches():
    collection = MetricCollection({name: metric.clone() for name, (metric, _) in MODULES.items()})
    batch = collection(SAMPLES[:6], REFERENCES[:6])
    assert float(batch["best"]) == pytest.approx(mean(best_iou(SAMPLES[:6], REFERENCES[:6])))
    collection.update(SAMPLES[6:], REFERENCES[6:])
    for name, value in collection.compute().items():
        assert float(value) == pytest.approx(MODULES[name][1], abs=1e-12)


def every_module():
    """Under several settings, binary and of three classes."""
    three = Convention("three", 3)
    modules = {"pixels": PixelCalibrationError(), "four bins": PixelCalibrationError(bins=4), "ncc": NCC()}
    modules |= {"pixels of 2": PixelCalibrationError(2), "presence": PresenceCalibrationError(), "ncc of 2": NCC(2)}
    for name, kind in (
        ("matched", MatchedIoU),
        ("best", BestIoU),
        ("dice", BestDice),
        ("energy", EnergyDistanceMetric),
    ):
        modules |= {name: kind(), f"{name}, three": kind(three), f"{name}, zero": kind(Convention("zero", empty=0.0))}
    return modules | {name: EnergyDistanceMetric(statistic=name) for name in ENERGY_DISTANCE_TERMS[1:]}


@pytest.mark.parametrize("first", ["empty", "full", "equal"])
@pytest.mark.parametrize("order", [1, -1, 7])
def test_a_collection_merges_nothing_that_differs(first, order):
    """After a batch of which most scores are 0 or 1, so that the states of many metrics are equal in value."""
    alone = every_module()
    names = list(alone)[::order] if order != 7 else sorted(alone, key=lambda name: name[::-1])
    collection = MetricCollection({name: alone[name].clone() for name in names})
    start = {
        "empty": torch.zeros_like(SAMPLES),
        "full": torch.ones_like(SAMPLES),
        "equal": SAMPLES[:, :1].expand(-1, 5, -1, -1),
    }
    for samples, references in ((start[first], start[first][:, :4]), (SAMPLES, REFERENCES)):
        collection.update(samples, references)
        for metric in alone.values():
            metric.update(samples, references)
    found = collection.compute()
    assert set(found) == set(alone)
    for name, metric in alone.items():
        assert float(found[name]) == pytest.approx(float(metric.compute()), abs=1e-12, nan_ok=True), name
    groups = [set(group) for group in collection.compute_groups.values()]
    assert max(map(len, groups)) == 1


def test_states_have_the_same_names_only_where_metrics_are_the_same():
    modules = every_module()
    for (name, metric), (other_name, other) in itertools.combinations(modules.items(), 2):
        assert not set(metric.metric_state) & set(other.metric_state), (name, other_name)
    assert set(BestIoU("ccdm").metric_state) == set(BestIoU("kohl-lidc").metric_state)  # both binary
    assert set(NCC().clone().metric_state) == set(NCC().metric_state)


WEIGHTS = torch.tensor([0.07, 0.13, 0.37, 0.43])
IGNORE = torch.rand(12, 6, 6, generator=torch.Generator().manual_seed(1)) < 0.3
SPARSE = torch.rand(12, 9, 6, 6, generator=torch.Generator().manual_seed(5)) < 0.04


def test_weights_and_ignored_pixels_reach_the_scores():
    def expected(samples, references, **options):
        energy = energy_distance(samples, references, **options)
        return {
            "energy": mean(energy.value),
            "unbiased": mean(energy.unbiased),
            "best": mean(best_iou(samples, references, **options)),
            "dice": mean(best_dice(samples, references, **options)),
            "ncc": mean(ncc(samples, references, **options)),
            "pixels": pooled(pixel_reliability(samples, references, **options)),
            "presence": pooled(presence_reliability(samples, references, bins=4, **options)),
        }

    plain = SPARSE[:, :5].byte(), SPARSE[:, 5:].byte()
    samples, references = (masks.masked_fill(IGNORE[:, None], 255) for masks in plain)
    wanted, others = expected(samples, references, weights=WEIGHTS, ignore=IGNORE), expected(*plain)
    collection = MetricCollection({name: MODULES[name][0].clone() for name in wanted})
    for some in (slice(0, 5), slice(5, 12)):
        collection.update(samples[some], references[some], weights=WEIGHTS, ignore=IGNORE[some])
    for name, value in collection.compute().items():
        assert float(value) == pytest.approx(wanted[name], abs=1e-12), name
        assert abs(float(value) - others[name]) > 1e-3, name

    insight = CollectiveInsightMetric()
    for metric in (insight, MetricCollection({"insight": insight, "best": BestIoU()})):
        with pytest.raises(
            ValueError, match="^weights: got weights, expected None, because CollectiveInsightMetric counts all"
        ):
            metric.update(samples, references, weights=WEIGHTS, ignore=IGNORE)


def test_settings_are_checked():
    for call, message in (
        (lambda: EnergyDistanceMetric(statistic="median"), "statistic: got 'median', expected one of value, unbiased"),
        (lambda: MatchedIoU("mine"), "convention: got 'mine'"),
        (lambda: NCC(1), "num_classes: got 1"),
        (lambda: PixelCalibrationError(0), "num_classes: got 0"),
        (lambda: PresenceCalibrationError(0), "bins: got 0"),
        (lambda: PixelCalibrationError(kind="mine"), "kind: got 'mine', expected one of class-wise, top-label"),
        (lambda: PixelCalibrationError(statistic="mine"), "statistic: got 'mine', expected one of error"),
        (lambda: PixelCalibrationError(equal_count=0), "equal_count: got 0"),
        (lambda: SoftDice(thresholds="mine"), "thresholds: got 'mine', expected one of d-persona"),
        (lambda: SelectiveRiskMetric(uncertainty="mine"), "uncertainty: got 'mine'"),
        (lambda: ImageLogLikelihood(smallest=0), "smallest: got 0"),
        (lambda: BrierScore(bins=3), "Unexpected keyword arguments: `bins`"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            call()


def test_ragged_volumes_are_taken():
    samples = [SAMPLES[i, : 1 + i % 3].unflatten(-1, (2, 3)) for i in range(12)]
    references = [PackedMasks.pack(REFERENCES[i : i + 1, : 1 + i % 2].unflatten(-1, (2, 3))) for i in range(12)]
    metric = BestIoU()
    metric.update(samples, references)
    wanted = [float(best_iou(SAMPLES[i : i + 1, : 1 + i % 3], REFERENCES[i : i + 1, : 1 + i % 2])) for i in range(12)]
    assert float(metric.compute()) == pytest.approx(sum(wanted) / 12, abs=1e-12)


@pytest.mark.parametrize("name", MODULES)
def test_two_processes_have_the_scores_of_one(name):
    """Each sees six of the images. torchmetrics gathers state by state; here the other's come from a list."""
    other = MODULES[name][0].clone()
    other.update(SAMPLES[6:], REFERENCES[6:])
    theirs = [state.clone() for state in other.metric_state.values()]
    metric = MODULES[name][0].clone()
    metric.dist_sync_fn = lambda state, group: [state, theirs.pop(0)]  # noqa: ARG005
    metric.distributed_available_fn = lambda: True
    metric.update(SAMPLES[:6], REFERENCES[:6])
    assert float(metric.compute()) == pytest.approx(MODULES[name][1], abs=1e-12)
    assert not theirs


def test_sample_weights_and_probabilities_reach_the_scores():
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4, 0.0])
    metric = BrierScore()
    metric.update(SAMPLES, REFERENCES, sample_weights=weights)
    wanted = mean(brier_score(SAMPLES, REFERENCES, sample_weights=weights))
    assert float(metric.compute()) == pytest.approx(wanted) != pytest.approx(MODULES["brier"][1])
    soft = Probabilities(SAMPLES[:, :, None] * 0.8 + 0.1)
    likelihood = ImageLogLikelihood()
    likelihood.update(soft, REFERENCES)
    assert float(likelihood.compute()) == pytest.approx(mean(image_log_likelihood(soft, REFERENCES)))


def test_a_metric_draws_itself():
    import matplotlib.pyplot as plt

    metric = BrierScore()
    metric.update(SAMPLES, REFERENCES)
    figure, axes = metric.plot()
    assert axes.lines[0].get_ydata()[0] == pytest.approx(MODULES["brier"][1])
    plt.close(figure)
