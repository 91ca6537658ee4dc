"""LIDC pickles: what the layout says is read, and nothing that a file names is run."""

import builtins
import collections
import functools
import os
import pickle
import struct

import numpy as np
import pytest

from fastpunet.data import lidc


def _content(n=3, dtype=np.float64):
    rng = np.random.default_rng(0)
    return {
        f"slice-{i}": {
            "image": rng.uniform(size=(6, 5)).astype(dtype),
            "masks": [rng.integers(0, 2, (6, 5), dtype=np.uint8) for _ in range(4 - i)],
            "series_uid": f"1.2.{i}",
        }
        for i in range(n)
    }


def _written(folder, content, protocol=4):
    path = folder / "data.pickle"
    path.write_bytes(content if isinstance(content, bytes) else pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("dtype", ["<f8", ">f4"])
def test_pickles_of_every_protocol(tmp_path, protocol, dtype):
    content = _content(dtype=dtype)
    content["slice-0"]["image"] = np.asfortranarray(content["slice-0"]["image"])
    content["slice-1"]["masks"] = np.stack(content["slice-1"]["masks"]).astype(bool)
    content["slice-2"]["series_uid"] = np.str_("1.2.2")
    records = lidc.read_pickle(_written(tmp_path, content, protocol))
    assert records.patients == ["1.2.0", "1.2.1", "1.2.2"]
    for i, (record, entry) in enumerate(zip(records, content.values(), strict=True)):
        np.testing.assert_array_equal(record.image[0], entry["image"].astype(np.float32))
        np.testing.assert_array_equal(record.masks, np.stack(entry["masks"]))
        assert (record.image.dtype, record.masks.dtype, record.id) == (np.float32, np.uint8, i)
    assert [record.id for record in records[1:]] == [1, 2]


def test_names_of_older_numpy_are_read(tmp_path):
    content = pickle.dumps(_content(), protocol=2)
    assert b"numpy._core.multiarray" in content or b"numpy.core.multiarray" in content
    for name in (b"numpy.core.multiarray", b"numpy._core.multiarray"):
        renamed = content.replace(b"numpy._core.multiarray", name).replace(b"numpy.core.multiarray", name)
        assert len(lidc.read_pickle(_written(tmp_path, renamed))) == 3


class _Calls:
    """Pickled as a call."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def _hostile(marker):
    command, code = f"touch {marker}", f"open({str(marker)!r}, 'w')"
    yield "system", _Calls(os.system, command)
    yield "system", {"k": {"image": _Calls(os.system, command), "masks": [], "series_uid": ""}}
    yield "eval", _Calls(eval, code)
    yield "exec", _Calls(exec, code)
    yield "open", _Calls(open, str(marker), "w")
    yield "getattr", _Calls(getattr, "", "format")
    yield "__import__", _Calls(builtins.__import__, "antigravity")
    yield "partial", _Calls(functools.partial, os.system, command)
    yield "list", _Calls(list, _Calls(map, os.system, [command]))
    yield "OrderedDict", collections.OrderedDict(_content())
    yield "fromfile", _Calls(np.fromfile, "/dev/zero")
    yield "PosixPath", {"path": marker}


def test_hostile_pickles_are_refused_and_not_run(tmp_path):
    marker = tmp_path / "marker"
    for name, content in _hostile(marker):
        for protocol in (0, 2, 4):
            with pytest.raises(ValueError, match=f"asks for .*{name}, .*do not trust this file"):
                lidc.read_pickle(_written(tmp_path, content, protocol))
    assert not marker.exists()


def test_handwritten_opcodes_are_refused(tmp_path):
    marker = tmp_path / "marker"
    touch = f"touch {marker}".encode()
    for content in (
        b"cposix\nsystem\n(S'" + touch + b"'\ntR.",
        b"(S'" + touch + b"'\niposix\nsystem\n.",
        b"(cos\nsystem\nS'" + touch + b"'\no.",
        b"cnumpy\nndarray.__class__\n.",
        b"\x80\x04\x8c\x05numpy\x8c\x0fndarray.__mro__\x93.",
        b"c_codecs\nlookup\n.",
        b"Pid\n.",
        b"K\x01Q.",
    ):
        with pytest.raises(ValueError, match="asks for .*do not trust"):
            lidc.read_pickle(_written(tmp_path, content))
    assert not marker.exists()


def test_hostile_arrays_are_refused(tmp_path):
    pointer = np.array([object], dtype=object)
    for array in (pointer, np.zeros(2, [("a", "f4")]), np.zeros(2, "M8[s]"), np.zeros((2, 2), "V8")):
        with pytest.raises(ValueError, match="asks for|holds an array of dtype"):
            lidc.read_pickle(_written(tmp_path, {"k": array}))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a pickle",
        b"\x80\x04N",
        b"\x80\x04Nr" + struct.pack("<I", 2**32 - 1) + b".",  # memo index
        b"\x80\x04\x8e" + struct.pack("<Q", 2**40) + b"ab.",  # length of bytes
        b"\x80\x04\x8e" + struct.pack("<Q", 2**64 - 1) + b"ab.",
        b"\x80\x04" + b"]" * 100_000 + b"a" * 99_999 + b".",  # nested lists
        b"\x80\x04]\x94h\x00a.",  # a list that holds itself
        b"\x80\xff.",
        b"I" + b"9" * 10_000 + b"\n.",
    ],
)
def test_broken_pickles_are_named(tmp_path, content):
    with pytest.raises(ValueError, match=r"path: .*data\.pickle (is truncated|is empty|asks for|holds)"):
        lidc.read_pickle(_written(tmp_path, content))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.99])
def test_truncated_pickles_are_errors(tmp_path, share):
    content = pickle.dumps(_content())
    with pytest.raises(ValueError, match="truncated"):
        lidc.read_pickle(_written(tmp_path, content[: int(share * len(content))]))


MASK, IMAGE = np.zeros((6, 5), np.uint8), np.zeros((6, 5))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(image=[[0.5]]), "image: got list, expected a float array"),
        (dict(image=IMAGE.astype(np.uint8)), r"image: got uint8 array \(6, 5\), expected a float array"),
        (dict(image=IMAGE[0]), r"got float64 array \(5,\)"),
        (dict(image=IMAGE + np.nan), "values from nan"),
        (dict(image=IMAGE + 2), "values from 2.0 to 2.0, expected 0 to 1"),
        (dict(masks=[]), "masks: got list, expected a list of at least one mask"),
        (dict(masks=np.zeros((0, 6, 5))), "at least one mask"),
        (dict(masks=MASK), "at least one mask"),
        (dict(masks=None), "masks: got NoneType"),
        (dict(masks=[MASK, MASK[1:]]), r"mask 1: got uint8 array \(5, 5\), expected an array \(6, 5\)"),
        (dict(masks=[MASK + 2]), "mask 0: .*other values than 0 and 1"),
        (dict(masks=[MASK.astype("U1")]), "mask 0: .*other values"),
        (dict(masks=["x"]), "mask 0: got str"),
        (dict(series_uid=7), "series_uid: got int, expected str"),
    ],
)
def test_broken_content_is_named(tmp_path, change, message):
    content = _content()
    content["slice-1"] |= change
    with pytest.raises(ValueError, match=f"record 'slice-1'.*{message}"):
        lidc.read_pickle(_written(tmp_path, content))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({}, "holds dict, expected a dict with at least one record"),
        ([1], "holds list"),
        (np.zeros(3), "holds float64 array"),
        ({"k": [1]}, "record 'k': got list"),
        ({"k": {"image": IMAGE}}, r"got no \['masks', 'series_uid'\], expected image, masks, series_uid"),
        ({(1,): {}}, "a key of type tuple"),
    ],
)
def test_other_content_is_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=message):
        lidc.read_pickle(_written(tmp_path, content))


def test_a_missing_pickle_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="path: no file"):
        lidc.read_pickle(tmp_path / "none.pickle")


def test_the_real_pickle(data_root):
    path = data_root / "formats" / "lidc_pickle" / "data_lidc.pickle"
    if not path.is_file():
        pytest.skip(f"no {path}")
    records = lidc.read_pickle(path)
    with path.open("rb") as file:
        content = pickle.load(file)
    for record, entry in zip(records, content.values(), strict=True):
        np.testing.assert_array_equal(record.image[0], entry["image"].astype(np.float32))
        np.testing.assert_array_equal(record.masks, np.stack(entry["masks"]))
        assert record.patient == entry["series_uid"]


def test_containers_that_are_shared_are_visited_once(tmp_path):
    nested = []
    for _ in range(60):
        nested = [nested, nested]
    with pytest.raises(ValueError, match="holds list"):
        lidc.read_pickle(_written(tmp_path, nested))
