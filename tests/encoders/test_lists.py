"""Several images per row."""

import shutil

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sktransfer import ImageEncoder, TableEncoder, TextEncoder
from sktransfer._cells.copies import number_by_content
from sktransfer.exceptions import MissingRowError, UnreadableRowError
from sktransfer.tables import guess_kinds


@pytest.fixture
def vectors(pixels):
    return ImageEncoder("tiny-cnn").fit_transform(pixels)


def test_a_row_of_several_images_is_their_mean(pixels, image_paths, vectors):
    X = [image_paths[:2], [pixels[2]], pixels[3], (pixels[4], None, image_paths[5])]
    got = ImageEncoder("tiny-cnn").fit_transform(X)
    want = [vectors[:2].mean(0), vectors[2], vectors[3], vectors[4:].mean(0)]
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert got.dtype == np.float32


@pytest.mark.parametrize(
    "form",
    [
        list,
        lambda rows: pd.Series(rows),
        lambda rows: pd.DataFrame({"photos": rows}),
        lambda rows: pl.Series(rows),
        pa.array,
        lambda rows: pa.table({"photos": rows}),
        lambda rows: pa.table({"photos": rows}).to_pandas()["photos"],
    ],
    ids=["list", "pandas", "frame", "polars", "arrow", "table", "arrays"],
)
def test_lists_come_in_every_container(form, image_paths, vectors):
    got = ImageEncoder("tiny-cnn").fit_transform(
        form([image_paths[:2], image_paths[2:]])
    )
    want = [vectors[:2].mean(0), vectors[2:].mean(0)]
    np.testing.assert_allclose(got, want, atol=1e-6)


def test_stacks_of_images_are_lists(pixels, vectors):
    want = [vectors[:3].mean(0), vectors[3:].mean(0)]
    for X in (pixels.reshape(2, 3, *pixels.shape[1:]), [pixels[:3], pixels[3:]]):
        got = ImageEncoder("tiny-cnn").fit_transform(X)
        np.testing.assert_allclose(got, want, atol=1e-6)


def test_twenty_rows_of_three_images_run_sixty_images_once(counting_backbone):
    backbone, counter = counting_backbone("tiny-cnn")
    images = np.random.default_rng(0).integers(0, 256, (60, 20, 20, 3), np.uint8)
    X = [list(images[i : i + 3]) for i in range(0, 60, 3)]
    encoder = ImageEncoder(backbone)
    encoder.fit_transform(X)
    assert counter.rows == 60
    encoder.transform(X[::-1])
    grid = GridSearchCV(
        make_pipeline(encoder, LogisticRegression()),
        {"logisticregression__C": [0.1, 1.0]},
        cv=2,
    )
    grid.fit(X, np.arange(20) % 2)
    assert counter.rows == 60


def test_the_mean_is_normalised_and_not_the_images(pixels, vectors):
    got = ImageEncoder("tiny-cnn", normalize=True).fit_transform([list(pixels[:2])])
    mean = vectors[:2].mean(0)
    np.testing.assert_allclose(got[0], mean / np.linalg.norm(mean), atol=1e-6)


def test_empty_lists_are_missing(pixels):
    X = [list(pixels[:2]), [], [None], None]
    with pytest.raises(MissingRowError, match="row 1, and 2 more rows are missing"):
        ImageEncoder("tiny-cnn").fit(X)
    encoder = ImageEncoder("tiny-cnn", missing="zero", add_indicator=True)
    got = encoder.fit_transform(X)
    assert got[:, -1].tolist() == [0, 1, 1, 1]
    assert (got[1:, :-1] == 0).all()
    assert encoder.missing_rows_.tolist() == [1, 2, 3]


def test_an_image_of_a_list_that_cannot_be_read_is_named(image_paths):
    X = [image_paths[0], [image_paths[1], "gone.png", image_paths[2]]]
    with pytest.raises(
        UnreadableRowError,
        match=r"row 1, 2 of 3 in its list cannot be used: 'gone.png'",
    ) as caught:
        ImageEncoder("tiny-cnn").fit_transform(X)
    assert caught.value.row == 1


def test_a_row_is_the_mean_of_the_images_that_can_be_read(image_paths, vectors):
    X = [[image_paths[0], "gone.png"], ["gone.png", "too.png"], image_paths[2]]
    encoder = ImageEncoder("tiny-cnn", on_error="nan")
    with pytest.warns(UserWarning, match="1 of 3 rows .* 3 of the 5 cells in lists"):
        got = encoder.fit_transform(X)
    np.testing.assert_allclose(got[[0, 2]], vectors[[0, 2]], atol=1e-6)
    assert np.isnan(got[1]).all()
    assert encoder.error_rows_.tolist() == [1]


def test_a_list_in_a_column_of_texts_is_refused():
    with pytest.raises(
        UnreadableRowError, match="type list is no text.*join its texts"
    ):
        TextEncoder("tiny-bert").fit_transform(["a", ["b", "c"]])


def test_tables_have_columns_of_several_images(image_paths, vectors):
    X = pd.DataFrame(
        {
            "photos": [image_paths[:2], [], image_paths[2:5], image_paths[5:]],
            "price": [1.0, 2.0, 3.0, 4.0],
        }
    )
    assert guess_kinds(X) == {"photos": "image", "price": "numeric"}
    encoder = TableEncoder(
        image_encoder=ImageEncoder("tiny-cnn", missing="zero"), n_components=None
    )
    got = encoder.fit_transform(X)
    names = list(encoder.get_feature_names_out())
    assert names[-2:] == ["photos_missing", "price"]
    assert got[:, -2].tolist() == [0, 1, 0, 0]
    np.testing.assert_allclose(got[0, :-2], vectors[:2].mean(0), atol=1e-6)


def test_copies_are_rows_with_the_same_images(image_paths, tmp_path):
    copied = tmp_path / "copy.png"
    shutil.copy(image_paths[0], copied)
    X = [image_paths[:2], [str(copied), image_paths[1]], image_paths[1:3], [], [None]]
    assert number_by_content(X, source="path").tolist() == [0, 0, 1, 2, 3]
