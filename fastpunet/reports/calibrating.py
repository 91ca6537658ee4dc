"""Calibrates a model on images that it was not trained on, and reports what that changes on others of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from fastpunet.data import Records
from fastpunet.data.lazy import patients_of
from fastpunet.data.splits import Subset, graded, split_by_patient
from fastpunet.models import Method
from fastpunet.models.familiarity import LIMIT, Familiarity
from fastpunet.models.scaling import Scaling, scaled
from fastpunet.reports.differences import basis, difference_table
from fastpunet.reports.tables import counted, score_table
from fastpunet.scoring.calibrating import HYPOTHESES, measure_calibration
from fastpunet.scoring.evaluate import evaluate_source
from fastpunet.scoring.evaluation import Evaluated, Evaluation
from fastpunet.scoring.familiar_images import measure_familiarity
from fastpunet.scoring.fitting_scaling import fit_masks, fit_temperature, pixel_log_score
from fastpunet.scoring.registry import WINNER
from fastpunet.scoring.seen_images import seen_images
from fastpunet.scoring.sources import ModelSource, available
from fastpunet.scoring.winners import against_one

_BEFORE, _AFTER = "as it was", "scaled"
_GIVEN = "data given to calibrate"
_TESTED = (WINNER, "brier_score", "volume_crps")
_SHOWN = (
    *("expected_value", "unbiased", "cross", "sample_diversity", "present_distance", "presence_correlation"),
    *("matched_iou", "best_iou", "volume_crps", "ncc", "brier_score", "nestedness", "graders_nestedness"),
    *("pixel_calibration_error", "top_label_calibration_error", "presence_calibration_error"),
)


@dataclass(frozen=True)
class Calibrated:
    """A calibrated model, and the report of how it was calibrated and with what effect, as Markdown."""

    model: Method
    report: str


def calibrate(model: Method, records: Records, *, fit: bool = True, n: int = 32, seed: int = 0) -> Calibrated:
    """Fit a scaling to half of the patients, and measure calibration on the other half, with and without it.

    fit: without it the calibration alone is measured, on all records. n: hypotheses of an image in the fit of prior and
    shift. A part of the scaling that does not improve its own score on the other half is left out, and the report says
    so. The model that is returned has the calibration of those images, and the familiarity of all records; if these are
    too few for it, that of the model. Raises ValueError for fewer than two patients with masks.
    """
    known = graded(records)
    familiarity = measure_familiarity(known, _GIVEN, seed=seed) or model.familiarity
    if not fit:
        measured = scaled(model, Scaling())
        measured.calibration = measure_calibration(measured, known, _in_words(_GIVEN, model, known), seed=seed)
        measured.familiarity = familiarity
        return Calibrated(measured, f"The {measured.calibration}.\n\n{_of(familiarity)}\n")
    names = [name or f"image {place}" for place, name in enumerate(patients_of(known))]
    fitted_on, others = (Subset(known, places) for places in split_by_patient(names, (1, 1), seed))
    before = _evaluate(model, others, seed)
    masks = _scale_masks(model, fitted_on, others, before, n, seed)
    probabilities = _scale_probabilities(masks.model, fitted_on, others, seed)
    result = probabilities.model
    words = _in_words(f"{_GIVEN}, not used for the fit", model, others)
    result.calibration = measure_calibration(result, others, words, seed=seed)
    result.familiarity = familiarity
    changed = masks.helps or probabilities.helps
    results = {_BEFORE: before, _AFTER: _evaluate(result, others, seed)} if changed else {_BEFORE: before}
    parts = [
        f"- {masks.said}\n- {probabilities.said}",
        f"Of the model that is written, the {result.calibration}.",
        _of(familiarity),
        *_tables(results),
        basis(len(before.images), len(set(before.patients)), {_AFTER: 1}),
    ]
    return Calibrated(result, "\n\n".join(parts) + "\n")


def _in_words(what: str, model: Method, records: Records) -> str:
    """The records in words, which say so if the model was trained on some of them."""
    seen = seen_images(model.training_images, records)
    return f"{what}; but the model was trained on {seen}" if seen else what


def _of(familiarity: Familiarity | None) -> str:
    if familiarity is None:
        return f"Which images are usual is unknown: that takes {LIMIT} images of two patients or more."
    return f"From now on {familiarity}."


class _Step(NamedTuple):
    """A model that was scaled, or its copy as it was if that did not help on other images; and what was found."""

    model: Method
    said: str
    helps: bool


def _scale_masks(model: Method, fitted_on: Records, others: Records, before: Evaluation, n: int, seed: int) -> _Step:
    found = fit_masks(model, fitted_on, n=n, seed=seed)
    said = f"prior and shift, fitted on {counted(len(fitted_on), 'image')}: {found}"
    result = scaled(model, found)
    if found == Scaling():
        return _Step(result, said, False)
    old, new = (_distance(evaluation) for evaluation in (before, _evaluate(result, others, seed)))
    effect = f"energy distance on {counted(len(others), 'other image')} {old:.4f} before, {new:.4f} after"
    return _chosen(model, result, f"{said}; {effect}", new < old)


def _scale_probabilities(model: Method, fitted_on: Records, others: Records, seed: int) -> _Step:
    found = fit_temperature(model, fitted_on, n=HYPOTHESES, seed=seed)
    said, result = f"temperature: {found}", scaled(model, found)
    if found == Scaling():
        return _Step(result, said, False)
    old, new = (pixel_log_score(each, others, n=HYPOTHESES, seed=seed) for each in (model, result))
    effect = f"-log of the mean probability of a pixel's class {old:.5f} before, {new:.5f} after"
    return _chosen(model, result, f"{said}; {effect}", new < old)


def _chosen(model: Method, result: Method, said: str, helps: bool) -> _Step:
    if helps:
        return _Step(result, f"{said}; kept", True)
    return _Step(scaled(model, Scaling()), f"{said}; left out, because it does not help there", False)


def _distance(evaluation: Evaluation) -> float:
    return evaluation.estimate(evaluation.ns[-1], WINNER).value


def _evaluate(model: Method, records: Records, seed: int) -> Evaluation:
    source = ModelSource(model, seed=seed)
    return evaluate_source(source, records, [available(source, HYPOTHESES)], names=_SHOWN)


def _tables(results: dict[str, Evaluation]) -> list[str]:
    """The scores before and after, and the differences of those that scaling is about."""
    n = min(evaluation.ns[-1] for evaluation in results.values())
    columns: dict[str, tuple[Evaluated, int]] = {name: (evaluation, n) for name, evaluation in results.items()}
    table = score_table(columns, f"n = {n}", images=len(results[_BEFORE].images))
    if len(results) == 1:
        return [table]
    return [table, difference_table(against_one(dict(results), _TESTED, n, _BEFORE))]
