"""Where reports are written, and on what device they are computed."""

import pytest
import torch

from fastpunet.devices import find_device
from fastpunet.reports.outputs import check_stem, check_writable


def test_a_file_that_cannot_be_written_is_refused_and_nothing_is_made(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"output: got '.*file/x.png', where nothing can be written .*file"):
        check_writable("output", tmp_path / "file" / "x.png")
    with pytest.raises(ValueError, match="which is a folder; expected a file, such as"):
        check_writable("output", tmp_path)
    check_writable("output", tmp_path / "new" / "deep" / "x.png")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_stem_is_the_beginning_of_names(tmp_path):
    assert check_stem(tmp_path / "new" / "lidc").name == "lidc"
    for wrong in (f"{tmp_path}/", ""):
        with pytest.raises(ValueError, match="expected the beginning of file names"):
            check_stem(wrong)
    (tmp_path / "taken.md").mkdir()
    with pytest.raises(ValueError, match="which is a folder"):
        check_stem(tmp_path / "taken")


def test_devices_go_by_their_names():
    assert find_device("cpu") == torch.device("cpu")
    assert find_device().type == ("cuda" if torch.cuda.is_available() else "cpu")
    for wrong in ("gpu", "mps", ""):
        with pytest.raises(ValueError, match=f"device: got '{wrong}', expected"):
            find_device(wrong)
    with pytest.raises(ValueError, match=r"device: got 'cuda:99', but PyTorch finds \d+ GPUs here"):
        find_device("cuda:99")
