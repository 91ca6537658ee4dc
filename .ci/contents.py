"""Checks what a source archive and wheels hold: all that git has of the packages, and nothing else.

python .ci/contents.py DIST...
"""

import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

BESIDE = {"CHANGELOG.md", "CITATION.cff", "LICENSE", "MANIFEST.in", "PKG-INFO", "README.md", "constraints.txt"}
BUILDING = {"pyproject.toml", "setup.cfg", "setup.py"}


def packaged() -> set[str]:
    """The files of the packages, as git knows them."""
    listed = subprocess.run(["git", "ls-files", "fastpunet", "kernels"], capture_output=True, text=True, check=True)
    return set(listed.stdout.split())


def check_source(path: Path) -> None:
    with tarfile.open(path) as archive:
        names = {member.name.split("/", 1)[1] for member in archive if member.isfile()}
    report(path, names, packaged() | BESIDE | BUILDING, r"fastpunet\.egg-info/")


def check_wheel(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        names = {name for name in archive.namelist() if not name.endswith("/")}
    compiled = {name for name in names if re.fullmatch(r"fastpunet_kernels/native/_kernels\..*\.so", name)}
    assert len(compiled) == 1, f"{path}: got {len(compiled)} compiled modules, expected one"
    expected = {name.removeprefix("kernels/") for name in packaged()} | compiled
    report(path, names, expected, r"fastpunet-[^/]*\.dist-info/")


def report(path: Path, names: set[str], expected: set[str], written: str) -> None:
    """Print the size; raise SystemExit for a file too many or too few. written: what building tools add."""
    names = {name for name in names if not re.match(written, name)}
    if names != expected:
        more, less = sorted(names - expected), sorted(expected - names)
        raise SystemExit(f"{path}: not expected: {more}; missing: {less}")
    print(f"{path.name}: {len(names)} files, {path.stat().st_size / 1e6:.1f} MB")


def check_version(path: Path) -> None:
    """A version without "dev" is a release, and has to be the one that CITATION.cff names."""
    version = path.name.removesuffix(".tar.gz").split("-")[1]
    cited = re.search(r"^version: (\S+)$", Path("CITATION.cff").read_text(), re.MULTILINE)
    assert cited
    if "dev" not in version and version != cited[1]:
        raise SystemExit(f"{path}: got the version {version}, expected {cited[1]} as in CITATION.cff")


for given in map(Path, sys.argv[1:]):
    check_version(given)
    (check_source if given.name.endswith(".tar.gz") else check_wheel)(given)
