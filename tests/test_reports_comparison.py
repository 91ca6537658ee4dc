"""Methods side by side: which checkpoints are one method, and what is written."""

import csv
import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from fastpunet import ProbabilisticUNet, cli, load, sample, save
from fastpunet.data import Record
from fastpunet.intensity import Intensity
from fastpunet.models import MHeads
from fastpunet.reports import records as data_records
from fastpunet.reports.checkpoints import find_checkpoints
from fastpunet.reports.comparison import compare
from fastpunet.reports.comparison_figures import energy_boxes, energy_curves
from fastpunet.reports.comparison_files import write
from fastpunet.reports.comparison_tables import tables
from fastpunet.reports.sample_grid import Picture, sample_grid
from fastpunet.reports.tables import cell
from fastpunet.scoring.estimates import Estimate
from fastpunet.scoring.image_names import ImageNames


@pytest.fixture
def folder(tmp_path):
    """Two seeds of one method, one of another, and an introduction."""
    path = tmp_path / "models"
    path.mkdir()
    for seed in (0, 1):
        torch.manual_seed(seed)
        save(ProbabilisticUNet(1, 1, (4, 6), latent_dim=2, convs_per_block=1), path / f"Prob-seed{seed}.safetensors")
    save(MHeads(1, 1, (4, 6), heads=4, convs_per_block=1), path / "Heads-seed0.safetensors")
    (path / "README.md").write_text("# How these were trained\n")
    return path


@pytest.fixture
def comparison(folder, bundle):
    return compare([str(folder)], bundle, ns=(8, 1, 4))


def test_checkpoints_of_a_folder_are_grouped_by_seed(folder):
    found = find_checkpoints([str(folder), "lesions"])
    assert {name: list(parts) for name, parts in found.items()} == {
        "Heads": ["Heads-seed0"],
        "Prob": ["Prob-seed0", "Prob-seed1"],
        "lesions": ["lesions"],
    }
    with pytest.raises(ValueError, match=r"holds no .safetensors file"):
        find_checkpoints([str(folder.parent)])


def test_the_folder_of_a_run_is_its_weights_and_files_go_by_their_names(folder, tmp_path):
    run = tmp_path / "run3"
    run.mkdir()
    for name in ("model.safetensors", "epoch.safetensors"):
        (run / name).touch()
    file = folder / "Heads-seed0.safetensors"
    assert find_checkpoints([str(run), str(file), "lesions"]) == {
        "run3": {"run3": str(run)},
        "Heads-seed0": {"Heads-seed0": str(file)},
        "lesions": {"lesions": "lesions"},
    }
    other = tmp_path / "other" / "run3"
    other.mkdir(parents=True)
    (other / "model.safetensors").touch()
    assert list(find_checkpoints([str(run / "model.safetensors"), str(other)])) == ["run3", str(other)]


def test_a_comparison_counts_images_that_nobody_annotated(folder, monkeypatch):
    rng = np.random.default_rng(0)
    records = [
        Record(rng.random((1, 8, 8)).astype(np.float32), rng.integers(0, 2, (graders, 8, 8)).astype(np.uint8), i)
        for i, graders in enumerate((2, 0, 3, 0))
    ]
    monkeypatch.setattr(data_records.sources, "read", lambda *_, **__: records)
    result = compare([str(folder / "Heads-seed0.safetensors")], "x.npz", kind="folder", ns=(4,))
    assert result.unannotated == 2
    assert tables(result).endswith("Nobody annotated 2 of 4 images, which have no scores.")
    assert sorted(len(picture.graders) for picture in result.pictures) == [2, 3]


def test_a_comparison_pools_seeds_and_knows_what_all_methods_have(comparison):
    assert comparison.ns == [1, 4, 8]
    assert comparison.shared_n == 4
    assert {image.graders for image in comparison.any_evaluation.images} == {4}
    parts = comparison.evaluations["Prob"].values()
    assert comparison.pooled["Prob"].checkpoints == tuple(parts)
    expected = np.mean([part.scores[8]["value"].mean() for part in parts])
    assert comparison.pooled["Prob"].estimate(8, "value").value == pytest.approx(expected)
    assert comparison.perfect.ns == [1, 4, 8]


