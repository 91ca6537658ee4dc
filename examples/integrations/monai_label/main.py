"""A MONAI Label app: the outline that most hypotheses have, and next the image on which they disagree most.

monailabel start_server --app examples/integrations/monai_label --studies FOLDER --conf model lesions --conf window 64

The model is a name or a file that fastpunet.load takes. Images are NIfTI files with grey values as in its training.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from monai.transforms import AsDiscreted, EnsureChannelFirstd, LoadImaged, SqueezeDimd, ToNumpyd
from monailabel.interfaces.app import MONAILabelApp
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType
from monailabel.interfaces.tasks.scoring import ScoringMethod
from monailabel.interfaces.tasks.strategy import Strategy
from monailabel.tasks.activelearning.epistemic import Epistemic
from monailabel.tasks.infer.basic_infer import BasicInferTask

import fastpunet
from fastpunet.integrations.monai import HypothesisInferer
from fastpunet.models import Method

KEY = "disagreement"  # under which the data store keeps an image's score


class Hypotheses(BasicInferTask):
    """Outlines what is foreground with a mean probability of at least `probability` over n hypotheses."""

    def __init__(self, model: Method, window: int) -> None:
        config = {"n": 256, "probability": 0.5}  # which a client may change
        super().__init__(
            None, model, InferType.SEGMENTATION, {"foreground": 1}, model.dims, self.__doc__ or "", config=config
        )
        self.window = window

    def pre_transforms(self, data: dict[str, Any] | None = None) -> Sequence[Any]:  # noqa: ARG002
        return [LoadImaged("image"), EnsureChannelFirstd("image", channel_dim="no_channel")]

    def inferer(self, data: dict[str, Any]) -> HypothesisInferer:
        return HypothesisInferer(int(data["n"]), "mean", roi_size=self.window, seed=0)

    def post_transforms(self, data: dict[str, Any]) -> Sequence[Any]:
        threshold = AsDiscreted("pred", threshold=float(data["probability"]))
        return [threshold, SqueezeDimd("pred", dim=0), ToNumpyd("pred", dtype="uint8")]


class Disagreement(ScoringMethod):
    """The mean distance 1 - IoU of two hypotheses of an image: 0 if all are alike, 1 if no two overlap."""

    def __init__(self, task: Hypotheses) -> None:
        super().__init__(self.__doc__)
        self.task = task

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, float]:
        inferer = HypothesisInferer(int(request.get("n", 64)), "bits", roi_size=self.task.window, seed=0)
        found = {}
        for image in datastore.get_unlabeled_images():
            data = self.task.run_pre_transforms({"image": datastore.get_image_uri(image)}, self.task.pre_transforms())
            masks = inferer(torch.as_tensor(data["image"])[None], self.task.network)
            found[image] = float(fastpunet.energy_distance(masks, masks[:, :1]).different_samples)
            datastore.update_image_info(image, {KEY: found[image]})
        return found


class App(MONAILabelApp):
    """conf: `model` (lesions), `window` in pixels (64)."""

    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        self.task = Hypotheses(fastpunet.load(conf.get("model", "lesions")), int(conf.get("window", 64)))
        super().__init__(app_dir, studies, conf, name="fastpunet", labels=["foreground"])

    def init_infers(self) -> dict[str, InferTask]:
        return {"hypotheses": self.task}

    def init_scoring_methods(self) -> dict[str, ScoringMethod]:
        return {KEY: Disagreement(self.task)}

    def init_strategies(self) -> dict[str, Strategy]:
        return {KEY: Epistemic(key=KEY, desc="The image on which hypotheses disagree most")}
