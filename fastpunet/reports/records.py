"""A data set as a model takes it."""

from __future__ import annotations

import os

from fastpunet.data import Records, sources
from fastpunet.models import Method


def read_for(
    model: Method, data: str | os.PathLike[str], kind: str | None = None, *, unmarked: bool = False
) -> Records:
    """The records of `data` for a model: masks of two values for binary models, whole volumes for models of those.

    kind: as of `fastpunet.data.sources.read`; None recognises it by what is there. unmarked: slices that nobody marked
    anything in are records too. Raises ValueError or FileNotFoundError for data that is missing, broken or unknown.
    """
    chosen = sources.recognise(data) if kind is None else kind
    return sources.read(chosen, data, binary=model.num_classes <= 2, whole=model.dims == 3, unmarked=unmarked)
