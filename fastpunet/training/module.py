"""The training step, the optimiser and the data of a run, for Lightning."""

from __future__ import annotations

import math
from typing import Any

import lightning
import torch
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DataLoader

from fastpunet.data import Records
from fastpunet.models import ProbabilisticUNet
from fastpunet.training.batches import Batch, Batches
from fastpunet.training.config import TrainingConfig
from fastpunet_kernels import philox_normal


class TrainingModule(lightning.LightningModule):
    """Minimises Kohl et al. 2018, equation 4, in nats. The posterior's noise is a function of the step."""

    def __init__(self, model: ProbabilisticUNet, config: TrainingConfig) -> None:
        super().__init__()
        self.model = model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.config = config

    def training_step(self, batch: Batch, _: int) -> torch.Tensor:
        images = batch.images.to(memory_format=torch.channels_last)
        noise = philox_normal(self.config.seed, batch.ids, 0, 1, self.model.latent_dim)[:, 0]
        elbo = self.model.elbo(images, batch.labels, beta=self.config.beta, noise=noise)
        if not torch.isfinite(elbo.loss):
            raise FloatingPointError(
                f"the loss became {elbo.loss.item()} at step {self.global_step}: lower learning_rate, or set a "
                "log_sigma_bound in the model; the last checkpoint is intact"
            )
        shown = dict(on_step=True, on_epoch=False, batch_size=len(images))
        self.log("reconstruction", elbo.reconstruction, prog_bar=True, **shown)
        self.log("kl", elbo.kl, prog_bar=True, **shown)
        return elbo.loss

    def configure_optimizers(self) -> Any:
        config = self.config
        optimizer = Adam(self.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)

        def scale(step: int) -> float:
            progress = min(1.0, step / config.steps)
            return min(1.0, (step + 1) / config.warmup_steps) * 0.5 * (1 + math.cos(math.pi * progress))

        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": LambdaLR(optimizer, scale), "interval": "step"}}


class DataModule(lightning.LightningDataModule):
    """The batches that a run, new or resumed, has still to see."""

    def __init__(self, records: Records, config: TrainingConfig) -> None:
        super().__init__()
        self.records, self.config = records, config

    def train_dataloader(self) -> DataLoader[Batch]:
        config = self.config
        assert self.trainer is not None
        batches = Batches(self.records, config.batch_size, config.seed, config.steps, self.trainer.global_step)
        return DataLoader(batches, batch_size=None)
