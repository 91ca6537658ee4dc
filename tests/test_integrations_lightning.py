"""The Lightning callback: what it logs, when, and that training with it is the same as without."""

import importlib
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
from helpers.structures import CLASSES, UqBox
from lightning.pytorch.loggers import CSVLogger, TensorBoardLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import fastpunet
from fastpunet.integrations.lightning import LogHypotheses
from fastpunet.metrics import convention, energy_distance
from fastpunet.models import MHeads, ProbabilisticUNet

DISTANCE, UNBIASED = "validation_energy_distance", "validation_energy_distance_unbiased"


class Module(lightning.LightningModule):
    """Trains one weight, slowly, with dropout; everything else is for the callback."""

    def __init__(self, model=None):
        super().__init__()
        self.model = ProbabilisticUNet(channels=(4, 6), latent_dim=2) if model is None else model
        self.weight = nn.Parameter(torch.ones(8))
        self.seen, self.random = [], []

    def training_step(self, *_):
        self.random.append(torch.rand(()).item())
        return nn.functional.dropout(self.weight).square().sum()

    def validation_step(self, batch, _):
        self.seen.append(batch)

    def on_validation_end(self):
        self.random.append(torch.rand(()).item())
        self.modes = [module.training for module in self.modules()]

    def configure_optimizers(self):
        return torch.optim.SGD([self.weight], lr=0.1)


def _data(images=5, raters=3, size=(12, 16), classes=2):
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(images, 1, *size, generator=generator)
    masks = torch.randint(classes, (images, raters, *size), generator=generator)
    return pictures, masks


def _loader(data, batch_size=2):
    return DataLoader(TensorDataset(*data), batch_size=batch_size)


def _trainer(folder, *callbacks, logger=False, **options):
    quiet = dict(enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False)
    options = {"num_sanity_val_steps": 0, **options}
    return lightning.Trainer(
        accelerator="cpu", default_root_dir=folder, logger=logger, callbacks=list(callbacks), **quiet, **options
    )


@pytest.fixture(autouse=True)
def _seed():
    torch.manual_seed(0)


def test_the_logged_means_are_those_of_all_images(tmp_path):
    module, data = Module(), _data()
    trainer = _trainer(tmp_path, LogHypotheses(6, seed=2))
    (logged,) = trainer.validate(module, _loader(data), verbose=False)
    energy = energy_distance(fastpunet.sample(module.model, data[0], 6, seed=2), data[1])
    assert logged[DISTANCE] == pytest.approx(energy.value.mean().item(), rel=1e-6)
    assert logged[UNBIASED] == pytest.approx(energy.unbiased.mean().item(), rel=1e-6)
    assert logged["validation_sample_diversity"] == pytest.approx(energy.sample_diversity.mean().item(), rel=1e-6)
    (again,) = _trainer(tmp_path, LogHypotheses(6, seed=2)).validate(module, _loader(data, 5), verbose=False)
    assert again == pytest.approx(logged, rel=1e-6)


@pytest.mark.parametrize(("ignored", "options"), [(255, {}), (-1, {"ignore_label": -1})])
def test_pixels_that_nobody_annotated_do_not_count(tmp_path, ignored, options):
    module, (images, masks) = Module(), _data()
    unknown = torch.zeros(masks.shape, dtype=torch.bool)
    unknown[:, 0, :5] = True
    data = images, masks.masked_fill(unknown, ignored)
    (logged,) = _trainer(tmp_path, LogHypotheses(6, seed=2, **options)).validate(module, _loader(data), verbose=False)
    drawn = fastpunet.sample(module.model, images, 6, seed=2)
    energy = energy_distance(drawn, masks, ignore=unknown.any(1))
    assert logged[DISTANCE] == pytest.approx(energy.value.mean().item(), rel=1e-6)
    with pytest.raises(ValueError, match=f"^references: got labels .*{ignored}"):
        _trainer(tmp_path, LogHypotheses(6, ignore_label=None)).validate(module, _loader(data), verbose=False)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.int64])
def test_one_mask_an_image_has_no_unbiased_distance(tmp_path, dtype):
    images, masks = _data()

    class Dicts(TensorDataset):
        def __getitem__(self, index):
            return {"image": self.tensors[0][index], "mask": self.tensors[1][index], "name": str(index)}

    loader = DataLoader(Dicts(images, masks[:, 0].to(dtype)), batch_size=2)
    (logged,) = _trainer(tmp_path, LogHypotheses(4)).validate(Module(), loader, verbose=False)
    assert UNBIASED not in logged
    module = Module()
    (logged,) = _trainer(tmp_path, LogHypotheses(4)).validate(module, loader, verbose=False)
    energy = energy_distance(fastpunet.sample(module.model, images, 4, seed=0), masks[:, :1])
    assert logged[DISTANCE] == pytest.approx(energy.value.mean().item(), rel=1e-6)


def test_it_runs_every_so_many_epochs_and_not_in_the_sanity_check(tmp_path):
    calls = []

    def of_batch(batch):
        calls.append(len(batch[0]))
        return tuple(batch)

    callback = LogHypotheses(4, every_n_epochs=2, of_batch=of_batch)
    trainer = _trainer(tmp_path, callback, max_epochs=4, num_sanity_val_steps=2)
    trainer.fit(Module(), _loader(_data()), _loader(_data()))
    assert calls == [2, 2, 1] * 2


