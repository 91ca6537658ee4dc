"""Folders and repositories of the Hugging Face hub: reading, writing, pushing, and the model card."""

import json

import pytest
import torch
import yaml

from fastpunet import ProbabilisticUNet, load, sample, save
from fastpunet.intensity import Intensity
from fastpunet.models import MHeads
from fastpunet.models.card import model_card
from fastpunet.models.scaling import Scaling, scaled

SMALL = dict(channels=(4, 6), convs_per_block=1)
ABOUT = {
    "data": "It was trained on 3 images.",
    "split": "None was held out.",
    "scores": "GED^2 0.2 [0.1, 0.3]",
    "config": "kind: lesions\n",
    "versions": "fastpunet 0.1.0, torch 2.13.0",
}


def _model():
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 1, **SMALL).eval()
    model.intensity, model.spacing, model.image_size = Intensity.range(0, 255), (0.5, 0.7), (32, 48)
    model.about = dict(ABOUT)
    return model


def _assert_same(model, other):
    image = torch.rand(1, 1, 16, 16)
    assert torch.equal(sample(model, image, 3, seed=0), sample(other, image, 3, seed=0))


@pytest.mark.parametrize("make", [_model, lambda: ProbabilisticUNet(1, 3, dims=3, **SMALL).eval()])
def test_a_folder_holds_the_one_format(make, tmp_path):
    model = make()
    model.save_pretrained(tmp_path / "m")
    assert sorted(path.name for path in (tmp_path / "m").iterdir()) == ["README.md", "config.json", "model.safetensors"]
    save(model, tmp_path / "m.safetensors")
    assert (tmp_path / "m" / "model.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()
    config = json.loads((tmp_path / "m" / "config.json").read_text())
    assert ProbabilisticUNet(**config["config"]).config == model.config
    images = torch.rand(1, 1, *[12] * model.dims)
    for other in (ProbabilisticUNet.from_pretrained(tmp_path / "m"), load(tmp_path / "m")):
        assert torch.equal(sample(model, images, 3, seed=0), sample(other, images, 3, seed=0))
        assert other.about == model.about


def test_another_class_is_refused(tmp_path):
    _model().save_pretrained(tmp_path)
    with pytest.raises(
        TypeError, match=r"source: '.*' holds the method ProbabilisticUNet, expected MHeads; use fastpunet"
    ):
        MHeads.from_pretrained(tmp_path)


def test_what_a_file_says_about_its_making_is_checked(tmp_path):
    for about in ({"data": 3}, {"other": "text"}, "text", ["data"]):
        model = _model()
        model.about = about
        save(model, tmp_path / "m.safetensors")
        with pytest.raises(ValueError, match="about: got .*, expected texts under names among data, split, scores"):
            load(tmp_path / "m.safetensors")


def test_scores_are_not_those_of_scaled_weights():
    kept = scaled(_model(), Scaling(1.5)).about
    assert kept == {name: text for name, text in ABOUT.items() if name != "scores"}


def test_a_card_says_what_is_known_and_that_the_rest_is_not():
    text = model_card(_model(), license="cc-by-3.0")
    for known in (
        *ABOUT.values(),
        'license: "cc-by-3.0"',
        "`range:0.0:255.0`",
        "Pixels were 0.5 x 0.7 mm apart",
        "Images had 32 x 48 pixels",
        "torch.zeros(1, 1, 32, 48)",
        "must not be used for diagnosis",
    ):
        assert known.strip() in text, known
    assert "unknown" not in text.replace("How far its probabilities can be trusted is unknown", "").replace(
        "Which images are like those that it was checked on is unknown", ""
    )
    bare = model_card(ProbabilisticUNet(2, 3, dims=3, **SMALL))
    for unknown in (
        'license: "unknown"',
        "It is unknown what the model was trained on.",
        "No scores are kept with the model.",
        "How far its probabilities can be trusted is unknown.",
        "The licence of the weights is unknown.",
        "The command and the versions of the software are unknown.",
        "The size of the images is unknown.",
    ):
        assert unknown in bare, unknown
    shipped = model_card(load("lesions"))
    assert "Calibration on " in shipped
    assert "An image is unusual if " in shipped
    with pytest.raises(ValueError, match="license: got 'My own: x', expected an identifier of the hub such as"):
        model_card(_model(), license="My own: x")


def test_nothing_that_a_model_says_ends_the_blocks_of_its_card():
    model = ProbabilisticUNet(1, 1, dims=3, **SMALL).eval()
    model.orientation = "RAS"
    assert "Their axes count to RAS in the body." in model_card(model)
    model.about = {"license": "no", "config": "a: 1\n````\n# Not a title"}
    text = model_card(model, name="Two\n---\nlines")
    assert yaml.safe_load(text.split("---")[1])["license"] == "no"
    assert "\n# Two --- lines\n" in text
    assert text.endswith("`````yaml\na: 1\n````\n# Not a title\n`````\n")


@pytest.mark.parametrize("source", ["m", "lesions", "owner/name@v1"])
def test_revisions_are_those_of_repositories(source, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    _model().save_pretrained("m")
    with pytest.raises(ValueError, match=f"revision: got 'v2' with source '{source}', expected None, or OWNER/NAME"):
        ProbabilisticUNet.from_pretrained(source, revision="v2")


def test_the_python_of_a_card_runs(tmp_path):
    model = _model()
    model.save_pretrained(tmp_path)
    code = model_card(model).split("```python\n")[1].split("```")[0].replace("PATH", str(tmp_path)).replace("1000", "2")
    names = {}
    exec(code, names)
    assert names["masks"].shape == (1, 2, 32, 48)
    assert len(code.strip().splitlines()) == 4


def test_a_readme_of_ones_own_is_kept(tmp_path):
    model = _model()
    model.save_pretrained(tmp_path)
    model.about = None
    model.save_pretrained(tmp_path)
    assert ABOUT["scores"] not in (tmp_path / "README.md").read_text()
    for text in ("mine\n", "m\xfcde\n"):
        (tmp_path / "README.md").write_text(text, encoding="latin-1")
        model.save_pretrained(tmp_path)
        assert (tmp_path / "README.md").read_text(encoding="latin-1") == text


def test_the_hub_reads_the_card():
    hub = pytest.importorskip("huggingface_hub")
    entries = hub.ModelCard(model_card(_model(), license="apache-2.0"), ignore_metadata_errors=False).data.to_dict()
    expected = {"license": "apache-2.0", "library_name": "fastpunet", "pipeline_tag": "image-segmentation"}
    assert expected.items() <= entries.items()
    assert "uncertainty" in entries["tags"]


def test_what_is_pushed_comes_back(tmp_path, monkeypatch):
    hub = pytest.importorskip("huggingface_hub")
    pushed = {}

    class Repository:
        repo_id = "somebody/m"

    class Api:
        def __init__(self, token=None):
            pass

        def create_repo(self, repo_id, **_):
            pushed["created"] = repo_id
            return Repository

        def upload_folder(self, folder_path, commit_message, **_):
            pushed["message"] = commit_message
            folder_path.rename(tmp_path / "pushed")
            return "address"

    monkeypatch.setattr("huggingface_hub.hub_mixin.HfApi", Api)
    model = _model()
    said = dict(commit_message="first", model_card_kwargs={"license": "mit"})
    assert model.push_to_hub("somebody/m", **said) == "address"
    assert pushed == {"created": "somebody/m", "message": "first"}
    _assert_same(model, ProbabilisticUNet.from_pretrained(tmp_path / "pushed"))
    assert hub.ModelCard.load(tmp_path / "pushed" / "README.md").data.license == "mit"


def test_the_hub_is_not_imported_unless_asked(tmp_path):
    import subprocess
    import sys

    code = (
        "import sys, fastpunet\n"
        "model = fastpunet.ProbabilisticUNet(1, channels=(4, 6), convs_per_block=1)\n"
        f"model.save_pretrained({str(tmp_path)!r})\n"
        f"type(model).from_pretrained({str(tmp_path)!r})\n"
        "assert not {'huggingface_hub', 'torch.onnx', 'onnx'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
