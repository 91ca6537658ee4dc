"""What the command line says about itself: help, facts for bug reports, completion."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import fastpunet
from fastpunet.cli import COMMANDS, command, main
from fastpunet.data.kinds import KINDS


def test_the_help_lists_each_command_once_under_a_task(capsys):
    assert main(["--help"]) == 0
    said = capsys.readouterr().out
    listed = [line.split()[0] for line in said.splitlines() if line.startswith("  ")]
    assert listed == list(COMMANDS)
    modules = {path.stem for path in Path(sys.modules["fastpunet.cli"].__path__[0]).glob("*.py")}
    assert set(listed) == modules - {"__init__", "__main__", "running", "telling", "wording"}


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


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sampel", "unknown command sampel; did you mean sample? See fastpunet --help"),
        ("zzz", f"unknown command zzz, expected one of {', '.join(COMMANDS)}; see fastpunet --help"),
    ],
)
def test_an_unknown_command_is_told_what_was_probably_meant(capsys, name, said):
    assert main([name, "lesions"]) == 2
    assert capsys.readouterr().err == f"fastpunet: {said}\n"


def test_an_option_is_explained_alike_by_every_command():
    """But for -n, --seed, --output and the like, which are about something else in each command."""
    shared = ("--kind", "--device", "--threads", "--precision", "--spacing", "--convert", "--window", "--intensity")
    explained = {name: set() for name in shared}
    for command_name in set(COMMANDS) - {"train", "prepare"}:  # whose options say how to train, and what to write
        for action in command(command_name).parser()._actions:
            for name in set(shared) & set(action.option_strings):
                explained[name].add(action.help)
    assert {name: len(texts) for name, texts in explained.items()} == dict.fromkeys(shared, 1)
    (kinds,) = explained["--kind"]
    assert all(kind in kinds for kind in KINDS)


def test_help_tells_defaults_also_where_they_are_zero(capsys):
    assert main(["latent", "--help"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "random seed of the draws that find the axes (default: 0)" in said
    assert "flip five classes at random --image" in said


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


def test_the_version_is_printed(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"fastpunet {fastpunet.__version__}\n"
