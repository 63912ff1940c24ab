"""Measure the gain by a pretrained network: ``python -m sktransfer demo``.

Both demos take the same steps. Each image or text runs through the network once; a
cache folder keeps the features. A grid search over the depth of the network, the PCA
and the classifier, scores on other folds, and a learning curve then need no further
pass.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

from .._utils.names import set_module
from .._utils.optional import import_optional
from .._utils.types import ArrayLike
from ..cache._default import ENV_VARIABLE
from ..datasets import load_elpv
from ..encoders import ImageEncoder, TextEncoder
from ._steps import N_FOLDS, PCA_SHARES, SEED, Run, Task, draw_rows, run_task

if TYPE_CHECKING:
    import pandas

    from ..backbones._base import Backbone
    from ..backbones._registry import BackboneSpec

MIN_CLASS_ROWS = 2 * N_FOLDS
PIXELS = (32, 32)
# The learning curve's, measured on ELPV, SMS spam and banking77: at most numbers of
# labels within 0.01 of the best of 0.01 to 10, and of 1 to 1000 for tf-idf.
IMAGE_C, TEXT_C, TFIDF_C = 0.1, 1.0, 10.0


@set_module("sktransfer.demo")
def run_images(
    *,
    out: str | Path = "sktransfer-demo",
    cache: str | Path | None = None,
    rows: int | None = None,
    backbone: str | BackboneSpec | Backbone = "efficientnet_lite0",
    verbose: bool = True,
) -> pandas.DataFrame:
    """Predict defects of solar cells from an image and the type of the cell.

    Parameters
    ----------
    out : str or Path, default="sktransfer-demo"
        Folder for the figures; it is created if needed.
    cache : str or Path, default=None
        Folder that keeps the features. None uses `default_cache_dir`.
    rows : int, default=None
        Number of images, drawn with seed 0. None uses all 2,624.
    backbone : str, BackboneSpec or Backbone, default="efficientnet_lite0"
        Network to use.
    verbose : bool, default=True
        Print progress and show a progress bar.

    Returns
    -------
    DataFrame
        Printed table, with one row per step or model and the columns
        ``balanced accuracy``, ``ROC AUC``, ``seconds`` and ``forward passes``, the
        number of images that ran.

    Raises
    ------
    MissingDependencyError
        If an optional package is not installed.

    Examples
    --------
    >>> from sktransfer.demo import run_images
    >>> table = run_images(
    ...     rows=60, backbone="tiny-cnn", cache="features", verbose=False
    ... )
    >>> table["forward passes"].tolist()
    [60, 0, 0, 0, 0, 0]
    """
    run = Run(out, default_cache_dir() if cache is None else cache, verbose)
    cells = load_elpv()
    n_all = len(cells)
    y = np.where(cells["probability"] > 0.5, "defective", "intact")
    if rows is not None:
        chosen = draw_rows(y, rows, MIN_CLASS_ROWS, np.random.default_rng(SEED))
        cells, y = cells.iloc[chosen], y[chosen]
    n_used = f"{len(y):,} of its {n_all:,}" if len(y) < n_all else f"{n_all:,}"
    run.say(
        f"Data: ELPV, {n_used} photos of solar cells, {(y == 'defective').sum():,} of "
        "them defective\n      (probability above 0.5). Deitsch et al. 2019, "
        "Buerhop-Lutz et al. 2018.\n      Licence: CC BY-NC-SA 4.0."
    )
    return run_task(_image_task(cells, y, ImageEncoder(backbone, cache=run.cache)), run)


def _image_task(cells, y, encoder):
    photo = Pipeline([("encoder", encoder), ("pca", _pca())])
    photo_and_type = ColumnTransformer(
        [("photo", photo, "photo"), ("type", OneHotEncoder(), ["type"])]
    )
    type_only = ColumnTransformer([("type", OneHotEncoder(), ["type"])])

    def few_labels(features):
        is_poly = (cells["type"] == "poly").to_numpy(dtype=np.float32)[:, None]
        with_type = [
            np.hstack([matrix, is_poly])
            for matrix in (features, small_images(cells["photo"]))
        ]
        names = (
            "frozen pretrained network",
            f"{PIXELS[0]} x {PIXELS[1]} pixels, no transfer",
        )
        return {
            name: (X, _classifier(IMAGE_C))
            for name, X in zip(names, with_type, strict=True)
        }

    return Task(
        noun="photo",
        X=cells[["photo", "type"]],
        y=y,
        column=cells["photo"],
        encoder=encoder,
        model=Pipeline(
            [("columns", photo_and_type), ("classifier", _classifier(IMAGE_C))]
        ),
        baseline=Pipeline(
            [("columns", type_only), ("classifier", _classifier(IMAGE_C))]
        ),
        prefix="columns__photo__",
        names=("photo and type", "type only, no photos"),
        few_labels=few_labels,
    )


@set_module("sktransfer.demo")
def run_texts(
    texts: ArrayLike,
    labels: ArrayLike,
    *,
    out: str | Path = "sktransfer-demo",
    cache: str | Path | None = None,
    backbone: str | BackboneSpec | Backbone = "all-MiniLM-L6-v2",
    verbose: bool = True,
) -> pandas.DataFrame:
    """Predict the category of texts.

    Parameters
    ----------
    texts : array-like of str, shape (n_samples,)
        Texts to classify.
    labels : array-like of shape (n_samples,)
        Categories: at least 2, each with at least 10 rows, as `read_texts` returns
        them.
    out : str or Path, default="sktransfer-demo"
        Folder for the figures; it is created if needed.
    cache : str or Path, default=None
        Folder that keeps the features. None uses `default_cache_dir`.
    backbone : str, BackboneSpec or Backbone, default="all-MiniLM-L6-v2"
        Network to use.
    verbose : bool, default=True
        Print progress and show a progress bar.

    Returns
    -------
    DataFrame
        Printed table, with one row per step or model and the columns
        ``balanced accuracy``, ``ROC AUC`` (with more than 2 categories the mean of each
        against the rest), ``seconds`` and ``forward passes``, the number of texts that
        ran.

    Raises
    ------
    MissingDependencyError
        If an optional package is not installed.

    Examples
    --------
    >>> from sktransfer.demo import run_texts
    >>> texts = [f"{word} {i}" for i in range(40) for word in ("tea", "milk")]
    >>> kinds = ["hot", "cold"] * 40
    >>> table = run_texts(
    ...     texts, kinds, backbone="tiny-bert", cache="features", verbose=False
    ... )
    >>> table["forward passes"].tolist()
    [80, 0, 0, 0, 0, 0]
    """
    run = Run(out, default_cache_dir() if cache is None else cache, verbose)
    y = np.asarray(labels).astype(str)
    run.say(f"Data: {len(y):,} texts in {len(np.unique(y)):,} categories.")
    texts = run.pandas.Series(texts, dtype=object, name="text").fillna("")
    return run_task(_text_task(texts, y, TextEncoder(backbone, cache=run.cache)), run)


def _text_task(texts, y, encoder):
    def steps(*named):
        return Pipeline([*named, ("classifier", _classifier(TEXT_C))])

    baseline = steps(("tf-idf", TfidfVectorizer())).set_params(classifier__C=TFIDF_C)
    return Task(
        noun="text",
        X=texts,
        y=y,
        column=texts,
        encoder=encoder,
        model=steps(("encoder", encoder), ("pca", _pca())),
        baseline=baseline,
        prefix="",
        names=("text", "tf-idf, no network"),
        few_labels=lambda features: {
            "frozen pretrained network": (features, _classifier(TEXT_C)),
            "tf-idf, no transfer": (texts.to_numpy(), baseline),
        },
    )


@set_module("sktransfer.demo")
def read_texts(
    csv: str | Path, text_column: str, target: str, *, rows: int | None = None
) -> pandas.DataFrame:
    r"""Read a column of texts and a column of categories.

    Rows without a category, and categories with fewer than 10 rows, are left out.

    Parameters
    ----------
    csv : str or Path
        CSV file, with the names of the columns in the first line.
    text_column, target : str
        Names of the columns.
    rows : int, default=None
        Number of rows, drawn with seed 0. None uses all.

    Returns
    -------
    DataFrame of shape (n_samples, 2)
        Columns ``text`` and ``label``, both str.

    Raises
    ------
    OSError
        If the file cannot be read.
    ValueError
        If the file is no CSV file, lacks a column, or has fewer than 2 categories left.

    Examples
    --------
    >>> from pathlib import Path
    >>> from sktransfer.demo import read_texts
    >>> _ = Path("drinks.csv").write_text("what,kind\n" + "tea,a\nmilk,b\n" * 10)
    >>> read_texts("drinks.csv", "what", "kind").shape
    (20, 2)
    """
    pandas = import_optional("pandas", extra="demo", purpose="The demo")
    try:
        # As written: "NA" is a text, and 1 and 01 are different categories.
        frame = pandas.read_csv(csv, dtype=str, keep_default_na=False)
    except ValueError as err:  # of the parser, or for bytes that are not UTF-8
        raise ValueError(f"{csv} cannot be read as a CSV file: {err}") from err
    for name, what in ((text_column, "texts"), (target, "categories")):
        if name is None or name not in frame.columns:
            problem = f"there is no column {name!r}" if name else "no name is given"
            raise ValueError(
                f"For the column of {what} {problem}; {csv} has {list(frame.columns)}."
            )
    if text_column == target:
        raise ValueError(f"Column {target!r} cannot be both texts and categories.")
    frame = frame[[text_column, target]].set_axis(["text", "label"], axis=1)
    frame = frame[frame["label"].str.strip() != ""]
    if rows is not None:
        rng = np.random.default_rng(SEED)
        frame = frame.iloc[draw_rows(frame["label"], rows, MIN_CLASS_ROWS, rng)]
    counts = frame["label"].value_counts()
    frequent = counts.index[counts >= MIN_CLASS_ROWS]
    if len(frequent) < 2:
        raise ValueError(
            f"Column {target!r} has {len(counts)} different values in {len(frame)} "
            f"rows; at least 2 of them must be in {MIN_CLASS_ROWS} rows or more."
        )
    return frame[frame["label"].isin(frequent)].reset_index(drop=True)


@set_module("sktransfer.demo")
def default_cache_dir() -> Path:
    """Return the folder in which the demo keeps features.

    Returns
    -------
    Path
        Folder of the environment variable ``SKTRANSFER_CACHE``, else ``sktransfer`` in
        the user's cache folder.

    Examples
    --------
    >>> from sktransfer.demo import default_cache_dir
    >>> default_cache_dir().is_absolute()
    True
    """
    if folder := os.environ.get(ENV_VARIABLE):
        return Path(folder).expanduser().absolute()
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or "~/AppData/Local"
    elif sys.platform == "darwin":
        base = "~/Library/Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser().absolute() / "sktransfer"


def small_images(paths):
    """Read images as a few grey pixels.

    Parameters
    ----------
    paths : iterable of str

    Returns
    -------
    ndarray of shape (n_samples, 1024), float32
        Values from 0 to 1.
    """
    from PIL import Image

    rows = []
    for path in paths:
        with Image.open(path) as image:
            small = image.convert("L").resize(PIXELS, Image.Resampling.BOX)
        rows.append(np.asarray(small, dtype=np.float32).ravel() / 255)
    return np.stack(rows)


def _classifier(strength):
    return LogisticRegression(C=strength, class_weight="balanced", max_iter=5000)


def _pca():
    return PCA(PCA_SHARES[0], svd_solver="covariance_eigh")
