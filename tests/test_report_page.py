"""What a page holds, compared with the Python that it stands for; `test_report_browser` opens pages in a browser."""

import io
import json

import numpy as np
import pydicom
import pytest
import torch
from helpers.page_case import decode, read_case, read_html, unpack
from helpers.page_models import smooth_image, varied
from PIL import Image
from pydicom.data import get_testdata_file

import fastpunet
from fastpunet.data import Record
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.models import SSN, DropoutUNet, Image2ImageVAE, MHeads, UNetEnsemble
from fastpunet.reports.page import case as page_case
from fastpunet.reports.page.compact import compact, smallest
from fastpunet.reports.page.file_subjects import disagreement
from fastpunet.sampler import Sampler

CT = get_testdata_file("CT_small.dcm")
AS_LIDC = {"intensity": "window:-600:1500", "window": 64}


@pytest.fixture(scope="module")
def lesion():
    """A synthetic lesion, the model that knows such lesions, and the data of the page."""
    record = SyntheticLesions(1, seed=1)[0]
    return record, fastpunet.load("lesions"), read_case(fastpunet.report("lesions", record, n=60, seed=3).html)


@pytest.fixture(scope="module")
def ct():
    """The data of the page of a CT slice, which the model looks at on another grid and in windows."""
    return read_case(fastpunet.report("lidc-tiny", CT, n=12, **AS_LIDC).html)


@pytest.mark.parametrize("dtype", ["float32", "float16", "uint8", "uint16", "int16", "int32", "bool"])
def test_numbers_survive_packing(dtype):
    values = np.random.default_rng(0).integers(0, 2, (3, 5, 13)).astype(dtype)
    packed = compact(values)
    assert packed["dtype"] == ("bits" if dtype == "bool" else dtype)
    np.testing.assert_array_equal(unpack(packed), values)
    with pytest.raises(TypeError, match="got float64, expected bool or one of float32"):
        compact(np.zeros(3))


def test_an_image_keeps_its_numbers():
    for values in ([0, 255], [-1000, 3000], [0, 60000], [-(2**20), 2**20], [0.25, 0.5]):
        np.testing.assert_array_equal(smallest(np.array(values, np.float64)), values)


def test_hypotheses_are_those_that_sample_draws(lesion):
    record, model, case = lesion
    image, ids = torch.from_numpy(record.image)[None], torch.tensor([record.id])
    masks = fastpunet.sample(model, image, n=60, seed=3, ids=ids)[0].numpy()
    np.testing.assert_array_equal(unpack(case["hypotheses"]["labels"]), masks)
    z = unpack(case["hypotheses"]["z"])
    decoded = Sampler(model).decode(Sampler(model).encode(image), torch.from_numpy(z.copy())[None])[0].numpy()
    assert (decoded == masks).mean() > 0.9999
    assert (case["hypotheses"]["n"], case["hypotheses"]["seed"]) == (60, 3)
    np.testing.assert_array_equal(unpack(case["image"]["pixels"]), record.image[0])


@pytest.mark.parametrize(
    ("channels", "classes", "maps"), [(1, 1, 0), (1, 16, 0), (3, 5, 0), (1, 1, 2)], ids=["binary", "16", "rgb", "maps"]
)
def test_the_decoder_of_the_page_decodes_as_the_model(channels, classes, maps):
    model, image = varied(channels, classes, latent_maps=maps), smooth_image(channels, (21, 26))
    case = read_case(fastpunet.report(model, image, n=30).html)
    pad = case["pad"]
    origin, axes = unpack(pad["origin"]), unpack(pad["axes"])
    positions = np.random.default_rng(1).uniform(-3, 3, (40, 2)).astype(np.float32)
    z = origin + positions @ axes
    labels = Sampler(model, precision="ieee").decode(Sampler(model).encode(image[None]), torch.from_numpy(z)[None])[0]
    ours = np.stack([decode(case, each) for each in z])
    assert (ours == labels.numpy()).mean() > 0.9995
    assert len(np.unique(labels.reshape(40, -1), axis=0)) > 10  # the latent moves something
    assert case["classes"] == (["background", "foreground"] if classes == 1 else [f"class {k}" for k in range(classes)])
    assert [found["label"] for found in case["alternatives"]] == list(range(1, max(2, classes)))


def test_on_another_grid_logits_are_interpolated_as_sample_does(ct):
    masks, z = unpack(ct["hypotheses"]["labels"]), unpack(ct["hypotheses"]["z"])
    assert ct["pad"]["decoder"]["place"]["resample"] is not None
    assert ct["pad"]["decoder"]["map"]["rows"] > 8
    ours = np.stack([decode(ct, each) for each in z])
    assert (ours == masks).mean() > 0.9995
    assert masks.any(axis=(1, 2)).any()


