"""Files of every kind that readers take, damaged: `python -m helpers.mutated_files COUNT [FIRST SEED]`.

A reader may take a damaged file or refuse it. It must refuse with ValueError or OSError, in one line that names the
file, and must write nothing to standard error.
"""

import gzip
import io
import pickle
import sys
import tempfile
import time
import warnings
import zipfile
import zlib
from collections import Counter
from pathlib import Path

import nibabel
import numpy as np
from fuzzing.target import every
from PIL import Image

from fastpunet.data import camvid, folder, lidc, sources
from fastpunet.data.images import read_header, read_image
from fastpunet.data.inputs import find_inputs
from fastpunet.data.lidc.prepare.database import read_database
from fastpunet.data.lidc.prepare.nodules import group_annotations
from fastpunet.data.lidc.prepare.series import find_series
from fastpunet.data.lidc.prepare.splits import read_split
from fastpunet.data.picture_masks import mask_size, read_labels
from helpers import dicom_series, lidc_phantom

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 100_000, 1 << 20)


def mutate(content, rng):
    """The content with one to four changes of the kinds that fuzzers make."""
    data = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        kind, at = rng.integers(7), int(rng.integers(max(1, len(data))))
        length = int(rng.integers(1, 17))
        if kind == 0 and data:
            data[at % len(data)] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            size = int(rng.choice((1, 2, 4, 8)))
            number = int(rng.choice(NUMBERS)) % (1 << 8 * size)
            data[at : at + size] = number.to_bytes(size, str(rng.choice(("little", "big"))))
        elif kind == 2:
            del data[at : at + length]
        elif kind == 3:
            data[at:at] = rng.bytes(length)
        elif kind == 4:
            source = int(rng.integers(max(1, len(data))))
            data[at : at + length] = data[source : source + length]
        elif kind == 5:
            data[at : at + length] = rng.bytes(length)
        elif rng.random() < 0.3:
            del data[at:]
    return bytes(data)


def picture(suffix, mode="L", **options):
    values = np.random.default_rng(0).integers(0, 200, (24, 20, 3)).astype(np.uint8)
    image = Image.fromarray(values).convert(mode) if mode != "I;16" else Image.fromarray(values[..., 0].astype("u2"))
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    image.save(buffer, suffix, exif=exif, **options)
    return buffer.getvalue()


def png_chunks_with_right_sums(content):
    """So that damage gets past the checksums."""
    data, at = bytearray(content), 8
    while at + 12 <= len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        if at + 12 + length > len(data):
            break
        data[at + 8 + length : at + 12 + length] = zlib.crc32(data[at + 4 : at + 8 + length]).to_bytes(4, "big")
        at += 12 + length
    return bytes(data)


def volume(kind=nibabel.Nifti1Image):
    values = np.random.default_rng(0).integers(0, 3, (5, 6, 4)).astype(np.int16)
    return kind(values, np.diag((0.7, 0.7, 2, 1))).to_bytes()


def members(names):
    rng = np.random.default_rng(0)
    members = dict(
        images=rng.integers(0, 256, (3, 8, 8), dtype=np.uint8),
        masks_packed=rng.integers(0, 256, (3, 4, 8, 1), dtype=np.uint8),
        patient=np.array([b"a", b"b", b"c"]),
        series_uid=np.array(["1.2", "1.3", "1.4"]),
        slice=np.arange(3),
    )
    if "labels" in names:
        members = dict(
            images=rng.integers(0, 256, (3, 8, 8, 3), dtype=np.uint8),
            labels=rng.integers(0, 11, (3, 8, 8), dtype=np.uint8),
            names=np.array(["a_1", "a_2", "b_1"]),
            ignore_index=np.array(11),
        )
    arrays = {}
    for name, member in members.items():
        buffer = io.BytesIO()
        np.save(buffer, member)
        arrays[name] = buffer.getvalue()
    return arrays


