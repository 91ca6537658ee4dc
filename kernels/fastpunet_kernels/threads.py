"""How many threads an op takes, and what becomes of them when a process forks."""

from __future__ import annotations

import os
from functools import cache, partial

import torch


def thread_count() -> int:
    """PyTorch's number of threads, for an op that starts now.

    OpenMP's threads do not survive a fork, and a child that asks for them waits for ever. So children that are forked
    after an op had several threads compute with one, as PyTorch's own DataLoader lets its workers do.
    """
    count = torch.get_num_threads()
    if count > 1:
        _one_thread_in_children()
    return count


@cache
def _one_thread_in_children() -> None:
    os.register_at_fork(after_in_child=partial(torch.set_num_threads, 1))
