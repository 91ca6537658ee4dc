"""Analyses of hypotheses: summaries, modes and measures of many of them, and grids over the latent space."""

from fastpunet.hypotheses.finding_modes import modes
from fastpunet.hypotheses.latent_grid import LatentGrid, decode_grid
from fastpunet.hypotheses.latent_plane import LatentPlane
from fastpunet.hypotheses.measures import Measures, measure
from fastpunet.hypotheses.mode_result import Modes
from fastpunet.hypotheses.resolution import Question, Resolution
from fastpunet.hypotheses.resolving import resolve
from fastpunet.hypotheses.summary import Summary, summarize

__all__ = [
    "LatentGrid",
    "LatentPlane",
    "Measures",
    "Modes",
    "Question",
    "Resolution",
    "Summary",
    "decode_grid",
    "measure",
    "modes",
    "resolve",
    "summarize",
]
