"""Columns of the hub's library, pyarrow and torch, and those that are refused."""

import io

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
import torchvision
from PIL import Image

from sktransfer import ImageEncoder, TextClassifier, TextEncoder
from sktransfer._cells.column import as_column
from sktransfer._cells.copies import number_by_content

datasets = pytest.importorskip("datasets", reason="needs the hub's datasets")


def column(X, **kwargs):
    return as_column(X, caller="Encoder", cells="things", **kwargs)


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def want(pixels):
    return ImageEncoder("tiny-cnn").fit_transform(pixels)


@pytest.fixture
def hub(pixels):
    cells = [{"bytes": png(array), "path": None} for array in pixels]
    features = datasets.Features(
        {"image": datasets.Image(), "text": datasets.Value("string")}
    )
    texts = [f"text {i}" for i in range(len(pixels))]
    return datasets.Dataset.from_dict({"image": cells, "text": texts}, features)


@pytest.mark.parametrize(
    "form",
    [
        lambda data: data["image"],
        lambda data: data.cast_column("image", datasets.Image(decode=False))["image"],
        lambda data: data[:]["image"],
        lambda data: data.select_columns("image"),
        lambda data: data.to_pandas()["image"],
        lambda data: data.to_polars()["image"],
        lambda data: data.with_format("arrow")[:]["image"],
        lambda data: data.with_format("arrow")[:].select(["image"]),
        lambda data: data.with_format("numpy")["image"],
        lambda data: data.with_format("torch")["image"],
        lambda data: data.with_transform(lambda batch: batch)["image"],
    ],
    ids=[
        "column", "not decoded", "list", "data set", "pandas", "polars", "arrow",
        "arrow table", "numpy format", "torch format", "transform",
    ],
)  # fmt: skip
def test_every_form_of_a_hub_image_column_gives_the_same_vectors(form, hub, want):
    got = ImageEncoder("tiny-cnn").fit_transform(form(hub))
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_a_hub_column_keeps_the_order_of_a_shuffled_data_set(hub, want):
    shuffled = hub.shuffle(seed=3)
    order = [int(text.split()[1]) for text in shuffled["text"]]
    assert order != sorted(order)
    got = ImageEncoder("tiny-cnn").fit_transform(shuffled["image"])
    np.testing.assert_allclose(got, want[order], atol=1e-6)


def test_a_hub_column_is_not_decoded_where_the_cache_has_its_rows(hub, monkeypatch):
    ImageEncoder("tiny-cnn").fit_transform(hub["image"])

    def refuse(self, value, **kwargs):
        raise AssertionError("decoded")

    monkeypatch.setattr(datasets.Image, "decode_example", refuse)
    monkeypatch.setattr("sktransfer._extraction.readers.decode_image", refuse)
    ImageEncoder("tiny-cnn").fit_transform(hub["image"])


def test_copies_in_a_hub_column_are_found_without_decoding(hub, monkeypatch):
    twice = datasets.concatenate_datasets([hub, hub])

    def refuse(self, value, **kwargs):
        raise AssertionError("decoded")

    monkeypatch.setattr(datasets.Image, "decode_example", refuse)
    want = [0, 1, 2, 3, 4, 5] * 2
    assert number_by_content(twice["image"], source="path").tolist() == want
    assert number_by_content(twice).tolist() == want


def test_an_image_column_with_a_mode_is_read_in_that_mode(hub, pixels):
    grey = hub.cast_column("image", datasets.Image(mode="L"))
    got = ImageEncoder("tiny-cnn").fit_transform(grey["image"])
    images = [Image.fromarray(array).convert("L") for array in pixels]
    np.testing.assert_array_equal(got, ImageEncoder("tiny-cnn").fit_transform(images))


def test_hub_columns_of_texts_and_labels_fit_a_classifier(hub):
    data = hub.add_column("label", ["a", "b"] * 3)
    classifier = TextClassifier("tiny-bert", freeze_depth="all", random_state=0)
    fitted = classifier.fit(data["text"], data["label"])
    assert list(fitted.classes_) == ["a", "b"]
    assert len(fitted.predict(data["text"])) == 6


def test_null_images_of_the_hub_are_missing(pixels):
    data = datasets.Dataset.from_dict(
        {"image": [Image.fromarray(pixels[0]), None]},
        features=datasets.Features({"image": datasets.Image()}),
    )
    encoder = ImageEncoder("tiny-cnn", missing="zero").fit(data["image"])
    assert encoder.missing_rows_.tolist() == [1]


def test_a_hub_table_with_several_columns_asks_for_one(hub):
    with pytest.raises(ValueError, match="frame with 2 columns"):
        TextEncoder("tiny-bert").fit(hub)


@pytest.mark.parametrize(
    "array",
    [
        pa.array(["a", "b"]),
        pa.chunked_array([["a"], ["b"]]),
        pa.array(["a", "b"], pa.large_string()),
        pa.array(["a", "b"]).dictionary_encode(),
        pa.table({"x": ["a", "b"]}),
        pa.record_batch({"x": ["a", "b"]}),
    ],
    ids=["array", "chunked", "large", "dictionary", "table", "batch"],
)
def test_arrow_columns_are_lists_of_their_cells(array):
    assert list(column(array).cells) == ["a", "b"]


