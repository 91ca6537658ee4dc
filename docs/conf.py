"""The documentation site: `sphinx-build -W --keep-going docs site` builds it, and takes every warning for an error."""

import sys
from pathlib import Path

import fastpunet

sys.path.append(str(Path(__file__).parent / "_extensions"))

project = "fastpunet"
version = release = fastpunet.__version__
extensions = [
    "myst_parser",
    "plain_docstrings",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "printed_help",
]
exclude_patterns = ["conftest.py", "_extensions"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
napoleon_numpy_docstring = False
maximum_signature_line_length = 80
html_theme = "furo"
html_title = "fastpunet"
html_show_copyright = False
