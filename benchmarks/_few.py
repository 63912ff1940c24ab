"""What the cases with few labels share: draws, tests, and plain rivals."""

import numpy as np

from ._harness import banking77, clothing10, data_folder

EMOJI = ("noto", "twemoji", "fluent3d")


def texts(name):
    """Return texts and labels to draw from, and texts and labels to score on."""
    if name == "banking77":
        train, test = banking77("train"), banking77("test")
    else:
        import pandas as pd

        frame = pd.read_csv(data_folder(name) / "data.csv")
        train, test = (
            (part["text"], part["label"])
            for part in (frame[frame["split"] == s] for s in ("train", "test"))
        )
    return tuple(np.asarray(part, object) for part in (*train, *test))


def images(name):
    """Return paths and labels to draw from, and paths and labels to score on."""
    import pandas as pd

    if name == "clothing10":
        parts = [clothing10(split) for split in ("train", "test")]
    else:
        folder = data_folder("emoji_vendors")
        frame = pd.read_csv(folder / "index.csv")
        frame = frame[frame["domain"] == name.removeprefix("emoji ")]
        frame["path"] = [str(folder / path) for path in frame["path"]]
        parts = [frame[frame["split"] == split] for split in ("train", "test")]
    return tuple(
        part[column].to_numpy(object) for part in parts for column in ("path", "label")
    )


def draw(y, n_each, seed):
    """Return the positions of some rows of each class."""
    order = np.random.default_rng(seed).permutation(len(y))
    drawn = [order[y[order] == label][:n_each] for label in np.unique(y.astype(str))]
    return np.sort(np.concatenate(drawn))


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
