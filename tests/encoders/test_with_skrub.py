"""Inside skrub's table tools."""

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skrub
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression

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


@pytest.mark.skipif(
    not hasattr(skrub, "X") or not hasattr(skrub, "LLMEncoder"),
    reason="this skrub has no DataOps with a cache",
)
@pytest.mark.parametrize("no_cache", [True, False])
def test_skrubs_own_cache_does_not_see_that_a_file_changed(
    no_cache, image_paths, pixels, tmp_path, counting_backbone
):
    """The guide's advice, `no_cache`; the day it is not needed any more, this fails."""
    backbone, counter = counting_backbone("tiny-cnn")
    encoder = ImageEncoder(backbone if no_cache else "tiny-cnn", cache=None)
    table = pd.DataFrame({"photo": image_paths})

    def features():
        plan = skrub.X(table)["photo"].skb.apply(encoder, no_cache=no_cache)
        return np.asarray(plan.skb.eval())

    folder = str(tmp_path / "skrub")
    with skrub.config_context(cache=folder, target_cache_size=None):
        before = features()
        with open(image_paths[0], "rb") as source, open(image_paths[1], "wb") as other:
            other.write(source.read())
        after = features()
    want = ImageEncoder("tiny-cnn", cache=None).fit_transform(image_paths)
    assert np.array_equal(after, want) is no_cache
    np.testing.assert_array_equal(after[0], before[0])


def test_a_search_in_data_ops_runs_each_row_once(counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    texts = pd.Series([f"text number {i}" for i in range(12)], name="review")
    plan = skrub.X(texts.to_frame())["review"]
    plan = plan.skb.apply(TextEncoder(backbone), no_cache=True)
    sizes = skrub.choose_from([2, 3], name="size")
    plan = plan.skb.apply(PCA(sizes)).skb.apply(
        LogisticRegression(), y=skrub.y(np.arange(12) % 2)
    )
    plan.skb.make_grid_search(cv=3, fitted=True)
    assert counter.rows == 12
