"""Probabilistic U-Nets whose structure is declared layer by layer, as checkpoints of other code need it."""

from fastpunet.models.declared.model import DeclaredUNet

__all__ = ["DeclaredUNet"]
