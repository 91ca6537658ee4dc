"""Small label maps for tests of scores."""

import numpy as np
import torch


def maps(*rows):
    """One image's label maps uint8 (1, n, 1, W): a row of labels each, a list or a string of digits."""
    return torch.tensor([[int(label) for label in row] for row in rows], dtype=torch.uint8)[None, :, None]


def random_labels(rng, shape, num_classes=2, dims=2):
    """Label maps with an empty one among them and with classes that many of them lack."""
    labels = np.zeros(shape, np.uint8)
    for index in np.ndindex(*shape[:-dims]):
        used = rng.choice(num_classes, rng.integers(1, min(num_classes, 4) + 1), replace=False)
        labels[index] = rng.choice(used, shape[-dims:])
    labels[(..., 0, *[slice(None)] * dims)] = 0
    return labels