def test_arrow_bytes_are_read_one_at_a_time_and_nulls_are_known():
    cells = column(pa.chunked_array([[b"a", None], [b"c"]])).cells
    assert not isinstance(cells, list)
    assert [cells[row] for row in range(3)] == [b"a", None, b"c"]
    assert cells.nulls.tolist() == [1]


@pytest.mark.parametrize(
    "form",
    [
        lambda x: torch.from_numpy(x).permute(0, 3, 1, 2),
        torch.from_numpy,
        lambda x: list(torch.from_numpy(x).permute(0, 3, 1, 2)),
        lambda x: list(torch.from_numpy(x)),
        lambda x: torchvision.tv_tensors.Image(torch.from_numpy(x).permute(0, 3, 1, 2)),
    ],
    ids=["NCHW", "NHWC", "list of CHW", "list of HWC", "tv_tensor"],
)
def test_uint8_tensors_are_images(form, pixels, want):
    got = ImageEncoder("tiny-cnn").fit_transform(form(pixels))
    np.testing.assert_array_equal(got, want)


def test_grey_tensors_are_images_with_and_without_a_channel(pixels):
    grey = torch.from_numpy(pixels[..., 0])
    want = ImageEncoder("tiny-cnn").fit_transform(pixels[..., 0])
    for form in (grey, grey[:, None]):
        got = ImageEncoder("tiny-cnn").fit_transform(form)
        np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.zeros(4, 3, 8, 8), r"dtype float32.*uint8 with values 0 to 255"),
        (torch.zeros(3, 8, 8, dtype=torch.uint8), r"looks like one image.*X\[None\]"),
        (torch.zeros(4, 2, 8, 8, dtype=torch.uint8), r"shape \(4, 2, 8, 8\)"),
    ],
    ids=["floats", "one image", "two channels"],
)
def test_tensors_that_are_no_images_say_why(tensor, message):
    with pytest.raises(ValueError, match=message):
        ImageEncoder("tiny-cnn").fit(tensor)


@pytest.fixture
def folder(tmp_path, pixels):
    for i, array in enumerate(pixels):
        path = tmp_path / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(array))
    return torchvision.datasets.ImageFolder(tmp_path)


def test_an_image_folder_and_its_parts_are_columns_of_paths(folder, want):
    order = [0, 2, 4, 1, 3, 5]
    encoder = ImageEncoder("tiny-cnn")
    np.testing.assert_array_equal(encoder.fit_transform(folder), want[order])
    part = torch.utils.data.Subset(folder, [3, 0])
    np.testing.assert_array_equal(encoder.fit_transform(part), want[[1, 0]])


def test_the_transform_of_an_image_folder_is_said_to_be_left_out(folder):
    folder = torchvision.datasets.ImageFolder(
        folder.root, transform=torchvision.transforms.ToTensor()
    )
    with pytest.warns(UserWarning, match="transform of ImageFolder is not applied"):
        ImageEncoder("tiny-cnn").fit(folder)


class Named:
    """A container of a library that is not installed here."""


def of_library(name):
    return type("Frame", (Named,), {"__module__": f"{name}.dataframe.core"})()


@pytest.mark.parametrize(
    ("X", "way_out"),
    [
        (of_library("dask"), r"Frame of dask: .*X.compute\(\).*map_partitions"),
        (of_library("pyspark"), r"X.toPandas\(\)"),
        (of_library("duckdb"), r"X.df\(\)"),
        (of_library("cudf"), r"X.to_pandas\(\)"),
        (of_library("tensorflow"), r"X.numpy\(\)"),
        (pl.DataFrame({"x": ["a"]}).lazy(), r"X.collect\(\)"),
        ({"x": ["a"]}, "pass one of its values"),
        (torch.utils.data.DataLoader([1]), r"\[image for image, target in X\]"),
        (datasets.DatasetDict(), r"pick a split, such as X\['train'\]"),
        ((c for c in "ab"), "turn it into a list"),
        ("a.jpg", "wrap a single item in a list"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)  # fmt: skip
def test_what_cannot_be_read_says_the_way_out(X, way_out):
    with pytest.raises(TypeError, match=way_out):
        column(X)


def test_streamed_data_sets_of_the_hub_say_the_way_out(hub):
    stream = hub.to_iterable_dataset()
    for X in (stream, stream["text"]):
        with pytest.raises(TypeError, match=r"streamed.*list\(X.take\(1000\)\)"):
            column(X)


def test_pairs_of_image_and_label_are_told_from_lists_of_images(pixels):
    pairs = [(Image.fromarray(array), 1) for array in pixels]
    with pytest.raises(ValueError, match="pass the images of such pairs alone"):
        ImageEncoder("tiny-cnn").fit_transform(pairs)


def test_index_labels_and_names_are_those_of_a_series():
    got = column(pd.Series(["a", "b"], index=["x", "y"], name="text"))
    assert (got.name, got.label(1)) == ("text", "y")
