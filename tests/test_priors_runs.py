"""Priors of every kind in training runs: configs, data with raters, validation and resuming."""

import shutil

import numpy as np
import pytest
import torch
from helpers.priors import KINDS
from PIL import Image

import fastpunet
from fastpunet.data.folder import read as read_folder
from fastpunet.data.lesions import MODES, SyntheticLesions
from fastpunet.models.raters import of_rater
from fastpunet.training.batches import Batches
from fastpunet.training.config import TrainingConfig
from fastpunet.training.config_file import read_config
from fastpunet.training.datasets import read_data
from fastpunet.training.run import train

NAMES = ("medium", "tight", "wide")
RATERS = f"raters:{','.join(NAMES)}"
SMALL = {"channels": [4, 6], "latent_dim": 3, "convs_per_block": 1}
TINY = dict(
    batch_size=4, checkpoint_every=2, validate_every=2, validation_images=3, warmup_steps=2, schedule="constant"
)


def quiet(_):
    pass


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Twelve lesions, outlined by raters who are always tight, medium or wide; the medium one lacks half of them."""
    root = tmp_path_factory.mktemp("rated")
    (root / "images").mkdir()
    for i, record in enumerate(SyntheticLesions(12, seed=1, size=16)):
        Image.fromarray((record.image[0] * 255).clip(0, 255).astype(np.uint8)).save(root / "images" / f"p{i:02}.png")
        for name, mask in zip(MODES[1:], record.masks[1:], strict=True):
            (root / "masks" / name).mkdir(parents=True, exist_ok=True)
            if name != "medium" or i % 2:
                Image.fromarray(mask * 255).save(root / "masks" / name / f"p{i:02}.png")
    return root


def config_of(folder, prior=RATERS, **options):
    return TrainingConfig(
        kind="folder", data=str(folder), model={**SMALL, "prior": prior}, graders_per_image=2, **{**TINY, **options}
    )


def test_batches_say_whose_masks_they_hold(folder):
    records = read_folder(folder, binary=True)
    batch, plain = (Batches(records, config_of(folder, prior, batch_size=12))[0] for prior in (RATERS, "full"))
    assert torch.equal(plain.labels, batch.labels)
    assert (batch.raters.shape, plain.raters.shape) == ((12, 2), (12, 0))
    by_image = {record.image.tobytes(): record for record in records}
    for image, labels, raters in zip(batch.images, batch.labels, batch.raters, strict=True):
        record = by_image[image.numpy().tobytes()]
        for mask, rater in zip(labels, raters, strict=True):
            assert np.array_equal(mask, record.masks[record.raters.index(NAMES[rater])])


def test_raters_learn_their_own_outlines(folder, tmp_path):
    config = config_of(folder, steps=100, batch_size=12, learning_rate=8e-3, validate_every=100, validation_share=0.25)
    model = fastpunet.load(train(config, tmp_path, say=quiet))
    assert model.config["prior"] == RATERS
    images = torch.stack([torch.tensor(record.image) for record in read_folder(folder, binary=True)])
    drawn = [fastpunet.sample(of_rater(model, name), images, 50, seed=0) for name in ("tight", "medium", "wide")]
    tight, medium, wide = (masks.float().mean() for masks in drawn)
    assert tight < medium < wide


@pytest.mark.parametrize("kind", [kind for kind in KINDS if "raters" not in kind])
def test_a_run_that_is_resumed_ends_as_one_that_is_not(kind, tmp_path):
    model = {**SMALL, "prior": kind}
    configs = [TrainingConfig(kind="lesions", count=8, size=16, model=model, steps=n, **TINY) for n in (2, 4)]
    train(configs[0], tmp_path / "parts", say=quiet)
    for name in ("parts", "whole"):
        best = fastpunet.load(train(configs[1], tmp_path / name, resume=name == "parts", say=quiet))
        assert best.config.get("prior", "diagonal") == kind
    parts, whole = (
        torch.load(tmp_path / name / "last.ckpt", weights_only=True)["state_dict"] for name in ("parts", "whole")
    )
    assert parts.keys() == whole.keys()
    assert all(torch.equal(parts[name], tensor) for name, tensor in whole.items())
    assert (tmp_path / "parts" / "curve.csv").read_text() == (tmp_path / "whole" / "curve.csv").read_text()


def test_weights_of_another_prior_are_refused_by_name(tmp_path):
    fastpunet.save(fastpunet.ProbabilisticUNet(1, 1, prior="full", **SMALL), tmp_path / "full.safetensors")
    for prior, held in (("mixture:2", "full"), ("diagonal", "full")):
        config = TrainingConfig(
            kind="lesions",
            count=4,
            size=16,
            model={**SMALL, "prior": prior},
            init_from=str(tmp_path / "full.safetensors"),
        )
        with pytest.raises(
            ValueError, match=f"^init_from: .* has .*'prior': '{held}'.*, expected .*set these keys of mod"
        ):
            train(config, tmp_path / "run", say=quiet)


def test_a_rater_who_is_not_named_is_an_error(folder, tmp_path):
    config = config_of(folder, "raters:tight,wide", steps=3)
    with pytest.raises(
        ValueError, match=r"^model.prior: p\d\d.png was annotated by 'medium', expected one of the raters"
    ):
        train(config, tmp_path, say=quiet)


def test_raters_are_checked_before_a_step(folder, tmp_path):
    (tmp_path / "rare" / "images").mkdir(parents=True)
    shutil.copy(folder / "images" / "p01.png", tmp_path / "rare" / "images")
    for name in ("tight", "odd"):
        (tmp_path / "rare" / "masks" / name).mkdir(parents=True)
        shutil.copy(folder / "masks" / "tight" / "p01.png", tmp_path / "rare" / "masks" / name)
    with pytest.raises(ValueError, match=r"^model.prior: p01.png was annotated by 'medium', expected one of"):
        read_data(config_of(folder, "raters:wide,tight"))
    with pytest.raises(ValueError, match=r"^model.prior: p01.png was annotated by 'odd', expected one of"):
        read_data(config_of(folder, RATERS, validation=str(tmp_path / "rare")))
    with pytest.raises(
        ValueError, match="^model.prior: no image to train on has a mask of ann, bob, expected masks of"
    ):
        read_data(config_of(folder, f"{RATERS},ann,bob"))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"model.prior": "gauss"}, "^prior: got 'gauss', expected diagonal, full, low-rank:RANK"),
        ({"model.prior": "mixture:1000000"}, "^prior: got 'mixture:1000000', expected mixture:2 to mixture:64$"),
        (
            {"model.prior": RATERS},
            "^model.prior: got 'raters:medium,tight,wide' with kind lesions, expected kind folder",
        ),
        (
            {"model.prior": "flow:2", "objective.free_bits": 0.1},
            "^objective.free_bits: got 0.1 with prior 'flow:2', whose divergence is not a sum over latent dimensions",
        ),
    ],
)
def test_configs_name_what_cannot_be(overrides, message):
    with pytest.raises(ValueError, match=message):
        read_config("lesions", **overrides)


@pytest.mark.parametrize("kind", ["lidc", "camvid"])
def test_data_whose_raters_are_unknown_are_refused(kind):
    with pytest.raises(
        ValueError, match=f"^model.prior: got 'raters:a,b' with kind {kind}, expected kind folder.*LIDC"
    ):
        TrainingConfig(kind=kind, data="somewhere", file="x.npz", model={"prior": "raters:a,b"})


@pytest.mark.parametrize("kind", KINDS)
def test_overrides_set_a_prior_and_configs_keep_it(kind, tmp_path):
    if "raters" in kind:
        config = TrainingConfig(kind="folder", data="somewhere", model={"prior": kind}, objective={"free_bits": 0.1})
    else:
        config = read_config("lesions", **{"model.prior": kind})
        assert config.model["channels"] == [16, 32, 48, 64]
    (tmp_path / "config.yaml").write_text(config.to_yaml())
    assert read_config(tmp_path / "config.yaml") == config
    assert config.model["prior"] == kind
