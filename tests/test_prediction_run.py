"""From files to answers: what is written, that the engine draws the same, and what happens when something fails."""

import csv
import json
import os
import stat

import numpy as np
import pytest
import torch
from PIL import Image

import fastpunet
from fastpunet import ProbabilisticUNet
from fastpunet.hypotheses import summarize
from fastpunet.intensity import EIGHT_BIT
from fastpunet.prediction import drawing
from fastpunet.prediction.planning import id_of
from fastpunet.prediction.request import Request
from fastpunet.prediction.run import Outcome, run

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (3, 20, 24), dtype=np.uint8)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, channels=(4, 6), latent_dim=2, convs_per_block=1).eval()
    model.intensity, model.image_size = EIGHT_BIT, (20, 24)
    with torch.no_grad():  # hypotheses that differ, and of which some are empty
        model.fcomb.last_layer.bias.fill_(-0.3)
        model.prior.conv_layer.bias[2:].fill_(0.0)
        model.fcomb.layers[0].weight[:, :4] *= 9
    path = tmp_path_factory.mktemp("model") / "m.safetensors"
    fastpunet.save(model, path)
    return path


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "in"
    folder.mkdir()
    for place, pixels in enumerate(PIXELS):
        Image.fromarray(pixels).save(folder / f"case{place}.png")
    return folder


def _drawn(model, pixels, name, n=16, **options):
    image = torch.from_numpy(pixels / np.float32(255))[None, None]
    return fastpunet.sample(fastpunet.load(model), image, n, seed=3, ids=torch.tensor([id_of(name)]), **options)[0]


def _answer(folder):
    return json.loads((folder / "answer.json").read_text())


def test_an_answer_holds_what_the_engine_draws(model, images, tmp_path):
    out = tmp_path / "out"
    request = Request(n=16, seed=3, mean=True, entropy=True, modes=0, thresholds=(("area", 20.0), ("area", 40.0)))
    outcomes = run(model, [images], out, request)
    assert [(one.name, one.status) for one in outcomes] == [(f"case{place}", "done") for place in range(3)]
    for place, pixels in enumerate(PIXELS):
        folder, labels = out / f"case{place}", _drawn(model, pixels, f"case{place}").numpy()
        files = sorted(folder.glob("hypotheses-*.png"))
        written = np.stack([np.asarray(Image.open(file)) for file in files])
        np.testing.assert_array_equal(written, labels.astype(bool))
        answer = _answer(folder)
        present = labels.any((1, 2)).mean()
        assert present > 0
        assert answer["presence"]["value"] == pytest.approx(present, rel=1e-5)
        shares = [(labels.sum((1, 2)) >= least).mean() for least in (20, 40)]
        assert [one["value"] for one in answer["thresholds"]] == pytest.approx(shares, rel=1e-5)
        assert [(one["measure"], one["at_least"]) for one in answer["thresholds"]] == [("area", 20), ("area", 40)]
        assert answer["measures"]["area"]["unit"] == "px^2"
        rows = list(csv.DictReader((folder / "measures.csv").read_text().splitlines()))
        assert [float(row["area_px2"]) for row in rows] == labels.sum((1, 2)).tolist()
        assert [row["longest_diameter_px"] == "" for row in rows] == (~labels.any((1, 2))).tolist()
        counts = np.bincount([int(row["mode"]) for row in rows])[1:]
        assert [mode["probability"] for mode in answer["modes"]] == pytest.approx((counts / 16).tolist())
        for mode in answer["modes"]:
            picture = np.asarray(Image.open(folder / f"modes-{mode['mode'] - 1:04}.png"))
            np.testing.assert_array_equal(picture, labels[mode["hypothesis"]].astype(bool))
            assert mode["measures"]["area"] == labels[mode["hypothesis"]].sum()
        summary = summarize(
            fastpunet.load(model),
            torch.from_numpy(pixels / np.float32(255))[None, None],
            16,
            seed=3,
            ids=torch.tensor([id_of(f"case{place}")]),
        )
        mean = np.asarray(Image.open(folder / "mean.png")) / 65535
        np.testing.assert_allclose(mean, summary.mean[0, 0].numpy(), atol=1e-5)
        entropy = np.asarray(Image.open(folder / "entropy.png")) / 65535 * np.log(2)
        np.testing.assert_allclose(entropy, summary.entropy[0].numpy(), atol=1e-5)
        assert sorted(answer["written"]) == sorted(file.name for file in folder.iterdir() if file.suffix == ".png")
    summary = json.loads((out / "summary.json").read_text())
    assert [image["status"] for image in summary["images"]] == ["done"] * 3
    assert summary["request"]["n"] == 16


