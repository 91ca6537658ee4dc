"""Small files that would take years or gigabytes to read, and files whose values would change on the way."""

import gzip
import io
import os
import sqlite3
import threading
import zipfile
from contextlib import closing

import nibabel
import numpy as np
import pytest
import torch
from helpers import lidc_phantom
from helpers.tensorflow_tables import table, varint
from PIL import Image

from fastpunet import load
from fastpunet.cli import error_line, evaluate, train
from fastpunet.data import lidc
from fastpunet.data.lidc.prepare.database import read_database
from fastpunet.files import replacing
from fastpunet.models.tensorflow.crc32c import crc32c
from fastpunet.models.tensorflow.table import entries
from fastpunet.pickles import check_pickle
from fastpunet.scoring.stored import files, open_stored


def _tuples_in_tuples(levels=60):
    """A pickled dict with a key of 2 ** levels parts, in a few hundred bytes."""
    program = b")q\x00"
    for level in range(levels):
        program += b"h" + bytes([level]) + b"h" + bytes([level]) + b"\x86q" + bytes([level + 1])
    return b"\x80\x02" + program + b"}h" + bytes([levels]) + b"Ns."


def _archive(program):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in (("data.pkl", program), ("version", b"3\n"), ("byteorder", b"little")):
            archive.writestr(f"archive/{name}", content)
    return buffer.getvalue()


def test_tuples_that_take_years_to_hash_are_refused(tmp_path):
    program, path = _tuples_in_tuples(), tmp_path / "x.pickle"
    path.write_bytes(program)
    with pytest.raises(ValueError, match="x.pickle .*names a tuple of .* parts"):
        lidc.read_pickle(path)
    old = io.BytesIO()
    torch.save({}, old, _use_new_zipfile_serialization=False)
    for content in (_archive(program), program, old.getvalue()[:30] + program):
        path = tmp_path / "x.pt"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="x.pt is truncated, or holds more than tensors"):
            load(path)


@pytest.mark.parametrize("levels", [101, 5000, 500_000])  # the last one ended the process
def test_tuples_too_deep_to_hash_or_to_print_are_refused(tmp_path, levels):
    program, path = b"\x80\x02}K\x01" + b"\x85" * levels + b"Ns.", tmp_path / "x.pickle"
    path.write_bytes(program)
    with pytest.raises(ValueError, match="x.pickle .*has more than 100 tuples inside one another"):
        lidc.read_pickle(path)
    path = tmp_path / "x.pt"
    path.write_bytes(_archive(program))
    with pytest.raises(ValueError, match="x.pt is truncated, .*: has more than 100 tuples inside one another; save"):
        load(path)


def test_a_whole_object_is_refused_and_no_advice_given_to_trust_it(tmp_path):
    torch.save(torch.nn.Linear(1, 1), tmp_path / "x.pt")
    with pytest.raises(ValueError, match="torch.nn.modules.linear.Linear was not an allowed global by default; save "):
        load(tmp_path / "x.pt")


def test_honest_pickles_pass():
    shared = (0.9, 0.999)
    import pickle

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        deep: tuple = ()
        for _ in range(98):
            deep = (deep,)
        held = {
            "deep": deep,
            "groups": [{"betas": shared, "shape": (3, (4, 5))} for _ in range(50)],
            "more": [shared] * 50,
        }
        content = pickle.dumps(held, protocol)
        check_pickle(io.BytesIO(content), len(content))


def test_records_that_share_their_bytes_are_refused(tmp_path):
    path = tmp_path / "x.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}.")
        archive.writestr("archive/data/0", bytes(10_000))
        for number in range(1, 20):
            again = zipfile.ZipInfo(f"archive/data/{number}")
            first = archive.getinfo("archive/data/0")
            again.header_offset, again.file_size, again.CRC = first.header_offset, first.file_size, first.CRC
            again.compress_size = first.compress_size
            archive.filelist.append(again)
    with pytest.raises(ValueError, match="its records share their bytes"):
        load(path)


def test_variables_that_share_their_bytes_are_refused(tmp_path):
    data = bytes(4096)
    masked = crc32c(data)
    masked = ((masked >> 15 | masked << 17) + 0xA282EAD8) & 0xFFFFFFFF
    axis = b"\x08" + varint(1024)
    shape = b"\x12" + varint(len(axis)) + axis
    entry = (
        b"\x08\x01\x12" + varint(len(shape)) + shape + b"\x28" + varint(4096) + b"\x35" + masked.to_bytes(4, "little")
    )
    (tmp_path / "x.index").write_bytes(table({b"": b"\x08\x01", **{f"a{k}/w".encode(): entry for k in range(9)}}))
    (tmp_path / "x.data-00000-of-00001").write_bytes(data)
    with pytest.raises(ValueError, match="names 36864 bytes of x.data-00000-of-00001, which has 4096"):
        load(tmp_path / "x.index")


