"""Whether an image is like those that a model was checked on: how it is measured, kept, read and shown."""

import json
from dataclasses import replace

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

from fastpunet import ProbabilisticUNet, Sampler, load, save
from fastpunet.cli import main
from fastpunet.data import Record
from fastpunet.data.inputs import find_inputs
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.intensity import EIGHT_BIT
from fastpunet.models.familiarity import LIMIT, Familiarity, judge
from fastpunet.models.image_statistics import image_statistics, statistics_of
from fastpunet.prediction.request import Request
from fastpunet.reports.calibrating import calibrate
from fastpunet.reports.page.case import build_case
from fastpunet.reports.page.data_subjects import tensor_subject
from fastpunet.reports.page.drawn_cases import draw_case
from fastpunet.reports.page.file_subjects import file_subject
from fastpunet.reports.page.trust import model_facts
from fastpunet.scoring.familiar_images import fit_familiarity, measure_familiarity
from fastpunet.training.config import TrainingConfig
from fastpunet.training.run import train
from fastpunet.windows import windowed

USUAL = SyntheticLesions(120, seed=1, size=32)
TINY = dict(channels=[3, 4], latent_dim=2, convs_per_block=1)


@pytest.fixture(scope="module")
def known():
    return measure_familiarity(USUAL, "validation data")


def _model(familiarity=None):
    torch.manual_seed(0)
    model = ProbabilisticUNet(**TINY)
    model.familiarity = familiarity
    return model


def test_statistics_by_hand():
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(4, 4)[None, None]
    found = image_statistics(board)[0]
    assert found[:9].tolist() == pytest.approx([0, 0, 0, 0.5, 1, 1, 1, 0.5, np.log(0.501)], abs=1e-6)
    nothing = [np.log(1e-3), 0]  # a grey plane is left after the first octave
    assert found[9:].tolist() == pytest.approx([np.log(0.501), 0, *nothing * 3], abs=1e-4)


@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (1, 3, 7, 5), (2, 2, 3, 9, 11), (1, 1, 200, 300)])
def test_statistics_of_any_image_are_finite(shape):
    found = image_statistics(torch.rand(shape))
    assert found.shape == (shape[0], statistics_of(shape[1]))
    assert found.isfinite().all()


def test_quantiles_are_those_of_the_whole_image():
    image = torch.linspace(0, 1, 300 * 400).view(1, 1, 300, 400)
    assert image_statistics(image)[0, 1:6].tolist() == pytest.approx([0.05, 0.25, 0.5, 0.75, 0.95], abs=1e-3)


def test_one_usual_image_in_a_hundred_is_unusual():
    rng = torch.Generator().manual_seed(0)
    mixing = torch.randn(6, 6, generator=rng, dtype=torch.float64)
    draw = lambda n: torch.randn(n, 6, generator=rng, dtype=torch.float64) @ mixing  # noqa: E731
    shares = [
        float(
            (fit_familiarity(draw(200), [f"{k}" for k in range(200)], "x", 0).percent_nearer(draw(2000)) == LIMIT)
            .double()
            .mean()
        )
        for _ in range(20)
    ]
    assert np.mean(shares) == pytest.approx(0.01, abs=0.004)


def test_distance_is_mahalanobis():
    draws = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    whole = draws @ torch.tensor([[2.0, 0, 0], [1, 3, 0], [0, 1, 1]], dtype=torch.float64) + 5
    found = fit_familiarity(whole, list(map(str, range(4000))), "x", 0)
    offset = whole[:10] - whole.mean(0)
    expected = (offset @ torch.cov(whole.T).inverse() * offset).sum(1).sqrt()
    torch.testing.assert_close(found.distances(whole[:10]), expected, rtol=0.01, atol=0)
    assert found.quantiles[49] == pytest.approx(np.sqrt(2.366), rel=0.03)  # the median of chi squared of 3 degrees


