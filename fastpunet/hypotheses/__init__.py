"""Analyses of hypotheses: summaries over many of them, and grids over the latent space."""

from fastpunet.hypotheses.latent_grid import LatentGrid, decode_grid
from fastpunet.hypotheses.latent_plane import LatentPlane
from fastpunet.hypotheses.summary import Summary, summarize

__all__ = ["LatentGrid", "LatentPlane", "Summary", "decode_grid", "summarize"]
