"""The modes of hypotheses: a few representative ones with their probabilities."""

from __future__ import annotations

import torch
from torch import Tensor

from fastpunet.arguments import check_count, is_number
from fastpunet.hypotheses.alternatives.mode_result import Modes
from fastpunet.hypotheses.alternatives.mode_search import Search, distances, find_modes
from fastpunet.hypotheses.intervals import wilson
from fastpunet.latents import check_seed
from fastpunet.masks import PackedMasks
from fastpunet.metrics.mask_sets import Masks, read_mask_set
from fastpunet.metrics.planes import class_planes, count_classes


def modes(
    masks: Masks,
    k: int | None = None,
    *,
    num_classes: int | None = None,
    most: int = 5,
    apart: float = 0.3,
    rare: float = 0.02,
    seed: int = 0,
) -> list[Modes]:
    """Representative hypotheses of every image, with probabilities: "61 % this, 30 % that, 9 % nothing".

    Args:
        masks: hypotheses, labels (B, n, H, W) or (B, n, D, H, W) of bool, uint8 or signed integer dtype, or
            `PackedMasks`; at least one for each image.
        k: the number of modes; None: it is found, for each image.
        num_classes: as in `pairwise_iou`: None for binary masks, K for labels 0 .. K - 1; PackedMasks know it.
        most: the largest number of modes to find, the empty mask included.
        apart: where the number is found: groups of hypotheses are different modes if the mean of d between them is
            larger than this, 0 < apart < 1.
        rare: where the number is found: groups with a smaller share of all hypotheses are no modes of their own.
        seed: of the random starts of the search.

    The distance of two hypotheses is d = 1 - IoU. With several classes the IoU is the mean over those of the classes
    1 .. K - 1 that at least one of the two has. (So d does not depend on how many classes there could be.)

    Hypotheses without any foreground pixel are a mode of their own, however rare, and one of the k. Only if a single
    mode is wanted (k or most is 1), they are like all others, and that mode is the medoid of everything. Where fewer
    than k hypotheses are distinct, there is a mode for each.

    The representatives are the medoids with the smallest sum of squared distances to the hypotheses (FasterPAM:
    Schubert and Rousseeuw 2021, Information Systems 101, 101804), and every hypothesis belongs to the nearest. The
    number of modes is that of the groups in average-linkage clustering cut at `apart` (Sokal and Michener 1958). Where
    hypotheses form no groups, but a continuum, this divides it into pieces whose hypotheses overlap.

    Of more than 1000 hypotheses with foreground, 1000 evenly spaced ones decide on number and representatives; then all
    are assigned. So memory is about 50 MB beside the packed masks (binary, whatever n), and time grows linearly with n.
    Needs SciPy and kmedoids (the extra `report`).

    Raises TypeError or ValueError, naming the argument, for input that is not as above.

    >>> import torch
    >>> hypotheses = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1], [1, 1, 1, 1]])[None, :, None]
    >>> print(modes(hypotheses, k=2)[0])
    2 modes among 4 hypotheses: 75 % (30 to 95 %) 4 pixels; 25 % (5 to 70 %) nothing
    """
    mask_set = read_mask_set("masks", masks, ragged=False)
    total = count_classes(known_classes(masks, num_classes))
    planes = class_planes(mask_set, total, range(1, total), None)
    search = Search(
        k=None if k is None else check_count("k", k, advice="None finds it"),
        most=check_count("most", most),
        apart=_check_share("apart", apart),
        rare=_check_share("rare", rare),
        seed=check_seed(seed),
    )
    return [_modes(masks[image : image + 1], each, search) for image, each in enumerate(planes)]


def known_classes(masks: Masks, num_classes: int | None) -> int | None:
    """The number of classes as given or, where PackedMasks know it, theirs; None for binary masks."""
    known = num_classes is None and isinstance(masks, PackedMasks) and masks.num_planes > 1
    return masks.num_planes if known else num_classes  # type: ignore[union-attr]


def _modes(masks: Masks, planes: Tensor, search: Search) -> Modes:
    hypotheses, members = find_modes(planes, search)
    counts = members.bincount(minlength=len(hypotheses))
    own = torch.stack([distances(planes[members == mode], planes[k, None]).mean() for mode, k in enumerate(hypotheses)])
    chosen = masks[:, hypotheses]
    return Modes(
        masks=(chosen.unpack() if isinstance(chosen, PackedMasks) else chosen.to(torch.uint8))[0],
        hypotheses=hypotheses,
        probabilities=counts.double() / len(members),
        intervals=torch.stack(wilson(counts, len(members)), dim=-1),
        overlaps=1 - own,
        members=members,
    )


def _check_share(name: str, value: float) -> float:
    if not is_number(value) or not 0 < value < 1:
        raise ValueError(f"{name}: got {value!r}, expected a number between 0 and 1, such as 0.1")
    return value
