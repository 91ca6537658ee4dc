"""A Lightning callback that scores and shows the hypotheses of any model in training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fastpunet.arguments import check_count
from fastpunet.data import IGNORE, Record
from fastpunet.latents import check_seed
from fastpunet.masks import PackedMasks
from fastpunet.metrics import Convention, energy_distance
from fastpunet.metrics.conventions import find_convention
from fastpunet.optional import needed_for
from fastpunet.sampler import Sampler
from fastpunet.training.picture_log import log_picture
from fastpunet.training.pictures import sample_picture
from fastpunet.warning import warn

with needed_for("the callback for Lightning", "train"):
    import lightning
    from torchmetrics import MeanMetric, Metric

_LOGGED = {"energy_distance": "value", "energy_distance_unbiased": "unbiased", "sample_diversity": "sample_diversity"}


def _itself(module: lightning.LightningModule) -> nn.Module:
    return module


def image_and_mask(batch: Any) -> tuple[Tensor, Tensor]:
    """The images and masks of a batch that is a pair of them, or a dict with "image" and "mask"; else TypeError."""
    if isinstance(batch, Mapping) and {"image", "mask"} <= batch.keys():
        return batch["image"], batch["mask"]
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    got = f"a dict with {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else type(batch).__name__
    raise TypeError(
        f'batch: got {got}, expected a pair (images, masks) or a dict with "image" and "mask"; pass of_batch, a '
        "function that returns the pair"
    )


class LogHypotheses(lightning.Callback):
    """During validation draws n hypotheses of every image, and logs their energy distance and a picture of some.

    Logged are the means over images of `validation_energy_distance` (the V-statistic that papers report), of
    `validation_energy_distance_unbiased` (the U-statistic, if images have two masks or more) and of
    `validation_sample_diversity`; of several processes together, and of several loaders together. TensorBoard's log
    also gets a picture `hypotheses`, with a row for each of the first images: image, up to four masks, hypotheses.

    n               hypotheses of each image, at least 2
    every_n_epochs  epochs between validations in which this is done; `trainer.validate` always does it
    of_batch        a function of a batch that returns images float (B, C, *size), scaled for the model, and masks of
                    class indices (B, *size), or (B, M, *size) of M raters
    model           a function of the LightningModule that returns the model to be sampled, which is any that
                    `fastpunet.sample` takes; by default the module itself, which may hold one network of that kind
    convention      as of `fastpunet.energy_distance`
    ignore_label    the label of pixels that do not count; a pixel with this label in one mask counts in no mask. None:
                    all pixels count
    pictures        images, and hypotheses of each, in the picture; 0 for none
    seed            of the hypotheses. It is the same each time, so that scores differ by the weights alone

    A model that cannot be sampled is refused when training starts. Nothing happens in the sanity check. Neither the
    random generators nor the modes of modules change. The k-th image of a process has the id k * processes + rank,
    which is its place in the data set, so that scores do not depend on the number of processes. Images that a
    DistributedSampler repeats, so that all processes have the same number, count twice.
    """

    def __init__(
        self,
        n: int = 16,
        *,
        every_n_epochs: int = 1,
        of_batch: Callable[[Any], tuple[Tensor, Tensor]] = image_and_mask,
        model: Callable[[lightning.LightningModule], nn.Module] = _itself,
        convention: str | Convention = "kohl-lidc",
        ignore_label: int | None = IGNORE,
        pictures: int = 6,
        seed: int = 0,
    ) -> None:
        self._n = check_count("n", n, least=2)
        self._every = check_count("every_n_epochs", every_n_epochs)
        self._of_batch, self._model = of_batch, model
        self._convention, self._ignore_label = find_convention(convention), ignore_label
        self._pictures = check_count("pictures", pictures, least=0)
        self._seed = check_seed(seed)
        self._sampler: Sampler | None = None
        self._means: dict[str, Metric] = {}
        self._records: list[Record] = []
        self._shown: list[Tensor] = []
        self._active = False
        self._seen = 0

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self._prepare(pl_module)

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self._sampler is None:
            self._prepare(pl_module)

    def on_validation_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        due = trainer.state.fn != "fit" or (trainer.current_epoch + 1) % self._every == 0
        self._active, self._seen = due and not trainer.sanity_checking, 0
        self._means = {name: MeanMetric("ignore").set_dtype(torch.float64).to(pl_module.device) for name in _LOGGED}
        self._records, self._shown = [], []

    def on_validation_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not self._active:
            return
        images, masks = self._of_batch(batch)
        labels = _label_maps(masks, images)
        place = torch.arange(self._seen, self._seen + len(images))
        ids = place * trainer.world_size + trainer.global_rank
        assert self._sampler is not None
        drawn = self._sampler.sample(images, self._n, seed=self._seed, ids=ids, output="bits")
        ignored = None if self._ignore_label is None else (labels == self._ignore_label).any(1)
        counted = labels if ignored is None else labels.masked_fill(ignored[:, None], 0)
        energy = energy_distance(drawn, counted, convention=self._convention, ignore=ignored)
        for name, statistic in _LOGGED.items():
            self._means[name].update(getattr(energy, statistic))
        self._keep(images, labels, drawn)
        self._seen += len(images)

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if not self._active:
            return
        values = {f"validation_{name}": mean.compute() for name, mean in self._means.items()}
        known = {name: value for name, value in values.items() if not torch.isnan(value)}
        self.log_dict(known, sync_dist=True)
        if self._records:
            picture = sample_picture(self._records, torch.stack(self._shown).numpy())
            if trainer.loggers and not log_picture(trainer, "hypotheses", picture):
                warn(
                    "the trainer has no TensorBoardLogger, so no picture of hypotheses is logged; add one, or pass "
                    "pictures=0"
                )

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:
        self._sampler = None

    def _prepare(self, module: lightning.LightningModule) -> None:
        self._sampler = Sampler(self._model(module))
        most = self._sampler.max_hypotheses
        if most is not None:
            check_count("n", self._n, least=2, limit=most, advice=f"{self._sampler.method.name} has no more hypotheses")

    def _keep(self, images: Tensor, labels: Tensor, drawn: PackedMasks) -> None:
        """Keep images, masks and hypotheses for the picture, until there are enough; all of the size of the first."""
        for place in range(min(len(images), self._pictures - len(self._records))):
            image = images[place].float().cpu()
            if self._records and image.shape != self._records[0].image.shape:
                return
            low, high = image.aminmax()
            grey = ((image - low) / (high - low).clamp(min=1e-6)).numpy()
            self._records.append(Record(grey, labels[place].cpu().numpy().astype(np.uint8), self._seen + place))
            self._shown.append(drawn[place : place + 1, : self._pictures].unpack()[0].cpu())


def _label_maps(masks: Tensor, images: Tensor) -> Tensor:
    """Masks as label maps int64 (B, M, *size); ValueError for floats that are no class indices."""
    labels = masks[:, None] if masks.ndim == images.ndim - 1 else masks
    whole = labels.long()
    if labels.is_floating_point() and not torch.equal(whole.to(labels.dtype), labels):
        raise ValueError(
            "masks: got floats that are not whole numbers, expected class indices; threshold or argmax them in of_batch"
        )
    return whole
