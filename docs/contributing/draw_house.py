"""Draws house.svg: which room may import which, from the layers in pyproject.toml and the rooms' docstrings.

python docs/contributing/draw_house.py        # after a change to either
"""

from __future__ import annotations

import ast
import html
import re
from pathlib import Path
from textwrap import wrap

from importlinter import api

ROOT = Path(__file__).parents[2]
PICTURE = Path(__file__).with_name("house.svg")
WIDTH, LEFT, GAP, LINE, CHARACTER = 1000, 50, 6, 15, 5.7  # pixels; a character's is the average one's
IN_A_ROW = 5


def layers() -> list[list[str]]:
    """The modules of each layer, from top to bottom."""
    contracts = api.read_configuration(str(ROOT / "pyproject.toml"))["contracts_options"]
    (lines,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [line.split(" | ") for line in lines]


def purpose(module: str) -> str:
    """The first sentence of a module's docstring."""
    place = ROOT / ("kernels" if module.startswith("fastpunet_kernels") else "") / module.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    said = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    first = re.split(r"\.(?:\s|$)", " ".join(said.split()))[0]
    return re.sub(r" \(docs/\S+\)", "", first).replace("`", "")


def svg() -> str:
    """The picture, with a row of boxes for each layer."""
    drawn, top = [], 20
    for modules in layers():
        rows = [modules[i : i + IN_A_ROW] for i in range(0, len(modules), IN_A_ROW)]
        start, boxes = top, []
        for row in rows:
            width = (WIDTH - LEFT - GAP * (len(row) + 1)) / len(row)
            texts = [wrap(purpose(module), int((width - 16) / CHARACTER)) for module in row]
            height = LINE * (1 + max(map(len, texts))) + 10
            for place, (module, lines) in enumerate(zip(row, texts, strict=True)):
                boxes += _box(LEFT + GAP + place * (width + GAP), top + GAP, width, height, module, lines)
            top += height + GAP
        band = (
            f'<rect x="{LEFT}" y="{start}" width="{WIDTH - LEFT}" height="{top - start + GAP}" rx="6" fill="#e8edf3"/>'
        )
        drawn += [band, *boxes]
        top += GAP + 4
    return "\n".join([*_frame(top), *drawn, "</svg>", ""])


def _box(x: float, y: float, width: float, height: float, module: str, lines: list[str]) -> list[str]:
    name = module.removeprefix("fastpunet.")
    spans = "".join(f'<tspan x="{x + 8:g}" dy="{LINE}">{html.escape(line)}</tspan>' for line in lines)
    return [
        f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4" fill="#ffffff" stroke="#9fb0c3"/>',
        f'<text x="{x + 8:g}" y="{y + 16:g}" font-weight="bold">{name}</text>',
        f'<text x="{x + 8:g}" y="{y + 16:g}">{spans}</text>',
    ]


def _frame(bottom: int) -> list[str]:
    """The background, and an arrow down the left side."""
    middle = bottom // 2
    return [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 10} {bottom + 10}" font-family="sans-serif" '
        'font-size="12" fill="#1d2733">',
        f'<rect width="{WIDTH + 10}" height="{bottom + 10}" fill="#ffffff"/>',
        f'<path d="M 30 20 V {bottom - 16} m -7 -9 l 7 10 l 7 -10" fill="none" stroke="#3b6ea5" stroke-width="3"/>',
        f'<text transform="translate(18 {middle}) rotate(-90)" text-anchor="middle">'
        "a room imports from those below</text>",
    ]


if __name__ == "__main__":
    PICTURE.write_text(svg(), encoding="utf-8")