def test_an_answer_does_not_depend_on_what_else_is_drawn(model, images, tmp_path):
    request = Request(n=8, seed=3)
    run(model, [images], tmp_path / "all", request)
    run(model, [images], tmp_path / "singly", request, batch_size=1)
    run(model, [images / "case2.png"], tmp_path / "alone", request)
    for place in range(3):
        expected = _drawn(model, PIXELS[place], f"case{place}", 8).numpy()
        for out in ("all", "singly", *(["alone"] if place == 2 else [])):
            files = sorted((tmp_path / out / f"case{place}").glob("hypotheses-*.png"))
            np.testing.assert_array_equal(np.stack([np.asarray(Image.open(file)) for file in files]), expected)


def test_slices_of_a_volume_are_one_opinion(model, tmp_path):
    nibabel = pytest.importorskip("nibabel")
    volume = np.repeat(PIXELS[:1], 4, 0).transpose(1, 2, 0)  # four equal slices
    affine = np.diag((0.8, 0.7, 2.0, 1.0))
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "scan.nii.gz")
    (outcome,) = run(model, [tmp_path / "scan.nii.gz"], tmp_path / "out", Request(n=6, seed=3))
    assert outcome.status == "done"
    written = nibabel.load(tmp_path / "out" / "scan" / "hypotheses.nii.gz")
    np.testing.assert_allclose(written.affine, affine)
    labels = np.asarray(written.dataobj)
    assert labels.shape == (20, 24, 4, 6)
    expected = _drawn(model, PIXELS[0], "scan", 6).numpy()
    for place in range(4):
        np.testing.assert_array_equal(labels[:, :, place].transpose(2, 0, 1), expected)
    answer = _answer(tmp_path / "out" / "scan")
    assert answer["measures"]["volume"]["unit"] == "mm^3"
    rows = list(csv.DictReader((tmp_path / "out" / "scan" / "measures.csv").read_text().splitlines()))
    volumes = expected.sum((1, 2)) * 4 * 0.8 * 0.7 * 2.0
    assert [float(row["volume_mm3"]) for row in rows] == pytest.approx(volumes.tolist(), rel=1e-5)


def test_windows_answer_as_the_windowed_model_does(model, images, tmp_path):
    outcomes = run(model, [images], tmp_path / "out", Request(n=4, seed=3, window=12, overlap=0.25))
    assert [one.status for one in outcomes] == ["done"] * 3
    large = fastpunet.windowed(fastpunet.load(model), 12, 0.25)
    for place, pixels in enumerate(PIXELS):
        image, ids = torch.from_numpy(pixels / np.float32(255))[None, None], torch.tensor([id_of(f"case{place}")])
        expected = fastpunet.sample(large, image, 4, seed=3, ids=ids)[0].numpy()
        files = sorted((tmp_path / "out" / f"case{place}").glob("hypotheses-*.png"))
        np.testing.assert_array_equal(np.stack([np.asarray(Image.open(file)) for file in files]), expected)
    with pytest.raises(ValueError, match="^overlap: got 1.0"):
        run(model, [images], tmp_path / "other", Request(n=4, window=12, overlap=1.0))
    with pytest.raises(ValueError, match="^size: got 0"):
        run(model, [images], tmp_path / "other", Request(n=4, window=0))
    assert not (tmp_path / "other").exists()


