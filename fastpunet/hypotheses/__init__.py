"""What to do with a thousand hypotheses."""

from fastpunet.hypotheses.summary import Summary, summarize

__all__ = ["Summary", "summarize"]
