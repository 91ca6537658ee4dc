"""One training run: config in, weights out, resumable in between."""

from __future__ import annotations

import json
import logging
import os
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from pickle import UnpicklingError

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger

from fastpunet.data import Records, lidc
from fastpunet.data.lesions import SyntheticLesions
from fastpunet.models import ProbabilisticUNet, checkpoint
from fastpunet.training.config import TrainingConfig
from fastpunet.training.module import DataModule, TrainingModule
from fastpunet.training.start import set_output_bias


def read_records(config: TrainingConfig, data: str | os.PathLike[str] | None) -> Records:
    """The training records of a config; `data` is the folder that holds its file."""
    if config.data == "lesions":
        return SyntheticLesions(config.count, config.seed, config.size)
    if data is None:
        raise ValueError(f"data: missing; pass the folder that holds {config.file} with --data")
    return lidc.read_npz(Path(data) / config.file)


def train(
    config: TrainingConfig,
    output: str | os.PathLike[str],
    *,
    data: str | os.PathLike[str] | None = None,
    resume: bool = False,
    say: Callable[[str], None] = print,
) -> Path:
    """Train a ProbabilisticUNet and return the path of its weights, OUTPUT/model.safetensors.

    OUTPUT also gets config.yaml, last.ckpt (every config.checkpoint_every steps, for `resume`), run.json, and a
    metrics/version_k/metrics.csv for each start. Interrupted at any moment, a run repeats at most the steps since its
    last checkpoint, and ends with the weights of an uninterrupted one.
    Raises ValueError if OUTPUT holds a run already and `resume` is not given, or holds one of another config, and
    KeyboardInterrupt, with the step reached, on Ctrl-C.
    """
    folder = Path(output)
    weights, last, settings = folder / "model.safetensors", folder / "last.ckpt", folder / "config.yaml"
    if settings.exists():
        if not resume:
            raise ValueError(
                f"output: {folder} holds a run already; pass --resume to go on with it, or another --output"
            )
        if settings.read_text(encoding="utf-8") != config.to_yaml():
            raise ValueError(f"output: {folder} holds a run of another config; take that one, {settings}, to resume it")
        if weights.exists():
            say(f"{weights} is finished; nothing to do")
            return weights
    records = read_records(config, data)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        model = ProbabilisticUNet(**config.model)
    channels = records[0].image.shape[0]
    if model.in_channels != channels:
        raise ValueError(f"model: in_channels is {model.in_channels}, but the images have {channels} channels")
    set_output_bias(model, records)
    folder.mkdir(parents=True, exist_ok=True)
    _write(settings, config.to_yaml())
    trainer = _trainer(config, folder)
    started = time.monotonic()
    try:
        trainer.fit(
            TrainingModule(model, config),
            datamodule=DataModule(records, config),
            ckpt_path=last if last.exists() else None,
            weights_only=True,
        )
    except SystemExit:  # Lightning's answer to Ctrl-C
        done = f"stopped at step {trainer.global_step} of {config.steps}"
        raise KeyboardInterrupt(f"{done}; go on with --resume") from None
    except (RuntimeError, EOFError, UnpicklingError) as error:
        if trainer.global_step == 0 and last.exists():
            raise ValueError(f"output: {last} cannot be read ({error}); delete it to start this run anew") from error
        raise
    result: dict[str, object] = {
        "seconds_since_last_start": round(time.monotonic() - started, 1),
        "steps": trainer.global_step,
        "records": len(records),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        **{name: round(float(value), 3) for name, value in trainer.callback_metrics.items()},
    }
    _write(folder / "run.json", json.dumps(result, indent=2) + "\n")
    checkpoint.save(model, weights)
    return weights


def _trainer(config: TrainingConfig, folder: Path) -> lightning.Trainer:
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.pytorch.accelerators.cuda"):
        logging.getLogger(name).setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")  # batches cost under a millisecond
    warnings.filterwarnings("ignore", ".*exists and is not empty.*")  # the run's folder
    warnings.filterwarnings("ignore", ".*your dataloader is not resumable.*")  # it is: Batches starts at the step
    warnings.filterwarnings("ignore", ".*isinstance.treespec, LeafSpec.*")  # Lightning and torch among themselves
    return lightning.Trainer(
        accelerator="auto",
        devices=1,
        precision=config.precision,  # type: ignore[arg-type]
        max_steps=config.steps,
        max_epochs=1,
        gradient_clip_val=config.gradient_clip,
        callbacks=[
            ModelCheckpoint(folder, "last", every_n_train_steps=config.checkpoint_every, enable_version_counter=False)
        ],
        logger=CSVLogger(folder, name="metrics"),
        log_every_n_steps=min(50, config.steps),
        enable_model_summary=False,
        use_distributed_sampler=False,
    )


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