def test_hypotheses_come_back_to_the_grid_of_a_resampled_image(tmp_path):
    """On an image twice as fine as in training, a model that thresholds grey values outlines the same region."""
    model = ProbabilisticUNet(1, 1, channels=(2,), latent_dim=1, convs_per_block=1).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.unet.upsampling_path  # noqa: B018  # one scale: the contracting path alone makes the features
        conv = model.unet.contracting_path[0].layers[0]
        conv.weight[0, 0, 1, 1] = 1.0
        for layer in (*[m for m in model.fcomb.layers if hasattr(m, "weight")], model.fcomb.last_layer):
            layer.weight[0, 0] = 1.0
        model.fcomb.last_layer.bias.fill_(-0.5)
    model.intensity, model.spacing = EIGHT_BIT, (1.0, 1.0)
    fastpunet.save(model, tmp_path / "m.safetensors")
    disc = np.hypot(*(np.mgrid[:64, :64] - 31.5)) < 20
    Image.fromarray(disc.astype(np.uint8) * 255).save(tmp_path / "disc.png")
    options = {"spacing": (0.5,), "mean": True, "format": "npz"}
    (outcome,) = run(tmp_path / "m.safetensors", [tmp_path / "disc.png"], tmp_path / "out", Request(n=2, **options))
    assert outcome.status == "done"
    answer = _answer(tmp_path / "out" / "disc")
    assert answer["image"]["size_for_the_model"] == [32, 32]
    labels = np.load(tmp_path / "out" / "disc" / "hypotheses.npz")["labels"]
    assert labels.shape == (2, 64, 64)
    assert (labels[0] & disc).sum() / (labels[0] | disc).sum() > 0.97
    assert answer["measures"]["area"]["0.5"]["value"] == pytest.approx(np.pi * 10**2, rel=0.02)
    assert np.load(tmp_path / "out" / "disc" / "mean.npz")["values"].shape == (64, 64)


def test_an_image_that_fails_fails_alone(model, images, tmp_path):
    (images / "case1.png").write_bytes((images / "case1.png").read_bytes()[:60])
    (images / "broken.png").write_bytes((images / "case1.png").read_bytes()[:20])
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(images / "colours.png")
    said: list[Outcome] = []
    outcomes = run(model, [images], tmp_path / "out", Request(n=2), say=said.append)
    assert {(one.name, one.status) for one in outcomes} == {
        ("", "failed"),
        ("case0", "done"),
        ("case1", "failed"),
        ("case2", "done"),
        ("colours", "failed"),
    }
    messages = [one.message for one in outcomes if one.status == "failed"]
    assert "broken.png is truncated" in messages[0]
    assert "case1.png is truncated" in messages[2]
    assert messages[1].startswith("colours: has colours (RGB), but the model takes grey values")
    assert said == outcomes
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["case0", "case2", "summary.json"]
    listed = json.loads((tmp_path / "out" / "summary.json").read_text())["images"]
    assert [image["status"] for image in listed].count("failed") == 3
    with pytest.raises(ValueError, match=r"broken.png is truncated.*; colours: has colours"):
        run(model, [images / "broken.png", images / "colours.png"], tmp_path / "none", Request(n=2))


def test_answers_that_are_there_are_kept_or_replaced_only_when_asked(model, images, tmp_path):
    out = tmp_path / "out"
    run(model, [images / "case0.png"], out, Request(n=2))
    first = (out / "case0" / "answer.json").stat().st_mtime_ns
    with pytest.raises(ValueError, match="^output: .*case0 exists; pass --skip-existing to keep it, or --overwrite"):
        run(model, [images], out, Request(n=2))
    assert not (out / "case1").exists()
    outcomes = run(model, [images], out, Request(n=2), skip_existing=True)
    assert [one.status for one in outcomes] == ["kept", "done", "done"]
    assert (out / "case0" / "answer.json").stat().st_mtime_ns == first
    with pytest.raises(
        ValueError, match=r"^output: .*case0 was made with other settings: n was 2, seed was 0; name another"
    ):
        run(model, [images], out, Request(n=3, seed=1), skip_existing=True)
    Image.fromarray(PIXELS[1]).save(images / "case0.png")
    with pytest.raises(
        ValueError, match=r"^output: .*case0 was made with other settings: the image was a different one; name another"
    ):
        run(model, [images], out, Request(n=2), skip_existing=True)
    assert [one.status for one in run(model, [images], out, Request(n=3), overwrite=True)] == ["done"] * 3
    assert _answer(out / "case0")["request"]["n"] == 3
    assert len(list((out / "case0").glob("hypotheses-*.png"))) == 3


