"""A trainer of nnU-Net v2 whose network is a Probabilistic U-Net around the network that nnU-Net plans.

nnU-Net finds it by name if the environment variable nnUNet_extTrainer holds this folder (docs/integrations.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from batchgenerators.utilities.file_and_folder_operations import save_json
from nnunetv2.training.lr_scheduler.polylr import PolyLRScheduler
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer
from nnunetv2.utilities.crossval_split import generate_crossval_split
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans
from nnunetv2.utilities.plans_handling.plans_handler import ConfigurationManager, PlansManager
from torch import Tensor

import fastpunet
from fastpunet.models import ProbabilisticUNet

FEATURES = 32  # that nnU-Net's network gives for each pixel
LATENT_DIM = 6
WIDEST = 192  # scale of the prior and posterior nets
HYPOTHESES = 64  # whose mean nnU-Net predicts
RATER = "__"  # a case "lung07__B" is image "lung07" as rater B outlined it


class PlannedProbabilisticUNet(ProbabilisticUNet):
    """`loss(images, labels)` is for training; `network(images)` gives nnU-Net the mean over hypotheses."""

    def forward(self, images: Tensor, labels: Tensor | None = None, ignore_index: int | None = None) -> Tensor:
        """Without labels: log mean probabilities (B, K, *size), of which nnU-Net takes the softmax.

        With labels int (B, 1, *size): the negative evidence lower bound, in nats a pixel, so that gradients pass
        through `forward` as DistributedDataParallel wants it.
        """
        if labels is None:
            return (
                fastpunet.summarize(self, images.float(), HYPOTHESES, seed=0, sampler="sobol").mean.log().clamp(min=-20)
            )
        terms = self.elbo(images, labels, ignore_index=ignore_index)
        return (terms.reconstruction + terms.kl.sum(-1)).mean() / labels[0].numel()


class nnUNetTrainerProbabilistic(nnUNetTrainer):
    """Minimises the negative evidence lower bound with Adam, in float32 and without deep supervision."""

    def __init__(
        self,
        plans: dict[str, Any],
        configuration: str,
        fold: int | str,
        dataset_json: dict[str, Any],
        device: torch.device = torch.device("cuda"),  # noqa: B008
    ) -> None:  # nnU-Net reads these arguments by their names
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.enable_deep_supervision = False
        self.initial_lr, self.weight_decay = 3e-4, 0.0
        if self.label_manager.has_regions:
            raise ValueError("labels: regions overlap, but a hypothesis has one class a pixel; give one label a class")

    @staticmethod
    def build_network_architecture(
        plans_manager: PlansManager,  # noqa: ARG004
        configuration_manager: ConfigurationManager,
        num_input_channels: int,
        num_output_channels: int,
        enable_deep_supervision: bool = False,  # noqa: ARG004
    ) -> PlannedProbabilisticUNet:
        planned = configuration_manager.network_arch_init_kwargs
        unet = get_network_from_plans(
            configuration_manager.network_arch_class_name,
            planned,
            configuration_manager.network_arch_init_kwargs_req_import,
            num_input_channels,
            FEATURES,
            deep_supervision=False,
        )
        return PlannedProbabilisticUNet(
            in_channels=num_input_channels,
            num_classes=num_output_channels,
            channels=[min(width, WIDEST) for width in planned["features_per_stage"]],
            convs_per_block=2,
            latent_dim=LATENT_DIM,
            dims=len(configuration_manager.patch_size),
            unet=unet,
        )

    def configure_optimizers(self) -> tuple[torch.optim.Optimizer, Any]:
        optimizer = torch.optim.Adam(self.network.parameters(), self.initial_lr)
        return optimizer, PolyLRScheduler(optimizer, self.initial_lr, self.num_epochs)

    def set_deep_supervision_enabled(self, enabled: bool) -> None:
        """There is none."""

    def train_step(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss_of(batch)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 12)
        self.optimizer.step()
        return {"loss": loss.detach().cpu().numpy()}

    def validation_step(self, batch: dict[str, Tensor]) -> dict[str, Any]:
        """The evidence lower bound, and nnU-Net's counts of the mean over hypotheses."""
        loss = self._loss_of(batch).cpu().numpy()
        return {**super().validation_step(batch), "loss": loss}

    def _loss_of(self, batch: dict[str, Tensor]) -> Tensor:
        images, labels = (batch[name].to(self.device, non_blocking=True) for name in ("data", "target"))
        return self.network(images, labels.long(), self.label_manager.ignore_label)

    def do_split(self) -> tuple[list[str], list[str]]:
        """nnU-Net's five folds, of images in place of cases: all raters of an image are on the same side."""
        path = Path(self.preprocessed_dataset_folder_base) / "splits_final.json"
        if self.fold != "all" and not path.exists():
            cases = sorted(self.dataset_class.get_identifiers(self.preprocessed_dataset_folder))
            images = sorted({image_of(case) for case in cases})
            folds = generate_crossval_split(images, seed=12345, n_splits=5)
            sides = (
                {side: [c for c in cases if image_of(c) in set(of)] for side, of in fold.items()} for fold in folds
            )
            save_json(list(sides), str(path))
        return super().do_split()


def image_of(case: str) -> str:
    """The image of a case, which several raters may share.

    >>> image_of("lung07__B"), image_of("lung08")
    ('lung07', 'lung08')
    """
    return case.split(RATER)[0]