def bundle(arrays, compression=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as bundle:
        for name, content in arrays.items():
            bundle.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def _inside_bundle(arrays, rng):
    """A sound archive of damaged members."""
    name = str(rng.choice(list(arrays)))
    return bundle({**arrays, name: mutate(arrays[name], rng)})


def pickled():
    rng = np.random.default_rng(0)
    entry = {"image": rng.random((6, 6)), "masks": [np.eye(6, dtype=np.uint8)] * 2, "series_uid": "1.2"}
    return pickle.dumps({"a": entry, "b": dict(entry)})


def raw():
    with tempfile.TemporaryDirectory() as place:
        lidc_phantom.write_raw(Path(place))
        dicom = next(Path(place).rglob("*.dcm")).read_bytes()
        return (Path(place) / "db.sqlite").read_bytes(), dicom


def read_all(records):
    for index in range(len(records)):
        records.header(index)
        records[index]


def read_folder(path):
    for place in ("images", "masks/anna"):
        (path.parent / "folder" / place).mkdir(parents=True, exist_ok=True)
    name = "x.nii.gz" if path.name.endswith(".gz") else f"x{path.suffix}"
    target = path.parent / "folder" / "images" / name
    target.write_bytes(path.read_bytes())
    mask = path.parent / "folder" / "masks" / "anna" / name
    mask.write_bytes(path.read_bytes())
    try:
        read_all(folder.read(path.parent / "folder"))
    finally:
        target.unlink()
        mask.unlink()


read_picture = every(read_header, read_image, mask_size, read_labels)


def read_series(path):
    for slices in find_series(path.parent, ["1.2.1", "1.2.2", "1.2.3"]).values():
        for found in slices:
            found.hounsfield()


def read_inputs(path):
    for image in find_inputs([path]):
        for each in (image, *image.slices()):
            each.read()


def read_scans(path):
    for scan in read_database(path):
        group_annotations(scan)


def read_bundle(path):
    if sources.recognise(path) == "lidc":
        read_all(lidc.read_npz(path))
    else:
        read_all(camvid.read_npz(path))


def as_inputs():
    """Files of each format that inputs may have: name, file name and content."""
    with tempfile.TemporaryDirectory() as place:
        files = dicom_series.write_series(Path(place), np.random.default_rng(0).integers(0, 2000, (4, 6, 8)))
        enhanced = dicom_series.write_enhanced(Path(place) / "e.dcm", files).read_bytes()
        slice_ = files[0].read_bytes()
    buffer = io.BytesIO()
    np.save(buffer, np.zeros((5, 6, 3), np.int16))
    return [
        ("DICOM slice", "x.dcm", slice_),
        ("enhanced DICOM", "x.dcm", enhanced),
        ("NIfTI", "x.nii", volume()),
        ("PNG", "x.png", picture("PNG", "RGB")),
        ("TIFF", "x.tif", picture("TIFF")),
        ("bundle", "x.npz", bundle(members(("labels",)))),
        ("array", "x.npy", buffer.getvalue()),
    ]


def cases():
    """Name -> file name, reader, and a function of a generator that makes a damaged file."""
    database, dicom = raw()
    slices, streets = members(()), members(("labels",))
    pictures = {
        "grey PNG": ("x.png", picture("PNG")),
        "PNG of one bit": ("x.png", picture("PNG", "1")),
        "palette PNG": ("x.png", picture("PNG", "P")),
        "PNG of 16 bits": ("x.png", picture("PNG", "I;16")),
        "JPEG": ("x.jpg", picture("JPEG", "RGB")),
        "plain TIFF": ("x.tif", picture("TIFF")),
        "LZW TIFF": ("x.tif", picture("TIFF", "L", compression="tiff_lzw")),
        "deflated TIFF in colour": ("x.tif", picture("TIFF", "RGB", compression="tiff_adobe_deflate")),
    }
    found = {}
    for name, (file, content) in pictures.items():
        found[name] = (file, read_picture, lambda rng, content=content: mutate(content, rng))
        if file.endswith("png"):
            found[f"{name}, right sums"] = (
                file,
                read_picture,
                lambda rng, content=content: png_chunks_with_right_sums(mutate(content, rng)),
            )
    first, second = volume(), volume(nibabel.Nifti2Image)
    found["NIfTI"] = ("x.nii", read_folder, lambda rng: mutate(first[:352], rng) + first[352:])
    found["NIfTI 2"] = ("x.nii", read_folder, lambda rng: mutate(second, rng))
    found["NIfTI in gzip"] = ("x.nii.gz", read_folder, lambda rng: gzip.compress(mutate(first, rng), 1))
    found["damaged gzip"] = ("x.nii.gz", read_folder, lambda rng: mutate(gzip.compress(first), rng))
    for name, arrays in (("LIDC bundle", slices), ("CamVid bundle", streets)):
        for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2):
            content = bundle(arrays, method)
            found[f"{name}, method {method}"] = (
                "x.npz",
                read_bundle,
                lambda rng, content=content: mutate(content, rng),
            )
        found[f"{name}, members"] = ("x.npz", read_bundle, lambda rng, arrays=arrays: _inside_bundle(arrays, rng))
    content = pickled()
    found["pickle"] = ("x.pickle", lambda path: read_all(lidc.read_pickle(path)), lambda rng: mutate(content, rng))
    found["database"] = ("x.sqlite", read_scans, lambda rng: mutate(mutate(mutate(database, rng), rng), rng))
    found["DICOM"] = ("x.dcm", read_series, lambda rng: mutate(dicom[:900], rng) + dicom[900:])
    for name, file, content in as_inputs():
        found[f"input, {name}"] = (file, read_inputs, lambda rng, content=content: mutate(content, rng))
        head = min(len(content), 2000)
        found[f"input, head of {name}"] = (
            file,
            read_inputs,
            lambda rng, content=content, head=head: mutate(content[:head], rng) + content[head:],
        )
    split = b'{"train": ["a", "b"], "val": ["c"], "test": []}'
    found["split"] = ("x.json", read_split, lambda rng: mutate(split, rng))
    return found


