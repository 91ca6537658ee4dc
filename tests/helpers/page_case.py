"""What page/src/case.ts says of a page's data, in plain NumPy."""

import base64
import json
import zlib
from html.parser import HTMLParser

import numpy as np


class _Reader(HTMLParser):
    """Collects the text of every script, and all tags."""

    def __init__(self):
        super().__init__(convert_charrefs=True)
        self.tags, self.scripts = [], []
        self._in_script = False

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._in_script = tag == "script"
        if self._in_script:
            self.scripts.append("")

    def handle_endtag(self, tag):  # noqa: ARG002
        self._in_script = False

    def handle_data(self, data):
        if self._in_script:
            self.scripts[-1] += data


def read_html(html):
    """The tags of a page and the texts of its scripts, of which the first is the case, as a browser sees them."""
    reader = _Reader()
    reader.feed(html)
    return reader.tags, reader.scripts


def read_case(html):
    return json.loads(read_html(html)[1][0])


def unpack(packed):
    data = zlib.decompress(base64.b64decode(packed["data"]))
    if packed["dtype"] == "bits":
        *outer, width = packed["shape"]
        rows = np.frombuffer(data, np.uint8).reshape(*outer, -(-width // 8))
        return np.unpackbits(rows, axis=-1, count=width, bitorder="little").astype(bool)
    return np.frombuffer(data, np.dtype(packed["dtype"]).newbyteorder("<")).reshape(packed["shape"])


def decode(case, z):
    """The label map, uint8 (height, width), of a latent z (latent_dim,)."""
    decoder = case["pad"]["decoder"]
    place, base = decoder["place"], unpack(decoder["base"]).astype(np.float64)
    z_weight = unpack(decoder["zWeight"])
    first = base + z_weight @ z[: z_weight.shape[1]]
    if decoder["map"]:
        first = first + _mapped(decoder["map"], z[z_weight.shape[1] :], base.shape[:2])
    values = np.maximum(first, 0)
    for layer in decoder["layers"][:-1]:
        values = np.maximum(values @ unpack(layer["weight"]).T + unpack(layer["bias"]), 0)
    last = decoder["layers"][-1]
    logits = values @ unpack(last["weight"]).T + unpack(last["bias"])
    if place["resample"]:
        rows, columns = (unpack(place["resample"][name]) for name in ("rows", "columns"))
        logits = np.einsum("yi,xj,ijk->yxk", rows, columns, logits, optimize=True)
    found = (logits[..., 0] > 0) if logits.shape[-1] == 1 else logits.argmax(-1)
    assert found.shape == (place["height"], place["width"])
    labels = np.zeros((case["image"]["height"], case["image"]["width"]), np.uint8)
    labels[place["row"] :, place["column"] :][: place["height"], : place["width"]] = found
    return labels


def _mapped(described, latents, size):
    cells = latents.reshape(described["channels"], described["rows"], described["columns"])
    weights = [
        _linear(start + np.arange(length) * step, count)
        for start, step, length, count in zip(
            described["origin"], described["step"], size, (described["rows"], described["columns"]), strict=True
        )
    ]
    at_pixels = np.einsum("yi,xj,cij->yxc", *weights, cells)
    return at_pixels @ unpack(described["weight"]).T


def _linear(places, count):
    """The weights of the cells 0 .. count - 1 at places between them."""
    return np.maximum(0, 1 - np.abs(places[:, None] - np.arange(count)))
