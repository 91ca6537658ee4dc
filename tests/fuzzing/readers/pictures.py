"""Pictures as images and as masks; the sums of a PNG's parts are made right."""

from helpers.mutated_files import picture, png_chunks_with_right_sums, read_picture

from fuzzing.target import Target


def _png():
    return [picture("PNG", mode) for mode in ("L", "1", "P", "I;16", "RGB", "RGBA", "LA")]


def _jpeg():
    return [picture("JPEG", mode) for mode in ("L", "RGB", "CMYK")] + [picture("JPEG", "RGB", progressive=True)]


def _tiff():
    compressions = (None, "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg", "group4")
    return [picture("TIFF", "1" if name == "group4" else "L", compression=name) for name in compressions] + [
        picture("TIFF", mode) for mode in ("RGB", "I;16", "P")
    ]


def targets():
    yield Target("png", "x.png", read_picture, _png, png_chunks_with_right_sums)
    yield Target("jpeg", "x.jpg", read_picture, _jpeg)
    yield Target("tiff", "x.tif", read_picture, _tiff)
