"""PyTorch's switches for float32 arithmetic: right inside, afterwards as they were, shared by threads."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import product

import pytest
import torch

from fastpunet_kernels import automatic_precision, fixed_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")  # the switches of a GPU can be moved without one
SWITCHES = {
    "cudnn": torch.backends.cudnn,
    "cudnn.conv": torch.backends.cudnn.conv,
    "cudnn.rnn": torch.backends.cudnn.rnn,
    "cuda.matmul": torch.backends.cuda.matmul,
    "mkldnn": torch.backends.mkldnn,
    "mkldnn.conv": torch.backends.mkldnn.conv,
    "mkldnn.matmul": torch.backends.mkldnn.matmul,
}
USED = {CPU: ("mkldnn.conv", "mkldnn.matmul"), GPU: ("cudnn.conv", "cuda.matmul")}


def values() -> dict[str, str]:
    return {name: switch.fp32_precision for name, switch in SWITCHES.items()}


def behaviour() -> list[dict[str, str]]:
    """Every switch at each value of the one that they may follow; equal lists follow alike."""
    before, seen = torch.backends.fp32_precision, []
    for value in ("none", "ieee", "tf32"):
        torch.backends.fp32_precision = value
        seen.append(values())
    torch.backends.fp32_precision = before
    return seen


def inside(precision: str, device: torch.device) -> set[str]:
    """What the context makes of the device's switches."""
    with fixed_precision(precision, device):
        return inside_now(device)


def inside_now(device: torch.device) -> set[str]:
    now = values()
    return {now[name].replace("none", "ieee") for name in USED[device]}


@pytest.fixture(autouse=True)
def _general_switch_restored() -> Iterator[None]:
    before = torch.backends.fp32_precision
    yield
    torch.backends.fp32_precision = before


@pytest.mark.parametrize("device", [CPU, GPU])
@pytest.mark.parametrize("general", ["none", "ieee", "tf32", "bf16"])
def test_switches_are_right_inside_and_afterwards_follow_as_before(general: str, device: torch.device) -> None:
    torch.backends.fp32_precision = general
    before = behaviour()
    for precision in ("ieee", "tf32", "bf16"):
        assert inside(precision, device) == {"tf32" if precision == "tf32" else "ieee"}
        assert behaviour() == before
        with pytest.raises(ZeroDivisionError), fixed_precision(precision, device):
            raise ZeroDivisionError
        assert behaviour() == before


def test_values_of_their_own_stay_their_own() -> None:
    """Matrix products and convolutions of oneDNN, whose own values can be written back in every version of PyTorch."""
    own = [torch.backends.cuda.matmul, torch.backends.mkldnn.conv, torch.backends.mkldnn.matmul]
    before = [switch.fp32_precision for switch in own]
    try:
        for choice in product(("none", "ieee", "tf32"), repeat=3):
            for switch, value in zip(own, choice, strict=True):
                switch.fp32_precision = value
            expected = behaviour()
            for device, precision in product((CPU, GPU), ("ieee", "tf32")):
                assert inside(precision, device) == {precision}
                assert behaviour() == expected
    finally:
        for switch, value in zip(own, before, strict=True):
            switch.fp32_precision = value


def test_values_that_already_mean_the_same_are_not_touched(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a switch was set")

    torch.backends.fp32_precision = "ieee"
    monkeypatch.setattr(torch._C, "_set_fp32_precision_setter", refuse)
    with fixed_precision("ieee", CPU), fixed_precision("bf16", CPU):
        pass


def test_threads_that_want_the_same_are_inside_together() -> None:
    for general in ("none", "tf32"):
        torch.backends.fp32_precision = general
        together = threading.Barrier(3, timeout=30)

        def enter(_: int, together: threading.Barrier = together) -> str:
            with fixed_precision("ieee", CPU):
                together.wait()
                return torch.backends.mkldnn.conv.fp32_precision.replace("none", "ieee")

        with ThreadPoolExecutor(3) as pool:
            assert list(pool.map(enter, range(3))) == ["ieee"] * 3
        assert torch.backends.mkldnn.conv.fp32_precision == general


def test_threads_that_want_different_values_each_see_their_own() -> None:
    before = behaviour()

    def enter(index: int) -> bool:
        wanted = ("ieee", "tf32")[index % 2]
        with fixed_precision(wanted, GPU):
            seen = {values()[name].replace("none", "ieee") for name in USED[GPU] for _ in range(20)}
        return seen == {wanted}

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(enter, range(400)))
    assert behaviour() == before


def test_a_thread_leaves_a_precision_while_it_is_inside_the_other() -> None:
    before = behaviour()
    with fixed_precision("tf32", GPU), fixed_precision("tf32", GPU):
        with fixed_precision("ieee", GPU):
            assert inside_now(GPU) == {"ieee"}
            with fixed_precision("tf32", GPU):
                assert inside_now(GPU) == {"tf32"}
            assert inside_now(GPU) == {"ieee"}
        assert inside_now(GPU) == {"tf32"}
    assert behaviour() == before


def test_threads_inside_one_precision_that_ask_for_the_other_do_not_wait_for_each_other() -> None:
    before, together = behaviour(), threading.Barrier(4, timeout=60)

    def enter(_: int) -> bool:
        for _ in range(50):
            with fixed_precision("tf32", GPU):
                together.wait()  # all are inside
                with fixed_precision("ieee", GPU):
                    seen = inside_now(GPU) == {"ieee"}
                seen = seen and inside_now(GPU) == {"tf32"}
            together.wait()  # all have left
            if not seen:
                return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(enter, range(4)))
    assert behaviour() == before


def test_the_automatic_precision_is_not_what_another_thread_holds() -> None:
    for general in ("ieee", "tf32"):
        torch.backends.fp32_precision = general
        if torch.backends.cudnn.conv.fp32_precision != general:
            pytest.skip("cuDNN's convolutions have a value of their own in this version of PyTorch")
        with fixed_precision("ieee" if general == "tf32" else "tf32", GPU):
            assert automatic_precision(GPU) == general
        assert automatic_precision(GPU) == general
    assert automatic_precision(CPU) == "ieee"
    with torch.autocast("cpu", torch.bfloat16):
        assert automatic_precision(CPU) == "bf16"
        with fixed_precision("ieee", CPU):
            assert not torch.is_autocast_enabled("cpu")
