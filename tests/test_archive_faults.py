"""Archives on a bad day: killed runs, full and vanished disks, two processes, damage."""

import contextlib
import json
import os
import shutil
import subprocess
import threading

import numpy as np
import pyarrow.parquet
import pytest
import torch
import zarr
from helpers.killing import REQUEST, check_whole, contents, kill_often, sample
from helpers.small_model import save_pictures, save_small_model

import fastpunet
from fastpunet.archive import committing
from fastpunet.archive.layout import item_path
from fastpunet.archive.log import Log
from fastpunet.cli import main
from fastpunet.files import sha256
from fastpunet.prediction.archiving.run import run_archive


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return save_small_model(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    return save_pictures(tmp_path_factory.mktemp("data") / "in", 40)


@pytest.fixture(scope="module")
def undisturbed(model, images, tmp_path_factory):
    path = tmp_path_factory.mktemp("archive") / "a.zarr"
    sample(model, images, path)
    return path


@pytest.mark.slow
def test_killed_runs_lose_nothing_and_leave_no_half(model, tmp_path):
    few = save_pictures(tmp_path / "in", 12)
    sample(model, few, tmp_path / "undisturbed.zarr")
    kill_often(model, few, tmp_path / "a.zarr", contents(tmp_path / "undisturbed.zarr"), kills=25)
    assert len(list(fastpunet.open_samples(tmp_path / "a.zarr"))) == 12


@contextlib.contextmanager
def small_disk(folder, size):
    """A file system of its own, which is full soon. Only root may mount it, and not everywhere."""
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def remount(folder, options):
    subprocess.run(["mount", "-o", f"remount,{options}", str(folder)], check=True)


def test_a_full_disk_fails_image_by_image_and_is_gone_on_with(model, images, undisturbed, tmp_path, capsys):
    command = ["sample", str(model), str(images), "-n", "64", "--seed", "3", "--skip-existing", "-o"]
    with small_disk(tmp_path / "disk", "220k") as disk:
        path = disk / "a.zarr"
        assert main([*command, str(path)]) == 1
        said = capsys.readouterr()
        assert "No space left on device" in said.err
        check_whole(path)
        there = {place.name for place in path.glob("items/*/case*")}
        assert 0 < len(there) < 40
        failed = {line.split(": ")[1] for line in said.err.splitlines() if "No space left" in line}
        assert failed - {"items.parquet cannot be written"} == {f"case{place:02}" for place in range(40)} - there
        remount(disk, "size=20m")
        assert main([*command, str(path)]) == 0
        assert contents(path) == contents(undisturbed)
        lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines() if line]
        assert all(line["status"] == "failed" for line in lines)
        remount(disk, "ro")
        assert main([*command, str(path)]) == 2
        assert "where nothing can be written" in capsys.readouterr().err


def test_an_archive_that_vanishes_is_not_made_anew(model, images, tmp_path):
    path, elsewhere, said = tmp_path / "a.zarr", tmp_path / "elsewhere", []

    def vanish(outcome):
        if not said:
            path.rename(elsewhere)
        said.append(outcome)

    tally = run_archive(model, [images], path, REQUEST, say=vanish)
    assert not path.exists()
    assert tally["failed"] > 0
    assert tally["done"] + tally["failed"] == 40 + 1  # and the table
    assert all("No such file" in outcome.message for outcome in said if outcome.status == "failed")
    check_whole(elsewhere)


def test_a_write_that_fails_leaves_nothing_behind(model, images, undisturbed, tmp_path, monkeypatch):
    path, writes = tmp_path / "a.zarr", iter(range(1000))
    write = committing._write

    def fail_sometimes(target, content):
        if next(writes) % 5 == 3:
            raise OSError(5, "Input/output error", str(target))
        write(target, content)

    monkeypatch.setattr(committing, "_write", fail_sometimes)
    tally = run_archive(model, [images], path, REQUEST)
    assert tally["failed"] > 0
    assert tally["done"] > 0
    assert not (path / ".partial").exists()
    check_whole(path)
    lines = [json.loads(line) for line in (path / "log.jsonl").read_text().splitlines()]
    assert len(lines) == tally["failed"]
    assert all("Input/output error" in line["message"] and line["time"] for line in lines)
    monkeypatch.undo()
    run_archive(model, [images], path, REQUEST, skip_existing=True)
    assert contents(path) == contents(undisturbed)


def test_two_processes_on_one_archive(model, images, undisturbed, tmp_path):
    path, errors = tmp_path / "a.zarr", []

    def second(outcome):
        if outcome.status == "done" and not errors:
            with pytest.raises(ValueError, match="^output: another process is writing to") as caught:
                run_archive(model, [images], path, REQUEST, skip_existing=True)
            errors.append(caught.value)

    assert run_archive(model, [images], path, REQUEST, say=second) == {"done": 40}
    assert errors
    assert contents(path) == contents(undisturbed)


