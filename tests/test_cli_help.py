"""What the command line says about itself: help, facts for bug reports, completion."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fastpunet.cli import COMMANDS, main


def test_the_help_lists_each_command_once_under_a_task(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    listed = [line.split()[0] for line in said.splitlines() if line.startswith("  ")]
    assert listed == list(COMMANDS)
    modules = {path.stem for path in Path(sys.modules["fastpunet.cli"].__path__[0]).glob("*.py")}
    assert set(listed) == modules - {"__init__", "__main__", "running", "telling"}


def test_facts_of_the_machine_as_json(capsys):
    assert main(["info", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert main(["info"]) == 0
    said = capsys.readouterr().out
    assert facts["packages"]["torch"] in said
    assert facts["devices"][0]["device"] == "cpu"
    assert facts["devices"][0]["backends"]["reference"] == "ready"
    assert f"auto takes {facts['devices'][0]['auto']}" in said
    assert facts["weights"] == ["lesions", "lidc-tiny"]


def test_facts_of_a_model_as_json(capsys):
    assert main(["info", "lesions", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["method"] == "ProbabilisticUNet"
    assert facts["config"]["channels"] == [16, 32, 48, 64]
    assert facts["image_size"] == [64, 64]
    assert facts["calibration"]["images"] == 100


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
def test_bash_completes_commands_and_options(capsys, tmp_path):
    pytest.importorskip("shtab")
    assert main(["completion", "bash"]) == 0
    script = tmp_path / "completion.sh"
    script.write_text(capsys.readouterr().out)

    def completed(*words: str) -> set[str]:
        ask = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _shtab_fastpunet; echo "${COMPREPLY[@]}"'
        done = subprocess.run(["bash", "-c", ask, "bash", script, *words], capture_output=True, text=True, check=False)
        return set(done.stdout.split())

    assert completed("fastpunet", "sa") == {"sample"}
    assert completed("fastpunet", "sample", "--mod") == {"--modes"}
    assert completed("fastpunet", "evaluate", "--yardst") == set()


def test_a_reader_that_stops_reading_is_no_error():
    command = f"{sys.executable} -m fastpunet.cli completion bash | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("#")
    assert done.stderr == ""
