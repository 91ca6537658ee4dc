"""Images of any size by overlapping windows that share one latent per hypothesis."""

from fastpunet.windows.windowed import windowed

__all__ = ["windowed"]
