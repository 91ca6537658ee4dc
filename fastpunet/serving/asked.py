"""What a client can ask for: the parameters behind the ? of an address."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from fastpunet.intensity import Intensity
from fastpunet.latents import SEED_LIMIT
from fastpunet.prediction.request import Request


class Asked(BaseModel):
    """How the hypotheses of an image are drawn. The fields have the meaning of the options of `fastpunet sample`."""

    model_config = ConfigDict(extra="forbid")

    n: int = Field(1000, ge=1, description="Hypotheses of the image.")
    seed: int = Field(0, ge=0, lt=SEED_LIMIT, description="Seed of the hypotheses.")
    id: int | None = Field(
        None,
        ge=0,
        lt=SEED_LIMIT,
        description="Whose noise the hypotheses have; without it, a number that follows from the name alone.",
    )
    name: str = Field(
        "image",
        min_length=1,
        max_length=200,
        description="Name of the file. With the same name, fastpunet sample draws the same hypotheses. DICOM files "
        "without a preamble are recognised by the ending .dcm.",
    )
    intensity: str | None = Field(
        None,
        description="Which grey values become 0 and 1: range:LOW:HIGH, window:CENTRE:WIDTH or percentiles:LOW:HIGH; "
        "without it, as in the model's training.",
    )
    spacing: str | None = Field(
        None, description="mm between pixels along each axis, such as 0.7 or 2.5,0.7,0.7, if the file does not say it."
    )
    convert: bool = Field(False, description="Turn colours into grey, or grey into colours, as the model wants them.")
    modes: int = Field(0, ge=0, le=100, description="How many alternatives to find; 0: as many as there are.")

    def request(self, *, modes: int | None = None, maps: bool = False) -> Request:
        """The same in the terms of `prediction`. Raises ValueError, naming the parameter."""
        return Request(
            n=self.n,
            seed=self.seed,
            intensity=None if self.intensity is None else Intensity.parse(self.intensity),
            spacing=None if self.spacing is None else _numbers(self.spacing),
            convert=self.convert,
            mean=maps,
            entropy=maps,
            modes=modes,
        )


class AskedSample(Asked):
    """What is asked of the endpoint `sample`."""

    output: Literal["answer", "bits", "maps", "measures"] = Field(
        "answer",
        description="answer: JSON of the presence, the sizes and the modes with their outlines. bits: all hypotheses "
        "as an npz file, one bit for each pixel and class. maps: mean probability and entropy as an npz file. "
        "measures: a CSV table of every hypothesis.",
    )


def _numbers(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise ValueError(f"spacing: got {text!r}, expected millimetres, such as 0.7 or 2.5,0.7,0.7") from None
