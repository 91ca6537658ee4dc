"""Environment variables: what they mean, and errors that name them."""

from pathlib import Path

import pytest

from fastpunet_kernels import environment


def test_the_instruction_set_is_the_best_one_or_the_one_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FASTPUNET_CPU_CAPABILITY", raising=False)
    assert environment.cpu_capability(["portable", "avx2"]) == "avx2"
    monkeypatch.setenv("FASTPUNET_CPU_CAPABILITY", "portable")
    assert environment.cpu_capability(["portable", "avx2"]) == "portable"
    monkeypatch.setenv("FASTPUNET_CPU_CAPABILITY", "avx512")
    with pytest.raises(ValueError, match="^FASTPUNET_CPU_CAPABILITY: got 'avx512', expected one of portable"):
        environment.cpu_capability(["portable", "avx2"])


def test_processes_are_torchruns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert environment.processes() == (1, 1)
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    assert environment.processes() == (4, 2)
    for wrong in ("two", "0", "-1", ""):
        monkeypatch.setenv("WORLD_SIZE", wrong)
        with pytest.raises(ValueError, match=f"^WORLD_SIZE: got '{wrong}', expected a whole number"):
            environment.processes()


def test_the_cache_is_where_the_variable_says_if_that_is_absolute(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert environment.cache_folder() == tmp_path / "fastpunet"
    for ignored in ("", "some/where"):
        monkeypatch.setenv("XDG_CACHE_HOME", ignored)
        assert environment.cache_folder() == Path.home() / ".cache" / "fastpunet"


def test_only_1_asks_for_the_interpreter(monkeypatch: pytest.MonkeyPatch) -> None:
    for value, interpreted in (("1", True), ("0", False), ("", False)):
        monkeypatch.setenv("TRITON_INTERPRET", value)
        assert environment.triton_is_interpreted() == interpreted
