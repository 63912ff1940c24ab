"""The demo's figures, drawn without matplotlib's global state."""

import numpy as np

from .._utils.optional import import_optional

DPI = 120
SIZE = (7.0, 5.0)  # inches
# Readable with any colour vision (Okabe and Ito), and told apart by their dashes too.
STYLES = (("#767676", ":"), ("#0072B2", "-"), ("#D55E00", "--"), ("#009E73", "-."))


def draw_roc(y, probabilities, path, *, noun):
    """Draw the ROC curves of out-of-fold probabilities.

    Parameters
    ----------
    y : ndarray of shape (n_samples,)
        Two classes; the rarer one is what is looked for.
    probabilities : dict of str to ndarray of shape (n_samples, 2)
        By model.
    path : Path
        PNG file.
    noun : str
        Word for a row.
    """
    from sklearn.metrics import roc_auc_score, roc_curve

    classes, counts = np.unique(y, return_counts=True)
    column = int(counts.argmin())
    sought = classes[column]
    figure, axes = _axes()
    aucs = []
    for (name, found), (color, dash) in zip(
        probabilities.items(), STYLES, strict=False
    ):
        false_share, true_share, _ = roc_curve(y == sought, found[:, column])
        aucs.append(roc_auc_score(y == sought, found[:, column]))
        axes.plot(
            100 * false_share,
            100 * true_share,
            color=color,
            linestyle=dash,
            linewidth=2,
            label=f"{name} (AUC {aucs[-1]:.3f})",
        )
    near_corner = min(aucs) > 0.95  # nothing but the corner is worth seeing
    axes.set(
        title=f"ROC curves, out of fold, {len(y):,} {noun}s",
        xlabel=f"False alarms (% of the other {noun}s)",
        ylabel=f"Found (% of the '{sought}' {noun}s)",
        xlim=(0, 20 if near_corner else 100),
        ylim=(60 if near_corner else 0, 101),
    )
    axes.legend(loc="lower right", fontsize=11)
    _save(figure, path)


def draw_label_curve(curves, path, *, noun, n_test, n_classes):
    """Draw the score against the number of labelled rows.

    Parameters
    ----------
    curves : dict of str to dict of int to list of float
        By model and number of labels, the balanced accuracy of each draw.
    path : Path
        PNG file.
    noun : str
        Word for a row.
    n_test : int
        Rows that the scores are from.
    n_classes : int
    """
    figure, axes = _axes()
    for (name, draws), (color, dash) in zip(curves.items(), STYLES[1:], strict=False):
        sizes = np.array(list(draws))
        means = np.array([np.mean(scores) for scores in draws.values()])
        spread = np.array([np.std(scores) for scores in draws.values()])
        axes.plot(
            sizes,
            means,
            color=color,
            linestyle=dash,
            linewidth=2,
            marker="o",
            label=name,
        )
        top = np.minimum(means + spread, 1)
        axes.fill_between(
            sizes, means - spread, top, color=color, alpha=0.18, linewidth=0
        )
    axes.axhline(1 / n_classes, color=STYLES[0][0], linestyle=":", label="guessing")
    axes.set_xscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.set_xticks([], minor=True)
    n_draws = max(len(scores) for scores in draws.values())
    axes.set(
        title=f"Score by number of labels: mean ± standard deviation, {n_draws} draws",
        xlabel=f"Labelled {noun}s (log scale)",
        ylabel=f"Balanced accuracy on {n_test:,} {noun}s set aside",
    )
    axes.legend(loc="best", fontsize=11)
    _save(figure, path)


def _axes():
    import_optional("matplotlib", extra="demo", purpose="The demo")
    from matplotlib.figure import Figure

    figure = Figure(figsize=SIZE, layout="constrained")
    axes = figure.add_subplot()
    axes.grid(color="#E0E0E0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=11)
    axes.title.set_fontsize(14)
    for axis in (axes.xaxis, axes.yaxis):
        axis.label.set_fontsize(12)
    return figure, axes


def _save(figure, path):
    figure.savefig(path, dpi=DPI)
