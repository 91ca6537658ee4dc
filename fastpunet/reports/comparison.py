"""Methods side by side on one data set, out of stored checkpoints."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fastpunet.data import sources
from fastpunet.metrics import Convention, default_convention, find_convention
from fastpunet.models import checkpoint
from fastpunet.reports.evaluation import Evaluation, evaluate
from fastpunet.reports.sample_grid import Picture, draw_pictures

_SEEDED = re.compile(r"(?P<name>.+)-seed(?P<seed>\d+)")


@dataclass(frozen=True)
class Comparison:
    """What was scored, how, and the evaluations: by method, then by checkpoint, one for each seed of its training."""

    data: str
    ns: list[int]
    seed: int
    convention: str
    graders: int | None  # annotations an image, if all have as many
    evaluations: dict[str, dict[str, Evaluation]]
    pictures: list[Picture]
    introduction: str  # of the folder that the checkpoints are in

    @cached_property
    def pooled(self) -> dict[str, Evaluation]:
        """Every method over all its checkpoints."""
        return {name: Evaluation.pooled(list(parts.values())) for name, parts in self.evaluations.items()}

    @property
    def shared_n(self) -> int:
        """The largest number of hypotheses that all methods have."""
        return max(n for n in self.ns if all(n in evaluation.scores for evaluation in self.pooled.values()))

    @property
    def perfect(self) -> dict[int, float]:
        """What a model that draws as graders do scores under V at each n; empty if that is not known."""
        if self.graders is None or self.graders < 2:
            return {}
        any_method = next(iter(self.pooled.values()))
        return {n: any_method.perfect(self.graders, n) for n in self.ns}


def compare(
    models: Sequence[str],
    data: str | os.PathLike[str],
    *,
    kind: str = "lidc",
    ns: Sequence[int] = (1, 4, 8, 16, 1000),
    seed: int = 0,
    convention: str | Convention | None = None,
) -> Comparison:
    """Score models on a data set. Arguments as of `evaluate`; `kind` and `data` as of `fastpunet.data.sources.read`.

    models: names of shipped weights, checkpoints, or folders of checkpoints. In a folder NAME-seed0.safetensors,
    NAME-seed1.safetensors, ... are one method, and its README.md introduces the report.
    """
    found = checkpoints(models)
    first = checkpoint.load(next(iter(next(iter(found.values())).values())))
    rule = default_convention(first.num_classes) if convention is None else find_convention(convention)
    records = sources.read(kind, data, binary=first.num_classes <= 2)
    evaluations = {
        name: {
            part: evaluate(checkpoint.load(source), records, ns=ns, seed=seed, convention=rule, label=part)
            for part, source in parts.items()
        }
        for name, parts in found.items()
    }
    counts = {len(record.masks) if record.weights is None else None for record in records}
    return Comparison(
        data=Path(data).name,
        ns=sorted(set(ns)),
        seed=seed,
        convention=rule.name,
        graders=counts.pop() if len(counts) == 1 else None,
        evaluations=evaluations,
        pictures=draw_pictures({name: next(iter(parts.values())) for name, parts in found.items()}, records, seed),
        introduction=_introduction(models),
    )


def checkpoints(models: Iterable[str]) -> dict[str, dict[str, str]]:
    """Checkpoints by method, then by name. Raises ValueError for a folder without any."""
    found: dict[str, dict[str, str]] = {}
    for source in models:
        if not Path(source).is_dir():
            found[source] = {source: source}
            continue
        files = sorted(Path(source).glob("*.safetensors"))
        if not files:
            raise ValueError(f"models: {source} holds no .safetensors file; expected a checkpoint, or a folder of them")
        for file in files:
            seeded = _SEEDED.fullmatch(file.stem)
            found.setdefault(seeded["name"] if seeded else file.stem, {})[file.stem] = str(file)
    return found


def _introduction(models: Iterable[str]) -> str:
    files = [Path(source) / "README.md" for source in models]
    return "\n".join(file.read_text(encoding="utf-8") for file in files if file.is_file())
