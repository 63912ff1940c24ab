"""Distinct strings to features, against SentenceTransformer.encode."""

from sktransfer import TextEncoder

from .._harness import SEED, alternate, banking77, claim, relative_difference, spread
from .._rivals import sentence_transformer

N_TEXTS = 2000
REPEATS = 5
AGREEMENT = 1e-4


def run(full=False):
    column = banking77("train")[0].drop_duplicates()
    texts = column.sample(N_TEXTS, random_state=SEED).tolist()
    ours, theirs = TextEncoder(normalize=True, cache=None), sentence_transformer()
    functions = {
        "sktransfer": lambda: ours.transform(texts),
        "SentenceTransformer.encode": lambda: theirs.encode(texts),
    }
    ours.transform(texts[:64])
    theirs.encode(texts[:64])

    seconds, features = alternate(functions, REPEATS)
    speeds = {n: spread(N_TEXTS / s for s in times) for n, times in seconds.items()}
    other = seconds["SentenceTransformer.encode"]
    ratio = spread(t / o for t, o in zip(other, seconds["sktransfer"], strict=True))
    gap = relative_difference(*features.values())
    return {
        "figures": {
            "texts": N_TEXTS,
            "repeats": REPEATS,
            "texts_per_s": {n: speed["median"] for n, speed in speeds.items()},
            "time_over_ours": {
                "sktransfer": 1.0,
                "SentenceTransformer.encode": ratio["median"],
            },
            # What noise of the machine disturbs least: the fastest run of each.
            "fastest_over_our_fastest": {
                n: min(times) / min(seconds["sktransfer"])
                for n, times in seconds.items()
            },
            "difference_of_features": gap,
        },
        "spread": {"texts_per_s": speeds, "time_over_ours": ratio},
        "claims": [
            claim(
                "greatest difference of features, relative",
                gap,
                f"<= {AGREEMENT}",
                gap <= AGREEMENT,
            )
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
