"""
Count what a search costs
=========================

This example counts how many rows run through the network in a cross-validation, a grid
and a refit. It counts rows and not seconds, so the result is the same on every machine.
Without a cache, every fit encodes its training rows and every score its test rows. With
the cache, each distinct row runs once. The figure shows both counts.
"""

# %%
import matplotlib.pyplot as plt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

from sktransfer import FeatureCache, TextEncoder

colors = ["red", "green", "blue", "black", "white", "yellow"]
things = ["car", "house", "flower", "shirt", "door", "boat", "chair", "book"]
texts = [f"a {color} {thing}" for color in colors for thing in things]
is_warm = [color in ("red", "yellow") for color in colors for _ in things]

# %%
# The example uses a cache of its own, to count with. ``misses`` are rows that ran
# through the network.
cache = FeatureCache()
model = make_pipeline(TextEncoder(cache=cache), LogisticRegression(max_iter=1000))
rows = len(texts)
counts = {}


def count(name, without_cache, work):
    """Run something, and note the rows that it sent through the network."""
    before = cache.info().misses
    work()
    counts[name] = (without_cache, cache.info().misses - before)


count(
    "cross-validation,\n5 folds",
    5 * rows,  # 4 fifths to fit and 1 fifth to score, five times
    lambda: cross_val_score(model, texts, is_warm, cv=5),
)
count(
    "grid of 3 C,\n5 folds, refit",
    3 * 5 * rows + rows,
    lambda: GridSearchCV(model, {"logisticregression__C": [0.1, 1, 10]}, cv=5).fit(
        texts, is_warm
    ),
)
count(
    "grid of 3 depths\nand 3 C, 5 folds, refit",
    9 * 5 * rows + rows,
    lambda: GridSearchCV(
        model,
        {
            "textencoder__depth": ["all", -1, -2],
            "logisticregression__C": [0.1, 1, 10],
        },
        cv=5,
    ).fit(texts, is_warm),
)
count(
    "the same rows again,\nshuffled",
    rows,
    lambda: model.fit(texts[::-1], is_warm[::-1]),
)
for name, (without, with_cache) in counts.items():
    print(f"{' '.join(name.split()):50}{without:6,}{with_cache:6,}")

# %%
# The first column counts the rows without a cache, and the second one those with the
# cache.
figure, ax = plt.subplots(figsize=(7.5, 4), layout="constrained")
names = list(counts)
for shift, color, label, which in (
    (-0.2, "0.6", "without a cache (by counting)", 0),
    (0.2, "C0", "with the cache (measured)", 1),
):
    places = [i + shift for i in range(len(names))]
    bars = ax.bar(
        places, [counts[n][which] for n in names], width=0.4, color=color, label=label
    )
    ax.bar_label(bars, fmt="{:,.0f}", padding=2)
ax.set_xticks(range(len(names)), names, fontsize="small")
ax.set_ylim(top=2450)
ax.set(ylabel="rows through the network", title=f"{rows} texts")
ax.legend()
plt.show()

# %%
# Only the cross-validation runs rows through the network, and each of the 48 texts
# once. The page on benchmarks has the gain in seconds.