def test_positions_of_hypotheses_are_where_the_pad_puts_them(lesion):
    _, _, case = lesion
    pad, z = case["pad"], unpack(case["hypotheses"]["z"])
    axes, positions = unpack(pad["axes"]), unpack(pad["hypotheses"])
    inside = unpack(pad["origin"]) + positions @ axes
    # What is left over is orthogonal to the plane, in the prior's units: its position is the origin.
    grid = fastpunet.hypotheses.decode_grid(
        fastpunet.load("lesions"), torch.from_numpy(SyntheticLesions(1, seed=1)[0].image)
    )
    np.testing.assert_allclose(grid.plane.positions(torch.from_numpy(z.copy())).abs(), np.abs(positions), atol=0.35)
    np.testing.assert_allclose(
        grid.plane.positions(torch.from_numpy(inside)).numpy().std(0), positions.std(0), atol=0.1
    )


def test_modes_and_measures_are_those_of_hypotheses(lesion):
    _, _, case = lesion
    (found,) = case["alternatives"]
    masks = torch.from_numpy(unpack(case["hypotheses"]["labels"]))
    expected = fastpunet.hypotheses.modes(masks[None])[0]
    assert [mode["probability"] for mode in found["modes"]] == pytest.approx(expected.probabilities.tolist())
    assert [mode["hypothesis"] for mode in found["modes"]] == expected.hypotheses.tolist()
    assert [mode["name"] for mode in found["modes"]] == expected.names
    np.testing.assert_array_equal(unpack(found["members"]), expected.members)
    areas = {measure["name"]: measure for measure in found["measures"]}["area"]
    np.testing.assert_array_equal(unpack(areas["values"]), masks.sum((1, 2)))
    assert areas["unit"] == "px²"


def test_graders_are_annotations_with_places_and_likelihoods():
    record = SyntheticLesions(1, seed=1)[0]
    masks = np.stack([record.masks[2], np.where(record.masks[3] > 0, 255, record.masks[3])])
    series = {"name": "1.3.6.1.4.1.14519.5.2.1.6279.6001.172243743899", "slice": 4, "patient": "p1"}
    graded = Record(record.image, masks, id=7, raters=("ann", "ben"), spacing=(0.5, 0.5), **series)
    page = fastpunet.report("lesions", graded, n=40)
    case = read_case(page.html)
    assert (page.title, case["source"]) == ("p1, slice 4", f"slice 4 of {series['name']}")
    ann, ben = case["annotations"]
    assert (ann["name"], ben["name"]) == ("ann", "ben")
    np.testing.assert_array_equal(unpack(ann["labels"]), masks[0])
    assert not unpack(ben["labels"]).any()  # what is not annotated is not there
    assert ann["logLikelihood"].startswith("log p(y | x) = -")
    assert " of 2 annotations by how likely the model finds them" in ann["logLikelihood"]
    assert np.abs(ann["position"]).max() < 4
    assert {measure["unit"] for measure in case["alternatives"][0]["measures"]} == {"mm²", "mm"}


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        (DropoutUNet(1, 1, channels=(4, 8)), "DropoutUNet has no latent that could be moved"),
        (UNetEnsemble(1, 1, channels=(4, 8), members=3), "UNetEnsemble has no latent that could be moved"),
        (MHeads(1, 1, channels=(4, 8), heads=3), "MHeads has no latent that could be moved"),
        (SSN(1, 1, channels=(4, 8)), "SSN has no latent that could be moved"),
        (Image2ImageVAE(1, 1, channels=(4, 8)), "The page cannot decode latents of this Image2ImageVAE"),
        (fastpunet.ProbabilisticUNet(1, 1, channels=(4, 8), latent_dim=1), "has a single dimension"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, torch.nn.Module) else "",
)
def test_methods_without_a_pad_say_why_and_have_the_rest(model, reason):
    annotations = {"ann": np.zeros((16, 16), bool)}
    case = read_case(fastpunet.report(model, torch.rand(1, 16, 16), n=3, annotations=annotations).html)
    assert case["pad"] is None
    assert reason in case["padMissing"]
    assert unpack(case["hypotheses"]["labels"]).shape == (3, 16, 16)
    assert case["annotations"][0]["position"] is None
    assert (case["annotations"][0]["logLikelihood"] is None) == (case["hypotheses"]["z"] is None)


