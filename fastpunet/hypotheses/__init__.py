"""Analyses of hypotheses: summaries over many of them, their modes, and grids over the latent space."""

from fastpunet.hypotheses.finding_modes import modes
from fastpunet.hypotheses.latent_grid import LatentGrid, decode_grid
from fastpunet.hypotheses.latent_plane import LatentPlane
from fastpunet.hypotheses.mode_result import Modes
from fastpunet.hypotheses.summary import Summary, summarize

__all__ = ["LatentGrid", "LatentPlane", "Modes", "Summary", "decode_grid", "modes", "summarize"]
