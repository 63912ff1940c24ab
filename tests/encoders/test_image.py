"""ImageEncoder: input kinds and bad rows."""

import base64
import pickle
import zipfile
from pathlib import Path

import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from conftest import encoded
from PIL import Image

from sktransfer import ImageClassifier, ImageEncoder
from sktransfer._extraction.readers import ImageReader
from sktransfer.exceptions import MissingRowError, UnreadableRowError


@pytest.fixture
def encoder():
    return ImageEncoder("tiny-cnn")


def test_every_kind_of_input_gives_equal_rows(encoder, pixels, image_paths):
    want = encoder.fit_transform(image_paths)
    contents = [Path(path).read_bytes() for path in image_paths]
    kinds = {
        "tuple": tuple(image_paths),
        "object array": np.array(image_paths, dtype=object),
        "column array": np.array(image_paths, dtype=object)[:, None],
        "str array": np.array(image_paths),
        "Path": [Path(path) for path in image_paths],
        "bytes": contents,
        "bytearray": [bytearray(content) for content in contents],
        "PIL": [Image.open(path) for path in image_paths],
        "4-D array": pixels,
        "list of arrays": list(pixels),
        "pandas Series": pd.Series(image_paths, name="p"),
        "pandas frame": pd.DataFrame({"p": image_paths}),
        "pandas of bytes": pd.Series(contents),
        "polars Series": pl.Series("p", image_paths),
        "polars frame": pl.DataFrame({"p": image_paths}),
        "polars of bytes": pl.Series(contents),
        "Arrow": pa.array(image_paths),
        "Arrow of bytes": pa.array(contents),
    }
    for kind, X in kinds.items():
        np.testing.assert_array_equal(encoder.transform(X), want, err_msg=kind)
    texts = [base64.b64encode(content).decode() for content in contents]
    got = encoder.set_params(source="base64").transform(texts)
    np.testing.assert_array_equal(got, want)


def test_grey_arrays_are_grey_pictures(encoder, pixels):
    grey = pixels[..., 0]
    as_rgb = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(
        encoder.fit_transform(grey), encoder.fit_transform(as_rgb)
    )


@pytest.mark.usefixtures("auto_is_cpu")
def test_kinds_may_be_mixed_in_one_column(encoder, pixels, image_paths):
    want = encoder.fit_transform(image_paths[:3])
    mixed = [image_paths[0], pixels[1], Path(image_paths[2]).read_bytes()]
    np.testing.assert_array_equal(encoder.transform(mixed), want)


def test_a_bad_row_is_named_with_its_label_source_and_cause(encoder, bad_images):
    column = pd.Series([bad_images["html_named_jpg"]], index=["cell0017"], name="photo")
    with pytest.raises(UnreadableRowError) as caught:
        encoder.fit_transform(column)
    message = str(caught.value)
    for part in ("row 0", "'cell0017'", "'photo'", "html_named_jpg.jpg", "HTML page"):
        assert part in message
    assert "on_error= to one of ['mean', 'nan', 'zero']" in message
    assert (caught.value.row, caught.value.label) == (0, "cell0017")
    again = pickle.loads(pickle.dumps(caught.value))
    assert (str(again), again.label) == (message, "cell0017")


def test_a_null_row_is_named_and_the_others_are_counted(encoder, pixels):
    with pytest.raises(MissingRowError, match=r"row 1, and 1 more rows are missing"):
        encoder.fit([pixels[0], None, pixels[1], float("nan")])


@pytest.mark.parametrize("chunk", [None, 2])
def test_the_first_bad_row_is_named_whatever_is_wrong(
    chunk, pixels, bad_images, monkeypatch
):
    """A file without content is found out before one that does not decode."""
    if chunk is not None:
        monkeypatch.setattr(ImageReader, "chunk_size", chunk)
    cells = [*pixels[:3], bad_images["truncated"], bad_images["missing_file"]]
    cells += [*pixels[3:], bad_images["zero_bytes"], bad_images["html_named_jpg"]]
    with pytest.raises(UnreadableRowError, match="row 3") as caught:
        ImageEncoder("tiny-cnn").fit_transform(cells)
    assert caught.value.row == 3
    with pytest.warns(UserWarning, match="4 of 10 rows .* The first is row 3"):
        ImageEncoder("tiny-cnn", on_error="mean").fit_transform(cells)