def test_two_that_write_one_image_at_once_leave_one(tmp_path):
    (tmp_path / "items").mkdir()
    meet = threading.Barrier(2)

    def files():
        meet.wait()
        yield "masks/c", b"masks"
        meet.wait()
        yield "zarr.json", b"{}"

    threads = [threading.Thread(target=committing.commit, args=(tmp_path, "case", files())) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    folder = tmp_path / item_path("case")
    assert sorted(path.name for path in folder.rglob("*")) == ["c", "masks", "zarr.json"]
    assert list((tmp_path / ".partial").iterdir()) == []


def test_verify_finds_every_damage(undisturbed, tmp_path, capsys):
    path = shutil.copytree(undisturbed, tmp_path / "a.zarr")
    assert main(["verify", str(path)]) == 0
    assert "40 of 40 images in" in capsys.readouterr().out
    nodes = {name: path / item_path(name) for name in ("case00", "case01", "case02", "case03", "case04")}
    masks = nodes["case00"] / "masks" / "c.0.0.0"
    masks.write_bytes(masks.read_bytes()[:-5] + b"wrong")
    (nodes["case01"] / "masks" / "zarr.json").unlink()
    (nodes["case02"] / "more").touch()
    metadata = nodes["case03"] / "zarr.json"
    metadata.write_text(metadata.read_text().replace('"seed": 3', '"seed": 4'))
    shutil.rmtree(nodes["case04"])
    shutil.copytree(nodes["case02"], nodes["case02"].with_name("stranger"))
    assert main(["verify", str(path), "--json", str(tmp_path / "faults.json")]) == 1
    said = capsys.readouterr()
    expected = {
        "case00": "masks/c.0.0.0 has changed since it was written (its SHA-256 differs)",
        "case01": "masks/zarr.json is missing",
        "case02": "more does not belong to the archive",
        "case03": "zarr.json is not the one from which the table was made",
        "case04": "is in the table, but its folder is missing",
        "stranger": "is not in the table; run fastpunet sample again with --skip-existing",
    }
    for name, message in expected.items():
        assert f"fastpunet verify: {name}: {message}\n" in said.err
    assert "35 of 41 images" in said.out
    found = json.loads((tmp_path / "faults.json").read_text())
    assert (found["schema"], found["images"]) == (1, 41)
    assert {fault["name"]: fault["message"] for fault in found["faults"]} == expected
    assert main(["verify", str(path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == found
    samples = fastpunet.open_samples(path)
    with pytest.raises(ValueError, match="is damaged .*; run fastpunet verify"):
        samples["case00"][:]
    with pytest.raises(ValueError, match="is damaged"):
        samples["case01"][:]


def _rows(path, change):
    """Write the table anew, with rows that are not what the images say."""
    table = pyarrow.parquet.read_table(path / "items.parquet")
    rows = table.to_pylist()
    change(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, table.schema), path / "items.parquet")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda rows: rows[3].update(area_q50=1.0, files=[]),
            "does not say what the table says: files, area_q50",
        ),
        (lambda rows: rows.append(rows[3]), "is in the table twice"),
        (lambda rows: rows[3].update(name=None), "None: is in the table, but is not a valid name of an image"),
        (
            lambda rows: rows[3].update(name="../../../other"),
            "other': is in the table, but is not a valid name of an image",
        ),
        (lambda rows: rows[3].update(name="a\0"), "is in the table, but is not a valid name of an image"),
    ],
)
def test_verify_compares_every_row_and_looks_nowhere_else(undisturbed, tmp_path, capsys, change, said):
    path = shutil.copytree(undisturbed, tmp_path / "a.zarr")
    _rows(path, change)
    assert main(["verify", str(path)]) == 1
    assert said in capsys.readouterr().err


def test_verify_goes_on_behind_damaged_metadata(undisturbed, tmp_path, capsys):
    path = shutil.copytree(undisturbed, tmp_path / "a.zarr")
    changes = {
        "case00": {"contents": None},
        "case01": {"measures": {"area": [["a"]]}},
        "case02": {"n": 3},
        "case03": {"computed": 3},
        "case04": {"id": "4"},
    }
    for name, change in changes.items():
        node = path / item_path(name)
        document = json.loads((node / "zarr.json").read_text())
        document["attributes"]["fastpunet"].update(change)
        (node / "zarr.json").write_text(json.dumps(document))
    linked = path / item_path("case05")
    linked.rename(tmp_path / "elsewhere")
    linked.symlink_to(tmp_path / "elsewhere")

    def rehash(rows):
        for row in rows:
            row["item_sha256"] = sha256(path / row["path"] / "zarr.json")

    _rows(path, rehash)
    assert main(["verify", str(path), "--hypotheses", "1"]) == 1
    said = capsys.readouterr()
    assert "34 of 40 images" in said.out
    assert all(f"fastpunet verify: case0{place}: " in said.err for place in range(6))
    assert "case02: was drawn with n 3, not 64 as the archive says" in said.err
    assert "case05: its folder is a link, which may lead out of the archive" in said.err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"model": None}, "is damaged: its model is None, expected dict"),
        ({"request": []}, r"is damaged: its request is \[\], expected dict"),
    ],
)
def test_a_damaged_archive_is_named(undisturbed, tmp_path, change, said):
    path = shutil.copytree(undisturbed, tmp_path / "a.zarr")
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["fastpunet"].update(change)
    (path / "zarr.json").write_text(json.dumps(document))
    with pytest.raises(ValueError, match=said):
        fastpunet.open_samples(path)


