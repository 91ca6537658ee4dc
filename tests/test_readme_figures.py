"""Every figure in the README is the one in the file of results that it comes from, and the README runs as it stands."""

import contextlib
import io
import json
import re
from pathlib import Path

import pytest
from matplotlib import rc_context

import fastpunet
from benchmarks import headline, pruning_report, readme_picture
from benchmarks.modes_gallery import BAR, OUTER, N
from benchmarks.report import table
from fastpunet.data import lidc

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PICTURE = ROOT / "docs" / "figures" / "five-modes.svg"
BENCHMARKS = sorted((ROOT / "benchmarks" / "results").glob("*/benchmarks.json"))
NAMES = ("x86-64", "Apache-2.0", "doi:10.7937/K9/TCIA.2015.LO9QL9SX", "CC BY 3.0")


def marked(text, mark):
    (found,) = re.findall(rf"<!-- {mark} -->\n(.*?)\n<!-- /{mark} -->", text, re.DOTALL)
    return found


def published():
    """The benchmarks that the README links to."""
    (folder,) = re.findall(r"\((benchmarks/results/[^/)]+)/table\.md\)", marked(README, "measured"))
    return ROOT / folder / "benchmarks.json"


def claims():
    """All that is said with figures outside of the tables, by the sources of these figures."""
    scores = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in headline.SCORES.items()}
    trained = [scores[name]["methods"][method] for name, method, _ in headline.METHODS]
    (images,) = {method["pooled"][str(headline.HYPOTHESES)]["expected_value"]["images"] for method in trained}
    (side,) = set(fastpunet.load("lidc-tiny").image_size)
    (seeds,) = {len(method["checkpoints"]) for method in trained}
    (python,) = re.findall(r'python_requires=">=([\d.]+)"', (ROOT / "setup.py").read_text(encoding="utf-8"))
    assert seeds == 3
    others = set(scores["comparison"]["methods"]) - {method for _, method, _ in headline.METHODS}
    assert len(others - {"Probabilistic-U-Net-uni-modal"}) == 3  # "three more methods"; this one is another training
    yield f"Python {python} or later"
    yield f"among {N} hypotheses"
    yield f"at least {100 * OUTER:.0f} % of the hypotheses have. The bar is {BAR} mm."
    yield "an image of 128 x 128 pixels"  # the workload that `benchmarks/workloads.py` calls the published one
    yield f"(LIDC-IDRI, {side} x {side} pixels)"
    yield f"on {images} test slices with {headline.HYPOTHESES} hypotheses"
    yield "even a perfect model has more than 0 there"
    yield "95 % intervals"


def test_the_tables_are_those_that_the_results_give():
    assert marked(README, "measured") == headline.speed(published())
    assert marked(README, "quality") == headline.quality()
    page = headline.SPEED.read_text(encoding="utf-8")
    assert marked(page, "measured") == headline.all_speed(published(), headline.SPEED)
    page = pruning_report.PAGE.read_text(encoding="utf-8")
    assert marked(page, "measured") == pruning_report.table(json.loads(published().read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.parent.name)
def test_the_table_of_a_machine_is_that_of_its_file(path):
    report = json.loads(path.read_text(encoding="utf-8"))
    assert path.with_name("table.md").read_text(encoding="utf-8") == table(report) + "\n"


def test_no_other_figure_is_in_the_readme():
    prose = README
    for mark in ("measured", "quality"):
        prose = prose.replace(marked(README, mark), "")
    prose = re.sub(r"```.*?```|`[^`\n]*`|<img [^>]*>|\]\([^)]*\)", " ", prose, flags=re.DOTALL)
    prose = " ".join(prose.split())
    for said in (*claims(), *NAMES):
        assert said in prose
        prose = prose.replace(said, " ")
    assert re.findall(r".{0,30}\d.{0,30}", prose) == []


def test_a_row_that_a_file_lacks_is_an_error_and_a_peer_that_was_not_installed_is_said(tmp_path):
    report = json.loads(published().read_text(encoding="utf-8"))
    (overlaps,) = [row for row in report["benchmarks"] if row["name"] == "bench_pairwise[discs]"]
    del overlaps["extra_info"]["peers"]["pycocotools"]
    other = tmp_path / "benchmarks.json"
    other.write_text(json.dumps(report))
    assert "not installed" in headline.speed(other)
    report["benchmarks"].remove(overlaps)
    other.write_text(json.dumps(report))
    with pytest.raises(KeyError, match="bench_pairwise"):
        headline.speed(other)


def test_the_picture_shows_what_the_shipped_weights_draw(data_root, tmp_path):
    record = lidc.read_npz(
        data_root / "lidc" / "lidc_tiny_test_64.npz", intensity=fastpunet.load("lidc-tiny").intensity
    )[readme_picture.PLACE]
    with rc_context(readme_picture.REPEATABLE):
        readme_picture.picture(record).savefig(tmp_path / "again.svg")
    texts = [
        re.findall(r"<text [^>]*>([^<]*)", path.read_text(encoding="utf-8"))
        for path in (tmp_path / "again.svg", PICTURE)
    ]
    assert len(texts[1]) == 7
    assert texts[0] == texts[1]


def test_the_first_block_holds_the_two_commands():
    first, *_ = re.findall(r"^```\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    demo, tests = first.splitlines()
    assert demo.endswith("fastpunet demo")
    assert tests.endswith("pytest -q -n 2")  # `.ci/run` takes this line


def test_the_python_runs():
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in code.splitlines() if line]) <= 12
    with contextlib.redirect_stdout(io.StringIO()) as said:
        exec(compile(code, "README.md", "exec"), {})
    assert "modes among 1000 hypotheses" in said.getvalue()
    assert "longest diameter" in said.getvalue()
