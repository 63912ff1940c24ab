"""Distinct strings to features, against SentenceTransformer.encode."""

from functools import partial

from sktransfer import TextEncoder

from .._harness import (
    SEED,
    airbnb,
    alternate,
    at_least,
    banking77,
    claim,
    ratios,
    relative_difference,
    spread,
)
from .._rivals import sentence_transformer

N_SHORT, N_LONG = 2000, 200
REPEATS = 5
AGREEMENT = 1e-4
LEAST_COSINE = 0.999  # of features in bfloat16 with those in float32
OURS, THEIRS = "sktransfer", "SentenceTransformer.encode"
LOWERED = f"{OURS}, bfloat16"
# SentenceTransformer's time over ours, at least.
LEAST_RATIO = {OURS: 1.35, LOWERED: 1.9}


def run(full=False):
    return outcome({name: measure(texts) for name, texts in columns().items()})


def columns():
    """Return the texts of each data set: questions of a line, and descriptions."""
    short, long = banking77("train")[0], airbnb("train")["description"].dropna()
    return {
        "banking77": sample(short, N_SHORT),
        "airbnb descriptions": sample(long, N_LONG),
    }


def sample(column, n_rows):
    return column.drop_duplicates().sample(n_rows, random_state=SEED).tolist()


def measure(texts, repeats=REPEATS):
    """Return rows a second, times over ours, and the difference of the features."""
    ours, theirs = TextEncoder(normalize=True, cache=None), sentence_transformer()
    functions = {
        OURS: ours.transform,
        LOWERED: TextEncoder(
            normalize=True, cache=None, precision="bfloat16"
        ).transform,
        THEIRS: theirs.encode,
    }
    for function in functions.values():
        function(texts[:64])
    functions = {name: partial(f, texts) for name, f in functions.items()}
    seconds, features = alternate(functions, repeats)
    return {
        "texts": len(texts),
        "speeds": {n: spread(len(texts) / s for s in t) for n, t in seconds.items()},
        "ratios": ratios(seconds, OURS),
        # What noise of the machine disturbs least: the fastest run of each.
        "fastest": {n: min(t) / min(seconds[OURS]) for n, t in seconds.items()},
        "gap": max(
            relative_difference(found, features[THEIRS])
            for name, found in features.items()
            if name != LOWERED
        ),
        "cosine": float((features[LOWERED] * features[THEIRS]).sum(1).min()),
        "over": {name: ratios(seconds, name)[THEIRS]["median"] for name in LEAST_RATIO},
    }


def outcome(measured):
    """Return what the record holds; contestants are named with their data set."""

    def flat(key):
        return {
            f"{data}: {who}": value
            for data, one in measured.items()
            for who, value in one[key].items()
        }

    def medians(key):
        return {name: value["median"] for name, value in flat(key).items()}

    gaps = {data: one["gap"] for data, one in measured.items()}
    return {
        "figures": {
            "texts": {data: one["texts"] for data, one in measured.items()},
            "repeats": REPEATS,
            "texts_per_s": medians("speeds"),
            "time_over_ours": medians("ratios"),
            "fastest_over_our_fastest": flat("fastest"),
            "difference_of_features": gaps,
        },
        "spread": {"texts_per_s": flat("speeds"), "time_over_ours": flat("ratios")},
        "claims": [
            claim(
                f"greatest difference of features, relative, {data}",
                gap,
                f"<= {AGREEMENT}",
                gap <= AGREEMENT,
            )
            for data, gap in gaps.items()
        ]
        + [
            claim(
                f"least cosine of features in bfloat16, {data}",
                round(one["cosine"], 5),
                f">= {LEAST_COSINE}",
                one["cosine"] >= LEAST_COSINE,
            )
            for data, one in measured.items()
        ]
        + [
            at_least(f"{THEIRS}, time over {name}: {data}", one["over"][name], least)
            for data, one in measured.items()
            for name, least in LEAST_RATIO.items()
        ],
    }


def table(result):
    figures, ranges = result["figures"], result["spread"]["texts_per_s"]
    rows = [
        ["", "texts/s", "least to most", "time over ours"]
        + ["fastest over our fastest"]
    ]
    for name, speed in figures["texts_per_s"].items():
        ends = ranges[name]
        rows.append(
            [name, f"{speed:.0f}", f"{ends['min']:.0f} to {ends['max']:.0f}"]
            + [f"{figures['time_over_ours'][name]:.2f}"]
            + [f"{figures['fastest_over_our_fastest'][name]:.2f}"]
        )
    return rows