def test_a_page_that_would_be_too_large_gives_up_what_matters_least_and_says_so(lesion, monkeypatch):
    image = torch.from_numpy(np.pad(lesion[0].image, ((0, 0), (30, 34), (20, 60)), mode="edge"))
    sizes, seen = [], []
    for limit in (1_200_000, 600_000, 60_000, 1):
        monkeypatch.setattr(page_case, "MOST_BYTES", limit)
        page = fastpunet.report("lesions", image, n=240, seed=3)
        case = read_case(page.html)
        sizes.append(len(json.dumps(case)))
        seen.append(" ".join(case["notes"]))
        given_up = [*case["notes"], *filter(None, [case["padMissing"]])]
        assert page.doubts == ({"the size of the page": " ".join(given_up)} if given_up else {})
        if case["pad"]:
            assert case["pad"]["decoder"]["base"]["dtype"] == "float16"
            z = unpack(case["hypotheses"]["z"]).astype(np.float32)[:60]
            ours = np.stack([decode(case, each) for each in z])
            assert (ours == unpack(case["hypotheses"]["labels"])[:60]).mean() > 0.999
    assert sizes == sorted(sizes, reverse=True)
    assert seen[0] == ""  # the section that is rounded says so itself
    assert '"Explore outlines" shows rows' in seen[1]
    assert "larger than 5 MB" in read_case(page.html)["padMissing"]
    assert "holds the first 100 of 240 hypotheses" in seen[-1]
    assert "because its image is" in seen[-1]
    assert len(unpack(read_case(page.html)["hypotheses"]["labels"])) == 100


def test_a_thousand_hypotheses_of_128_by_128_pixels_fit_into_5_mb():
    model = fastpunet.ProbabilisticUNet(1, 1).eval()  # as published: 32 channels
    page = fastpunet.report(model, smooth_image(1, (128, 128)), n=1000)
    assert len(page.html.encode()) <= 5_000_000
    assert (page.doubts, read_case(page.html)["hypotheses"]["n"]) == ({}, 1000)


def test_hypotheses_that_depend_on_each_other_are_told():
    (note,) = read_case(fastpunet.report("lesions", torch.rand(1, 64, 64), n=16, sampler="sobol").html)["notes"]
    assert note.startswith("The hypotheses were drawn with the sampler sobol, and so depend on each other")


def test_calibration_is_told_in_sentences(lesion):
    _, model, case = lesion
    told = case["model"]["calibration"]
    assert told["sentences"][0].startswith(f"Measured on {model.calibration.images} images of ")
    assert told["presence"]["count"] == list(model.calibration.presence.count)
    assert case["model"]["familiarity"]["level"] == "usual"
    assert read_case(fastpunet.report(varied(1, 1), torch.rand(1, 9, 9), n=2).html)["model"]["calibration"] is None


def test_dicom_images_have_their_unit_and_templates_of_files(ct):
    highdicom = pytest.importorskip("highdicom")
    source = pydicom.dcmread(CT)
    assert (ct["title"], ct["source"], ct["image"]["unit"]) == ("CT_small", "CT_small.dcm", "HU")
    np.testing.assert_array_equal(unpack(ct["image"]["pixels"]), source.pixel_array - 1024)
    assert ct["image"]["window"] == [-1350, 150]
    assert ct["image"]["spacing"] == pytest.approx([0.661468, 0.661468])
    seg = ct["exports"]["seg"]
    data = unpack(seg["file"]).tobytes()
    read = highdicom.seg.segread(io.BytesIO(data))
    assert not read.pixel_array.any()
    assert len(data) - seg["pixelData"] == 128 * 128 // 8
    uids = {data[each["offset"] :][: each["length"]].decode() for each in seg["identifiers"]}
    assert {read.SOPInstanceUID, read.SeriesInstanceUID, read.SegmentSequence[0].TrackingUID} < uids
    assert all(len(uid) == 44 and uid.startswith("2.25.") for uid in uids)
    assert data.count(read.SOPInstanceUID.encode()) == 2  # in the file's head and in the data set
    assert read.PatientID == source.PatientID


def test_pictures_without_a_geometry_have_no_template(tmp_path):
    Image.fromarray(np.full((20, 24), 90, np.uint8)).save(tmp_path / "a.png")
    exports = read_case(fastpunet.report("lesions", tmp_path / "a.png", n=2).html)["exports"]
    assert exports == {"nifti": None, "seg": None}
    with_spacing = read_case(fastpunet.report("lesions", tmp_path / "a.png", n=2, spacing=[2, 3]).html)["exports"]
    assert len(unpack(with_spacing["nifti"])) == 352


