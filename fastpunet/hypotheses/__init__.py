"""Analyses of hypotheses: summaries, modes, measures and best fits, and grids over the latent space."""

from fastpunet.hypotheses.alternatives.finding_modes import modes
from fastpunet.hypotheses.alternatives.mode_result import Modes
from fastpunet.hypotheses.assessments.assessing import assess
from fastpunet.hypotheses.assessments.assessment import Assessment
from fastpunet.hypotheses.fits.annotation import Annotation
from fastpunet.hypotheses.fits.finding_fit import best_fit
from fastpunet.hypotheses.fits.fit_result import BestFit, Fit
from fastpunet.hypotheses.latent_space.latent_grid import LatentGrid, decode_grid
from fastpunet.hypotheses.latent_space.latent_plane import LatentPlane
from fastpunet.hypotheses.measures import Measures, measure
from fastpunet.hypotheses.questions.resolution import Question, Resolution
from fastpunet.hypotheses.questions.resolving import resolve
from fastpunet.hypotheses.summaries.summary import Summary, summarize

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
