"""What whoever runs an exported file must know of it: entries of JSON that the file carries."""

from __future__ import annotations

from importlib import metadata
from typing import Any

from fastpunet.models import Method
from fastpunet.models.exportable import Exportable
from fastpunet.models.header_entries import describe

FORMAT = 1  # of these entries and of what the programs take and give
KEY = "fastpunet"  # under which a file has them


def facts_of(method: Method, exportable: Exportable, program: str) -> dict[str, Any]:
    """The entries of one of a model's programs, "encode" or "decode"."""
    return {
        "format": FORMAT,
        "fastpunet": metadata.version("fastpunet"),
        "program": program,
        "method": method.name,
        "in_channels": method.in_channels,
        "num_classes": method.num_classes,
        "dims": method.dims,
        "latent_dim": method.latent_dim,
        "latent_maps": getattr(method, "latent_maps", 0),
        "prior": None if exportable.prior is None else type(exportable.prior).__name__,
        "label": "1 where the logit is above 0" if method.num_classes == 1 else "the class of the largest logit",
        **describe(method),
    }