def test_images_of_one_patient_do_not_vouch_for_each_other():
    rng = torch.Generator().manual_seed(0)
    own = torch.randn(20, 4, generator=rng, dtype=torch.float64).repeat_interleave(10, 0)
    statistics = own + 0.01 * torch.randn(200, 4, generator=rng, dtype=torch.float64)
    apart = fit_familiarity(statistics, [str(k // 10) for k in range(200)], "x", 0)
    together = fit_familiarity(statistics, [str(k) for k in range(200)], "x", 0)
    assert apart.quantiles[-1] > 1.2 * together.quantiles[-1]
    assert (apart.images, apart.patients) == (200, 20)


def test_new_images_are_usual_and_others_are_not(known):
    new = torch.stack([torch.from_numpy(record.image) for record in SyntheticLesions(100, seed=2, size=32)])
    unusual = lambda images: sum(judge(known, image[None]).level == "unusual" for image in images)  # noqa: E731
    assert unusual(new) <= 4
    assert unusual(new.rot90(1, (2, 3))) <= 4
    noise = torch.rand(100, 1, 32, 32, generator=torch.Generator().manual_seed(0))
    assert unusual(noise) == unusual(1 - new) == unusual(new / 2) == 100
    assert judge(known, torch.full((1, 1, 32, 32), torch.nan)).level == "unusual"


def test_a_volume_is_judged_by_its_middle_slice(known):
    usual = torch.stack([torch.from_numpy(USUAL[k].image) for k in range(3)])
    odd = torch.zeros(2, 1, 32, 32)
    assert judge(known, torch.cat([usual, odd])).level == "usual"
    assert judge(known, torch.cat([usual, odd])).sentence.endswith("(2 of 5 slices are unusual).")
    assert judge(known, torch.cat([usual, odd, odd])).level == "unusual"


def test_too_few_images_say_nothing():
    assert measure_familiarity(USUAL[:98], "x") is None
    assert measure_familiarity(USUAL[:99], "x").images == 99
    of_one = [Record(record.image, record.masks[:0], record.id, patient="ann") for record in USUAL]
    assert measure_familiarity(of_one, "x") is None
    assert judge(None, torch.zeros(1, 1, 8, 8)).level == "unknown"


def test_it_survives_files_scaling_and_windows(known, tmp_path, capsys):
    save(_model(known), tmp_path / "m.safetensors")
    model = load(tmp_path / "m.safetensors")
    assert model.familiarity == known
    assert windowed(model, 16).familiarity == known
    assert main(["info", str(tmp_path / "m.safetensors")]) == 0
    assert str(known) in capsys.readouterr().out
    save(_model(), tmp_path / "n.safetensors")
    assert main(["info", str(tmp_path / "n.safetensors")]) == 0
    assert "which images are usual is unknown" in capsys.readouterr().out


def test_it_takes_a_few_kilobytes(known):
    assert len(json.dumps(known.to_dict())) < 4096


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": 0}, "images is 0"),
        ({"data": 1}, "data is 1"),
        ({"mean": []}, "mean is"),
        ({"mean": [0.0] * 5000}, "mean is"),
        ({"mean": ["x"] * 17}, "mean is"),
        ({"mean": [1e999] + [0.0] * 16}, "mean is"),
        ({"whitening": [[1.0]]}, "whitening is .* 17 rows"),
        ({"whitening": [[1.0] * 17] * 17}, "whitening is .* 1 numbers"),
        ({"quantiles": [1.0] * 98}, "quantiles is .* 99 numbers"),
        ({"quantiles": [2.0] + [1.0] * 98}, "ascending"),
        ({"quantiles": [-1.0] * 99}, "ascending"),
        ({"mean": [0.0], "whitening": [[1.0]]}, "mean has 1 numbers, expected the 17 statistics"),
        ({"trust": 1}, "expected data, images"),
    ],
)
def test_odd_entries_of_a_file_are_named(known, tmp_path, change, message):
    model = _model(known)
    save(model, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", framework="pt") as file:
        header = json.loads(file.metadata()["fastpunet"])
    header["familiarity"].update(change)
    save_file(dict(model.state_dict()), tmp_path / "b.safetensors", metadata={"fastpunet": json.dumps(header)})
    with pytest.raises(ValueError, match=f"b.safetensors: familiarity: .*{message}"):
        load(tmp_path / "b.safetensors")


def test_huge_numbers_of_a_file_are_unusual(known):
    huge = replace(known, whitening=tuple(tuple(1e308 for _ in row) for row in known.whitening))
    assert judge(huge, torch.zeros(1, 1, 8, 8)).level == "unusual"


def test_sampling_warns_of_unusual_images(known, tmp_path, capsys):
    save(_model(known), tmp_path / "m.safetensors")
    usual = (USUAL[0].image[0] * 255).round().astype(np.uint8)
    for name, pixels in {"usual": usual, "odd": 255 - usual}.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    files = [str(tmp_path / f"{name}.png") for name in ("usual", "odd")]
    assert main(["sample", str(tmp_path / "m.safetensors"), *files, "-o", str(tmp_path / "out"), "-n", "2"]) == 0
    said = capsys.readouterr().err
    assert "warning: odd: is unlike those that the model was checked on" in said
    assert "usual: is" not in said
    answers = {name: json.loads((tmp_path / "out" / name / "answer.json").read_text()) for name in ("usual", "odd")}
    assert [answers[name]["image"]["familiarity"]["level"] for name in ("usual", "odd")] == ["usual", "unusual"]
    assert answers["usual"]["warnings"] == []


def test_pages_say_it(known):
    model = _model(known).eval()
    image = torch.from_numpy(USUAL[0].image)
    for shown, level in ((image, "usual"), (1 - image, "unusual")):
        subject = tensor_subject(shown, Sampler(model), {}, title="a", id=0, spacing=None)
        drawn = draw_case(subject, Sampler(model), Request(n=2))
        facts = model_facts(model, "m", drawn.subject.prepared.verdict)
        assert facts["familiarity"]["level"] == level
        assert facts["familiarity"]["how"].startswith("Judged by the Mahalanobis distance")
        case, _ = build_case(drawn, facts, {}, ("background", "foreground"))
        assert case["model"] == facts


def test_the_page_of_a_slice_judges_the_slice(known, tmp_path):
    usual = (USUAL[0].image[0] * 255).round().astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(np.stack([usual, 255 - usual, 255 - usual], 2), np.eye(4)), tmp_path / "a.nii")
    model = _model(known)
    model.intensity = EIGHT_BIT
    sampler = Sampler(model)
    subject = file_subject(find_inputs([tmp_path / "a.nii"])[0], sampler, Request(n=2), {}, place=0)
    assert subject.prepared.warnings["familiarity"].endswith("(2 of 3 slices are unusual)")
    assert subject.prepared.verdict.level == "usual"
    case, _ = build_case(draw_case(subject, sampler, Request(n=2)), {}, {}, ("background", "foreground"))
    assert case["notes"] == list(subject.notes)  # the page tells from `model` what is unusual


def test_training_ends_with_it(tmp_path):
    config = TrainingConfig(
        kind="lesions", count=8, size=16, model=TINY, steps=2, validation_images=99, batch_size=4, validate_every=2
    )
    model = load(train(config, tmp_path / "run", say=lambda _: None))
    assert (model.familiarity.data, model.familiarity.images) == ("validation data", 99)


def test_calibrating_measures_it_or_keeps_what_was_known(known):
    model = _model(known)
    for fit in (False, True):
        found = calibrate(model, SyntheticLesions(10, seed=3, size=16), fit=fit, n=2)
        assert found.model.familiarity == known
    found = calibrate(model, SyntheticLesions(99, seed=3, size=16), fit=False, n=2)
    assert found.model.familiarity.images == 99
    assert str(found.model.familiarity) in found.report
    assert "which images are usual is unknown" in calibrate(_model(), USUAL[:4], fit=False).report.lower()


@pytest.mark.parametrize("name", ["lesions", "lidc-tiny"])
def test_shipped_weights_have_it(name):
    assert load(name).familiarity.images >= 99


def test_a_dictionary_is_read_back(known):
    assert Familiarity.from_dict(json.loads(json.dumps(known.to_dict()))) == known
