"""Sets to draw a few labels from, draws, and plain rivals."""

import numpy as np
from scipy import stats
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import (
    GridSearchCV,
    KFold,
    StratifiedKFold,
    train_test_split,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ._harness import SEED, data_folder

SPLITS = "train", "test"
ELPV_TRAIN = 1850  # of 2,624; the set has no parts of its own
CS = (1e-4, 1e-3, 1e-2, 0.1, 1.0, 10.0)  # of linear models of frozen features
EMOJI = ("noto", "twemoji", "fluent3d")


def texts(name):
    """Return texts and labels to draw from, and texts and labels to score on."""
    import pandas as pd

    if name != "sentiment_sentences":
        frames = [pd.read_csv(data_folder(name) / f"{split}.csv") for split in SPLITS]
        train, test = ((frame["text"], frame["label"]) for frame in frames)
    else:
        frame = pd.read_csv(data_folder(name) / "data.csv")
        train, test = (
            (part["text"], part["label"])
            for part in (frame[frame["split"] == split] for split in SPLITS)
        )
    return tuple(np.asarray(part, object) for part in (*train, *test))


def images(name):
    """Return paths and labels to draw from, and paths and labels to score on."""
    import pandas as pd

    if name == "elpv":
        return _elpv()
    folder = data_folder("emoji_vendors" if name.startswith("emoji ") else name)
    if name == "clothing_kids":
        parts = [pd.read_csv(folder / f"{s}.csv").assign(split=s) for s in SPLITS]
        frame = pd.concat(parts).rename(columns={"image": "path", "kids": "label"})
    else:
        frame = pd.read_csv(folder / "index.csv")
    if name.startswith("emoji "):
        frame = frame[frame["domain"] == name.removeprefix("emoji ")]
    frame["path"] = [str(folder / path) for path in frame["path"]]
    parts = [frame[frame["split"] == split] for split in SPLITS]
    return tuple(
        part[column].to_numpy(object) for part in parts for column in ("path", "label")
    )


def solar_cells():
    """Return photos of elpv, as arrays, and the probability of a defect."""
    from elpv_dataset.utils import load_dataset

    photos, probability, _ = load_dataset()
    X = np.empty(len(photos), object)
    X[:] = [np.repeat(photo[..., None], 3, axis=-1) for photo in photos]
    return X, probability


def _elpv():
    """Return photos of solar cells, as arrays, and whether they are defective."""
    X, probability = solar_cells()
    y = np.where(probability > 0.5, "defective", "sound").astype(object)
    order = np.random.default_rng(SEED).permutation(len(y))
    parts = np.split(order, [ELPV_TRAIN])
    return tuple(whole[part] for part in parts for whole in (X, y))


def draw(y, n_each, seed):
    """Return the positions of some rows of each class."""
    order = np.random.default_rng(seed).permutation(len(y))
    drawn = [order[y[order] == label][:n_each] for label in np.unique(y.astype(str))]
    return np.sort(np.concatenate(drawn))


def draw_rows(y, n, seed):
    """Return the positions of so many rows, by class; of all if there are fewer."""
    if n >= len(y):
        return np.arange(len(y))
    rows, _ = train_test_split(
        np.arange(len(y)), train_size=n, random_state=seed, stratify=y
    )
    return rows


def frozen_features(encoder, X, y, test):
    """Return probabilities of a tuned logistic regression, and its classes."""
    A, B = encoder.fit_transform(X), encoder.transform(test)
    is_few = max(np.unique(y, return_counts=True)[1]) < 5
    folds = (KFold if is_few else StratifiedKFold)(5, shuffle=True, random_state=SEED)
    search = GridSearchCV(
        make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)),
        {"logisticregression__C": CS},
        cv=folds,
    ).fit(A, y)
    return search.predict_proba(B), search.classes_


def scores(y, proba, classes):
    """Return accuracy and log loss; columns are some of the classes 0, 1, ..."""
    whole = np.full((len(y), max(y.max(), max(classes)) + 1), 1e-7)
    whole[:, classes] = np.clip(proba, 1e-7, None)
    whole /= whole.sum(1, keepdims=True)
    return {
        "accuracy": float((whole.argmax(1) == y).mean()),
        "log_loss": log_loss(y, whole, labels=np.arange(whole.shape[1])),
    }


def interval(values):
    """Return the ends of the 95 % interval of a mean."""
    middle, error = np.mean(values), stats.sem(values)
    reach = stats.t.ppf(0.975, len(values) - 1) * error
    return float(middle - reach), float(middle + reach)


def colours(paths):
    """Return a histogram of 8 x 8 x 8 colours of each image."""
    from PIL import Image

    rows = []
    for path in paths:
        with Image.open(path) as image:
            pixels = np.asarray(image.convert("RGB").resize((64, 64))) // 32
        codes = pixels.reshape(-1, 3).astype(int) @ [64, 8, 1]
        rows.append(np.bincount(codes, minlength=512) / len(codes))
    return np.array(rows)
