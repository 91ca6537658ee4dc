"""Scores of masks on a GPU do not make the host wait for it, but for one look at what has to be checked, at the end."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch

from fastpunet import late_checks
from fastpunet.masks import PackedMasks
from fastpunet.metrics import convention, energy_distance, pairwise_iou
from fastpunet.waits import HostWaitsError, RefuseWaits
from fastpunet_kernels import reference

SIZE = (8, 8)  # no spare bits, which only a CPU would look at
LABELS, OTHERS = (torch.randint(0, 2, (2, count, *SIZE), dtype=torch.uint8) for count in (5, 4))
IGNORE = torch.rand(2, *SIZE) < 0.2
WEIGHTS = torch.tensor([0.1, 0.2, 0.3, 0.4])
SAMPLES, GRADERS = PackedMasks.pack(LABELS), PackedMasks.pack(OTHERS)
PLANES = [PackedMasks.pack(masks, num_classes=3) for masks in (LABELS, OTHERS)]
LISTS = [SAMPLES[:1], SAMPLES[1:]], [GRADERS[:1], GRADERS[1:, :3]]
CCDM = convention("ccdm", num_classes=3)


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[object]]:
    """A list that grows when values are read to be checked; any other read is an error, as if this were a GPU."""
    read: list[object] = []
    monkeypatch.setattr(late_checks, "_at_hand", lambda _: False)
    monkeypatch.setattr(late_checks, "_read", lambda numbers: read.append(numbers) or numbers.tolist())
    with RefuseWaits(torch.device("cpu")):
        yield read


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
def test_the_host_does_not_wait(call: Callable[[], object], checks: list[object]) -> None:
    call()
    assert not checks


@pytest.mark.parametrize(
    "call",
    [
        lambda: pairwise_iou(LABELS, OTHERS, num_classes=3, ignore=IGNORE),
        lambda: energy_distance(LABELS, OTHERS, ignore=IGNORE),
        lambda: energy_distance(LABELS, OTHERS, weights=WEIGHTS),
    ],
)
def test_the_host_waits_once_to_check_values(call: Callable[[], object], checks: list[object]) -> None:
    call()
    assert len(checks) == 1


@pytest.mark.usefixtures("checks")
def test_values_are_checked_in_the_order_of_the_arguments() -> None:
    ragged = [OTHERS[0], OTHERS[1, :3]]
    wrong = OTHERS.masked_fill(OTHERS == 1, 9)
    with pytest.raises(ValueError, match=r"references: got labels 0 .. 9, expected 0 .. 1"):
        energy_distance(LABELS, wrong, weights=WEIGHTS + 1)
    with pytest.raises(ValueError, match=r"samples: got labels 0 .. 9, expected 0 .. 1"):
        energy_distance(wrong, wrong)
    with pytest.raises(ValueError, match=r"weights: got probabilities whose sum is 5, expected 1"):
        energy_distance(LABELS, OTHERS, weights=WEIGHTS + 1)
    with pytest.raises(ValueError, match=r"weights: got a negative or NaN value"):
        energy_distance(LABELS, OTHERS, weights=-WEIGHTS)
    with pytest.raises(ValueError, match=r"weights: got a value > 0 beyond the last of an image's references"):
        energy_distance(list(LABELS), ragged, weights=WEIGHTS)


@pytest.mark.usefixtures("checks")
@pytest.mark.parametrize("read", [lambda: LABELS.max().item(), lambda: LABELS[LABELS > 0], lambda: LABELS.nonzero()])
def test_other_reads_would_be_noticed(read: Callable[[], object]) -> None:
    with pytest.raises(HostWaitsError, match="makes the host wait"):
        read()


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
    with pytest.raises(ValueError, match=r"weights: got probabilities whose sum is 1.1"):
        energy_distance(masks, masks[:, :2], weights=weights)
