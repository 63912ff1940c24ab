"""Where a model looks: fruits pasted onto photos, against random weights.

A model learns which of six fruits was pasted onto a photo of clothing. The question is
whether the place with the greatest influence lies on the fruit, whose square is 6 % of
the image and 8 % of what the network sees. The same is done with a network whose
layers were set anew at random.
"""

import copy
import dataclasses
import statistics
from typing import NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import ImageClassifier, ImageEncoder, load_backbone
from sktransfer.inspection import AttributionDisplay

from .._few import interval
from .._harness import claim, clothing10, data_folder

DRAWS = range(10)
# Those of the set that are classes of ImageNet.
FRUITS = ("apple", "banana", "lemon", "orange", "pineapple", "pomegranate")
N_EACH = {"train": 30, "test": 4}
SIDE, OBJECT, MARGIN = 256, 64, 16  # the network sees 224 of 256 pixels
WHITE = 235  # of the ground that fruits lie on
WEIGHTS = ("pretrained", "random")
LEAST_POINTS = 40


def frozen(backbone, draw):
    head = LogisticRegression(C=0.01, max_iter=1000)
    return make_pipeline(ImageEncoder(backbone), StandardScaler(), head)


def tuned(backbone, draw):
    return ImageClassifier(backbone, freeze_depth=-1, max_epochs=3, random_state=draw)


# Model, method, and which of the new images: 65 passes for each are many.
WAYS = {
    "frozen, gradient": (frozen, "gradient", slice(None)),
    "frozen, occlusion": (frozen, "occlusion", slice(None, None, 4)),
    "last block trained, gradient": (tuned, "gradient", slice(None)),
}


class Pasted(NamedTuple):
    images: np.ndarray
    labels: np.ndarray
    corners: np.ndarray  # row and column of each object's first pixel


def run(full):
    shares = {way: {weights: [] for weights in WEIGHTS} for way in WAYS}
    accuracies = {make.__name__: [] for make in (frozen, tuned)}
    for draw in DRAWS:
        rng = np.random.default_rng(draw)
        train, test = (pasted(split, rng) for split in N_EACH)
        pretrained = load_backbone("efficientnet_lite0")
        for weights in WEIGHTS:
            backbone = pretrained
            if weights == "random":
                backbone = at_random(pretrained, draw, train.images)
            models = {
                make: make(backbone, draw).fit(train.images, train.labels)
                for make in (frozen, tuned)
            }
            for way, (make, method, rows) in WAYS.items():
                share = share_on_object(models[make], method, test, rows)
                shares[way][weights].append(share)
                print(draw, weights, way, round(share, 3), flush=True)
            if weights == "pretrained":
                for make, model in models.items():
                    accuracy = model.score(test.images, test.labels)
                    accuracies[make.__name__].append(float(accuracy))
    return {"shares": shares, "accuracies": accuracies, "claims": claims(shares)}


def claims(shares):
    found = []
    for way, row in shares.items():
        pairs = zip(row["pretrained"], row["random"], strict=True)
        gains = [100 * (one - other) for one, other in pairs]
        low, high = interval(gains)
        found.append(
            claim(
                f"{way}: points over random weights, 95 % {low:.0f} to {high:.0f}",
                round(statistics.fmean(gains), 1),
                f">= {LEAST_POINTS}",
                low >= LEAST_POINTS,
            )
        )
    return found


def share_on_object(model, method, test, rows=slice(None)):
    """Return the share of images whose greatest influence lies on the object."""
    display = AttributionDisplay.from_estimator(
        model, test.images[rows], method=method, plot=False
    )
    hits = []
    for values, corner in zip(display.values, test.corners[rows], strict=True):
        place = np.unravel_index(values.argmax(), values.shape)
        hits.append(bool(((place >= corner) & (place < corner + OBJECT)).all()))
    return statistics.fmean(hits)


def pasted(split, rng):
    """Return photos of clothing with a fruit each."""
    import pandas as pd
    from PIL import Image

    folder = data_folder("fruits_studio_store")
    fruits = pd.read_csv(folder / "index.csv")
    fruits = fruits[(fruits["domain"] == "studio") & (fruits["split"] == split)]
    grounds = clothing10(split)["path"].to_numpy(object)
    images, labels, corners = [], [], []
    for fruit in FRUITS:
        paths = fruits.loc[fruits["label"] == fruit, "path"].to_numpy(object)
        for path in rng.permutation(paths)[: N_EACH[split]]:
            with Image.open(rng.choice(grounds)) as ground:
                image = square(ground.convert("RGB"))
            with Image.open(folder / path) as photo:
                photo = photo.convert("RGB").resize((OBJECT, OBJECT))
            is_fruit = (np.asarray(photo).min(axis=2) < WHITE) * np.uint8(255)
            corner = rng.integers(MARGIN, SIDE - MARGIN - OBJECT, size=2)
            top, left = map(int, corner)
            image.paste(photo, (left, top), Image.fromarray(is_fruit))
            images.append(np.asarray(image))
            labels.append(fruit)
            corners.append(corner)
    return Pasted(np.stack(images), np.array(labels), np.array(corners))


def square(image):
    """Return the middle of an image."""
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    return image.resize((SIDE, SIDE), box=(left, top, left + side, top + side))


def at_random(backbone, seed, images):
    """Return a network whose layers are as they were before any training.

    Its norms have the statistics of the images, without which nothing would come
    through so many layers.
    """
    import torch

    blocks = copy.deepcopy(dict(backbone.blocks))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for block in blocks.values():
            for layer in block.modules():
                if hasattr(layer, "reset_parameters"):
                    layer.reset_parameters()
                if hasattr(layer, "running_mean"):
                    layer.train()
                    layer.momentum = None  # the mean over batches
        with torch.no_grad():
            for rows in np.array_split(images, len(images) // 16):
                state = backbone.preprocess.to_input(
                    backbone.batch([backbone.preprocess.prepare(row) for row in rows])
                )
                for block in blocks.values():
                    state = block(state)
    name = f"{backbone.name}, random"
    return dataclasses.replace(backbone, name=name, blocks=blocks, fingerprint=None)


def table(result):
    rows = [["greatest influence on the object, mean of draws", *WEIGHTS]]
    for way, row in result["shares"].items():
        means = (statistics.fmean(row[weights]) for weights in WEIGHTS)
        rows.append([way, *(f"{mean:.2f}" for mean in means)])
    return rows
