"""Runs notebooks with the interpreter at hand. `python -m helpers.notebooks FILE` in tests/ renews a file's outputs."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

_FOLDERS = ("IPYTHONDIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR")


def execute(notebook, folder, timeout=300):
    """Run all cells in a folder and keep their outputs; the first error is raised. The home folder is not touched.

    Kernels that somebody has installed are not looked for, so that this very interpreter runs the notebook.
    """
    environment = os.environ | {name: str(Path(folder, name.lower())) for name in _FOLDERS}
    kernel = AsyncKernelManager(kernel_name="python3", kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    resources = {"metadata": {"path": str(folder)}}
    options = {"timeout": timeout, "record_timing": False, "coalesce_streams": True}  # lines may come one by one
    client = NotebookClient(notebook, km=kernel, resources=resources, **options)
    client.execute(env=environment)


def main(file):
    notebook = nbformat.read(file, as_version=4)
    with TemporaryDirectory() as folder:
        execute(notebook, folder)
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, file)


if __name__ == "__main__":
    main(sys.argv[1])
