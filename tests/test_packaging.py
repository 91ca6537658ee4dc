"""What an installation of the core alone may count on, and what the package says of itself."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import fastpunet

ROOT = Path(__file__).parents[1]
CORE = {"torch", "triton", "numpy", "safetensors", "fastpunet", "fastpunet_kernels"}
COMES_WITH = {"starlette": "fastapi", "pydantic": "fastapi", "torchmetrics": "lightning"}


def test_importing_needs_nothing_that_torch_does_not_import() -> None:
    found = _python(
        "import sys, torch, safetensors.torch, numpy.typing; before = set(sys.modules); import fastpunet;"
        "print(*{name.split('.')[0] for name in set(sys.modules) - before} - set(sys.stdlib_module_names))"
    )
    assert set(found.split()) - {"torch"} == {"fastpunet", "fastpunet_kernels"}


def test_every_import_of_an_extras_package_says_which_extra_to_install() -> None:
    for path in sorted((ROOT / "fastpunet").rglob("*.py")):
        told = CORE | {package for file in (path, *_above(path)) for package, _ in _told(file)}
        others = _imported(_tree(path)) - set(sys.stdlib_module_names) - _excused(path)
        assert all({package, COMES_WITH.get(package)} & told for package in others), (path, others - told)


def test_the_extra_that_an_error_names_has_the_package() -> None:
    wanted = {pair for path in (ROOT / "fastpunet").rglob("*.py") for pair in _told(path)}
    assert {("PIL", "data"), ("zarr", "cluster"), ("matplotlib", "report")} <= wanted  # by `require`, and by `with`
    brought = _brought()
    names = metadata.packages_distributions()
    for package, extras in sorted(wanted):
        has = set().union(*(brought[extra] for extra in extras.split(",")))
        assert has & {_plain(name) for name in (*names[package], COMES_WITH.get(package, ""))}, (package, extras)


def test_without_extras_the_core_works_and_the_rest_says_what_to_install(tmp_path: Path) -> None:
    """In a process in which nothing but the core can be imported."""
    brought = set().union(*_brought().values()) - {"setuptools"}
    installed = metadata.packages_distributions().items()
    blocked = sorted(package for package, names in installed if brought & {_plain(name) for name in names})
    assert {"jsonargparse", "PIL", "matplotlib", "scipy", "zarr", "lightning"} <= set(blocked)
    said = _python(f"import sys; sys.modules.update(dict.fromkeys({blocked}))\n{_CORE_ALONE}", tmp_path)
    lines = dict(line.split(": ", 1) for line in said.splitlines())
    assert lines.pop("core") == "works"
    assert len(lines) > 30
    for what, message in lines.items():
        assert re.search(r"needs [\w.]+; install it with pip install 'fastpunet\[[a-z,]+\]'$", message), (what, message)


_CORE_ALONE = """
import contextlib, importlib, io, torch, fastpunet
from fastpunet import cli
from fastpunet.data.lesions import SyntheticLesions
record = SyntheticLesions(1)[0]
image = torch.from_numpy(record.image)[None]
model = fastpunet.load("lesions")
summary = fastpunet.summarize(model, image, 16, seed=0)
masks = fastpunet.sample(model, image, 16, seed=0)
fastpunet.energy_distance(masks, torch.from_numpy(record.masks)[None])
print("core: works")
def told(what, call):
    try:
        call()
    except ModuleNotFoundError as error:
        print(f"{what}: {error}")
for name in (
    "cli.train", "training.run", "integrations.monai", "integrations.lightning", "metrics.modules", "serving.app",
    "reports.demo", "reports.figures", "scoring.evaluate", "prediction.run", "data.lidc.prepare",
):
    told(name, lambda: importlib.import_module(f"fastpunet.{name}"))
told("report", lambda: fastpunet.report)
told("onnx", lambda: fastpunet.export(model, "m.onnx"))
told("plot", lambda: summary.plot())
told("push_to_hub", lambda: model.push_to_hub("a/b"))
for command in ("", "--help", *cli.COMMANDS):
    said = io.StringIO()
    with contextlib.redirect_stderr(said):
        status = cli.main([command] if command else [])
    assert status == 2, command
    print(f"command {command}: {said.getvalue().strip()}")
"""


def test_the_versions_that_people_cite_and_read_of_are_one() -> None:
    cited = re.search(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    newest = re.search(r"^## (\S+)", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    assert cited
    assert newest
    assert cited[1] == newest[1]


def test_the_version_is_that_of_the_installation() -> None:
    assert fastpunet.__version__ == metadata.version("fastpunet")


def _python(code: str, folder: Path = ROOT) -> str:
    """What Python prints, in a process of its own that runs in a folder."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def _above(path: Path) -> Iterator[Path]:
    """The __init__.py of the packages around a module, which Python runs first."""
    folders = path.relative_to(ROOT).parents
    yield from (ROOT / folder / "__init__.py" for folder in folders if folder != Path())


def _imported(tree: ast.AST) -> set[str]:
    """The packages that are imported somewhere in the tree."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def _excused(path: Path) -> set[str]:
    """The packages that a file imports for annotations alone, or whose absence it bears."""
    found = set()
    for node in ast.walk(_tree(path)):
        annotations = isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        if annotations or isinstance(node, ast.Try):
            found |= _imported(node)
    return found


def _told(path: Path) -> Iterator[tuple[str, str]]:
    """The packages that a file imports by `with needed_for(...)` or `require(...)`, and the extras that it names."""
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.With) and _called(node.items[0].context_expr) == "needed_for":
            for package in _imported(node):
                yield package, _extra(node.items[0].context_expr, 1)
        elif isinstance(node, ast.Call) and _called(node) == "require" and isinstance(node.args[0], ast.Constant):
            yield str(node.args[0].value).split(".")[0], _extra(node, 2)


def _called(node: ast.AST) -> str:
    return getattr(node.func, "id", "") if isinstance(node, ast.Call) else ""


def _extra(call: ast.AST, place: int) -> str:
    assert isinstance(call, ast.Call)
    return ast.literal_eval(call.args[place]) if len(call.args) > place else "data"


def _brought() -> dict[str, set[str]]:
    """The distributions that each extra brings."""
    found: dict[str, set[str]] = {}
    for requirement in metadata.requires("fastpunet") or []:
        extra = re.search(r'extra == "(\w+)"', requirement)
        if extra:
            found.setdefault(extra[1], set()).add(_plain(_name(requirement)))
    return found


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement)[0]


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()
