"""The directive `printed-help COMMAND`: what `fastpunet COMMAND --help` prints, without a process for each command."""

import os
from contextlib import redirect_stdout
from io import StringIO
from unittest.mock import patch

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from fastpunet.cli import main


class PrintedHelp(SphinxDirective):
    optional_arguments = 1

    def run(self) -> list[nodes.Node]:
        with patch.dict(os.environ, COLUMNS="80"), redirect_stdout(StringIO()) as printed:
            status = main([*self.arguments, "--help"])
        if status:
            raise self.error(f"fastpunet {' '.join(self.arguments)} --help ends with status {status}")
        return [nodes.literal_block(text := printed.getvalue(), text, language="text")]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("printed-help", PrintedHelp)
    return {"parallel_read_safe": True}
