"""The forms in which the scores take masks, checked and brought into one: a set of masks for every image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from fastpunet.arguments import check_label_tensor, check_probabilities, check_same_device
from fastpunet.late_checks import check_values
from fastpunet.masks import PackedMasks

Masks: TypeAlias = Tensor | PackedMasks
RaggedMasks: TypeAlias = Masks | Sequence[Tensor] | Sequence[PackedMasks]

_AXES = ("slices (D)", "rows (H)", "columns (W)")


@dataclass(frozen=True, eq=False)
class MaskSet:
    """The masks of each of B images, under the name of the argument that they came as.

    masks   labels (B, N, *size) or PackedMasks, N the largest number of masks of an image; images with fewer are filled
            up, with anything
    counts  int64 (B,), each image's own number of masks. In main memory: a number that is only on a GPU would make the
            host wait for it
    """

    name: str
    masks: Masks
    counts: Tensor

    @property
    def images(self) -> int:
        return self.masks.shape[0]

    @property
    def longest(self) -> int:
        """N"""
        return self.masks.shape[1]

    @property
    def size(self) -> tuple[int, ...]:
        return tuple(self.masks.shape[2:])

    @property
    def device(self) -> torch.device:
        return self.masks.device

    @property
    def ragged(self) -> bool:
        """Whether some images have fewer masks than others."""
        return min(self.counts.tolist()) < self.longest

    @property
    def own(self) -> Tensor:
        """Which masks are an image's own, not filling, bool (B, N), on the device of the masks."""
        return (torch.arange(self.longest) < self.counts[:, None]).to(self.device, non_blocking=True)


def read_mask_set(name: str, masks: object, *, ragged: bool = True) -> MaskSet:
    """Masks of any accepted form; TypeError or ValueError, naming the argument, for anything else.

    Accepted are labels (B, N, *size), PackedMasks and, if `ragged`, a list or tuple with the label maps (n, *size) or
    the PackedMasks of each image.
    """
    if ragged and isinstance(masks, list | tuple):
        return _read_list(name, masks)
    checked = _check_masks(name, masks)
    return MaskSet(name, checked, torch.full((checked.shape[0],), checked.shape[1]))


def check_pair(samples: MaskSet, references: MaskSet, ignore: object) -> None:
    """Both of the same images, pixels and device, and an `ignore` that fits them."""
    check_same_images(references, samples)
    check_ignore(ignore, samples)


def check_same_images(masks: MaskSet, like: MaskSet) -> None:
    """The same images, pixels and device; the numbers of masks may differ."""
    if masks.images != like.images:
        raise ValueError(
            f"{masks.name}: got {masks.images} images, expected {like.images} as in {like.name}; "
            "pass both for the same images"
        )
    if masks.size != like.size:
        raise ValueError(
            f"{masks.name}: got {_times(masks.size)} pixels, expected {_times(like.size)} as in {like.name}; "
            "resize with nearest neighbours or crop one of them"
        )
    check_same_device(masks.name, masks.device, like.name, like.device)


def check_ignore(ignore: object, like: MaskSet) -> None:
    """None, or bool (B, *size) on the device of the masks."""
    if ignore is None:
        return
    if not isinstance(ignore, Tensor) or ignore.dtype != torch.bool:
        got = f"dtype {ignore.dtype}" if isinstance(ignore, Tensor) else type(ignore).__name__
        raise TypeError(
            f"ignore: got {got}, expected a bool tensor (B, H, W) or (B, D, H, W), True = left out; "
            "e.g. labels[:, 0] == 255"
        )
    if tuple(ignore.shape) != (like.images, *like.size):
        raise ValueError(
            f"ignore: got shape {tuple(ignore.shape)}, expected {(like.images, *like.size)} as in {like.name}; "
            "give one mask for each image, shared by all its labels"
        )
    check_same_device("ignore", ignore.device, like.name, like.device)


