"""One row at a time against a torch loop, and the share of the library's own Python."""

import contextlib
import functools
import time
from unittest import mock

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from sktransfer import ImageEncoder, TextEncoder
from sktransfer._extraction import readers
from sktransfer.backbones import Backbone, TextPreprocess

from .._harness import SEED, banking77, claim, clothing10, spread
from .._rivals import minilm_network, timm_network

N_CALLS = 200
N_FIT = 100
N_IMAGES, N_TEXTS = 300, 2000
REPEATS = 5
OURS, SINGLE, LOOP = "sktransfer", "sktransfer, batch_size=1", "torch loop"
LARGEST_SHARE = 0.05
MOST_APART = 0.02  # of the calls
# What is not the library's own: the network, the decoder and the tokenizer.
OTHERS_WORK = (
    (Backbone, "run"),
    (Backbone, "pool"),
    (TextPreprocess, "prepare"),
    (readers, "_decode"),
)


def run(full=False):
    data = {"image": images(), "text": texts()}
    latencies = {name: latency(*data[name], LOOPS[name]) for name in data}
    shares = {name: own_share(ENCODERS[name], data[name][0]) for name in data}
    return {
        "figures": {
            "calls": N_CALLS,
            "latency_ms": {
                name: {who: summary(times) for who, times in both.items()}
                for name, both in latencies.items()
            },
            "rows": {name: len(rows) for name, (rows, _) in data.items()},
            "own_share": {name: share["median"] for name, share in shares.items()},
        },
        "spread": {"own_share": shares},
        "claims": [
            claim(
                f"share of the library's own Python, {name}",
                round(share["median"], 4),
                f"< {LARGEST_SHARE}",
                share["median"] < LARGEST_SHARE,
            )
            for name, share in shares.items()
        ],
    }


ENCODERS = {"image": ImageEncoder, "text": TextEncoder}


def images(n_rows=N_IMAGES):
    frame = clothing10("train").sample(n_rows, random_state=SEED)
    return frame["path"].tolist(), frame["label"].to_numpy()


def texts(n_rows=N_TEXTS):
    column, labels = banking77("train")
    rows = column.drop_duplicates().sample(n_rows, random_state=SEED)
    return rows.tolist(), labels[rows.index]


# -- one row at a time ---------------------------------------------------------------


def latency(rows, labels, loop, n_calls=N_CALLS):
    """Return seconds of each call for the pipeline and the loop, taken in turns."""
    encoder = ENCODERS["image" if loop is image_loop else "text"](cache=None)
    pipeline = make_pipeline(encoder, LogisticRegression(max_iter=1000))
    pipeline.fit(rows[:N_FIT], labels[:N_FIT])
    head = pipeline[-1]
    one_by_one = make_pipeline(clone(encoder).set_params(batch_size=1), head)
    functions = {
        OURS: lambda row: pipeline.predict([row]),
        SINGLE: lambda row: one_by_one.predict([row]),
        LOOP: lambda row: head.predict(loop(row)),
    }
    for function in functions.values():
        function(rows[0])
    seconds, n_apart = {name: [] for name in functions}, 0
    for call in range(n_calls):
        row = rows[call % len(rows)]
        # Who is first changes: the others find the file and the row in the caches.
        names = list(functions)
        shift = call % len(names)
        answers = set()
        for name in names[shift:] + names[:shift]:
            start = time.perf_counter()
            answers.add(functions[name](row)[0])
            seconds[name].append(time.perf_counter() - start)
        n_apart += len(answers) > 1
    # Images are resized by other kernels, which may change a close call.
    if n_apart > MOST_APART * n_calls:
        raise AssertionError(f"the contestants differ in {n_apart} of {n_calls} calls")
    return seconds


def image_loop(path):
    """Decode one image and run timm's network on it."""
    import torch
    from PIL import Image

    model, transform = timm_network()
    with torch.inference_mode():
        return model(transform(Image.open(path).convert("RGB"))[None]).numpy()


def text_loop(text):
    """Tokenize one text, run transformers' network and take the mean."""
    import torch

    model, tokenizer = minilm_network()
    with torch.inference_mode():
        inputs = tokenizer([text], truncation=True, max_length=256, return_tensors="pt")
        return model(**inputs).last_hidden_state.mean(1).numpy()


LOOPS = {"image": image_loop, "text": text_loop}


def summary(seconds):
    return {
        "median": 1e3 * float(np.median(seconds)),
        "p95": 1e3 * float(np.percentile(seconds, 95)),
    }


# -- the library's own part ----------------------------------------------------------


def own_share(encoder_class, rows, repeats=REPEATS):
    """Return the spread of the share of a transform in which none else is at work."""
    encoder = encoder_class(cache=None)
    encoder.transform(rows[:8])
    shares = []
    for _ in range(repeats):
        with recorded_intervals() as intervals:
            start = time.perf_counter()
            encoder.transform(rows)
            wall = time.perf_counter() - start
        shares.append(1 - covered(intervals) / wall)
    return spread(shares)


@contextlib.contextmanager
def recorded_intervals():
    """Give a list that fills with when the work of others began and ended."""
    intervals = []

    def recorded(function):
        @functools.wraps(function)
        def call(*args, **kwargs):
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                intervals.append((start, time.perf_counter()))

        return call

    with contextlib.ExitStack() as stack:
        for owner, name in OTHERS_WORK:
            wrapped = recorded(getattr(owner, name))
            stack.enter_context(mock.patch.object(owner, name, wrapped))
        yield intervals


def covered(intervals):
    """Return the length of the union of intervals: threads work at the same time."""
    total, end = 0.0, -np.inf
    for start, stop in sorted(intervals):
        total += max(0.0, stop - max(start, end))
        end = max(end, stop)
    return total


def table(result):
    figures = result["figures"]
    rows = [["", "", "median, ms", "p95, ms", "median over the loop's"]]
    rows[0].append("own Python in a transform of many")
    for name, contestants in figures["latency_ms"].items():
        share = f"{100 * figures['own_share'][name]:.1f} %"
        for who, times in contestants.items():
            ratio = times["median"] / contestants[LOOP]["median"]
            rows.append(
                [f"one {name}", who, f"{times['median']:.2f}", f"{times['p95']:.2f}"]
                + [f"{ratio:.2f}", share if who == OURS else ""]
            )
    return rows