@pytest.mark.parametrize("make", [lambda: None, lambda: UqBox(8)], ids=["ours", "lightning-uq-box"])
def test_training_is_the_same_with_it_as_without(tmp_path, make):
    found = []
    for callbacks in ([], [LogHypotheses(4)]):
        torch.manual_seed(0)
        module = Module(make())
        if not callbacks:
            before = {name: value.clone() for name, value in module.state_dict().items()}
        data = _data(size=(32, 64))
        trainer = _trainer(tmp_path, *callbacks, max_epochs=2)
        trainer.fit(module, _loader(data), _loader(data))
        assert bool(callbacks) == (DISTANCE in trainer.callback_metrics)
        found.append((module.random, module.weight.tolist(), module.modes))
        assert all(torch.equal(before[name], value) for name, value in module.state_dict().items() if name != "weight")
    assert found[0] == found[1]


def test_a_module_of_lightning_uq_box_is_scored(tmp_path):
    class UqModule(UqBox, lightning.LightningModule):
        def validation_step(self, batch, _):
            pass

    images, masks = _data(size=(32, 64), classes=CLASSES)
    rule = convention("phiseg", num_classes=CLASSES)
    module = UqModule(8)
    callback = LogHypotheses(4, convention=rule)
    (logged,) = _trainer(tmp_path, callback).validate(module, _loader((images, masks), 5), verbose=False)
    energy = energy_distance(fastpunet.sample(module, images, 4, seed=0), masks, convention=rule)
    assert logged[DISTANCE] == pytest.approx(energy.value.mean().item(), rel=1e-6)


def test_tensorboard_gets_a_picture_of_the_first_images(tmp_path):
    module, data = Module(), _data()
    trainer = _trainer(tmp_path, LogHypotheses(8, pictures=3), logger=TensorBoardLogger(tmp_path), max_epochs=1)
    trainer.fit(module, _loader(data), _loader(data))
    events = EventAccumulator(trainer.logger.log_dir, size_guidance={"images": 0}).Reload()
    (event,) = events.Images("hypotheses")
    assert (event.height, event.width) == (3 * 12 + 2 * 2, 8 * 16 + 7 * 2)
    assert len(events.Scalars(DISTANCE)) == 1
    with pytest.warns(UserWarning, match="^the trainer has no TensorBoardLogger"):
        _trainer(tmp_path, LogHypotheses(8), logger=CSVLogger(tmp_path)).validate(module, _loader(data), verbose=False)


def test_volumes(tmp_path):
    module = Module(ProbabilisticUNet(channels=(4, 6), latent_dim=2, dims=3))
    loader = _loader(_data(size=(5, 8, 6)))
    trainer = _trainer(tmp_path, LogHypotheses(4), logger=TensorBoardLogger(tmp_path), max_epochs=1)
    trainer.fit(module, loader, loader)
    assert 0 < trainer.callback_metrics[DISTANCE] < 1


@pytest.mark.slow
def test_processes_score_together_what_one_scores_alone(tmp_path):
    module, data = Module(), _data(images=6)
    (alone,) = _trainer(tmp_path, LogHypotheses(4)).validate(module, _loader(data), verbose=False)
    trainer = _trainer(tmp_path, LogHypotheses(4), devices=2, strategy="ddp_spawn")
    (together,) = trainer.validate(module, _loader(data), verbose=False)
    assert together == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (dict(n=1), ValueError, "n: got 1, expected a whole number of at least 2"),
        (dict(every_n_epochs=0), ValueError, "every_n_epochs: got 0"),
        (dict(pictures=-1), ValueError, "pictures: got -1"),
        (dict(convention="mine"), ValueError, "convention: got 'mine'"),
        (dict(seed=-1), ValueError, "seed: got -1"),
    ],
)
def test_settings_are_refused_when_made(options, error, message):
    with pytest.raises(error, match=message):
        LogHypotheses(**options)


@pytest.mark.parametrize(
    ("model", "options", "error", "message"),
    [
        (nn.Conv2d(1, 1, 1), {}, TypeError, "model: "),
        (None, dict(model=lambda module: module.weight), TypeError, "model: "),
        (
            MHeads(heads=3, channels=(4, 6)),
            {},
            ValueError,
            "n: got 16, .* at most 3",
        ),
    ],
)
def test_models_are_refused_before_training(tmp_path, model, options, error, message):
    module, loader = Module(model), _loader(_data())
    with pytest.raises(error, match=message):
        _trainer(tmp_path, LogHypotheses(**options), max_epochs=1).fit(module, loader, loader)
    assert not module.random


@pytest.mark.parametrize(
    ("of_batch", "error", "message"),
    [
        (lambda batch: (batch[0], batch[1] + 0.5), ValueError, "masks: got floats that are not whole"),
        (lambda batch: (batch[0][..., :8], batch[1]), ValueError, "size"),
    ],
)
def test_masks_that_do_not_fit_are_refused(tmp_path, of_batch, error, message):
    with pytest.raises(error, match=message):
        _trainer(tmp_path, LogHypotheses(4, of_batch=of_batch)).validate(Module(), _loader(_data()), verbose=False)


@pytest.mark.parametrize(
    ("batch", "got"), [((1, 2, 3), "tuple"), ({"img": 1}, "a dict with img"), (torch.zeros(2), "Tensor")]
)
def test_batches_of_another_form_are_refused(batch, got):
    callback = LogHypotheses()
    with pytest.raises(TypeError, match=f"^batch: got {got}, expected a pair .*; pass of_batch"):
        callback._of_batch(batch)


def test_the_example_keeps_the_weights_of_the_lowest_distance(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "examples" / "integrations")
    logged = importlib.import_module("lightning_callback").main(tmp_path, epochs=1, images=16)
    assert np.isfinite([logged[DISTANCE], logged[UNBIASED]]).all()
    assert len(list(tmp_path.glob("*.ckpt"))) == 1