def test_tables_hold_the_estimates(comparison):
    blocks = tables(comparison).split("\n\n")
    energy, scores, each = (_rows(table) for table in (*blocks[:2], blocks[-2]))
    pooled = comparison.pooled
    assert [row[0] for row in energy] == [
        "energy distance, V, expected ↓",
        "Heads",
        "Prob",
        "empty masks",
        "masks of other images",
        "one grader against the others",
        "a perfect model",
    ]
    assert energy[1][1:] == [cell(pooled["Heads"].estimate(n, "expected_value")) for n in (1, 4)] + ["-"]
    assert energy[-1][3] == cell(comparison.perfect.estimate(8, "expected_value"))
    assert scores[0] == ["n = 4", "Heads", "Prob", "a perfect model"]
    value = next(row for row in scores if row[0] == "energy distance, V ↓")
    methods = [pooled["Heads"], pooled["Prob"], comparison.perfect]
    assert [text.strip("*") for text in value[1:]] == [cell(method.estimate(4, "value")) for method in methods]
    calibration = next(row for row in scores if row[0] == "calibration error, presence ↓")
    assert not any("[" in text for text in calibration)
    assert blocks[-1] == (
        "The scores rest on 8 images of 4 patients, unless a cell says that they rest on fewer images. With fewer than "
        "20 patients intervals are wide and tests find large differences only; between two checkpoints no p can be "
        "below 0.12. Two training seeds say little about others: where seeds differ much, intervals from two cover the "
        "truth in about 90 % of cases, not in 95 %."
    )
    assert [row[0] for row in each[1:]] == ["Heads-seed0", "Prob-seed0", "Prob-seed1"]


