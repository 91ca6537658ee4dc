"""Scores of masks on a GPU do not make the host wait for it, but for one look at what has to be checked, at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from fastpunet import late_checks
from fastpunet.masks import PackedMasks
from fastpunet.metrics import convention, energy_distance, pairwise_iou
from fastpunet_kernels import reference

READING = {"_local_scalar_dense", "equal", "masked_select", "nonzero", "_unique2", "unique_dim"}
SIZE = (8, 8)  # no spare bits, which only a CPU would look at
LABELS, OTHERS = (torch.randint(0, 2, (2, count, *SIZE), dtype=torch.uint8) for count in (5, 4))
IGNORE = torch.rand(2, *SIZE) < 0.2
WEIGHTS = torch.tensor([0.1, 0.2, 0.3, 0.4])
SAMPLES, GRADERS = PackedMasks.pack(LABELS), PackedMasks.pack(OTHERS)
PLANES = [PackedMasks.pack(masks, num_classes=3) for masks in (LABELS, OTHERS)]
LISTS = [SAMPLES[:1], SAMPLES[1:]], [GRADERS[:1], GRADERS[1:, :3]]
CCDM = convention("ccdm", num_classes=3)


class Waits(TorchDispatchMode):
    """Notes the operators whose result the host would have to wait for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        booleans = name == "index" and any(i is not None and i.dtype in (torch.bool, torch.uint8) for i in args[1])
        if name in READING or booleans:
            self.found.append(name)
        return func(*args, **(kwargs or {}))


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """What the host would wait for if all tensors were on a GPU."""
    read = late_checks._read
    with Waits() as mode:
        monkeypatch.setattr(late_checks, "_at_hand", lambda _: False)
        monkeypatch.setattr(late_checks, "_read", lambda numbers: mode.found.append("check") or read(numbers))
        yield mode.found


@pytest.mark.parametrize(
    "call",
    [
        lambda: pairwise_iou(SAMPLES),
        lambda: pairwise_iou(*PLANES, ignore=IGNORE),
        lambda: pairwise_iou(LABELS.bool()),
        lambda: energy_distance(SAMPLES, GRADERS, ignore=IGNORE),
        lambda: energy_distance(*PLANES, convention=CCDM),
        lambda: energy_distance(*LISTS),
        lambda: reference.pack_labels(LABELS.flatten(2), [0, 2]),
        lambda: reference.mask_iou(SAMPLES.words, GRADERS.words, 1.0),
    ],
)
def test_the_host_does_not_wait(call: Callable[[], object], waits: list[str]) -> None:
    call()
    assert waits == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: pairwise_iou(LABELS, OTHERS, num_classes=3, ignore=IGNORE),
        lambda: energy_distance(LABELS, OTHERS, ignore=IGNORE),
        lambda: energy_distance(LABELS, OTHERS, weights=WEIGHTS),
    ],
)
def test_the_host_waits_once_to_check_values(call: Callable[[], object], waits: list[str]) -> None:
    call()
    assert waits == ["check"]


@pytest.mark.usefixtures("waits")
def test_values_are_checked_in_the_order_of_the_arguments() -> None:
    ragged = [OTHERS[0], OTHERS[1, :3]]
    wrong = OTHERS.masked_fill(OTHERS == 1, 9)
    with pytest.raises(ValueError, match=r"references: got labels 0 .. 9, expected 0 .. 1"):
        energy_distance(LABELS, wrong, weights=WEIGHTS + 1)
    with pytest.raises(ValueError, match=r"samples: got labels 0 .. 9, expected 0 .. 1"):
        energy_distance(wrong, wrong)
    with pytest.raises(ValueError, match=r"weights: got a sum of 5, expected 1"):
        energy_distance(LABELS, OTHERS, weights=WEIGHTS + 1)
    with pytest.raises(ValueError, match=r"weights: got a negative or NaN value"):
        energy_distance(LABELS, OTHERS, weights=-WEIGHTS)
    with pytest.raises(ValueError, match=r"weights: got a value > 0 beyond the last of an image's references"):
        energy_distance(list(LABELS), ragged, weights=WEIGHTS)


def test_reads_are_noticed(waits: list[str]) -> None:
    LABELS.max().item()
    LABELS[LABELS > 0]
    LABELS.nonzero()
    assert waits == ["_local_scalar_dense", "index", "nonzero"]


@pytest.mark.gpu
def test_cuda_finds_no_wait_but_the_check() -> None:
    masks = torch.randint(0, 2, (2, 60, 20, 20), dtype=torch.uint8, device="cuda")
    sets = PackedMasks.pack(masks), PackedMasks.pack(masks[:, :7])
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = energy_distance(*sets), pairwise_iou(sets[0]), pairwise_iou(*sets)
        with pytest.raises(RuntimeError, match="synchroniz"):
            energy_distance(masks, masks)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    expected = energy_distance(*(PackedMasks(one.words.cpu(), one.size) for one in sets))
    torch.testing.assert_close(found[0].value.cpu(), expected.value)


@pytest.mark.gpu
def test_wrong_values_on_a_gpu_are_named_at_the_end() -> None:
    masks = torch.randint(0, 2, (1, 6, 20, 20), dtype=torch.uint8, device="cuda")
    weights = torch.tensor([[0.5, 0.6]], device="cuda")
    with pytest.raises(ValueError, match=r"references: got labels 0 .. 9"):
        energy_distance(masks, torch.where(masks[:, :2] == 1, 9, 0))
    with pytest.raises(ValueError, match=r"weights: got a sum of 1.1"):
        energy_distance(masks, masks[:, :2], weights=weights)
