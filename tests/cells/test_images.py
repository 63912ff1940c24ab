"""Reading and decoding pictures."""

import base64
import io
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import encoded
from PIL import Image

from sktransfer._cells import images
from sktransfer._cells.column import CellError
from sktransfer._cells.images import (
    crop_to_aspect,
    decode_image,
    hash_image,
    read_image,
)


def decoded(content):
    return np.asarray(decode_image(content))


def test_a_png_comes_back_as_its_pixels(pixels):
    np.testing.assert_array_equal(decoded(encoded(pixels[0])), pixels[0])


def test_exif_rotation_is_applied(pixels):
    image = Image.fromarray(pixels[0])
    exif = Image.Exif()
    exif[0x0112] = 6  # stored turned: show it rotated by 270 degrees
    upright = decoded(encoded(image, "JPEG", exif=exif, quality=95))
    assert upright.shape == (36, 40, 3)


def test_cmyk_becomes_rgb():
    image = Image.new("CMYK", (5, 4), (0, 255, 255, 0))
    pixel = decoded(encoded(image, "JPEG", quality=95))[0, 0].astype(int)
    assert pixel[0] > 200
    assert pixel[1:].max() < 60


def test_16_bit_grey_is_scaled_not_clipped():
    ramp = np.array([[0, 256, 32768, 65535]], dtype=np.uint16)
    np.testing.assert_array_equal(decoded(encoded(ramp))[0, :, 0], [0, 1, 128, 255])


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(mode):
    if mode == "P":
        image = Image.new("P", (3, 3), 0)
        image.putpalette([10, 20, 30] + [0, 0, 0] * 255)
        content = encoded(image, transparency=0)
    else:
        content = encoded(Image.new(mode, (3, 3), (0,) * len(mode)))
    assert (decoded(content) == 255).all()


@pytest.mark.parametrize("mode", ["L", "1", "P"])
def test_grey_bilevel_and_palette_become_rgb(mode, pixels):
    image = Image.fromarray(pixels[0]).convert(mode)
    assert decoded(encoded(image)).shape == (40, 36, 3)


def test_the_first_frame_of_an_animation_is_taken():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert tuple(decoded(content)[0, 0]) == (255, 0, 0)


def test_a_single_pixel_is_a_picture():
    assert decoded(encoded(np.full((1, 1, 3), 7, np.uint8))).shape == (1, 1, 3)


def test_a_decompression_bomb_is_refused_before_it_is_decoded():
    # 20,000 x 20,000 grey pixels are a few kB of PNG and 400 MB of memory.
    content = encoded(Image.new("1", (20_000, 20_000)))
    with pytest.raises(CellError, match="more pixels than Pillow allows"):
        decode_image(content)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_pixels_without_a_defined_range_are_refused(mode):
    image = Image.new(mode, (2, 2), 100_000)
    with pytest.raises(CellError, match="range is not defined"):
        decode_image(image)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"<html><body>404</body></html>", "HTML page"),
        (b"<svg xmlns='x'></svg>", "SVG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0", "HEIC.*pip install pillow-heif"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0", "HEIC.*pip install pillow-heif"),
        (b"GIF89a garbage", "cannot be decoded|no image"),
        (b"\x89PNG\r\n\x1a\n broken", "cannot be decoded|no image"),
    ],
)
def test_what_is_no_image_says_what_it_is(content, cause):
    with pytest.raises(CellError, match=cause):
        decode_image(content)


def test_bad_cells_say_what_is_wrong(bad_images):
    causes = {
        "truncated": "cannot be decoded",
        "zero_bytes": "empty",
        "html_named_jpg": "HTML page",
        "text_named_jpg": "no image",
        "only_a_header": "cannot be decoded|no image",
        "missing_file": "no such file",
        "directory": "directory",
        "empty_string": "empty string",
        "nul_in_path": "cannot be read",
        "wrong_type": "type int",
        "float_array": "float64",
        "empty_bytes": "0 bytes",
    }
    assert causes.keys() == bad_images.keys()
    for name, cell in bad_images.items():
        with pytest.raises(CellError, match=causes[name]):
            decode_image(read_image(cell, "path"))


@pytest.mark.skipif(os.name != "posix", reason="pipes and devices")
def test_what_has_no_end_is_not_opened(tmp_path):
    pipe = tmp_path / "pipe.jpg"
    os.mkfifo(pipe)
    for cell in (pipe, "/dev/zero"):
        with pytest.raises(CellError, match="a pipe, socket or device"):
            read_image(cell, "path")


def test_no_program_is_started_for_a_picture():
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "EPS")
    with pytest.raises(CellError, match="EPS.*another program"):
        decode_image(buffer.getvalue())


def test_base64_is_read_when_it_is_announced(pixels):
    content = encoded(pixels[0])
    text = base64.b64encode(content).decode()
    for cell in (text, f"data:image/png;base64,{text}", text[:60] + "\n" + text[60:]):
        assert read_image(cell, "base64") == content
    with pytest.raises(CellError, match="set source='base64'"):
        read_image(text, "path")
    with pytest.raises(CellError, match="not base64"):
        read_image("!!!", "base64")


