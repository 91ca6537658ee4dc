"""What to do with a thousand hypotheses."""

from fastpunet.hypotheses.latent_grid import LatentGrid, decode_grid
from fastpunet.hypotheses.latent_plane import LatentPlane
from fastpunet.hypotheses.summary import Summary, summarize

__all__ = ["LatentGrid", "LatentPlane", "Summary", "decode_grid", "summarize"]
