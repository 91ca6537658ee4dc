"""A data set as a model takes it."""

from __future__ import annotations

import os

from fastpunet.data import Records, sources
from fastpunet.intensity import Intensity
from fastpunet.models import Method


class DataSet:
    """One data set, read for each model in its way, and only once for all models of one way.

    Binary models get masks of two values, models of volumes get these whole, and every model gets the grey values as
    its training scaled them, where that is known, unless a rule is given.

    data, kind: as of `fastpunet.data.sources.read`; without a kind it is recognised by what is there. unmarked: slices
    that nobody marked anything in are records too. intensity: a rule for these data, as `Intensity.parse` reads it, to
    take in place of the models' own. Raises ValueError or FileNotFoundError for missing, broken or unknown data.
    """

    def __init__(
        self,
        data: str | os.PathLike[str],
        kind: str | None = None,
        *,
        unmarked: bool = False,
        intensity: str | None = None,
    ) -> None:
        self._given = None if intensity is None else Intensity.parse(intensity)
        self.kind = sources.recognise(data) if kind is None else kind
        self._data, self._unmarked = data, unmarked
        self._read: dict[object, Records] = {}

    def records_for(self, model: Method) -> Records:
        """The records as the model takes them."""
        way = {"binary": model.num_classes <= 2, "whole": model.dims == 3, "intensity": self._given or model.intensity}
        key = tuple(way.values())
        if key not in self._read:
            self._read[key] = sources.read(self.kind, self._data, unmarked=self._unmarked, **way)  # type: ignore[arg-type]
        return self._read[key]
