"""Pictures as they are found: turned, of few or many bits, damaged, or made to fill the memory."""

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from fastpunet.data.images import read_header, read_image
from fastpunet.data.picture_masks import mask_size, read_labels
from fastpunet.intensity import Intensity

CORNERS = np.array([[10, 20, 30], [40, 50, 60]], np.uint8)


def _chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_png(path, values, bits, colour=0, palette=None, size=None):
    """A PNG with so many bits a value, as libpng would write it: Pillow writes 1, 8 and 16 alone."""
    height, width = size or np.shape(values)[:2]
    rows = b""
    for row in np.asarray(values):
        wide = row.ravel().astype(">u2").view(np.uint8)
        binary = np.unpackbits(wide.reshape(-1, 2), axis=1)[:, 16 - bits :]
        rows += b"\0" + np.packbits(binary.ravel()).tobytes()
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    plte = b"" if palette is None else _chunk(b"PLTE", bytes(palette))
    content = _chunk(b"IHDR", header) + plte + _chunk(b"IDAT", zlib.compress(rows, 9)) + _chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + content)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
@pytest.mark.parametrize("palette", [False, True])
def test_masks_of_few_bits_hold_their_indices(tmp_path, bits, palette):
    values = np.random.default_rng(bits).integers(0, 2**bits, (5, 7))
    colours = np.random.default_rng(0).integers(0, 256, 3 * 2**bits).tolist() if palette else None
    write_png(tmp_path / "m.png", values, bits, 3 if palette else 0, colours)
    got = read_labels(tmp_path / "m.png")
    np.testing.assert_array_equal(got.values, values)
    assert got.white == (255 if palette and bits > 1 else 2**bits - 1) or palette
    assert mask_size(tmp_path / "m.png") == (5, 7)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_images_of_few_bits_span_zero_to_one(tmp_path, bits):
    values = np.arange(2**bits).reshape(1, -1)
    write_png(tmp_path / "i.png", values, bits)
    np.testing.assert_allclose(read_image(tmp_path / "i.png")[0], values / (2**bits - 1), rtol=1e-6)


def test_masks_of_16_bits(tmp_path):
    for stored, expected in (([[0, 65535]], [[0, 255]]), ([[0, 3, 255]], [[0, 3, 255]])):
        Image.fromarray(np.array(stored, np.uint16)).save(tmp_path / "m.png")
        assert read_labels(tmp_path / "m.png").values.tolist() == expected
    Image.fromarray(np.array([[0, 256]], np.uint16)).save(tmp_path / "m.png")
    with pytest.raises(ValueError, match="m.png holds values from 0 to 256, expected class indices"):
        read_labels(tmp_path / "m.png")


def test_twelve_bits_in_sixteen_keep_their_contrast(tmp_path):
    values = np.random.default_rng(0).integers(0, 4096, (20, 30)).astype(np.uint16)
    path = tmp_path / "i.png"
    Image.fromarray(values).save(path)
    given = read_image(path, intensity=Intensity.range(0, 4095))
    np.testing.assert_allclose(given[0], values / 4095, atol=1e-6)
    with pytest.warns(UserWarning, match="more than 8 bits are scaled by the percentiles"):
        assert read_image(path)[0].std() > 0.2
    with pytest.warns(UserWarning, match="i.png: got grey values from .*, expected about 0 to 65535"):
        read_image(path, intensity=Intensity.range(0, 65535))
    assert read_header(path).wide