def mask_weights(masks: MaskSet, weights: Tensor | None, name: str = "weights") -> Tensor:
    """The masks' relative weights, float64 (B, N), 0 for filling: 1 each, or the given probabilities.

    weights: float (N,) or (B, N), N the largest number of masks of an image; 0 beyond the masks that an image has.
    Raises TypeError or ValueError, with this name, for others and for those that do not sum to 1.
    """
    shape = (masks.images, masks.longest)
    if weights is None:
        return masks.own.double() if masks.ragged else torch.ones(shape, dtype=torch.float64, device=masks.device)
    if isinstance(weights, Tensor):
        if tuple(weights.shape) not in (shape[1:], shape):
            raise ValueError(
                f"{name}: got shape {tuple(weights.shape)}, expected (N,) = {shape[1:]} or (B, N) = {shape} as in "
                f"{masks.name}; give one probability for each mask"
            )
        check_same_device(name, weights.device, masks.name, masks.device)
    check_probabilities(name, weights)
    expanded = weights.double().expand(shape)
    if masks.ragged:
        _check_no_weight_beyond(name, expanded, masks)
    return expanded.contiguous()


def _check_no_weight_beyond(name: str, weights: Tensor, masks: MaskSet) -> None:
    def check(found: Sequence[float]) -> None:
        if any(found):
            raise ValueError(
                f"{name}: got a value > 0 beyond the last of an image's {masks.name}, expected 0 there; set it to 0"
            )

    check_values([((weights > 0) & ~masks.own).any()], check)


def _read_list(name: str, images: Sequence[object]) -> MaskSet:
    if not images:
        raise ValueError(f"{name}: got a list of 0 images, expected the masks of each image; skip empty sets")
    packed = isinstance(images[0], PackedMasks)
    checked = [_check_masks(f"{name}[{i}]", masks, one_image=True, packed=packed) for i, masks in enumerate(images)]
    first, words = checked[0], []
    for i, masks in enumerate(checked):
        check_same_device(f"{name}[{i}]", masks.device, f"{name}[0]", first.device)
        if _kind(masks) != _kind(first):
            raise ValueError(
                f"{name}[{i}]: got {_kind(masks)}, expected {_kind(first)} as in {name}[0]; convert, or pass such "
                "images in separate calls"
            )
        words.append(masks.words[0] if isinstance(masks, PackedMasks) else masks)
    counts, padded = torch.tensor([len(each) for each in words]), pad_sequence(words, batch_first=True)
    return MaskSet(name, PackedMasks(padded, first.size) if isinstance(first, PackedMasks) else padded, counts)


def _check_masks(name: str, masks: object, *, one_image: bool = False, packed: bool = True) -> Masks:
    """Labels or, if `packed`, PackedMasks, of many images or of one; with at least one image, mask and pixel."""
    axes = "(n, H, W) or (n, D, H, W)" if one_image else "(B, N, H, W) or (B, N, D, H, W)"
    if packed and isinstance(masks, PackedMasks):
        checked: Masks = masks
        if one_image and masks.shape[0] != 1:
            raise ValueError(
                f"{name}: got PackedMasks of {masks.shape[0]} images, expected the masks of one image; pass packed[i : "
                "i + 1] for image i"
            )
        size = masks.size
    else:
        checked = check_label_tensor(name, masks, axes)
        size = tuple(checked.shape[1 if one_image else 2 :])
    shape = tuple(checked.shape)
    names = ("images", "masks")[2 + len(size) - len(shape) :] + _AXES[-len(size) :]
    for length, axis in zip(shape, names, strict=True):
        if length == 0:
            raise ValueError(f"{name}: got 0 {axis} in shape {shape}, expected {axes}, none of them 0; skip empty sets")
    return checked


def _kind(masks: Masks) -> str:
    """What the masks of a list have in common, as said in errors."""
    if isinstance(masks, PackedMasks):
        return f"PackedMasks of {masks.num_planes} planes and {_times(masks.size)} pixels"
    return f"{masks.dtype} of {_times(tuple(masks.shape[1:]))} pixels"


def _times(size: tuple[int, ...]) -> str:
    return " x ".join(map(str, size))