def test_disagreement_counts_pixels_that_two_hypotheses_label_differently():
    labels = np.random.default_rng(0).integers(0, 3, (7, 4, 5), dtype=np.uint8)
    pairs = [(labels[i] != labels[j]).sum() for i in range(7) for j in range(7)]
    assert disagreement(labels) == pytest.approx(np.mean(pairs))


def test_a_volume_is_shown_by_the_slice_that_is_disputed_most(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    lesions = SyntheticLesions(1, seed=1)[0].image[0]
    volume = np.stack([np.full_like(lesions, lesions.mean()), lesions, np.zeros_like(lesions)], axis=-1)
    nibabel.save(
        nibabel.Nifti1Image((255 * volume).round().astype(np.int16), np.diag([0.5, 0.5, 3, 1])), tmp_path / "v.nii"
    )
    mask = (volume > 0.5).astype(np.uint8)
    nibabel.save(nibabel.Nifti1Image(mask, np.diag([0.5, 0.5, 3, 1])), tmp_path / "m.nii")
    drawn = fastpunet.report(
        "lesions", tmp_path / "v.nii", n=20, annotations={"ann": tmp_path / "m.nii"}, intensity="range:0:255"
    )
    case = read_case(drawn.html)
    assert case["title"] == "v, slice 1"
    assert case["notes"][0].startswith("This is slice 1 of 3, counted from 0, in which the hypotheses disagree most.")
    np.testing.assert_array_equal(unpack(case["annotations"][0]["labels"]), mask[..., 1])
    np.testing.assert_array_equal(unpack(case["image"]["pixels"]), (255 * lesions).round())
    assert case["image"]["spacing"] == [0.5, 0.5]
    header = nibabel.Nifti1Header.from_fileobj(io.BytesIO(unpack(case["exports"]["nifti"]).tobytes()))
    np.testing.assert_allclose(header.get_best_affine()[:3, 3], [0, 0, 3])
    chosen = read_case(fastpunet.report("lesions", tmp_path / "v.nii", n=5, slice=2, intensity="range:0:255").html)
    assert chosen["title"] == "v, slice 2"
    with pytest.raises(ValueError, match=r"slice: got 3, expected 0 \.\. 2, a slice of v"):
        fastpunet.report("lesions", tmp_path / "v.nii", n=5, slice=3)


@pytest.mark.parametrize(
    ("how", "error", "message"),
    [
        ({"model": fastpunet.ProbabilisticUNet(1, 1, channels=(4, 8), dims=3)}, ValueError, "is a model of volumes"),
        ({"image": torch.rand(64, 64)}, ValueError, r"image: got \(64, 64\), expected \(C, H, W\)"),
        ({"image": 3}, TypeError, "image: got int, expected a tensor"),
        ({"annotations": {"ann": np.zeros((3, 3), int)}}, ValueError, r"annotations: got int64 \(3, 3\) for 'ann'"),
        ({"annotations": {"ann": np.full((64, 64), 2)}}, ValueError, r"annotations\['ann'\]: got labels 2 \.\. 2"),
        ({"classes": ["a"]}, ValueError, r"classes: got \['a'\], expected 2 names"),
        ({"n": 0}, ValueError, "n: got 0"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(how, error, message):
    arguments = {"model": "lesions", "image": torch.rand(1, 64, 64), "n": 2, **how}
    with pytest.raises(error, match=message):
        fastpunet.report(**arguments)


HOSTILE = '</script><script>window.hacked = 1</script><img src=x onerror="window.hacked = 2">\u2028&amp;'


def test_hostile_texts_stay_texts():
    page = fastpunet.report(
        "lesions",
        torch.rand(1, 64, 64),
        n=3,
        title=HOSTILE,
        classes=["none", HOSTILE],
        annotations={HOSTILE: np.zeros((64, 64), bool)},
    )
    tags, scripts = read_html(page.html)
    assert len(scripts) == 2
    assert [tag for tag, _ in tags].count("img") == 0
    case = json.loads(scripts[0])
    assert (case["title"], case["classes"][1], case["annotations"][0]["name"]) == (HOSTILE,) * 3
    policy = next(attributes["content"] for tag, attributes in tags if attributes.get("http-equiv"))
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


def test_a_page_shows_itself_in_a_notebook_in_a_frame_that_cannot_reach_it(tmp_path):
    page = fastpunet.report("lesions", torch.rand(1, 64, 64), n=3, title=HOSTILE)
    ((tag, attributes),) = read_html(page._repr_html_())[0]
    assert tag == "iframe"
    assert attributes["sandbox"] == "allow-scripts allow-downloads"
    assert attributes["srcdoc"] == page.html
    page.save(tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text(encoding="utf-8") == page.html
    assert len(repr(page)) < 200