def test_a_url_is_fetched_only_when_it_is_announced():
    with pytest.raises(CellError, match="set source='url'"):
        read_image("http://127.0.0.1/a.jpg", "path")
    with pytest.raises(CellError, match="only http"):
        read_image("file:///etc/hostname", "url")
    with pytest.raises(CellError, match="cannot be fetched"):
        read_image("http://127.0.0.1:1/a.jpg", "url")


def test_source_bytes_opens_no_string_and_no_path(image_paths, tmp_path):
    for cell in (image_paths[0], tmp_path / "picture0.png", "http://127.0.0.1/a.jpg"):
        with pytest.raises(CellError, match="opens none"):
            read_image(cell, "bytes")
    with open(image_paths[0], "rb") as file:
        content = file.read()
    assert read_image(content, "bytes") == content


@pytest.mark.parametrize("source", ["url", "base64"])
def test_a_path_object_is_opened_only_as_a_path(source, tmp_path):
    with pytest.raises(CellError, match="opens no files"):
        read_image(tmp_path / "picture0.png", source)


def test_the_callers_image_stays_as_it_is(pixels):
    image = Image.fromarray(pixels[0]).convert("RGBA")
    before = (image.mode, image.size, image.tobytes())
    decode_image(image)
    assert (image.mode, image.size, image.tobytes()) == before


def test_a_pil_animation_stays_at_its_frame():
    frames = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    image = Image.open(io.BytesIO(content))
    image.seek(1)
    assert tuple(decoded(image)[0, 0]) == (0, 0, 255)
    assert image.tell() == 1


def test_the_hash_names_the_content(pixels):
    content = encoded(pixels[0])
    assert hash_image(content) == hash_image(bytes(content))
    assert hash_image(content) != hash_image(encoded(pixels[1]))
    assert hash_image(read_image(Image.fromarray(pixels[0]), "path")) == hash_image(
        pixels[0]
    )
    assert hash_image(pixels[0]) != hash_image(pixels[0].reshape(36, 40, 3))
    assert len(hash_image(content)) == 20


def test_a_thin_strip_is_cut_to_its_middle():
    strip = np.arange(3000, dtype=np.uint8).reshape(1, 1000, 3)
    middle = crop_to_aspect(strip, max_ratio=10)
    np.testing.assert_array_equal(middle, strip[:, 495:505])
    upright = crop_to_aspect(strip.transpose(1, 0, 2), max_ratio=10)
    np.testing.assert_array_equal(upright[:, 0], strip[0, 495:505])
    assert crop_to_aspect(middle, max_ratio=10) is middle


@pytest.mark.parametrize("max_pixels", [29, 30])
def test_pixels_are_counted_before_an_image_is_decoded(max_pixels, monkeypatch):
    pixels = np.zeros((5, 6, 3), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    content = buffer.getvalue()
    text = base64.b64encode(content).decode()
    opened = Image.open(io.BytesIO(content))
    monkeypatch.setattr(type(opened), "load", lambda image: pytest.fail("decoded"))
    if max_pixels == 30:
        for cell in (content, text, pixels):
            assert len(read_image(cell, "base64", max_pixels=max_pixels))
        return
    for cell in (content, text, pixels, opened):
        with pytest.raises(CellError, match=r"30 pixels \(6 x 5\).*max_pixels=29"):
            read_image(cell, "base64", max_pixels=max_pixels)
    assert read_image(b"no image", "path", max_pixels=1) == b"no image"


def test_large_images_wait_for_room_and_one_is_never_refused():
    room = images._Room(100)
    together, most = [], []

    def decode(side):
        with room.of((side, side)):
            together.append(side * side)
            most.append(sum(min(n, 100) for n in together))
            time.sleep(0.002)
            together.remove(side * side)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decode, [5, 7, 9, 3, 50, 6] * 5))
    assert len(most) == 30
    assert max(most) <= 100
    assert room.free == 100


def test_a_cell_of_the_hub_is_its_bytes_or_else_its_path(tmp_path, pixels):
    content, file = encoded(pixels[0]), tmp_path / "a.png"
    file.write_bytes(content)
    for cell in (
        {"bytes": content, "path": "not opened.png"},
        {"bytes": None, "path": str(file)},
        {"path": str(file)},
        {"bytes": content},
    ):
        assert read_image(cell, "path") == content
    with pytest.raises(CellError, match="source='bytes' opens none"):
        read_image({"bytes": None, "path": str(file)}, "bytes")
    for cell, words in (
        ({"bytes": None, "path": None}, "neither bytes nor a path"),
        ({"bytes": b"", "path": "x"}, "0 bytes"),
        ({"bytes": content, "label": 1}, "a cell of type dict is no image"),
        ({}, "a cell of type dict is no image"),
    ):
        with pytest.raises(CellError, match=words):
            read_image(cell, "path")
    with pytest.raises(CellError, match="max_pixels=9"):
        read_image({"bytes": content, "path": None}, "path", max_pixels=9)


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own")
def test_a_link_that_leads_nowhere_is_said(tmp_path):
    (tmp_path / "a.png").symlink_to("/gone/b.png")
    with pytest.raises(CellError, match="no such file: the link leads to /gone/b.png"):
        read_image(str(tmp_path / "a.png"), "path")
