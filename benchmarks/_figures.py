"""Figures of README and the site, drawn from the records."""

import hashlib
import json

from ._harness import ROOT

FEW_LABELS = ROOT / "docs" / "_static" / "few_labels.png"
SOURCE = "Source"  # of the PNG's text: what it was drawn from
GUESSING = {"clothing10": 1 / 10, "banking77": 1 / 77}
TITLES = {
    "clothing10": "Photos of ten garments",
    "banking77": "Questions to a bank, 77 intents",
}
# Readable with any colour vision (Okabe and Ito), and told apart by their dashes too.
LINES = {
    "pretrained": ("linear model on a pretrained network", "#0072B2", "-", "o"),
    "plain features": ("the same without a network*", "#D55E00", "--", "s"),
    "random weights": ("network trained from random weights", "#009E73", "-.", "^"),
}
GREY = "#767676"


def digest(figures):
    """Return what tells whether a figure was drawn from certain figures."""
    points = {name: figures[name]["points"] for name in TITLES}
    return hashlib.sha256(json.dumps(points, sort_keys=True).encode()).hexdigest()


def draw_few_labels(figures, path=FEW_LABELS):
    """Draw the accuracy by labels per class, from the record of `label_efficiency`.

    Parameters
    ----------
    figures : dict
        ``figures`` of the record.
    path : Path
        PNG file.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.5, 4.4), layout="constrained")
    panels = figure.subplots(1, len(TITLES), sharey=True)
    for axes, name in zip(panels, TITLES, strict=True):
        _panel(axes, figures[name]["points"], name)
    panels[0].set_ylabel("Accuracy on the test part", fontsize=12)
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper center", ncols=2, frameon=False, fontsize=11
    )
    figure.supxlabel(
        "* colour histograms of photos, tf-idf of texts. Bands: 95 % intervals over "
        "draws of the labels.",
        fontsize=9,
        color=GREY,
    )
    figure.savefig(path, dpi=130, metadata={SOURCE: digest(figures)})


def _panel(axes, points, name):
    sizes = set()
    for model, (label, color, dash, marker) in LINES.items():
        rows = [row for row in points if row["estimator"] == model]
        if not rows:
            continue
        x = [row["labels_per_class"] for row in rows]
        sizes.update(x)
        axes.plot(
            x,
            [row["score"] for row in rows],
            color=color,
            linestyle=dash,
            marker=marker,
            linewidth=2,
            label=label,
        )
        low = [max(row["low"], 0) for row in rows]
        high = [min(row["high"], 1) for row in rows]
        axes.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0)
    axes.axhline(GUESSING[name], color=GREY, linestyle=":", label="guessing")
    axes.set_title(TITLES[name], fontsize=13)
    axes.set_xlabel("Labels per class", fontsize=12)
    axes.set_xscale("log")
    axes.set_xticks(sorted(sizes), [str(size) for size in sorted(sizes)])
    axes.set_xticks([], minor=True)
    axes.set_ylim(0, 1)
    axes.grid(color="#E0E0E0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
