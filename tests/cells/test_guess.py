"""Which cells look like images."""

import subprocess
import sys

import pytest
from PIL import Image

from sktransfer._cells.guess import holds_images, is_image_suffix

SUFFIXES = [
    suffix
    for suffix, kind in Image.registered_extensions().items()
    if kind in Image.OPEN and kind not in ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
]


@pytest.mark.parametrize("suffix", [*SUFFIXES, ".mpo", ".heic", ".JPG", ".Jfif"])
def test_every_suffix_that_pillow_reads_is_an_image(suffix):
    assert is_image_suffix(suffix)
    assert holds_images([f"folder.d/photo{suffix}"] * 3)


@pytest.mark.parametrize("suffix", ["", ".", ".txt", ".pdf", ".h5", ".eps", ". jpg"])
def test_others_are_not(suffix):
    assert not is_image_suffix(suffix)
    assert not holds_images([f"photo{suffix}"] * 3)


@pytest.mark.parametrize(
    ("cell", "is_image"),
    [
        ({"bytes": b"x", "path": None}, True),
        ({"bytes": b"x", "path": "a.jfif"}, True),
        ({"bytes": None, "path": "a.png"}, True),
        ({"path": "a.png"}, True),
        ({"bytes": b"x", "path": "a.wav"}, False),
        ({"bytes": b"x", "path": "a.png", "label": 1}, False),
        ({}, False),
    ],
)
def test_a_dict_of_bytes_and_path_is_an_image(cell, is_image):
    assert holds_images([cell]) is is_image


def test_texts_are_told_apart_without_pillow():
    code = (
        "import sys; from sktransfer._cells.guess import holds_images\n"
        "assert not holds_images(['It was late.', 'Not for me. At all', 'no stop'])\n"
        "assert 'PIL' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
