"""What is said before and during long work."""

import io

import numpy as np
import pytest
import torch

from fastpunet.data import Record
from fastpunet.progress import Progress
from fastpunet.scoring import cost

CPU = torch.device("cpu")


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now


def test_a_log_gets_a_plain_line_now_and_then():
    clock, log = Clock(), io.StringIO()
    with Progress(100, "lidc", "image", stream=log, clock=clock) as progress:
        for seconds, count in ((10, 5), (20, 5), (30, 10), (40, 60), (400, 19), (500, 1)):
            clock.now = seconds
            progress.update(count)
    assert log.getvalue().splitlines() == [
        "lidc: 10 of 100 images, 2.0 s/image, 3 min left",
        "lidc: 80 of 100 images, 2.0 images/s, 10 s left",
        "lidc: 99 of 100 images, 4.0 s/image, 4 s left",
    ]


def test_short_work_leaves_no_trace_in_a_log():
    log = io.StringIO()
    with Progress(3, "lidc", "image", stream=log, clock=Clock()) as progress:
        progress.update(3)
    assert log.getvalue() == ""


def test_a_terminal_gets_a_bar_with_the_total():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    with Progress(3, "lidc", "image", stream=terminal) as progress:
        progress.update(3)
    assert "0/3" in terminal.getvalue()


def flat(pixels):
    return Record(np.zeros((1, 1, pixels), np.float32), np.zeros((1, 1, pixels), np.uint8), 0)


def test_the_cost_of_many_hypotheses_is_said_before_the_work(monkeypatch):
    monkeypatch.setattr(cost, "_trial", lambda *_: 0.04)
    said = []
    cost.check_cost(1024 * 50, flat(64), 1, 36, CPU, said.append)
    assert said == [
        "n = 51200: comparing every two hypotheses of an image takes up to 2 min, for 36 images 60 min; "
        "the time grows with the square of n"
    ]
    cost.check_cost(16, flat(64), 1, 36, CPU, said.append)
    assert len(said) == 1


def test_hypotheses_that_memory_cannot_hold_are_refused_before_the_work(monkeypatch):
    monkeypatch.setattr(cost, "free_memory", lambda _: 10**9)
    with pytest.raises(ValueError, match=r"n: got 10000000; scoring 10000000 hypotheses of one image of 4096 pixels"):
        cost.check_cost(10**7, flat(4096), 1, 1, CPU, print)
