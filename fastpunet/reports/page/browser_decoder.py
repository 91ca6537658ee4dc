"""All that a browser needs to decode a latent as the kernels do."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastpunet.models.latent_method import LatentEncoding
from fastpunet.models.map_encoding import MapEncoding
from fastpunet.reports.page.compact import compact
from fastpunet.reports.page.region import Region, Span, Underlying


def browser_decoder(
    encoding: LatentEncoding, region: Region, size: tuple[int, int], *, resampled: bool, half: bool
) -> dict[str, Any]:
    """`Decoder` of case.ts, which gives the labels of a region of the image.

    encoding   of one image of two dimensions, on the grid that the model looks at
    size       of the image on its own grid
    resampled  whether these grids are not the same
    half       whether the features are rounded to half precision, which is half as large
    """
    rows, columns = (
        Underlying.of(span, length, model_length, resampled=resampled)
        for span, length, model_length in zip((region.rows, region.columns), size, encoding.size, strict=True)
    )
    base = encoding.base[0].unflatten(0, encoding.size).cpu().numpy()
    base = base[rows.span.start : rows.span.stop, columns.span.start : columns.span.stop]
    decoder = encoding.decoder
    return {
        "base": compact(base.astype(np.float16 if half else np.float32)),
        "zWeight": compact(decoder.z_weight.cpu().numpy()),
        "layers": [
            {"weight": compact(weight.cpu().numpy()), "bias": compact(bias.cpu().numpy())}
            for weight, bias in zip(decoder.weights, decoder.biases, strict=True)
        ],
        "map": _map(encoding, rows.span, columns.span) if isinstance(encoding, MapEncoding) else None,
        "place": {
            "row": region.rows.start,
            "column": region.columns.start,
            "height": len(region.rows),
            "width": len(region.columns),
            "resample": None
            if rows.weights is None or columns.weights is None
            else {"rows": compact(rows.weights), "columns": compact(columns.weights)},
        },
    }


def _map(encoding: MapEncoding, rows: Span, columns: Span) -> dict[str, Any]:
    """`LatentMap` of case.ts; the corners of the map and of the model's whole grid are aligned."""
    step = [(cells - 1) / max(1, length - 1) for cells, length in zip(encoding.grid, encoding.size, strict=True)]
    return {
        "channels": encoding.map_weight.shape[1],
        "rows": encoding.grid[0],
        "columns": encoding.grid[1],
        "weight": compact(encoding.map_weight.cpu().contiguous().numpy()),
        "origin": [span.start * each for span, each in zip((rows, columns), step, strict=True)],
        "step": step,
    }
