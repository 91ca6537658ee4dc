"""A LightningModule of one's own whose validation logs the energy distance and pictures of hypotheses.

python examples/integrations/lightning_callback.py FOLDER      # then: tensorboard --logdir FOLDER
"""

from __future__ import annotations

import sys
from pathlib import Path

import lightning
import torch
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

from fastpunet.data.lesions import SyntheticLesions
from fastpunet.integrations.lightning import LogHypotheses
from fastpunet.models import ProbabilisticUNet


class Segmentation(lightning.LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = ProbabilisticUNet(channels=(16, 32, 64), latent_dim=3)

    def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
        terms = self.model.elbo(*batch)
        return (terms.reconstruction + terms.kl.sum(-1)).mean()

    def validation_step(self, batch: tuple[Tensor, Tensor], _: int) -> None:
        pass  # the callback draws and scores

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=1e-3)


def loader(count: int, seed: int, **options: bool) -> DataLoader[tuple[Tensor, ...]]:
    """Batches of images (B, 1, 64, 64) with four annotations (B, 4, 64, 64) each."""
    records = SyntheticLesions(count, seed=seed)
    images = torch.stack([torch.from_numpy(record.image) for record in records])
    chosen = [torch.from_numpy(record.weights).multinomial(4, replacement=True) for record in records]
    masks = torch.stack([torch.from_numpy(record.masks)[rows] for record, rows in zip(records, chosen, strict=True)])
    return DataLoader(TensorDataset(images, masks.long()), batch_size=8, **options)


def main(folder: Path, epochs: int = 5, images: int = 256) -> dict[str, float]:
    """Train for some epochs; returns what was logged last. The best weights are kept by their energy distance."""
    lightning.seed_everything(0)
    callbacks = [LogHypotheses(n=16), ModelCheckpoint(folder, monitor="validation_energy_distance")]
    options = {"accelerator": "cpu", "enable_progress_bar": False, "log_every_n_steps": 1}
    trainer = lightning.Trainer(max_epochs=epochs, logger=TensorBoardLogger(folder), callbacks=callbacks, **options)
    trainer.fit(Segmentation(), loader(images, 0, shuffle=True), loader(32, 1))
    return {name: float(value) for name, value in trainer.callback_metrics.items()}


if __name__ == "__main__":
    print(main(Path(sys.argv[1])))