def test_everything_is_written(comparison, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    written = write(comparison, out / "c")
    assert sorted(written) == sorted(out.iterdir())
    text = (out / "c.md").read_text()
    assert text.startswith(
        "# How these were trained\n\nlidc_tiny_test_64.npz: 8 images of 4 patients; convention kohl-lidc"
    )
    assert tables(comparison) in text
    assert "(c-energy.svg)" in text
    known = json.loads((out / "c.json").read_text())
    found = comparison.pooled["Prob"].estimate(8, "value")
    assert known["methods"]["Prob"]["pooled"]["8"]["value"] == found._asdict()
    assert (found.images, found.patients) == (8, 4)
    assert known["methods"]["Heads"]["pooled"]["1"]["pixel_calibration_error"]["low"] is None
    assert set(known["methods"]["Prob"]["checkpoints"]) == {"Prob-seed0", "Prob-seed1"}
    with open(out / "c.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8 * (2 + 3 + 3)
    mean = np.mean([float(row["value"]) for row in rows if row["method"] == "Prob" and row["n"] == "8"])
    assert mean == pytest.approx(comparison.pooled["Prob"].estimate(8, "value").value, rel=1e-4)
    for name, result in {**comparison.yardsticks, **comparison.floors}.items():
        assert known["yardsticks"][name]["1"]["value"] == result.estimate(1, "value")._asdict()


def test_rows_of_the_csv_name_file_slice_patient_and_raters(comparison, tmp_path):
    evaluation = comparison.evaluations["Prob"]["Prob-seed0"]
    images = [ImageNames(i, f"p{i}", 2, f"scan{i}.nii", i or None, ("ann", "bob")) for i in range(8)]
    named = replace(comparison, evaluations={"Prob": {"Prob-seed0": replace(evaluation, images=images)}})
    write(named, tmp_path / "deep" / "er" / "c")
    with open(tmp_path / "deep" / "er" / "c.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [rows[3][key] for key in ("id", "name", "slice", "patient", "graders", "raters")] == [
        "3",
        "scan3.nii",
        "3",
        "p3",
        "2",
        "ann bob",
    ]
    assert rows[0]["slice"] == ""


def test_boxes_and_curves_stand_where_the_scores_are(comparison):
    axis = energy_boxes(comparison.pooled, [1, 4]).axes[0]
    medians = [line.get_ydata()[0] for line in axis.lines if line.get_linewidth() == 0.6]
    expected = [
        np.median([part.scores[n]["expected_value"] for part in result.checkpoints])
        for result in comparison.pooled.values()
        for n in (1, 4)
    ]
    assert medians == pytest.approx(expected)
    curves = energy_curves(comparison.pooled, comparison.perfect).axes[0]
    assert [text.get_text() for text in curves.get_xticklabels()] == ["1", "4", "8"]
    lines = {line.get_label(): line.get_ydata() for line in curves.lines}
    prob = comparison.pooled["Prob"]
    assert lines["Prob"] == pytest.approx([prob.estimate(n, "expected_value").value for n in (1, 4, 8)])
    assert lines["a perfect model"] == pytest.approx([comparison.perfect.estimate(n, "value").value for n in (1, 4, 8)])


def test_empty_masks_are_named_and_the_bare_image_is_not():
    mask = np.zeros((2, 16, 16), np.uint8)
    mask[1, 4:9, 4:9] = 1
    figure = sample_grid([Picture(np.zeros((16, 16), np.float32), mask, {"Prob": mask[[1, 0]]})])
    named = [[text.get_text() for text in axis.texts] for axis in figure.axes]
    assert [row for row, texts in enumerate(named) if texts == ["nothing"]] == [1, 9]  # a grader and a hypothesis


def test_a_cell_says_what_is_unknown():
    assert cell(Estimate(0.25, 0.1, 0.5), 2) == "0.25 [0.10, 0.50]"
    assert cell(Estimate(0.25, float("nan"), float("nan"))) == "0.250"
    assert cell(Estimate(float("nan"), float("nan"), float("nan"))) == "-"


def test_the_command_prints_a_column_for_each_n(bundle, tmp_path, capsys):
    stem = tmp_path / "report"
    options = ["--device", "cpu", "--batch-size", "3", "--precision", "ieee", "--training-data", str(bundle)]
    command = ["evaluate", "lesions", "--data", str(bundle), "-n", "1", "16", *options]
    assert cli.main([*command, "--output", str(stem)]) == 0
    text = capsys.readouterr().out
    scores, energies, *sentences = text.split("\n\n")
    assert "The scores rest on 8 images of 4 patients" in sentences[-1]
    assert any(re.match(r"- lesions is not shown to be better than the yardstick ", text) for text in sentences)
    rows = {row[0]: row[1:] for row in _rows(scores)}
    assert rows["mean [95 % interval]"] == ["n = 1", "n = 16"]
    assert rows["energy distance, U ↓"][0] == "-"  # no unbiased estimate from one hypothesis
    value, low, high = (float(number.strip("[],")) for number in rows["energy distance, V ↓"][1].split())
    assert low <= value <= high
    names = [row[0] for row in _rows(energies)]
    assert names[1:] == [
        "lesions",
        "empty masks",
        "random training masks",
        "one grader against the others",
        "a perfect model",
    ]
    assert str(stem.with_suffix(".md")) in text
    (tmp_path / "file").touch()
    assert cli.main([*command, "--output", str(tmp_path / "file" / "x")]) == 2
    assert "output: got" in capsys.readouterr().err


def test_methods_are_tested_on_request(folder, bundle, capsys):
    command = ["evaluate", str(folder), "--data", str(bundle), "-n", "4", "--device", "cpu"]
    assert cli.main([*command, "--compare", "--scores", "expected_value", "present_distance"]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    rows = _rows(blocks[2])
    assert rows[0][:6] == ["score", "method", "against", "difference", "p", "p after Holm"]
    assert [row[0] for row in rows[1:]] == [
        "energy distance, V, expected",
        "d where both outline something",
    ]
    assert {frozenset(row[1:3]) for row in rows[1:]} == {frozenset(("Heads", "Prob"))}
    assert rows[1][-2] == "8, 4"
    assert float(rows[1][3].split()[0]) >= 0  # against the best: nothing is lower
    assert cli.main([*command, "--compare", "Heads"]) == 0
    assert [row[1:3] for row in _rows(capsys.readouterr().out.split("\n\n")[2])[1:]] == [["Prob", "Heads"]]
    for wrong, message in (
        (["--compare", "Other"], "compare: got 'Other', expected one of Heads, Prob"),
        (["--compare", "--scores", "cross"], "scores: got 'cross', expected one of value, "),
        (["--compare", "--class-flips"], "--compare: class flips are not compared"),
        (["--scores", "value"], "--scores: got scores to test without --compare"),
    ):
        assert cli.main([*command, *wrong]) == 2
        assert message in capsys.readouterr().err


def _rows(table):
    lines = [line.strip("| ").split(" | ") for line in table.splitlines() if line.startswith("|")]
    return [line for line in lines if not line[0].startswith("---")]


def volumes(root):
    """Two raters' masks of a volume of four slices, of which the last is marked by nobody and the second by one."""
    nibabel = pytest.importorskip("nibabel")
    rng = np.random.default_rng(0)
    masks = np.zeros((2, 16, 16, 4), np.uint8)
    masks[:, 4:9, 4:9, 0], masks[0, 2:12, 3:9, 1], masks[:, 5:7, 3:4, 2] = 1, 1, 1
    arrays = {"images": rng.integers(0, 1000, (16, 16, 4)).astype(np.int16)}
    arrays |= {f"masks/{name}": mask for name, mask in zip(("ann", "bob"), masks, strict=True)}
    for folder, voxels in arrays.items():
        (root / folder).mkdir(parents=True)
        nibabel.save(nibabel.Nifti1Image(voxels, np.eye(4)), root / folder / "case1.nii")
    return root


def test_false_alarms_are_counted_on_request_and_rows_name_slices(folder, tmp_path):
    """Slices that nobody marked are left out unless they are asked for; the kind of data is recognised."""
    model, data = [str(folder / "Prob-seed0.safetensors")], volumes(tmp_path / "data")
    marked, everything = (compare(model, data, ns=(8,), unmarked=unmarked) for unmarked in (False, True))
    assert [len(result.any_evaluation.images) for result in (marked, everything)] == [3, 4]
    title = "outlined where no grader outlines anything"
    assert title not in tables(marked)
    alarms = everything.any_evaluation.scores[8]["false_alarms"]
    assert np.isnan(alarms[:3]).all()
    assert alarms[3] == everything.any_evaluation.scores[8]["presence"][3]
    assert f"| {title} ↓ | {alarms[3]:.3f} (1 image) |" in tables(everything)
    images = everything.any_evaluation.images
    assert [(image.slice, image.patient, image.raters) for image in images] == [
        (k, "case1", ("ann", "bob")) for k in range(4)
    ]
    assert "case1" in images[0].name


def test_each_model_gets_the_data_as_its_training_read_it(bundle):
    """Grey values by the model's own rule; models of one way share what is read."""
    plain, alike, dark, classes = (MHeads(1, k, (4,), heads=2) for k in (1, 2, 1, 3))
    dark.intensity = Intensity("range", 0, 510)
    data = data_records.DataSet(bundle)
    assert data.kind == "lidc"
    records = data.records_for(plain)
    assert data.records_for(alike) is records
    assert data.records_for(classes) is not records
    np.testing.assert_allclose(data.records_for(dark)[0].image, records[0].image / 2, atol=1e-6)
    assert records[0].image.max() > 0.5
    told = data_records.DataSet(bundle, intensity="range:0:1020")
    for model in (plain, dark):
        np.testing.assert_allclose(told.records_for(model)[0].image, records[0].image / 4, atol=1e-6)


def test_stored_hypotheses_stand_beside_models(bundle, tmp_path, capsys):
    """The scores of hypotheses from a file are those of the model that drew them, and names say which is which."""
    records = data_records.DataSet(bundle).records_for(load("lesions"))
    images = torch.from_numpy(np.stack([record.image for record in records]))
    labels = sample(load("lesions"), images, 6, seed=0)  # ids 0, 1, ... are those of the records
    np.savez_compressed(tmp_path / "theirs.npz", labels=labels.numpy())
    stem = str(tmp_path / "report")
    arguments = ["evaluate", "ours=lesions", f"theirs={tmp_path / 'theirs.npz'}", "--data", str(bundle), "-n", "2", "6"]
    assert cli.main([*arguments, "--output", stem]) == 0
    methods = json.loads(Path(f"{stem}.json").read_text())["methods"]
    assert list(methods) == ["ours", "theirs"]
    assert methods["ours"]["pooled"]["6"]["value"] == methods["theirs"]["pooled"]["6"]["value"]
    for missing in ("theirs=", "=x.npz"):
        assert cli.main(["evaluate", "lesions", missing, "--data", str(bundle), "-n", "2"]) == 2
    assert cli.main(["evaluate", f"theirs={tmp_path / 'none.npz'}", "--data", str(bundle), "-n", "2"]) == 2
    assert "hypotheses: no file or folder" in capsys.readouterr().err
