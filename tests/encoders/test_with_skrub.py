"""Inside skrub's table tools."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skrub

from sktransfer import ImageEncoder, TextEncoder


@pytest.fixture(params=[pd, pl], ids=lambda m: m.__name__)
def table(request, image_paths):
    return request.param.DataFrame(
        {
            "photo": image_paths,
            "review": [f"text number {i}" for i in range(5)] + [None],
            "price": np.arange(6.0),
        }
    )


def columns(frame):
    return list(frame.columns)


def test_an_encoder_takes_a_column_in_apply_to_cols(table):
    photos = skrub.ApplyToCols(ImageEncoder("tiny-cnn"), cols="photo")
    texts = skrub.ApplyToCols(TextEncoder("tiny-bert"), cols="review")
    out = texts.fit_transform(photos.fit_transform(table))
    assert type(out) is type(table)
    assert out.shape == (6, 24 + 16 + 1)
    assert "photo_0" in columns(out)
    assert "review_15" in columns(out)
    want = TextEncoder("tiny-bert").fit_transform(table["review"])
    got = np.column_stack([out[f"review_{i}"] for i in range(16)])
    np.testing.assert_array_equal(got, want)
    assert texts.transform(photos.transform(table)).shape == out.shape


def test_an_encoder_takes_a_column_in_a_table_vectorizer(table):
    vectorizer = skrub.TableVectorizer(
        specific_transformers=[
            (ImageEncoder("tiny-cnn"), ["photo"]),
            (TextEncoder("tiny-bert"), ["review"]),
        ]
    )
    out = vectorizer.fit_transform(table)
    assert out.shape == (6, 24 + 16 + 1)
    assert "photo_23" in columns(out)


def test_an_encoder_is_a_table_vectorizers_high_cardinality_step():
    table = pd.DataFrame({"review": [f"text {i}" for i in range(60)], "x": range(60)})
    vectorizer = skrub.TableVectorizer(high_cardinality=TextEncoder("tiny-bert"))
    assert vectorizer.fit_transform(table).shape == (60, 17)
