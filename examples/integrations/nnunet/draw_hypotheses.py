"""Draws hypotheses of cases with a trained nnUNetTrainerProbabilistic, on the grid of the cases' own files.

python draw_hypotheses.py -i IMAGES -o OUTPUT -m MODEL -n 100

IMAGES is a folder as of nnUNetv2_predict, with files such as lung07_0000.nii.gz, and MODEL the folder that holds
fold_0, such as nnUNet_results/Dataset900_Toy/nnUNetTrainerProbabilistic__nnUNetPlans__3d_fullres. The environment
variable nnUNet_extTrainer holds this folder.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape
from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
from nnunetv2.utilities.utils import get_identifiers_from_splitted_dataset_folder
from torch import Tensor

import fastpunet
from fastpunet.prediction.planning import id_of


def load(model: Path, fold: int | str, checkpoint: str, device: torch.device) -> nnUNetPredictor:
    predictor = nnUNetPredictor(device=device, perform_everything_on_device=device.type == "cuda", allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), (fold,), checkpoint)
    predictor.network.to(device).eval()
    return predictor


def hypotheses(
    predictor: nnUNetPredictor, case: str, files: list[str], n: int, seed: int
) -> Iterator[tuple[np.ndarray, dict[str, Any]]]:
    """Label maps of a case on the grid of its files, with the properties that nnU-Net writes them with.

    Windows of the planned patch size share one latent for each hypothesis, and so do the slices of a volume that a 2-D
    network takes. Logits, not labels, are resampled to the case's own spacing, as nnU-Net does it.
    """
    plans, configuration = predictor.plans_manager, predictor.configuration_manager
    preprocessor = configuration.preprocessor_class(verbose=False)
    data, _, properties = preprocessor.run_case(files, None, plans, configuration, predictor.dataset_json)
    images = torch.from_numpy(np.asarray(data))[None].float().to(predictor.device)  # (1, C, D, H, W)
    flat = len(configuration.patch_size) == 2
    if flat:
        images = images[0].movedim(1, 0)  # (D, C, H, W)
    sampler = fastpunet.Sampler(fastpunet.windowed(predictor.network, configuration.patch_size))
    ids = torch.full((len(images),), id_of(case), device=images.device)
    for logits in sampler.stream(sampler.encode(images), n, seed=seed, ids=ids, output="logits", chunk=1):
        yield _on_own_grid(logits[:, 0].movedim(1, 0) if flat else logits[0, 0], predictor, properties), properties


def _on_own_grid(logits: Tensor, predictor: nnUNetPredictor, properties: dict[str, Any]) -> np.ndarray:
    """The label map of logits (K, D, H, W)."""
    return convert_predicted_logits_to_segmentation_with_correct_shape(
        logits.cpu(),
        predictor.plans_manager,
        predictor.configuration_manager,
        predictor.label_manager,
        properties,
        num_threads_torch=torch.get_num_threads(),
    )


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("-i", "--images", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("-m", "--model", type=Path, required=True)
    parser.add_argument("-n", type=int, default=100, help="hypotheses of each case (100)")
    parser.add_argument("-f", "--fold", default="0", help="the fold whose weights are used (0), or all")
    parser.add_argument("--checkpoint", default="checkpoint_final.pth", help="(checkpoint_final.pth)")
    parser.add_argument("--seed", type=int, default=0, help="of the hypotheses (0)")
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"), help="cpu or cuda (cpu)")
    given = parser.parse_args(arguments)
    predictor = load(given.model, given.fold, given.checkpoint, given.device)
    ending = predictor.dataset_json["file_ending"]
    writer = predictor.plans_manager.image_reader_writer_class()
    given.output.mkdir(parents=True, exist_ok=True)
    for case in get_identifiers_from_splitted_dataset_folder(str(given.images), ending):
        files = sorted(map(str, given.images.glob(f"{case}_[0-9][0-9][0-9][0-9]{ending}")))
        for k, (labels, properties) in enumerate(hypotheses(predictor, case, files, given.n, given.seed)):
            writer.write_seg(labels, str(given.output / f"{case}_hyp{k:04d}{ending}"), properties)


if __name__ == "__main__":
    main()