def test_an_index_with_more_blocks_or_longer_keys_than_any_is_refused():
    whole = table({b"k" * 5000: b""})
    with pytest.raises(ValueError, match="a key of the index has 5000 bytes, expected at most 4096"):
        list(entries(whole))
    many = {f"{k:05d}".encode(): bytes(100) for k in range(50_000)}
    with pytest.raises(ValueError, match="its blocks hold more than|claims"):
        list(entries(table(many)))


def test_pages_keep_their_values(tmp_path):
    path = tmp_path / "x.tif"
    pages = [Image.fromarray(np.full((4, 4), value, np.uint16)) for value in (1, 2)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    assert files.read(path, binary=False)[:, 0, 0].tolist() == [1, 2]
    Image.fromarray(np.full((4, 4), 257, np.uint16)).save(path)
    with pytest.raises(ValueError, match="holds other values than class indices"):
        files.read(path, binary=False)
    for odd, mode in ((np.full((4, 4), 1.7, np.float32), "F"), (np.zeros((4, 4, 3), np.uint8), "RGB")):
        Image.fromarray(odd).save(path)
        with pytest.raises(ValueError, match=f"has a page of mode {mode}, expected class indices"):
            files.read(path, binary=False)


def test_pages_are_counted_before_they_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("fastpunet.data.reading.UNPACKED_BYTES", {"bundle": 1 << 20})
    small, large = Image.new("L", (4, 4)), Image.new("L", (1000, 1000))
    small.save(tmp_path / "x.tif", save_all=True, append_images=[large], compression="tiff_adobe_deflate")
    with pytest.raises(ValueError, match="claims to unpack to"):
        files.read(tmp_path / "x.tif", binary=False)


def test_scaled_hypotheses_count_as_the_numbers_they_become(tmp_path):
    header = nibabel.Nifti1Header()
    header.set_data_dtype(np.int8)
    header.set_data_shape((1000, 1000, 100))
    header["scl_slope"], header["scl_inter"], header["vox_offset"], header["magic"] = 2, 0, 352, b"n+1"
    path = tmp_path / "x.nii.gz"
    path.write_bytes(gzip.compress(header.binaryblock + bytes(4) + bytes(100_000_000), 1))
    with pytest.raises(ValueError, match="x.nii.gz claims to unpack to 763 MiB"):
        files.read(path, binary=False)


def test_text_is_no_hypothesis(tmp_path):
    np.savez(tmp_path / "x.npz", labels=np.array([["a"]]))
    with pytest.raises(ValueError, match="x.npz holds <U1, expected class indices"):
        files.read(tmp_path / "x.npz", binary=False)


@pytest.mark.parametrize(
    "contours",
    [
        "CREATE VIEW contours AS WITH RECURSIVE n(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM n) SELECT id, "
        "1 annotation_id, 1 inclusion, 0.0 image_z_position, hex(zeroblob(100000)) coords FROM n",
        "CREATE TABLE contours (id INTEGER PRIMARY KEY, annotation_id, inclusion, image_z_position, "
        "coords GENERATED ALWAYS AS (hex(zeroblob(100000))))",
    ],
)
def test_databases_that_compute_their_values_are_refused(tmp_path, contours):
    path = tmp_path / "x.sqlite"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executescript(lidc_phantom.SCHEMA)
        connection.execute("DROP TABLE contours")
        connection.execute(contours)
    with pytest.raises(ValueError, match="x.sqlite has no table contours of stored values"):
        read_database(path)


def test_files_that_threads_write_have_ordinary_permissions(tmp_path):
    before = os.umask(0o027)
    try:

        def write(number):
            for _ in range(50):
                with replacing(tmp_path / f"{number}.txt") as temporary:
                    temporary.write_text("x")

        threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)


def test_the_command_line_prints_no_characters_that_a_terminal_obeys():
    assert error_line(ValueError("got \x1b[2J\nand\x07 \u202e more")) == "got [2J and more"


def test_chunks_that_would_fill_the_memory_are_refused(tmp_path):
    zarr = pytest.importorskip("zarr")
    zarr.create_array(tmp_path / "x.zarr", shape=(1, 10**9, 4, 4), chunks=(1, 10**9, 4, 4), dtype="u1")
    with pytest.raises(ValueError, match=r"x.zarr has chunks .* of 16,000,000,000 bytes, expected 1 .. 268,435,456"):
        open_stored(tmp_path / "x.zarr", tmp_path)


@pytest.mark.parametrize("arguments", [["--n", "4"], ["--n=4"], ["-n", "4"], ["n=4"]])
def test_a_letter_behind_two_dashes_is_no_other_option(arguments):
    options = evaluate.parser().parse(["lesions", "--data", "x", *arguments])
    assert list(options.n) == [4]
    assert options.num_classes == evaluate.parser().parse(["lesions", "--data", "x"]).num_classes


def test_ambiguous_options_name_a_few():
    with pytest.raises(
        ValueError, match="^ambiguous option --=o; it may mean (--[a-z_.-]+ or ){2}--[a-z_.-]+; write it out$"
    ):
        train.parser().parse(["--=o", "1"])