def test_verify_does_not_start_a_billion_threads(undisturbed, tmp_path, capsys):
    path = shutil.copytree(undisturbed, tmp_path / "a.zarr")
    document = json.loads((path / "zarr.json").read_text())
    document["attributes"]["fastpunet"]["request"]["threads"] = 10**9
    (path / "zarr.json").write_text(json.dumps(document))
    assert main(["verify", str(path), "--hypotheses", "1"]) == 2
    assert "threads: got 1000000000, expected a whole number of at least 1 and at most 4096" in capsys.readouterr().err


def test_verify_finds_images_that_have_other_names_today(model, tmp_path, capsys):
    """Of two folders the names are longer; the image is that of the same file all the same."""
    first, second = (str(save_pictures(tmp_path / name, 2)) for name in "ab")
    run_archive(model, [first], tmp_path / "a.zarr", REQUEST)
    assert main(["verify", str(tmp_path / "a.zarr"), "--hypotheses", "2", "--images", first, second]) == 0
    assert "2 of 2 images" in capsys.readouterr().out


def test_verify_draws_hypotheses_again(model, images, tmp_path, capsys):
    data = shutil.copytree(images, tmp_path / "in", ignore=lambda _, names: sorted(names)[6:])
    path = tmp_path / "a.zarr"
    run_archive(model, [data], path, REQUEST)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)  # which matters nothing: the archive says with how many
    assert main(["verify", str(path), "--hypotheses", "20"]) == 0
    assert "6 of 6 images in" in capsys.readouterr().out
    words = zarr.open_array(path / item_path("case03") / "masks", mode="r+")
    words[7] = np.zeros_like(words[7])
    words[30] = np.zeros_like(words[30])
    _forge(path, "case03")
    shutil.copy(images / "case05.png", data / "case04.png")
    (data / "case05.png").unlink()
    assert main(["verify", str(path)]) == 0
    capsys.readouterr()
    assert main(["verify", str(path), "--hypotheses", "20"]) == 1
    torch.set_num_threads(threads)
    said = capsys.readouterr()
    assert "case03: 1 of the first 20 hypotheses differ when they are drawn again\n" in said.err
    assert f"case04: {data}/case04.png has changed since {path} was drawn" in said.err
    assert f"case05: its image {data}/case05.png is not there; name its present file" in said.err
    assert "3 of 6 images" in said.out
    assert main(["verify", str(path), "--hypotheses", "99", "--images", str(images)]) == 1
    assert capsys.readouterr().err.count("2 of the first 64 hypotheses differ") == 1
    other = save_small_model(tmp_path / "other.safetensors", num_classes=2)
    assert main(["verify", str(path), "--hypotheses", "1", "--model", str(other)]) == 2
    assert "other.safetensors is not the model of" in capsys.readouterr().err
    assert main(["verify", str(path), "--model", str(model)]) == 2
    assert "hypotheses: missing, but --model or --images was given" in capsys.readouterr().err


def test_a_model_that_vanishes_during_the_run_fails_nothing(model, images, tmp_path, monkeypatch, capsys):
    own = shutil.copy(model, tmp_path / "m.safetensors")
    write = committing._write

    def vanish(target, content):
        own.unlink(missing_ok=True)
        write(target, content)

    monkeypatch.setattr(committing, "_write", vanish)
    inputs = [str(images / f"case{place:02}.png") for place in range(3)]
    assert main(["sample", str(own), *inputs, "-o", str(tmp_path / "a.zarr"), "-n", "4"]) == 0
    assert capsys.readouterr().err == ""


def _forge(path, name):
    """Record the hashes anew, as somebody would who changes hypotheses and hides it."""
    from fastpunet.archive.layout import group_document, read_about
    from fastpunet.archive.table import write_table
    from fastpunet.files import sha256

    node = path / item_path(name)
    about = read_about(node)
    about["contents"] = {file: sha256(node / file) for file in about["contents"]}
    (node / "zarr.json").write_bytes(group_document(about))
    write_table(path, read_about(path))


def test_a_log_whose_end_was_cut_short_goes_on_in_a_line_of_its_own(tmp_path):
    (tmp_path / "log.jsonl").write_text('{"schema": 1, "na')
    Log(tmp_path).note(name="a")
    Log(tmp_path).note(name="b")
    first, *rest = (tmp_path / "log.jsonl").read_text().splitlines()
    assert first == '{"schema": 1, "na'
    assert [json.loads(line)["name"] for line in rest] == ["a", "b"]


def test_a_log_on_a_full_disk_is_written_later(tmp_path):
    log = Log(tmp_path / "not there yet")
    log.note(name="a")
    os.mkdir(tmp_path / "not there yet")
    log.note(name="b")
    lines = (tmp_path / "not there yet" / "log.jsonl").read_text().splitlines()
    assert [json.loads(line)["name"] for line in lines] == ["a", "b"]