@pytest.mark.filterwarnings("ignore:.* rows cannot be read")
@pytest.mark.parametrize("policy", ["nan", "zero", "mean"])
def test_every_bad_image_follows_on_error(policy, pixels, bad_images):
    X = [*pixels, *bad_images.values()]
    encoder = ImageEncoder("tiny-cnn", on_error=policy)
    out = encoder.fit_transform(X)
    good = ImageEncoder("tiny-cnn").fit_transform(pixels)
    np.testing.assert_array_equal(out[:6], good)
    replaced = {"nan": np.nan, "zero": 0.0, "mean": good.mean(axis=0)}[policy]
    for row in out[6:]:
        np.testing.assert_allclose(row, np.broadcast_to(replaced, 24), rtol=1e-5)
    np.testing.assert_array_equal(encoder.error_rows_, np.arange(6, len(X)))
    assert encoder.missing_rows_.size == 0


@pytest.mark.filterwarnings("ignore:.* rows cannot be read")
def test_null_and_unreadable_rows_have_policies_of_their_own(pixels, bad_images):
    X = [pixels[0], None, bad_images["truncated"], pd.NA]
    encoder = ImageEncoder(
        "tiny-cnn", missing="zero", on_error="nan", add_indicator=True
    )
    out = encoder.fit_transform(X)
    assert np.isnan(out[2, :-1]).all()
    assert not out[[1, 3], :-1].any()
    assert out[:, -1].tolist() == [0, 1, 1, 1]
    assert encoder.missing_rows_.tolist() == [1, 3]
    assert encoder.error_rows_.tolist() == [2]
    with pytest.raises(UnreadableRowError):
        ImageEncoder("tiny-cnn", missing="zero").fit_transform(X)
    with pytest.raises(MissingRowError):
        ImageEncoder("tiny-cnn", on_error="zero").fit_transform(X)


@pytest.mark.filterwarnings("ignore:.* rows cannot be read")
def test_the_mean_is_that_of_fit(pixels, bad_images):
    encoder = ImageEncoder("tiny-cnn", on_error="mean", missing="mean")
    encoder.fit([*pixels[:3], None])
    want = ImageEncoder("tiny-cnn").fit_transform(pixels[:3]).mean(axis=0)
    out = encoder.transform([pixels[5], bad_images["truncated"], None])
    np.testing.assert_allclose(out[1], want, rtol=1e-5)
    np.testing.assert_array_equal(out[1], out[2])


@pytest.mark.filterwarnings("ignore:.* rows cannot be read")
def test_a_mean_of_nothing_is_an_error(bad_images):
    with pytest.raises(ValueError, match="all 2 rows are missing or unreadable"):
        ImageEncoder("tiny-cnn", on_error="mean", missing="mean").fit(
            [None, bad_images["directory"]]
        )


@pytest.mark.filterwarnings("ignore:.* rows cannot be read")
def test_rows_that_are_all_bad_are_replaced(bad_images):
    X = list(bad_images.values())
    out = ImageEncoder("tiny-cnn", on_error="nan").fit_transform(X)
    assert out.shape == (len(X), 24)
    assert np.isnan(out).all()
    out = ImageEncoder("tiny-cnn", missing="nan").fit_transform([None, None])
    assert np.isnan(out).all()


@pytest.mark.filterwarnings("ignore:.* rows cannot be read")
def test_repeats_of_a_bad_file_are_all_bad(pixels, bad_images):
    path = bad_images["truncated"]
    encoder = ImageEncoder("tiny-cnn", on_error="zero")
    out = encoder.fit_transform([path, pixels[0], path, path])
    assert encoder.error_rows_.tolist() == [0, 2, 3]
    assert out.any(axis=1).tolist() == [False, True, False, False]


