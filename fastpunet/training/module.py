"""The training step, the optimiser and the data of a run, for Lightning."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from fastpunet.data import Records
from fastpunet.models import Method
from fastpunet.models.training_images import TrainingImages
from fastpunet.models.unet import CHANNELS_LAST
from fastpunet.optional import needed_for
from fastpunet.training.batches import Batch, Batches
from fastpunet.training.config import TrainingConfig
from fastpunet.training.datasets import validation_convention
from fastpunet.training.objective import Objective

with needed_for("training", "train"):
    import lightning

_TRAINING_IMAGES = "training_images"  # in the checkpoint of a run


class TrainingModule(lightning.LightningModule):
    """Minimises the objective, in nats per image. All random numbers are a function of the examples' positions."""

    def __init__(self, model: Method, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model.to(memory_format=CHANNELS_LAST[model.dims])  # type: ignore[call-overload]
        self.objective = Objective(config.objective, validation_convention(config, model.num_classes).averaged)
        self.config = config
        self._names = ("loss", "reconstruction", "kl", *config.objective.score_weights)
        self._parts: list[Tensor] = []  # what _names says, of the parts of this step
        self._means = torch.zeros(len(self._names))

    def training_step(self, batch: Batch, _: int) -> Tensor:
        config = self.config
        images = batch.images.to(memory_format=CHANNELS_LAST[self.model.dims])
        raters = batch.raters if config.raters else None
        terms = self.objective.terms_of(
            self.model, images, batch.labels, seed=config.seed, ids=batch.ids, raters=raters
        )
        scores = self.objective.scores(terms, batch.labels)
        loss = self.objective(terms, self.global_step, scores)
        if not torch.isfinite(loss):
            raise FloatingPointError(
                f"the loss became {loss.item()} at step {self.global_step}: lower learning_rate, or set a "
                "log_sigma_bound in the model; the last checkpoint is intact"
            )
        values = (loss, terms.reconstruction.mean(), terms.kl.sum(-1).mean(), *scores.values())
        self._parts.append(torch.stack([value.detach().float() for value in values]))
        shown = dict(zip(self._names[1:], values[1:], strict=True))
        self.log_dict(shown, on_step=True, on_epoch=False, batch_size=len(images))
        return loss

    def on_before_optimizer_step(self, _: object) -> None:
        means = torch.stack(self._parts).mean(0)
        self._means = self.trainer.strategy.reduce(means, reduce_op="mean")
        self._parts.clear()
        self.objective.update(self._means[1])

    def latest(self) -> dict[str, float]:
        """The terms of the loss at the last step, over all its parts and processes."""
        values = dict(zip(self._names, self._means.tolist(), strict=True))
        if self.config.objective.geco_target is not None:
            values["multiplier"] = float(self.objective.multiplier)
        return {**values, "learning_rate": self.trainer.optimizers[0].param_groups[0]["lr"]}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep on which images the weights were trained: a run may go on with other data."""
        known = self.model.training_images
        checkpoint[_TRAINING_IMAGES] = None if known is None else known.to_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        earlier = checkpoint.get(_TRAINING_IMAGES)
        if earlier is not None:
            self.model.training_images = TrainingImages.from_dict(earlier) | self.model.training_images

    def configure_optimizers(self) -> Any:
        config = self.config
        optimizer = Adam(self.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
        scheduler = LambdaLR(optimizer, lambda step: learning_rate(config, step) / config.learning_rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}


def learning_rate(config: TrainingConfig, step: int) -> float:
    """The learning rate of a step: a linear warm-up, then the schedule."""
    rate = config.learning_rate
    if config.schedule == "cosine":
        rate *= 0.5 * (1 + math.cos(math.pi * min(1.0, step / config.steps)))
    begun = [first for first in config.learning_rates if first <= step]
    if begun:
        rate = config.learning_rates[max(begun)]
    return rate * min(1.0, (step + 1) / config.warmup_steps)


class DataModule(lightning.LightningDataModule):
    """The batches that remain for a run, new or resumed."""

    def __init__(self, records: Records, config: TrainingConfig) -> None:
        super().__init__()
        self.records, self.config = records, config

    def train_dataloader(self) -> DataLoader[Batch]:
        trainer = self.trainer
        assert trainer is not None
        batches = Batches(
            self.records,
            self.config,
            trainer.global_step,
            process=trainer.global_rank,
            processes=trainer.world_size,
        )
        return DataLoader(
            batches,
            batch_size=None,
            num_workers=self.config.workers,
            multiprocessing_context="spawn" if self.config.workers else None,
            pin_memory=torch.cuda.is_available(),
        )
