"""One training run: config in, weights out, resumable in between."""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from fastpunet.data import Records
from fastpunet.data.lazy import intensity_of, orientation_of
from fastpunet.devices import find_device
from fastpunet.files import check_folder, write_text
from fastpunet.models import METHODS, Method, checkpoint
from fastpunet.optional import needed_for
from fastpunet.scoring.calibrating import measure_calibration
from fastpunet.scoring.familiar_images import measure_familiarity
from fastpunet.training.bar import StepBar
from fastpunet.training.config import TrainingConfig
from fastpunet.training.config_file import read_config
from fastpunet.training.curve import Curve
from fastpunet.training.datasets import Cropped, read_data, training_spacing, validation_convention
from fastpunet.training.forecast import Forecast
from fastpunet.training.last import Interrupted, LastCheckpoint, handlers_restored
from fastpunet.training.module import DataModule, TrainingModule
from fastpunet.training.origin import known_images, origin
from fastpunet.training.start import set_output_bias, set_weights_of
from fastpunet.training.validation import Validation
from fastpunet_kernels import environment

with needed_for("training", "train"):
    import lightning
    from lightning.pytorch.loggers import TensorBoardLogger
    from lightning.pytorch.utilities import rank_zero_only

_MAY_CHANGE = ("steps", "data", "workers", "checkpoint_every")  # in a run that is resumed
_OF_A_RUN = (checkpoint.WEIGHTS_FILE, checkpoint.BEST_FILE, checkpoint.RESUME_FILE)


def train(
    config: TrainingConfig,
    output: str | os.PathLike[str],
    *,
    resume: bool = False,
    device: str = "auto",
    say: Callable[[str], None] = print,
) -> Path:
    """Train a model and return the path of its weights, OUTPUT/model.safetensors.

    OUTPUT also gets a model card README.md, config.json for the Hugging Face hub, config.yaml, last.ckpt (every
    config.checkpoint_every steps, for `resume`), curve.csv, run.json and a TensorBoard log. With validation data the
    weights are those of the lowest energy distance there, else the last.
    On Ctrl-C or SIGTERM a run writes its checkpoint after the step that it is in. Killed at any moment, it repeats at
    most the steps since its last checkpoint; either way, resumed, it ends with the curve and the weights of an
    uninterrupted one. device: "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU if there is one. Under torchrun every
    process takes its share of each batch.
    Raises ValueError if OUTPUT holds a run already and `resume` is not given, or holds one of another config, and
    KeyboardInterrupt, with the step that `resume` goes on from, when it is interrupted.
    """
    folder, chosen = Path(output), _devices(device)
    weights, best, last = (folder / name for name in _OF_A_RUN)
    if is_first_process():
        _check_folder(folder, config, resume)
    if weights.exists():
        say(f"{weights} is finished; nothing to do")
        return weights
    data_sets = read_data(config)
    start = replace(config, init_from="") if last.exists() else config  # the checkpoint has the weights then
    model = new_model(start, data_sets.training)
    model.training_images = known_images(data_sets.training) | model.training_images
    if is_first_process():
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / "config.yaml", config.to_yaml())
    validation = None
    if data_sets.validation is not None:
        convention = validation_convention(config, model.num_classes)
        validation = Validation(data_sets.validation, convention, config, best)
    checkpoints = LastCheckpoint(last, config.checkpoint_every)
    trainer = _trainer(config, folder, validation, checkpoints, chosen, say)
    started = time.monotonic()
    try:
        with handlers_restored():
            trainer.fit(
                TrainingModule(model, config),
                datamodule=DataModule(data_sets.training, config),
                ckpt_path=last if last.exists() else None,
                weights_only=True,
            )
    except (Interrupted, KeyboardInterrupt, SystemExit):  # Lightning turns a second Ctrl-C into SystemExit
        raise KeyboardInterrupt(_interruption(trainer.global_step, config.steps, checkpoints.saved_step)) from None
    except (RuntimeError, EOFError, UnpicklingError) as error:
        if trainer.global_step == 0 and last.exists():
            raise ValueError(
                f"output: {last} cannot be read ({error}); delete it to start this run again from the beginning"
            ) from error
        raise
    if not trainer.is_global_zero:
        return weights
    result: dict[str, object] = {
        "seconds_since_last_start": round(time.monotonic() - started, 1),
        "steps": trainer.global_step,
        "records": len(data_sets.training),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processes": trainer.world_size,
        **({} if validation is None else validation.summary()),
    }
    write_text(folder / "run.json", json.dumps(result, indent=2) + "\n")
    if best.exists():
        model = checkpoint.load(best).to(trainer.strategy.root_device)
    if data_sets.validation is not None:
        model.calibration = measure_calibration(model, data_sets.validation, "validation data")
        model.familiarity = measure_familiarity(data_sets.validation, "validation data")
    model.about = origin(config, data_sets)
    model.save_pretrained(folder)
    best.unlink(missing_ok=True)  # which is not there without a validation that has a defined score
    if model.calibration is not None:
        say(str(model.calibration))
    say(_ending(trainer.global_step, {} if validation is None else validation.summary()))
    return weights