def test_colours_of_16_bits_are_refused_rather_than_cut(tmp_path):
    write_png(tmp_path / "i.png", np.full((2, 6), 4095), 16, colour=2, size=(2, 2))
    with pytest.raises(ValueError, match="i.png has colours of 16 bits"):
        read_image(tmp_path / "i.png")


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_pictures_are_turned_as_their_orientation_says(tmp_path, orientation, suffix):
    undo = {  # which corner the first stored pixel belongs to: EXIF 2.32, tag 0x0112
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.T,
        6: lambda a: a.T[:, ::-1],
        7: lambda a: a[::-1, ::-1].T,
        8: lambda a: a.T[::-1],
    }[orientation]
    stored = np.kron(CORNERS, np.ones((16, 16), np.uint8))
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / f"x.{suffix}"
    Image.fromarray(stored).save(file, exif=exif, **({"quality": 100} if suffix == "jpg" else {}))
    expected = undo(stored)
    np.testing.assert_allclose(read_image(file)[0] * 255, expected, atol=1)
    assert read_header(file).size == expected.shape
    if suffix != "jpg":
        np.testing.assert_array_equal(read_labels(file).values, expected)
        assert mask_size(file) == expected.shape


def test_an_orientation_behind_the_pixels_counts_too(tmp_path):
    """Where some programs that add one put it."""
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "x.png"
    Image.fromarray(CORNERS).save(file)
    content = file.read_bytes()
    file.write_bytes(content[:-12] + _chunk(b"eXIf", exif.tobytes()[6:]) + content[-12:])
    assert read_header(file).size == mask_size(file) == (3, 2)
    np.testing.assert_array_equal(read_labels(file).values, CORNERS.T[:, ::-1])
    np.testing.assert_allclose(read_image(file)[0] * 255, CORNERS.T[:, ::-1], atol=1e-4)


def test_tiff_masks_are_taken_where_they_keep_indices(tmp_path):
    file = tmp_path / "m.tif"
    for compression in (None, "tiff_lzw", "tiff_adobe_deflate"):
        Image.fromarray(CORNERS).save(file, compression=compression)
        np.testing.assert_array_equal(read_labels(file).values, CORNERS)
    Image.fromarray(np.zeros((16, 16), np.uint8)).save(file, compression="jpeg")
    with pytest.raises(ValueError, match="m.tif is compressed as JPEG, which changes class indices"):
        read_labels(file)
    Image.fromarray(CORNERS).save(file, tiffinfo={262: 0})
    with pytest.raises(ValueError, match="stores white as 0"):
        read_labels(file)


def test_a_mask_that_is_really_a_jpeg_is_refused(tmp_path):
    Image.fromarray(CORNERS).save(tmp_path / "m.png", format="JPEG")
    with pytest.raises(ValueError, match="m.png is truncated or not a single image"):
        read_labels(tmp_path / "m.png")


def test_pictures_that_unpack_to_gigabytes_are_refused_before_they_do(tmp_path):
    bomb = tmp_path / "bomb.png"
    side = 12000
    rows = zlib.compressobj(9)
    packed = b"".join(rows.compress(bytes(1 + side)) for _ in range(side)) + rows.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    content = _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")
    bomb.write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    assert bomb.stat().st_size < 1 << 20
    tiff = io.BytesIO()
    Image.new("L", (side, side)).save(tiff, "TIFF", compression="tiff_adobe_deflate")
    (tmp_path / "bomb.tif").write_bytes(tiff.getvalue())
    for file in (bomb, tmp_path / "bomb.tif"):
        for reader in (read_image, read_header, read_labels, mask_size):
            with pytest.raises(ValueError, match="claims to unpack to 549 MiB, expected at most 256 MiB"):
                reader(file)


def test_messages_are_one_line_and_nothing_else_is_said(tmp_path, recwarn, capfd):
    file = tmp_path / "x.tif"
    Image.fromarray(np.zeros((32, 32), np.uint8)).save(file, compression="tiff_lzw")
    content = file.read_bytes()
    for place in range(0, len(content), 3):
        file.write_bytes(content[:place] + b"\xff\n" + content[place + 2 :])
        message = _refusal(file)
        assert message is None or ("\n" not in message and str(file) in message)
    assert not [str(warning.message) for warning in recwarn.list]
    assert capfd.readouterr() == ("", "")


def _refusal(file):
    try:
        read_image(file, intensity=Intensity.percentiles())
    except ValueError as error:
        return str(error)
    return None
