"""Analyses of hypotheses: summaries, modes, measures and best fits, and grids over the latent space."""

from fastpunet.hypotheses.annotation import Annotation
from fastpunet.hypotheses.assessing import assess
from fastpunet.hypotheses.assessment import Assessment
from fastpunet.hypotheses.finding_fit import best_fit
from fastpunet.hypotheses.finding_modes import modes
from fastpunet.hypotheses.fit_result import BestFit, Fit
from fastpunet.hypotheses.latent_grid import LatentGrid, decode_grid
from fastpunet.hypotheses.latent_plane import LatentPlane
from fastpunet.hypotheses.measures import Measures, measure
from fastpunet.hypotheses.mode_result import Modes
from fastpunet.hypotheses.resolution import Question, Resolution
from fastpunet.hypotheses.resolving import resolve
from fastpunet.hypotheses.summary import Summary, summarize

__all__ = [
    "Annotation",
    "Assessment",
    "BestFit",
    "Fit",
    "LatentGrid",
    "LatentPlane",
    "Measures",
    "Modes",
    "Question",
    "Resolution",
    "Summary",
    "assess",
    "best_fit",
    "decode_grid",
    "measure",
    "modes",
    "resolve",
    "summarize",
]
