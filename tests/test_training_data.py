"""What a config reads, and the diagnostics on it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from test_training_run import TINY

from fastpunet import ProbabilisticUNet
from fastpunet.data import IGNORE, Record
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.data.synthetic_sets import SYNTHETIC_SETS
from fastpunet.metrics import convention
from fastpunet.training.config import TrainingConfig
from fastpunet.training.config_file import read_config
from fastpunet.training.datasets import Cropped, evenly_spaced, read_data, validation_convention
from fastpunet.training.diagnostics import diagnose
from fastpunet.training.objective import Objective, ObjectiveConfig
from fastpunet.training.pictures import sample_picture
from fastpunet.training.run import new_model, train
from fastpunet_kernels import philox_normal


@pytest.fixture
def bundle(tmp_path):
    rng = np.random.default_rng(0)
    masks = np.packbits(rng.integers(0, 2, (10, 4, 8, 16), dtype=np.uint8), axis=-1)
    images = rng.integers(0, 256, (10, 8, 16), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", images=images, masks_packed=masks, patient=np.repeat(list("pqrst"), 2))
    return tmp_path


def test_validation_patients_are_nobody_elses(bundle):
    config = TrainingConfig(kind="lidc", data=str(bundle), file="a.npz", validation_share=0.4, crop=[4, 8])
    training, validation, _ = read_data(config)
    assert len(training) + len(validation) == 10
    assert not {record.patient for record in training} & {record.patient for record in validation}
    assert validation[0].image.shape == (1, 4, 8)
    assert training[0].image.shape == (1, 8, 16)
    with pytest.raises(ValueError, match="data: missing; pass the folder that holds a.npz with --data"):
        read_data(replace(config, data=""))


def test_the_model_keeps_the_spacing_and_the_size_of_what_it_sees(bundle):
    small = {"channels": [2], "latent_dim": 1, "convs_per_block": 1}
    config = TrainingConfig(kind="lidc", data=str(bundle), file="a.npz", crop=[4, 8], model=small)

    def seen(config):
        model = new_model(config, read_data(config).training)
        return model.spacing, model.image_size

    assert seen(config) == (None, (4, 8))
    assert seen(replace(config, crop=None, spacing=[0.5, 0.6])) == ((0.5, 0.6), (8, 16))
    members = dict(np.load(bundle / "a.npz"))
    np.savez(bundle / "a.npz", **members, spacing_mm=np.full(10, 0.7))
    assert seen(config) == ((0.7, 0.7), (4, 8))
    with pytest.raises(ValueError, match=r"^spacing: got \[0.5, 0.5\] mm, but the files say \[0.7, 0.7\]"):
        seen(replace(config, spacing=[0.5, 0.5]))
    with pytest.raises(ValueError, match=r"^spacing: got \[0.5\], expected 2 numbers"):
        seen(replace(config, spacing=[0.5]))
    with pytest.raises(ValueError, match="^spacing"):
        replace(config, spacing=[0.5, 0])
    np.savez(bundle / "a.npz", **members, spacing_mm=np.linspace(0.5, 0.9, 10))
    assert seen(config) == (None, (4, 8))


def test_uni_modal_training_sees_one_grader_and_validation_all(bundle):
    config = TrainingConfig(kind="lidc", data=str(bundle), file="a.npz", validation_share=0.4, uni_modal=True)
    training, validation, _ = read_data(config)
    assert {len(record.masks) for record in training} == {1}
    assert {len(record.masks) for record in validation} == {4}


def test_lidc_is_read_by_its_form(data_root):
    for file in ("lidc_crops/train", "lidc_pickle/data_lidc.pickle"):
        config = TrainingConfig(kind="lidc", data=str(data_root / "formats"), file=file)
        assert len(read_data(config).training[0].masks) == 4


def test_flipped_streets_can_be_trained_on(data_root, tmp_path):
    model = {"in_channels": 3, "num_classes": 24, "channels": [4, 6], "latent_dim": 2, "convs_per_block": 1}
    settings = dict(class_flips=True, resize=[16, 32], steps=2, validate_every=2, batch_size=2, model=model)
    folder = str(data_root / "formats" / "cityscapes")
    config = TrainingConfig(kind="cityscapes", data=folder, file="train", validation="val", **settings)
    assert len(read_data(config).training[0].masks) == 32
    train(config, tmp_path)
    assert "validation_energy_distance" in (tmp_path / "curve.csv").read_text()


def test_distances_between_flipped_maps_look_at_both_twins():
    streets = TrainingConfig(kind="cityscapes", class_flips=True)
    rule = validation_convention(streets, 24)
    assert rule.averaged == convention("kohl-cityscapes").averaged or set(rule.averaged) == set(
        convention("kohl-cityscapes").averaged
    )
    assert np.isnan(rule.empty)
    assert validation_convention(TrainingConfig(**TINY), 1).name == "kohl-lidc"
    assert validation_convention(TrainingConfig(**TINY), 5).averaged == (1, 2, 3, 4)


def test_lidc_needs_its_folder(tmp_path):
    with pytest.raises(ValueError, match="data: missing; pass the folder that holds lidc_train_128.npz with --data"):
        train(read_config("lidc-tiny"), tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("kind", SYNTHETIC_SETS)
def test_synthetic_sets_are_made_for_the_config(kind):
    training, validation, test = read_data(TrainingConfig(kind=kind, count=5, size=16, seed=3, validation_images=2))
    assert type(training) is type(validation) is SYNTHETIC_SETS[kind]
    assert (len(training), len(validation), test) == (5, 2, None)
    np.testing.assert_array_equal(training[1].image, SYNTHETIC_SETS[kind](5, seed=3, size=16)[1].image)
    assert not np.array_equal(training[1].image, validation[1].image)


def test_parts_of_records():
    records = SyntheticLesions(10, size=16)
    assert [record.id for record in evenly_spaced(records, 5)] == [0, 2, 4, 6, 8]
    assert evenly_spaced(records, 10) is records
    np.testing.assert_array_equal(Cropped(records, (4, 6))[3].image, records[3].image[:, 6:10, 5:11])


def _diagnose(model, records, rule="kohl-lidc"):
    rule = convention(rule) if isinstance(rule, str) else rule
    return diagnose(model, records, rule, n=16, seed=0, objective=Objective(ObjectiveConfig(ignore_label=IGNORE)))


def test_a_collapsed_model_is_caught():
    torch.manual_seed(0)
    records = SyntheticLesions(6, size=16)
    model = ProbabilisticUNet(channels=(4, 6), latent_dim=2, convs_per_block=1)
    with torch.no_grad():
        model.posterior.conv_layer.weight *= 20
    alive = _diagnose(model, records)
    with torch.no_grad():
        for net in (model.prior, model.posterior):
            net.conv_layer.weight.zero_()
            net.conv_layer.bias.zero_()
        model.fcomb.layers[0].weight[:, 4:] = 0
    found = _diagnose(model, records)
    assert (found["kl"], found["active_units"], found["sample_diversity"]) == (0, 0, 0)
    assert alive["active_units"] > 0
    assert model.training


def test_diagnostics_leave_ignored_pixels_out():
    torch.manual_seed(0)
    model = ProbabilisticUNet(1, 3, channels=(4, 6), latent_dim=2, convs_per_block=1)
    rng = np.random.default_rng(0)
    masks = rng.integers(0, 3, (1, 8, 8), dtype=np.uint8)
    masks[:, :, 5:] = IGNORE
    image = rng.random((1, 8, 8), np.float32)
    found = _diagnose(model, [Record(image, masks, 0)], convention("ccdm", num_classes=3))
    part = model.elbo(
        torch.from_numpy(image)[None],
        torch.from_numpy(masks),
        noise=philox_normal(0, torch.tensor([0]), 0, 1, 2),
        ignore_index=IGNORE,
    )
    whole = model.elbo(torch.from_numpy(image)[None], torch.from_numpy(masks % IGNORE), noise=torch.zeros(1, 2))
    assert found["reconstruction"] == pytest.approx(float(part.reconstruction.detach()), rel=1e-5)
    assert found["reconstruction"] < 0.8 * float(whole.reconstruction.detach())


def test_a_picture_of_samples_has_a_tile_for_each_mask():
    records = SyntheticLesions(2, size=10)[:]
    picture = sample_picture(records, np.ones((2, 3, 10, 10), np.uint8))
    assert picture.shape == (2 * 10 + 2, 8 * 10 + 7 * 2, 3)
    assert picture.dtype == np.uint8
    assert (picture[:10, -10:] == 255).all()
    assert (picture[:10, 12:22] == 0).all()  # the first mode of a lesion is "absent"