def test_an_interruption_keeps_what_is_finished_and_the_run_goes_on(model, images, tmp_path, monkeypatch):
    draw, calls = drawing.draw, []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return draw(*arguments, **options)

    monkeypatch.setattr("fastpunet.prediction.run.draw", interrupted)
    with pytest.raises(KeyboardInterrupt, match="interrupted; 1 of 3 answers are written; pass --skip-existing"):
        run(model, [images], tmp_path / "out", Request(n=2), batch_size=1)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["case0", "summary.json"]
    outcomes = run(model, [images], tmp_path / "out", Request(n=2), skip_existing=True)
    assert [one.status for one in outcomes] == ["kept", "done", "done"]


def test_what_cannot_be_met_is_said_before_any_work(model, images, tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing-here"):
        run(model, [tmp_path / "nothing-here.png"], tmp_path / "out")
    with pytest.raises(FileNotFoundError, match="^source: no file"):
        run(tmp_path / "no.safetensors", [images], tmp_path / "out")
    for name, value in (("n", 0), ("seed", -1), ("sampler", "best"), ("unit", "inch"), ("modes", -1)):
        with pytest.raises(ValueError, match=f"^{name}: got"):
            Request(**{name: value})
    with pytest.raises(ValueError, match="^precision: "):
        run(model, [images], tmp_path / "out", Request(precision="half"))
    with pytest.raises(ValueError, match="^format: got 'bmp', expected one of png, tiff, nifti, seg, npz"):
        Request(format="bmp")
    with pytest.raises(ValueError, match="^thresholds: got 'diameter', expected one of area,"):
        Request(thresholds=(("diameter", 8.0),))
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root can write anywhere")
def test_an_output_that_cannot_be_written_is_named_first(model, images, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out").chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(ValueError, match="^output: got .*Permission denied"):
        run(model, [images], tmp_path / "out")


def test_a_request_that_no_input_meets_is_refused_before_anything_is_read(model, images, tmp_path, monkeypatch):
    monkeypatch.setattr("fastpunet.data.inputs.input.Input.read", None)
    for request, message in (
        (Request(format="seg"), "format: got seg for case0, which is png"),
        (Request(thresholds=(("volume", 3.0),)), "case0: threshold: got 'volume', expected one of area"),
        (Request(spacing=(1.0, 1.0, 1.0)), "case0: has 2 axes"),
    ):
        with pytest.raises(ValueError, match=f"^{message}"):
            run(model, [images], tmp_path / "out", request)
    assert not (tmp_path / "out").exists()


def test_answers_are_no_inputs_of_the_next_run(model, images, tmp_path):
    request = Request(n=1, mean=True)
    inputs = [str(tmp_path / "**" / "*.png")]
    assert len(run(model, inputs, images / "answers", request)) == 3
    assert [one.status for one in run(model, inputs, images / "answers", request, skip_existing=True)] == ["kept"] * 3


def test_several_classes_are_said_with_their_modes(tmp_path):
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 3, channels=(4, 6), latent_dim=2, convs_per_block=1).eval()
    fastpunet.save(model, tmp_path / "m.safetensors")
    Image.fromarray(PIXELS[0]).save(tmp_path / "case.png")
    (outcome,) = run(tmp_path / "m.safetensors", [tmp_path / "case.png"], tmp_path / "out", Request(n=8, modes=2))
    shares = [f"{100 * mode['probability']:.0f} %" for mode in _answer(tmp_path / "out" / "case")["modes"]]
    assert len(shares) == 2
    assert outcome.message == f"8 hypotheses of 3 classes; 2 modes: {', '.join(shares)}"


def test_a_full_disk_is_told_with_the_image(model, images, tmp_path, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fastpunet.prediction.answer.write_text", full)
    outcomes = run(model, [images], tmp_path / "out", Request(n=2))
    assert [one.message for one in outcomes] == [f"case{k}: [Errno 28] No space left on device" for k in range(3)]
