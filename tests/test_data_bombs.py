"""Small files made to fill the memory, to run code, or to surprise with what they hold."""

import io
import os
import pickle
import struct
import zipfile

import numpy as np
import pytest

from fastpunet.data import camvid, lidc

pytest.importorskip("pydicom")

from fastpunet.data.lidc.prepare.splits import read_split


def _npy(member):
    buffer = io.BytesIO()
    np.save(buffer, member)
    return buffer.getvalue()


def _header(text, version=1, length=None):
    text = text.encode()
    width = 2 if version == 1 else 4
    size = (len(text) if length is None else length).to_bytes(width, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + size + text


def _write(path, **changed):
    members = dict(
        images=_npy(np.zeros((2, 8, 8), np.uint8)),
        masks_packed=_npy(np.zeros((2, 4, 8, 1), np.uint8)),
        patient=_npy(np.array(["a", "b"])),
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for name, content in (members | changed).items():
            if content is not None:
                bundle.writestr(f"{name}.npy", content)
    return path


HUGE = "{'descr': '|u1', 'fortran_order': False, 'shape': (100000, 1000, 1000)}"


@pytest.mark.parametrize(
    ("member", "message"),
    [
        (_npy(np.zeros(2, [("a", "u1"), ("b", "f4")])), "expected numbers or text"),
        (_npy(np.zeros(2, "V8")), "expected numbers or text"),
        (_npy(np.zeros(2, "M8[s]")), r"images of dtype datetime64\[s\], expected numbers or text"),
        (_npy(np.zeros((2, 8, 8), np.complex64)), "expected numbers or text"),
        (_header(HUGE) + bytes(100), "holds less of images than its header says"),
        (_header("{'descr': '|u1', 'shape': (2,"), "is truncated or not an npz bundle"),
        (_header("[" * 5000), "is truncated or not an npz bundle"),
        (_header("print('run')"), "is truncated or not an npz bundle"),
        (_header("", 2, 2**32 - 1), "a header of more than 10000 bytes"),
        (_header(HUGE, 3), "version .3, 0. of the npy format"),
        (b"", "is truncated or not an npz bundle"),
        (None, "has no member 'images'; expected images, masks_packed and patient"),
    ],
)
def test_members_of_a_bundle_that_are_no_plain_arrays(tmp_path, member, message):
    with pytest.raises(ValueError, match=message) as caught:
        lidc.read_npz(_write(tmp_path / "x.npz", images=member))
    assert len(str(caught.value).splitlines()) == 1


def test_characters_that_do_not_exist(tmp_path):
    for point in (0x110000, 0xD800):
        names = np.frombuffer(struct.pack("<2I", ord("a"), point), "<U1")
        with pytest.raises(ValueError, match="holds patient with invalid Unicode characters"):
            lidc.read_npz(_write(tmp_path / "x.npz", patient=_npy(names)))


def test_members_that_unpack_to_too_much_are_refused(tmp_path):
    bomb = _npy(np.zeros((300, 1 << 20), np.uint8))
    path = _write(tmp_path / "x.npz", images=bomb)
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match="to 300 MiB, expected at most 256 MiB.*raise .*UNPACKED_BYTES.'bundle'"):
        lidc.read_npz(path)
    with pytest.raises(ValueError, match="has no member 'images'"):
        camvid.read_npz(_write(tmp_path / "y.npz", images=None))


class _Runs:
    def __reduce__(self):
        return os.system, ("touch executed",)


def test_nothing_in_a_bundle_or_pickle_is_executed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    objects = np.array([_Runs(), _Runs()], object)
    buffer = io.BytesIO()
    np.save(buffer, objects, allow_pickle=True)
    with pytest.raises(ValueError, match="patient of dtype object, expected numbers or text"):
        lidc.read_npz(_write(tmp_path / "x.npz", patient=buffer.getvalue()))
    (tmp_path / "x.pickle").write_bytes(pickle.dumps({"a": _Runs()}))
    with pytest.raises(ValueError, match="asks for .*system, expected nothing but NumPy arrays"):
        lidc.read_pickle(tmp_path / "x.pickle")
    assert not (tmp_path / "executed").exists()


def test_a_pickle_that_names_one_array_many_times(tmp_path):
    mask = np.zeros((256, 256), np.uint8)
    entry = {"image": np.zeros((256, 256)), "masks": [mask] * 5000, "series_uid": "1"}
    path = tmp_path / "x.pickle"
    path.write_bytes(pickle.dumps({"a": entry}))
    assert path.stat().st_size < 1 << 20
    with pytest.raises(ValueError, match="claims to unpack to 313 MiB, expected at most 256 MiB"):
        lidc.read_pickle(path)
    entry["masks"] = [mask]
    path.write_bytes(pickle.dumps({str(k): entry for k in range(1000)}))
    with pytest.raises(ValueError, match="expected at most 256 MiB"):
        lidc.read_pickle(path)


def test_masks_of_0_and_255_in_a_pickle(tmp_path):
    mask = np.eye(4, dtype=np.uint8)
    for stored in (mask, mask * 255, mask.astype(bool), mask.astype(float)):
        path = tmp_path / "x.pickle"
        path.write_bytes(pickle.dumps({"a": {"image": np.zeros((4, 4)), "masks": [stored], "series_uid": "1"}}))
        np.testing.assert_array_equal(lidc.read_pickle(path)[0].masks, [mask])


def test_deep_pickles_and_splits_are_refused(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".")
    with pytest.raises(ValueError, match="x is truncated or not a pickle of arrays"):
        lidc.read_pickle(path)
    path.write_text("[" * 100_000)
    with pytest.raises(ValueError, match="x is truncated or not JSON") as caught:
        read_split(path)
    assert len(str(caught.value).splitlines()) == 1
