"""The baselines to be tested, images and annotations for them, and their losses and logits."""

import numpy as np
import pytest
import torch

import fastpunet
from fastpunet.models import METHODS, MHeads, ProbabilisticUNet, UNetEnsemble

BASELINES = [method for method in METHODS.values() if method is not ProbabilisticUNet]
LIMITED = {UNetEnsemble: "members", MHeads: "heads"}
SMALL = dict(channels=(4, 6, 8), convs_per_block=1)
IDS = torch.tensor([5, 2**40, 3])
LOSS_CASES = pytest.mark.parametrize(
    ("num_classes", "ignore_index", "class_weights"),
    [(1, None, None), (1, 255, None), (1, 255, (0.5, 3.0)), (3, None, None), (3, 255, None), (3, 0, (0.5, 3.0, 2.0))],
)


def build(method, num_classes=1, **arguments):
    torch.manual_seed(0)
    few = {LIMITED[method]: 5} if method in LIMITED else {}
    return method(2, num_classes, **SMALL, **{**few, **arguments}).requires_grad_(False)


def pictures(count=3, size=(13, 17)):
    return torch.rand(count, 2, *size, generator=torch.Generator().manual_seed(1))


def annotations(num_classes, ignore_index, graders=3, size=(13, 17)):
    labels = torch.randint(0, max(2, num_classes), (3, graders, *size), generator=torch.Generator().manual_seed(2))
    if ignore_index is not None:
        labels[torch.rand(labels.shape, generator=torch.Generator().manual_seed(3)) < 0.3] = ignore_index
    return labels


def entropy(logits, labels, ignore_index, class_weights):
    """Cross-entropy of logits (K, H, W) with labels (H, W), pixel by pixel in float64."""
    total = 0.0
    logits, labels = logits.double().numpy(), labels.numpy()
    for y, x in np.ndindex(labels.shape):
        if labels[y, x] != ignore_index:
            scores = logits[:, y, x] if len(logits) > 1 else np.array([0.0, logits[0, y, x]])
            surprise = np.log(np.exp(scores).sum()) - scores[labels[y, x]]
            total += surprise if class_weights is None else class_weights[labels[y, x]] * surprise
    return total


def loss(model, images, labels, ignore_index, class_weights, ids=IDS):
    weights = None if class_weights is None else torch.tensor(class_weights)
    return model.loss_terms(images, labels, seed=7, ids=ids, ignore_index=ignore_index, class_weights=weights)


def all_logits(model, images, n, *, seed=7, **options):
    return fastpunet.sample(model, images, n, seed=seed, output="logits", **options)


# M-Heads
