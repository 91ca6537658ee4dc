"""Reads a data set in the form that a model takes."""

from __future__ import annotations

import os

from fastpunet.data import Records, sources
from fastpunet.intensity import Intensity
from fastpunet.models import Method


class DataSet:
    """One data set, read in the form that each model takes, and only once for all models that take the same form.

    Binary models get masks of two values. Models of volumes get whole volumes. NIfTI volumes are turned to the
    orientation of the model's training. Grey values are scaled as in the model's
    training, if that is known, unless a rule is given.

    data, kind: see `fastpunet.data.sources.read`. Without a kind, the data set is recognised by its content. unmarked:
    whether slices in which nobody marked anything are records too. intensity: a rule for these data, in the form of
    `Intensity.parse`, which replaces the models' own rules. Raises ValueError or FileNotFoundError for missing, broken
    or unknown data.
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
        self.path, self._unmarked = data, unmarked
        self._read: dict[object, Records] = {}

    def records_for(self, model: Method) -> Records:
        """The records in the form that the model takes."""
        return self.records_in(
            model.num_classes, whole=model.dims == 3, intensity=model.intensity, orientation=model.orientation
        )

    def records_in(
        self,
        num_classes: int,
        *,
        whole: bool = False,
        intensity: Intensity | None = None,
        orientation: str | None = None,
    ) -> Records:
        """The records with masks of so many classes, volumes whole or as slices, grey values by a rule, axes turned."""
        way = {
            "binary": num_classes <= 2,
            "whole": whole,
            "intensity": self._given or intensity,
            "orientation": orientation,
        }
        key = tuple(way.values())
        if key not in self._read:
            self._read[key] = sources.read(self.kind, self.path, unmarked=self._unmarked, **way)  # type: ignore[arg-type]
        return self._read[key]