def check(place, case, rng):
    """Read one damaged file; returns what came of it, and raises AssertionError for anything but a clean refusal."""
    file, reader, make = case
    path = Path(place) / file
    path.write_bytes(make(rng))
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        message = _refusal(reader, path)
    if message is not None:
        assert message.splitlines() == [message], f"several lines: {message!r}"
        assert file.split(".")[0] in message, f"does not name the file: {message!r}"
        assert len(message) < 1000, f"long message: {message!r}"
    foreign = [str(warning.message) for warning in said if not str(warning.message).startswith(str(place))]
    assert not foreign, f"warnings of libraries: {foreign}"
    path.unlink()
    return "taken" if message is None else "refused"


def _refusal(reader, path):
    try:
        reader(path)
    except (ValueError, OSError) as error:
        return str(error)
    return None


def main(count, first=0):
    found, outcomes, failures = cases(), Counter(), Counter()
    slowest, started = (0.0, ""), time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        for seed in range(first, first + count):
            name = list(found)[seed % len(found)]
            before = time.monotonic()
            try:
                outcomes[check(place, found[name], np.random.default_rng(seed))] += 1
            except Exception as error:
                failures[name] += 1
                if failures[name] <= 5:
                    print(f"seed {seed}, {name}: {type(error).__name__}: {str(error)[:300]!r}")
            slowest = max(slowest, (time.monotonic() - before, f"{name}, seed {seed}"))
    print(f"{count} damaged files in {time.monotonic() - started:.0f} s: {dict(outcomes)}, wrong: {dict(failures)}")
    print(f"slowest: {slowest[0]:.2f} s, {slowest[1]}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:] or ("2000",))))
