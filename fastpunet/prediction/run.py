"""One run of `fastpunet sample`: every input becomes a folder with its answer, and what is finished stays whole."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastpunet.arguments import check_count
from fastpunet.data.inputs import Input
from fastpunet.data.reading import one_line
from fastpunet.files import check_folder, write_text
from fastpunet.models.method import Method
from fastpunet.prediction.answer import write_answer
from fastpunet.prediction.drawing import draw, label_bytes
from fastpunet.prediction.fitting import check_fits, check_memory
from fastpunet.prediction.folders import alone, is_written, whole_folder
from fastpunet.prediction.halving import MEMORY, RAN_OUT, ran_out
from fastpunet.prediction.opening import Outcome, open_inputs, open_model
from fastpunet.prediction.planning import answered, groups, id_of
from fastpunet.prediction.preparation import Prepared, prepare
from fastpunet.prediction.request import Request
from fastpunet.progress import Progress
from fastpunet.sampler import Sampler

SUMMARY_FILE = "summary.json"


def run(
    model: str | os.PathLike[str],
    paths: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str],
    request: Request | None = None,
    *,
    device: str = "auto",
    batch_size: int | None = None,
    overwrite: bool = False,
    skip_existing: bool = False,
    say: Callable[[Outcome], None] | None = None,
) -> list[Outcome]:
    """Draw the hypotheses of every input, and write each answer to the folder `output`/<name of the input>.

    Args:
        model: a checkpoint or the name of shipped weights, as in `fastpunet.load`.
        paths: files, folders or patterns, see `fastpunet.data.inputs.find_inputs`.
        output: the folder of all answers; it is made if it is missing. `summary.json` in it says what became of each
            input.
        request: how hypotheses are drawn, and what is made of them.
        device: "cpu", "cuda", "cuda:1", ...; "auto" takes a GPU if there is one.
        batch_size: images that pass the networks together; None: as many as fit.
        overwrite: replace answers that are there already.
        skip_existing: keep them, if the same was asked of the same model.
        say: is called with each outcome as it comes.

    The noise of an input depends on the seed and on its name alone, so that its answer is the same whatever else is
    drawn in the run. An input that cannot be read or drawn fails alone. Returns the outcomes of all inputs.
    Raises ValueError, TypeError or OSError, before anything is drawn, for a request that cannot be met for any input.
    """
    request = request or Request()
    if batch_size is not None:
        check_count("batch_size", batch_size)
    if overwrite and skip_existing:
        raise ValueError("skip_existing: got overwrite as well, expected one of them")
    check_folder("output", Path(output))
    opened = open_model(model, request, device)
    sampler = opened.sampler
    found = open_inputs(
        paths, is_written, partial(_check, method=sampler.method, request=request, batch_size=batch_size)
    )
    about = {**opened.about, "precision": sampler.precision, "device": str(sampler.device)}
    work = _Run(sampler, request, Path(output), about, say)
    work.output.mkdir(parents=True, exist_ok=True)
    with alone(work.output):
        kept = answered(found.inputs, work.output, opened.about, overwrite=overwrite, skip_existing=skip_existing)
        for outcome in found.refused:
            work.note(outcome)
        for name in sorted(kept):
            work.note(Outcome(name, "kept", "its answer was there already"))
        work.do([source for source in found.inputs if source.name not in kept], batch_size)
    return work.outcomes


def _check(source: Input, method: Method, request: Request, batch_size: int | None) -> None:
    check_fits(source, method, request)
    check_memory(source, method, request, label_bytes(source), batch_size)


@dataclass
class _Run:
    sampler: Sampler
    request: Request
    output: Path
    about: dict[str, Any]
    say: Callable[[Outcome], None] | None
    outcomes: list[Outcome] = field(default_factory=list)

    def note(self, outcome: Outcome) -> None:
        self.outcomes.append(outcome)
        if self.say is not None:
            self.say(outcome)

    def do(self, inputs: list[Input], batch_size: int | None) -> None:
        """Draw and write the answers of all inputs. Ctrl-C leaves the finished ones, and the summary of them."""
        try:
            with Progress(len(inputs), "sampling", "image") as progress:
                for group in groups(self._prepared(inputs, progress), self.request.n, batch_size):
                    self._answer(group)
                    progress.update(len(group))
        except KeyboardInterrupt:
            done = sum(outcome.status == "done" for outcome in self.outcomes)
            raise KeyboardInterrupt(
                f"interrupted; {done} of {len(inputs)} answers are written; pass --skip-existing to go on"
            ) from None
        finally:
            with suppress(OSError):  # an error that ended the run matters more
                self._summarise()

    def _prepared(self, inputs: list[Input], progress: Progress) -> Iterator[Prepared]:
        for source in inputs:
            try:
                yield prepare(source, self.sampler.method, self.request)
            except (ValueError, OSError) as error:
                self._fail(source, error)
                progress.update(1)

    def _answer(self, group: list[Prepared]) -> None:
        """Draw a group of inputs and write their answers, each into a folder of its own."""
        short: list[str] = []
        try:
            ids = [id_of(prepared.source.name) for prepared in group]
            drawn = draw(self.sampler, group, ids, self.request, note=short.append)
        except (ValueError, MemoryError, RuntimeError) as error:
            if not isinstance(error, ValueError) and not ran_out(error):
                raise
            for prepared in group:
                self._fail(prepared.source, error)
            return
        for prepared, its in zip(group, drawn, strict=True):
            try:
                with whole_folder(self.output / prepared.source.name) as folder:
                    sentence = write_answer(folder, prepared, its, self.sampler.num_classes, self.request, self.about)
            except (ValueError, OSError) as error:
                self._fail(prepared.source, error)
                continue
            doubts = dict(prepared.warnings)
            if short:
                doubts[MEMORY] = f"{prepared.source.name}: {short[-1]}"
            self.note(Outcome(prepared.source.name, "done", sentence, doubts))

    def _fail(self, source: Input, error: Exception) -> None:
        name = "" if isinstance(error, ValueError) else f"{source.name}: "  # a ValueError names its input
        self.note(Outcome(source.name, "failed", name + (RAN_OUT if ran_out(error) else one_line(error, 1000))))

    def _summarise(self) -> None:
        images = [
            {"name": one.name, "status": one.status, "message": one.message, "warnings": list(one.warnings.values())}
            for one in self.outcomes
        ]
        text = json.dumps({**self.about, "images": images}, indent=1, ensure_ascii=False)
        write_text(self.output / SUMMARY_FILE, text + "\n")
