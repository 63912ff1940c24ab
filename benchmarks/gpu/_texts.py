"""Stage `texts`: strings of many lengths to features, against sentence-transformers."""

import itertools
from functools import partial

from ._data import prepare_texts, text_network, texts
from ._setting import WARM_ROWS, leave, likeness, passes
from ._stage import Claim, Stage, rate, time_over

OURS, THEIRS = "TextEncoder", "SentenceTransformer.encode"
BATCHES, PRECISIONS = (32, 256), ("float32", "bfloat16")
OVER_THEIRS = 3


def contestants(sizes):
    found = {}
    for shape in sizes.text_networks:
        found[f"{shape}, {OURS}"] = partial(encoder, shape=shape)
        found[f"{shape}, {THEIRS}"] = partial(their_best, shape=shape)
    return found


def claims(sizes):
    return [
        Claim(
            f"texts, {shape}: time of {THEIRS} at its best over ours",
            time_over(f"{shape}, {THEIRS}", f"{shape}, {OURS}"),
            ">=",
            OVER_THEIRS,
        )
        for shape in sizes.text_networks
    ]


def encoder(sizes, shape):
    from sktransfer import TextEncoder

    rows = texts(sizes.n_texts)
    ours = TextEncoder(
        text_network(sizes, shape),
        cache=None,
        device=sizes.device,
        precision=sizes.precision,
    )
    ours.fit(rows[:WARM_ROWS]).transform(rows[:WARM_ROWS])
    times, features = passes(sizes, lambda: ours.transform(rows), len(rows))
    leave(sizes, shape, features)
    return times


def their_best(sizes, shape):
    """Choose batch size and precision on some of the texts, and run all with them."""
    import torch
    from sentence_transformers import SentenceTransformer

    rows = texts(sizes.n_texts)
    few = rows[: sizes.n_texts_to_choose]
    folder = text_network(sizes, shape)
    models = {
        name: SentenceTransformer(folder, device=sizes.device).to(getattr(torch, name))
        for name in PRECISIONS
    }
    speeds = {}
    for name, batch in itertools.product(PRECISIONS, BATCHES):
        encode = partial(models[name].encode, batch_size=batch)
        encode(rows[:WARM_ROWS])
        times, _ = passes(sizes, partial(encode, few), len(few))
        speeds[f"{name}, batch {batch}"] = rate(times), encode
    best = max(speeds, key=lambda options: speeds[options][0])
    encode = speeds[best][1]
    times, features = passes(sizes, lambda: encode(rows), len(rows))
    return {
        **times,
        "options": best,
        "texts_per_s_by_options": {name: one[0] for name, one in speeds.items()},
        **likeness(sizes, shape, features),
    }


TEXTS = Stage(contestants, claims, prepare_texts)
