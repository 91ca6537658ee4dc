"""Whether a lesion is outlined at all, and how well, where it is."""

from __future__ import annotations

from torch import Tensor

from fastpunet.metrics.mask_sets import MaskSet, RaggedMasks, check_ignore, check_pair, mask_weights, read_mask_set
from fastpunet.metrics.planes import BINARY_ONLY, class_planes
from fastpunet_kernels import mask_iou


def presence(masks: RaggedMasks, weights: Tensor | None = None, *, ignore: Tensor | None = None) -> Tensor:
    """The share of an image's masks that are not empty, float64 (B,).

    masks    binary labels (B, N, H, W) or (B, N, D, H, W), `PackedMasks`, or a list with the masks of each image
    weights  float (N,) or (B, N): probabilities of the masks; None: all count alike
    ignore   bool (B, H, W) or (B, D, H, W), True where a pixel does not count, whatever its label

    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> import torch
    >>> presence(torch.tensor([[[[0, 1]], [[0, 0]], [[1, 1]], [[0, 0]]]]))
    tensor([0.5000], dtype=torch.float64)
    """
    mask_set = read_mask_set("masks", masks)
    check_ignore(ignore, mask_set)
    return share_present(mask_set, weights, ignore)


def present_distance(
    samples: RaggedMasks, references: RaggedMasks, *, weights: Tensor | None = None, ignore: Tensor | None = None
) -> Tensor:
    """Mean of d = 1 - IoU over the pairs of which neither mask is empty, float64 (B,); NaN where there is none.

    samples and references are binary masks as of `presence`, weights the probabilities of the references. Unlike the
    energy distance it tells errors in shape from errors in whether there is anything.

    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> import torch
    >>> samples = torch.tensor([[[[1, 1, 0, 0]], [[0, 0, 0, 0]]]])
    >>> graders = torch.tensor([[[[1, 1, 1, 1]], [[0, 0, 0, 0]]]])
    >>> present_distance(samples, graders)
    tensor([0.5000], dtype=torch.float64)
    """
    sample_set, reference_set = read_mask_set("samples", samples), read_mask_set("references", references)
    check_pair(sample_set, reference_set, ignore)
    s, y = (class_planes(masks, 2, (1,), ignore, BINARY_ONLY) for masks in (sample_set, reference_set))
    distances = 1 - mask_iou(s, y, 1.0).squeeze(-1).double()
    pairs = _not_empty(s)[:, :, None] * (_not_empty(y) * mask_weights(reference_set, weights))[:, None]
    return (distances * pairs).sum((1, 2)) / pairs.sum((1, 2))


def share_present(masks: MaskSet, weights: Tensor | None, ignore: Tensor | None) -> Tensor:
    """`presence` of masks that have been read already."""
    present = _not_empty(class_planes(masks, 2, (1,), ignore, BINARY_ONLY))
    shares = mask_weights(masks, weights)
    return (present * shares).sum(1) / shares.sum(1)


def _not_empty(planes: Tensor) -> Tensor:
    """float64 (B, N), 1 or 0. Filling is empty."""
    return planes.flatten(2).ne(0).any(2).double()
