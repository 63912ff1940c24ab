"""Make the saves that later versions have to read: ``python tests/saves/make.py``.

It is run once for each protocol of saves, at the release that brings it. Its folders
are committed: a save each, beside `expected.json` with the probabilities that it gives.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline

from sktransfer import (
    DomainAdaptationClassifier,
    ImageClassifier,
    TableEncoder,
    TextClassifier,
    TextEncoder,
    save,
)
from sktransfer.persistence._files import PROTOCOL

FOLDER = Path(__file__).parent
LABELS = np.array(["yes", "yes", "yes", "no", "no", "no"] * 2)
TEXTS = ["good", "very good", "fine", "bad", "very bad", "awful"] * 2
PIXELS = np.random.default_rng(0).integers(0, 256, (12, 32, 32, 3), dtype=np.uint8)
TABLE = pd.DataFrame(
    {
        "review": [f"{text}, order {i}" for i, text in enumerate(TEXTS)],
        "colour": ["red", "blue", "green"] * 4,
        "price": np.linspace(1.0, 9.0, 12),
        "day": pd.date_range("2024-01-01", periods=12),
    }
)
NUMBERS = np.random.default_rng(0).normal(size=(12, 4)) + (LABELS == "yes")[:, None]
DOMAINS = np.array([1] * 6 + [-2] * 6)
ROWS = {
    "texts": TEXTS,
    "tuned_texts": TEXTS,
    "searched_images": PIXELS,
    "table": TABLE,
    "domains": NUMBERS,
}


def make():
    """Fit the models and write each with what it predicts."""
    once = {"max_epochs": 1, "freeze_depth": -1, "random_state": 0}
    reviews = TableEncoder(
        kinds={"review": "text"}, text_encoder=TextEncoder("tiny-bert")
    )
    models = {
        "texts": make_pipeline(TextEncoder("tiny-bert"), LogisticRegression()),
        "tuned_texts": TextClassifier("tiny-bert", **once),
        "searched_images": GridSearchCV(
            ImageClassifier("tiny-cnn", **once), {"freeze_depth": ["all", -1]}, cv=2
        ),
        "table": make_pipeline(
            reviews, HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=2)
        ),
        "domains": DomainAdaptationClassifier(LogisticRegression(), adapter="coral"),
    }
    for name, model in models.items():
        routed = {"sample_domain": DOMAINS} if name == "domains" else {}
        model.fit(ROWS[name], LABELS, **routed)
        folder = FOLDER / f"protocol{PROTOCOL}" / name
        shutil.rmtree(folder, ignore_errors=True)
        weights = "include" if name == "tuned_texts" else "reference"
        save(model, folder / "model", weights=weights)
        expected = model.predict_proba(ROWS[name]).tolist()
        (folder / "expected.json").write_text(json.dumps(expected) + "\n")


if __name__ == "__main__":
    make()