def test_odd_but_sound_pictures_are_encoded(encoder):
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, size=(20, 30, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    ramp = np.arange(600, dtype=np.uint16).reshape(20, 30) * 100
    odd = {
        "CMYK": encoded(image.convert("CMYK"), "JPEG"),
        "16 bit": encoded(ramp),
        "palette with alpha": encoded(image.convert("P"), transparency=0),
        "RGBA": encoded(image.convert("RGBA")),
        "grey": encoded(image.convert("L")),
        "1x1": encoded(noise[:1, :1]),
        "strip": encoded(noise.reshape(1, 600, 3)),
        "animated": encoded(image, "GIF", save_all=True, append_images=[image]),
    }
    out = encoder.fit_transform(list(odd.values()))
    assert np.isfinite(out).all()
    assert len(np.unique(out, axis=0)) == len(odd)


@pytest.mark.filterwarnings("ignore:.* rows cannot be read")
def test_a_bomb_follows_on_error(pixels):
    bomb = encoded(Image.new("1", (20_000, 20_000)))
    out = ImageEncoder("tiny-cnn", on_error="nan").fit_transform([pixels[0], bomb])
    assert np.isnan(out).all(axis=1).tolist() == [False, True]


def test_a_very_long_strip_needs_little_memory(encoder):
    strip = Image.new("L", (60_000, 2), 128)
    assert np.isfinite(encoder.fit_transform([strip])).all()


@pytest.mark.filterwarnings("ignore:.* rows cannot be read")
def test_a_service_opens_nothing(image_paths):
    encoder = ImageEncoder("tiny-cnn", source="bytes", on_error="nan")
    content = Path(image_paths[0]).read_bytes()
    out = encoder.fit_transform(
        [content, image_paths[0], Path(image_paths[0]), "http://127.0.0.1/"]
    )
    assert np.isnan(out).all(axis=1).tolist() == [False, True, True, True]


@pytest.mark.parametrize("size", [0, -3, 2.5, "big", True])
def test_a_wrong_image_size_is_refused(size, pixels):
    with pytest.raises(ValueError, match="must be a positive int or None"):
        ImageEncoder("tiny-cnn", image_size=size).fit(pixels)


def test_a_network_with_a_fixed_size_says_so(pixels):
    from sktransfer import BackboneSpec

    vit = BackboneSpec("vit_tiny_patch16_224", pretrained=False)
    with pytest.raises(ValueError, match="takes only 224 x 224 pixels"):
        ImageEncoder(vit, image_size=100).fit(pixels)


def test_a_timm_network_computes_what_timm_computes(pixels):
    import timm
    import torch

    from sktransfer import BackboneSpec, load_backbone
    from sktransfer._utils.seeds import seeded

    spec = BackboneSpec("resnet10t", pretrained=False)
    out = ImageEncoder(spec, cache=None).fit_transform(pixels)
    backbone = load_backbone(spec)
    with seeded(spec.random_state):
        model = timm.create_model("resnet10t", pretrained=False).eval()
    assert len(backbone.blocks) == 5
    config = timm.data.resolve_data_config({}, model=model)
    transform = timm.data.create_transform(**config)
    with torch.inference_mode():
        batch = torch.stack([transform(Image.fromarray(array)) for array in pixels])
        want = model.forward_head(model.forward_features(batch), pre_logits=True)
    np.testing.assert_allclose(
        out, want, rtol=1e-3, atol=1e-4 * float(want.abs().max())
    )


@pytest.mark.filterwarnings("ignore:.* rows cannot be read")
@pytest.mark.loopback
def test_urls_are_fetched_with_limits(pixels, monkeypatch):
    import threading
    from http.server import BaseHTTPRequestHandler, HTTPServer

    from sktransfer._untrusted import addresses, web

    monkeypatch.setattr(addresses, "why_refused", lambda address, private: None)
    content = encoded(pixels[0])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            if self.path == "/redirect":
                self.send_response(302)
                self.send_header("Location", "file:///etc/hostname")
                self.end_headers()
                return
            self.send_response(404 if self.path == "/none" else 200)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        root = f"http://127.0.0.1:{server.server_port}"
        encoder = ImageEncoder("tiny-cnn", source="url", on_error="nan")
        out = encoder.fit_transform([f"{root}/a", f"{root}/none", f"{root}/redirect"])
        want = ImageEncoder("tiny-cnn").fit_transform(pixels[:1])
        np.testing.assert_array_equal(out[:1], want)
        assert np.isnan(out[1:]).all()
        monkeypatch.setattr(web, "MAX_BYTES", 100)
        assert np.isnan(encoder.fit_transform([f"{root}/b"])).all()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.slow
def test_a_linear_probe_on_clothing_reaches_77_percent(bundled_weights, shared_data):
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    root = shared_data / "clothing10"
    index = pd.read_csv(root / "index.csv")
    index["path"] = [str(root / path) for path in index["path"]]
    train, test = (index[index["split"] == part] for part in ("train", "test"))
    # C as chosen by cross-validation on the training part (benchmarks, linear_probe).
    model = make_pipeline(ImageEncoder(), LogisticRegression(C=0.1, max_iter=2000))
    model.fit(train["path"], train["label"])
    assert model.score(test["path"], test["label"]) >= 0.77


@pytest.mark.parametrize("cached", [False, True])
def test_an_image_of_more_pixels_than_allowed_is_unreadable(cached, tmp_path):
    small, large = np.zeros((8, 8, 3), np.uint8), np.zeros((9, 9, 3), np.uint8)
    if cached:
        ImageEncoder("tiny-cnn", cache=tmp_path).fit_transform([small, large])
    encoder = ImageEncoder("tiny-cnn", max_pixels=64, on_error="nan", cache=tmp_path)
    message = r"81 pixels \(9 x 9\), and at most 64 are allowed \(max_pixels=64\)"
    with pytest.warns(UserWarning, match=message):
        out = encoder.fit_transform([small, large])
    assert np.isnan(out).all(axis=1).tolist() == [False, True]
    model = ImageClassifier("tiny-cnn", max_pixels=64, freeze_depth=0, random_state=0)
    with pytest.raises(UnreadableRowError, match="max_pixels=64"):
        model.fit([small, large], ["a", "b"])
    with pytest.raises(ValueError, match="'max_pixels'"):
        ImageEncoder("tiny-cnn", max_pixels=0).fit([small])


def test_images_of_other_file_systems_are_read_by_fsspec(
    pixels, image_paths, tmp_path, counting_backbone
):
    """By their bytes or as copies: the same rows as the files themselves."""
    where = "memory://photos"
    for i, path in enumerate(image_paths):
        with open(path, "rb") as source, fsspec.open(f"{where}/{i}.png", "wb") as file:
            file.write(source.read())
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.write(image_paths[0], "0.png")
    addresses = [f"{where}/{i}.png" for i in range(len(image_paths))]
    backbone, counter = counting_backbone("tiny-cnn")
    encoder = ImageEncoder(backbone)
    want = encoder.fit_transform(image_paths)
    rows = counter.rows
    contents = []
    for address in [*addresses, f"zip://0.png::{tmp_path}/photos.zip"]:
        with fsspec.open(address) as file:
            contents.append(file.read())
    np.testing.assert_array_equal(encoder.transform(contents), want[[*range(6), 0]])
    copies = fsspec.open_local(
        [f"simplecache::{address}" for address in addresses],
        simplecache={"cache_storage": str(tmp_path / "copies")},
    )
    np.testing.assert_array_equal(encoder.transform(copies), want)
    assert counter.rows == rows == len(pixels)
    fsspec.filesystem("memory").rm("/photos", recursive=True)
