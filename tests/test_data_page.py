"""Each row of the table of the page on data from elsewhere does what it says."""

import base64
import io
import re

import fsspec
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import torch
from conftest import REPOSITORY
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline

from sktransfer import ImageEncoder, TableEncoder, TextEncoder, bulk
from sktransfer.datasets import load_image_folder
from sktransfer.exceptions import UnreadableRowError

TEXTS = ["one text", "another", "a third one", "and the last"]


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def same(X, pixels, **options):
    """Whether a column gives the vectors of some images."""
    got = ImageEncoder("tiny-cnn", **options).fit_transform(X)
    want = ImageEncoder("tiny-cnn").fit_transform(pixels)
    np.testing.assert_allclose(got, want, atol=1e-6)


def same_texts(X):
    got = TextEncoder("tiny-bert").fit_transform(X)
    np.testing.assert_array_equal(got, TextEncoder("tiny-bert").fit_transform(TEXTS))


@pytest.fixture
def folder(tmp_path, pixels):
    root = tmp_path / "classes"
    for i, array in enumerate(pixels):
        path = root / "ab"[i // 3] / f"{i}.png"
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(png(array))
    return root


def table_of(text=TEXTS):
    return {"text": list(text), "price": [1.0, 2.0, 3.0, 4.0]}


def encoder_of_tables():
    return TableEncoder(
        text_encoder=TextEncoder("tiny-bert"),
        image_encoder=ImageEncoder("tiny-cnn"),
        kinds={"text": "text"},
        n_components=None,
    )


def sub_folders(pixels, folder, **_):
    frame = load_image_folder(folder)
    assert frame["label"].tolist() == ["a"] * 3 + ["b"] * 3
    same(frame["path"], pixels)


def loose_images(pixels, folder, **_):
    same(sorted(str(p) for p in (folder / "a").glob("*.png")), pixels[:3])


def frames(**_):
    for frame in (pd.DataFrame(table_of()), pl.DataFrame(table_of())):
        same_texts(frame["text"])
        same_texts(frame[["text"]])


def several_images(pixels, folder, **_):
    frame = load_image_folder(folder).assign(item=[0, 0, 1, 1, 1, 2])
    got = ImageEncoder("tiny-cnn").fit_transform(
        frame.groupby("item")["path"].agg(list)
    )
    one_by_one = ImageEncoder("tiny-cnn").fit_transform(pixels)
    want = [one_by_one[:2].mean(0), one_by_one[2:5].mean(0), one_by_one[5]]
    np.testing.assert_allclose(got, want, atol=1e-6)


def long_texts(**_):
    X = ["many words " * 50 + end for end in ("here", "there")]
    with pytest.warns(UserWarning, match="2 of 2 texts have more"):
        cut = TextEncoder("tiny-bert").fit_transform(X)
    whole = TextEncoder("tiny-bert", max_length="pieces").fit_transform(X)
    assert np.abs(cut[0] - cut[1]).max() == 0
    assert np.abs(whole[0] - whole[1]).max() > 1e-3


def arrow(**_):
    table = pa.table(table_of())
    same_texts(pa.array(TEXTS))
    same_texts(pa.chunked_array([TEXTS[:1], TEXTS[1:]]))
    same_texts(table["text"])
    got = encoder_of_tables().fit(table).transform(table)
    frame = pd.DataFrame(table_of())
    np.testing.assert_array_equal(got, encoder_of_tables().fit_transform(frame))
    batch = table.to_batches()[0]
    np.testing.assert_array_equal(encoder_of_tables().fit_transform(batch), got)


def hub(pixels, **_):
    datasets = pytest.importorskip("datasets", reason="needs the hub's datasets")
    features = datasets.Features(
        {"image": datasets.Image(), "text": datasets.Value("string")}
    )
    images = [Image.fromarray(array) for array in pixels]
    data = datasets.Dataset.from_dict(
        {"image": images, "text": [f"row {i}" for i in range(6)]}, features
    )
    same(data["image"], pixels)
    got = encoder_of_tables().fit_transform(data)
    np.testing.assert_array_equal(
        got, encoder_of_tables().fit_transform(data.to_pandas())
    )
    model = make_pipeline(ImageEncoder("tiny-cnn"), LogisticRegression())
    assert len(cross_val_score(model, data["image"], [0, 1] * 3, cv=2)) == 2


def streamed(**_):
    datasets = pytest.importorskip("datasets", reason="needs the hub's datasets")
    data = datasets.Dataset.from_dict({"text": TEXTS}).to_iterable_dataset()
    same_texts([row["text"] for row in data.take(1000)])
    with pytest.raises(TypeError, match="streamed"):
        TextEncoder("tiny-bert").fit(data["text"])


def parquet(pixels, tmp_path, **_):
    cells = [
        {"bytes": png(array), "path": f"{i}.png"} for i, array in enumerate(pixels)
    ]
    path = tmp_path / "images.parquet"
    pd.DataFrame({"image": cells}).to_parquet(path)
    same(pd.read_parquet(path)["image"], pixels)
    same(pl.read_parquet(path)["image"], pixels)


def image_folder(pixels, folder, **_):
    from torchvision.datasets import ImageFolder

    data = ImageFolder(folder)
    assert data.targets == [0] * 3 + [1] * 3
    same(data, pixels)
    same(torch.utils.data.Subset(data, [4, 0]), pixels[[4, 0]])


def torch_data(pixels, folder, **_):
    from torchvision.datasets import ImageFolder

    data = torch.utils.data.ConcatDataset([ImageFolder(folder)])
    with pytest.raises(TypeError, match=r"\[image for image, target in X\]"):
        ImageEncoder("tiny-cnn").fit(data)
    same([image for image, target in data], pixels)


def tensors(pixels, **_):
    for form in (pixels, pixels.transpose(0, 3, 1, 2)):
        same(torch.from_numpy(form.copy()), pixels)
    grey = torch.from_numpy(pixels[..., 0].copy())
    for form in (grey, grey[:, None]):
        same(form, pixels[..., 0])


def floats(pixels, **_):
    X = pixels / 255
    with pytest.raises(ValueError, match="uint8"):
        ImageEncoder("tiny-cnn").fit(X)
    same((255 * X).round().astype("uint8"), pixels)
    same((255 * torch.from_numpy(X)).round().to(torch.uint8), pixels)


def arrays(pixels, **_):
    same(list(pixels), pixels)
    same(list(pixels[..., 0]), pixels[..., 0])


def pil_and_bytes(pixels, **_):
    same([Image.fromarray(array) for array in pixels], pixels)
    same([png(array) for array in pixels], pixels)


def strings(pixels, **_):
    coded = [base64.b64encode(png(array)).decode() for array in pixels]
    same(coded, pixels, source="base64")  # URLs: tests/untrusted


def dask(**_):
    frames_of = pytest.importorskip("dask.dataframe", reason="needs dask's frames")
    column = frames_of.from_pandas(pd.DataFrame(table_of()), npartitions=2)["text"]
    for X in (column, column.to_frame()):
        with pytest.raises(TypeError, match=r"X.compute\(\).*X.map_partitions"):
            TextEncoder("tiny-bert").fit(X)
    with pytest.raises(TypeError, match=r"X.compute\(\)"):
        encoder_of_tables().fit(column.to_frame())
    same_texts(column.compute())
    encoder = TextEncoder("tiny-bert").fit(TEXTS)
    width = pd.DataFrame(np.empty((0, 16), np.float32))
    parts = column.map_partitions(
        lambda part: pd.DataFrame(encoder.transform(part)), meta=width
    )
    got = parts.compute(scheduler="sync")
    np.testing.assert_array_equal(got, encoder.transform(TEXTS))


def lazy_polars(**_):
    frame = pl.DataFrame(table_of()).lazy()
    with pytest.raises(TypeError, match=r"X.collect\(\)"):
        encoder_of_tables().fit(frame)
    same_texts(frame.collect()["text"])


def computed_elsewhere(**_):
    for library in ("pyspark", "duckdb", "ibis", "ray", "cudf"):
        X = type("Frame", (), {"__module__": f"{library}.frame"})()
        for estimator in (TextEncoder("tiny-bert"), encoder_of_tables()):
            with pytest.raises(TypeError, match=rf"Frame of {library}: .*X\.\w+\(\)"):
                estimator.fit(X)


def other_file_systems(pixels, tmp_path, **_):
    files = fsspec.filesystem("memory")
    paths = [f"memory://photos/{i}.png" for i in range(len(pixels))]
    for path, array in zip(paths, pixels, strict=True):
        files.pipe_file(path, png(array))
    same([files.cat_file(path) for path in paths], pixels)
    folder = {"cache_storage": str(tmp_path / "copies")}
    copies = [f"simplecache::{path}" for path in paths]
    same(fsspec.open_local(copies, simplecache=folder), pixels)
    with pytest.raises(UnreadableRowError, match="read by fsspec: pass the bytes"):
        ImageEncoder("tiny-cnn").fit_transform(["s3://bucket/a.png"])
    files.rm("/photos", recursive=True)


def generators(**_):
    with pytest.raises(TypeError, match="turn it into a list first"):
        TextEncoder("tiny-bert").fit(text for text in TEXTS)
    same_texts(list(TEXTS))


def large(pixels, tmp_path, **_):
    pd.DataFrame(table_of()).to_csv(tmp_path / "rows.csv")
    done = bulk.encode(
        tmp_path / "rows.csv", tmp_path / "out", column="text", backbone="tiny-bert"
    )
    assert done.n_rows == 4


ROWS = {
    "a folder with a sub-folder for each class": sub_folders,
    "a folder of loose images": loose_images,
    "pandas or polars": frames,
    "several images per row": several_images,
    "texts longer than the network takes": long_texts,
    "pyarrow": arrow,
    "Hugging Face `datasets`": hub,
    "a streamed data set of Hugging Face": streamed,
    'Parquet with images as `{"bytes", "path"}`': parquet,
    "torchvision's `ImageFolder`, also split": image_folder,
    "another data set of torch": torch_data,
    "torch tensors": tensors,
    "floats between 0 and 1": floats,
    "NumPy arrays of images": arrays,
    "PIL images, bytes of image files": pil_and_bytes,
    "base64 strings, URLs": strings,
    "S3, a ZIP file, and what else fsspec knows": other_file_systems,
    "dask": dask,
    "a lazy frame of polars": lazy_polars,
    "Spark, DuckDB, Ibis, Ray, cuDF": computed_elsewhere,
    "a generator": generators,
    "more files than fit into memory": large,
}


@pytest.mark.parametrize("row", ROWS)
def test_the_row_does_what_it_says(row, pixels, folder, tmp_path):
    ROWS[row](pixels=pixels, folder=folder, tmp_path=tmp_path)


def test_every_row_of_the_table_is_tested():
    page = (REPOSITORY / "docs" / "guide" / "data.md").read_text()
    table = re.search(r"<!-- sources -->(.*?)<!-- /sources -->", page, re.DOTALL)[1]
    rows = re.findall(r"^\| (.*?) \|", table, re.MULTILINE)
    assert rows[1:] == list(ROWS)
