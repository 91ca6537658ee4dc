"""Decides which inputs of a run are still to be done, and which are drawn together."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fastpunet.data.inputs import Input
from fastpunet.prediction.folders import differences, find_answer
from fastpunet.prediction.preparation import Prepared

_TOGETHER_BYTES = 1 << 26  # of the label maps of inputs that are drawn together
_TOGETHER = 32


def id_of(name: str) -> int:
    """The id from which an input's noise is drawn: a function of its name alone, 0 <= id < 2**63.

    >>> id_of("case01") == id_of("case01"), id_of("case01") == id_of("case02")
    (True, False)
    """
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "big") >> 1


def answered(
    inputs: Iterable[Input], target: Path, about: Mapping[str, Any], *, overwrite: bool, skip_existing: bool
) -> set[str]:
    """The names of inputs whose answers are there already and are kept.

    Raises ValueError for an answer that is neither kept nor replaced, and for one that was made otherwise, or of other
    pixels.
    """
    asked = json.loads(json.dumps(about))
    kept = set()
    for source in inputs:
        folder = target / source.name
        answer = find_answer(folder)
        if answer is None or overwrite:
            continue
        if not skip_existing:
            raise ValueError(f"output: {folder} exists; pass --skip-existing to keep it, or --overwrite to replace it")
        if changed := differences(answer, {**asked, "sha256": source.sha256()}):
            raise ValueError(
                f"output: {folder} was made with other settings: {', '.join(changed)}; name another folder, or pass "
                "--overwrite to replace it"
            )
        kept.add(source.name)
    return kept


def groups(inputs: Iterable[Prepared], n: int, batch_size: int | None) -> Iterator[list[Prepared]]:
    """Consecutive inputs whose images have one shape, at most `batch_size` together, or as many as fit in memory."""
    group: list[Prepared] = []
    for prepared in inputs:
        bytes_each = n * prepared.images[:, 0].numel()
        limit = batch_size or min(_TOGETHER, max(1, _TOGETHER_BYTES // bytes_each))
        if group and (len(group) >= limit or _frame(prepared) != _frame(group[0])):
            yield group
            group = []
        group.append(prepared)
    if group:
        yield group


def _frame(prepared: Prepared) -> tuple[object, ...]:
    return prepared.images.shape[1:], prepared.source.size