def _ending(steps: int, summary: Mapping[str, float]) -> str:
    """What to tell of a finished run."""
    if not summary.get("best_step"):
        return f"finished at step {steps}, with the weights of that step"
    distance = summary["best_validation_energy_distance"]
    return (
        f"finished at step {steps}, with the weights of step {summary['best_step']}, whose energy distance on the "
        f"validation data is {distance}"
    )


def new_model(config: TrainingConfig, records: Records) -> Method:
    """The model that a run starts from: config.init_from's weights, or a function of seed and class frequencies."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = METHODS[config.method](**config.model)
    channels = records[0].image.shape[0]
    if model.in_channels != channels:
        raise ValueError(
            f"model.in_channels: got {model.in_channels}, expected {channels} as the images have; set "
            f"model.in_channels={channels}"
        )
    weights = config.objective.class_weights
    if weights is not None and len(weights) != max(2, model.num_classes):
        raise ValueError(
            f"objective.class_weights: got {len(weights)}, expected {max(2, model.num_classes)}, one for each class"
        )
    model.intensity = intensity_of(records)
    model.spacing = training_spacing(config, records, model.dims)
    model.orientation = orientation_of(records)
    model.image_size = records[0].image.shape[1:] if config.crop is None else config.crop
    if config.init_from:
        set_weights_of(model, config.init_from)
    else:
        set_output_bias(model, records if config.crop is None else Cropped(records, config.crop))
    return model


def _interruption(step: int, steps: int, saved_step: int) -> str:
    """What to tell of an interrupted run."""
    if saved_step == 0:
        return f"stopped at step {step} of {steps}, before the first checkpoint; start it again"
    return f"stopped at step {step} of {steps}; --resume goes on from step {saved_step}"


def _check_folder(folder: Path, config: TrainingConfig, resume: bool) -> None:
    check_folder("output", folder)
    settings = folder / "config.yaml"
    if not settings.exists() or not any((folder / name).exists() for name in _OF_A_RUN):
        return  # also where a run ended before its first checkpoint
    if not resume:
        raise ValueError(f"output: {folder} holds a run already; pass --resume to go on with it, or another --output")
    before = read_config(settings)
    if replace(config, **{key: getattr(before, key) for key in _MAY_CHANGE}) != before:
        raise ValueError(
            f"output: {folder} holds a run of another config; resume it with {settings}; only {', '.join(_MAY_CHANGE)} "
            "may differ"
        )
    weights = folder / "model.safetensors"
    if config.steps > before.steps and weights.exists():  # a finished run is prolonged
        if not (folder / "last.ckpt").exists():
            raise ValueError(f"output: {folder} has no last.ckpt, without which its {before.steps} steps cannot go on")
        if json.loads((folder / "run.json").read_text(encoding="utf-8")).get("best_step"):
            os.replace(weights, folder / "best.safetensors")
        else:
            weights.unlink()  # those of the last step, which last.ckpt has too


def is_first_process() -> bool:
    """Whether this process is the only one, or under torchrun the first, which writes and says what there is."""
    return rank_zero_only.rank == 0


def _devices(name: str) -> dict[str, Any]:
    """Where Lightning trains. Raises ValueError for a device that is not there."""
    device = find_device(name)
    processes, here = environment.processes()
    if device.index is not None and processes > 1:
        raise ValueError(f"device: got {name!r} for {processes} processes, expected {device.type!r}, one for each")
    return {
        "accelerator": "gpu" if device.type == "cuda" else "cpu",
        "devices": here if device.index is None else [device.index],
        "num_nodes": processes // here,
        "strategy": "ddp" if processes > 1 else "auto",
    }


def _trainer(
    config: TrainingConfig,
    folder: Path,
    validation: Validation | None,
    checkpoints: LastCheckpoint,
    devices: dict[str, Any],
    say: Callable[[str], None],
) -> lightning.Trainer:
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # config.workers is the user's choice
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # the run's folder
    warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")  # it is: Batches starts at the step
    warnings.filterwarnings("ignore", ".*has `__len__` defined.*")  # Batches deals its batches out to the workers
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")  # Lightning and torch among themselves
    log_every = min(50, config.steps)
    return lightning.Trainer(
        **devices,
        precision=config.precision,  # type: ignore[arg-type]
        max_steps=config.steps,
        max_epochs=-1,  # so that a finished run, whose epoch is over, can be prolonged
        accumulate_grad_batches=config.accumulate,
        gradient_clip_val=config.gradient_clip,
        callbacks=[
            StepBar(),
            Forecast(say),
            *([] if validation is None else [validation]),
            Curve(folder / "curve.csv", log_every, validation),
            checkpoints,
        ],
        logger=TensorBoardLogger(folder, name="tensorboard", version=""),
        log_every_n_steps=log_every,
        enable_checkpointing=False,  # LastCheckpoint does it
        enable_progress_bar=False,  # StepBar is one, also of a resumed run
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
