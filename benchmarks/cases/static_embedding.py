"""One vector per token, distilled from MiniLM, against MiniLM: speed and what it loses.

model2vec runs MiniLM over its vocabulary, one token at a time, and keeps 256 principal
components of what comes out. A text is then the mean of its tokens' vectors.
"""

import functools
import tempfile

from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import TextEncoder

from .._harness import alternate, at_least, banking77, data_folder, spread, stopwatch
from .._rivals import minilm_network

N_TEXTS, REPEATS = 2000, 5
NETWORK, STATIC = "MiniLM", "static, distilled from it"
LEAST_SPEED = 20


def run(full=False):
    with tempfile.TemporaryDirectory() as folder:
        with stopwatch() as clock:
            distil(folder)
        encoders = {
            NETWORK: TextEncoder(cache=None),
            STATIC: TextEncoder(folder, cache=None),
        }
        texts = banking77("train")[0].drop_duplicates()[:N_TEXTS].tolist()
        for encoder in encoders.values():
            encoder.transform(texts[:64])
        seconds, _ = alternate(
            {n: functools.partial(e.transform, texts) for n, e in encoders.items()},
            REPEATS,
        )
        accuracies = {
            name: {data: accuracy(encoder, *make()) for data, make in SETS.items()}
            for name, encoder in encoders.items()
        }
    speeds = {n: spread(len(texts) / s for s in times) for n, times in seconds.items()}
    gain = speeds[STATIC]["median"] / speeds[NETWORK]["median"]
    return {
        "figures": {
            "texts": len(texts),
            "repeats": REPEATS,
            "distillation_s": clock.wall_s,
            "texts_per_s": {n: speed["median"] for n, speed in speeds.items()},
            "accuracy": accuracies,
        },
        "spread": {"texts_per_s": speeds},
        "claims": [at_least("speed over the network's", gain, LEAST_SPEED, digits=1)],
    }


def distil(folder):
    """Distil MiniLM into a folder that sentence-transformers reads."""
    from model2vec.distill import distill_from_model
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import StaticEmbedding

    network, tokenizer = minilm_network()
    with tempfile.TemporaryDirectory() as between:
        distill_from_model(
            network, tokenizer, device="cpu", quantize_to="float32"
        ).save_pretrained(between)
        module = StaticEmbedding.from_model2vec(between)
    SentenceTransformer(modules=[module], device="cpu").save(folder)


def accuracy(encoder, train, test):
    """Return the test accuracy of a linear classifier on the features."""
    head = make_pipeline(encoder, StandardScaler(), LogisticRegression(max_iter=2000))
    head.set_params(logisticregression__C=0.01)
    return head.fit(*train).score(*test)


def intents():
    return banking77("train"), banking77("test")


def ten_a_class():
    texts, y = banking77("train")
    order = texts.groupby(y).head(10).index
    return (texts[order], y[order]), banking77("test")


def opinions():
    import pandas as pd

    frame = pd.read_csv(data_folder("sentiment_sentences") / "data.csv")
    parts = (frame[frame["split"] == split] for split in ("train", "test"))
    return [(part["text"], part["label"]) for part in parts]


SETS = {
    "banking77": intents,
    "banking77, 10 a class": ten_a_class,
    "sentiment": opinions,
}


def table(result):
    figures, ranges = result["figures"], result["spread"]["texts_per_s"]
    rows = [["", "texts/s", "least to most", *(f"accuracy, {name}" for name in SETS)]]
    for name, speed in figures["texts_per_s"].items():
        ends = ranges[name]
        rows.append(
            [name, f"{speed:,.0f}", f"{ends['min']:,.0f} to {ends['max']:,.0f}"]
            + [f"{figures['accuracy'][name][data]:.3f}" for data in SETS]
        )
    return rows
