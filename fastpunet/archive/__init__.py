"""Archives: hypotheses of any number of images in a Zarr v3 store, with a table of their measures (docs/archive.md)."""

from fastpunet.archive.samples import StoredHypotheses, StoredSamples, open_samples

__all__ = ["StoredHypotheses", "StoredSamples", "open_samples"]
