"""Models written elsewhere, wrapped as methods: found by their parts, run as they are, and verified."""

from fastpunet.models.adapters.adapted import AdaptedModel
from fastpunet.models.adapters.registry import adapt, register

__all__ = ["AdaptedModel", "adapt", "register"]
