"""Columns of strings with cells that are none, and columns of identifiers.

A clean column is written as strings, some cells are replaced, and what `TableEncoder`
makes of it is compared with the numbers before they were written.
"""

import collections
import warnings

import numpy as np
import pandas as pd

RATES = (0.001, 0.005, 0.01, 0.02, 0.05)  # of cells that are replaced
KEPT = 0.99  # share of columns that must keep their kind
LARGEST_LOSS = 0.01  # of accuracy, on the mean, against the column without noise
NULLS = (
    "", " ", "n/a", "N/A", "NA", "nan", "NaN", "null", "NULL", "None", "none", "?",
    "-", "--", "unknown", "Unknown", "missing", "#N/A", "#DIV/0!", "tbd", "<NA>",
)  # fmt: skip
STRAYS = ("see note", "~", "x", "12 kg", "error", "+/-")
# How a cell is written that still says its number: noise -> function of the number.
WRITTEN = {
    "dollar": lambda v: f"${v:,.6f}" if v >= 0 else f"-${-v:,.6f}",
    "euro": lambda v: f"{v:.6f} €",
    "percent": lambda v: f"{v:.6f}%",
    "thousands": lambda v: f"{v:,.6f}",
    "brackets": lambda v: f"({-v:.6f})" if v < 0 else f"{v:.6f}",
    "spaces": lambda v: f"  {v:.6f} ",
}
DATES_WRITTEN = ("%m/%d/%Y", "%d %B %Y", "%b %d, %Y", "%Y/%m/%d")
ODD_DATES = ("2024-02-30", "0000-00-00", "2023-13-01", "9999-12-31T23:59:59-05:00")
NUMBERS = {
    "two places": lambda rng, n: [f"{v:.2f}" for v in rng.gamma(2, 500, n)],
    "as they are": lambda rng, n: [repr(float(v)) for v in rng.normal(0, 1, n)],
    "rounded": lambda rng, n: [str(round(float(v), 2)) for v in rng.gamma(2, 50, n)],
    "whole": lambda rng, n: [str(v) for v in rng.integers(0, 10**6, n)],
    "shares": lambda rng, n: [f"{v:.3f}" for v in rng.random(n)],
    "small": lambda rng, n: [repr(float(v)) for v in rng.random(n) * 1e-7],
    "negative": lambda rng, n: [str(v) for v in rng.integers(-500, 500, n)],
    "tenths": lambda rng, n: [f"{v:.1f}" for v in rng.normal(20, 8, n)],
}
DATES = {
    "ISO": "%Y-%m-%d",
    "ISO with time": "%Y-%m-%dT%H:%M:%S",
    "month first": "%m/%d/%Y",
    "day first": "%d.%m.%Y",
    "names": "%d %b %Y",
}
IDENTIFIERS = {
    "leading zeros": lambda rng, n: [f"{v:05d}" for v in rng.integers(0, 99_999, n)],
    "zip codes": lambda rng, n: [f"{v:05d}" for v in rng.integers(1_000, 99_950, n)],
    "1e5": lambda rng, n: [f"{a}e{b}" for a, b in rng.integers(1, 30, (n, 2))],
    "versions": lambda rng, n: [
        f"{a}.{b}" for a, b in rng.integers((1, 0), (6, 20), (n, 2))
    ],
    "long versions": lambda rng, n: [
        ".".join(map(str, row)) for row in rng.integers(0, 30, (n, 3))
    ],
    "phones": lambda rng, n: [
        f"{a}-{b:03d}-{c:04d}"
        for a, b, c in rng.integers((200, 0, 0), (999, 999, 9999), (n, 3))
    ],
    "phones with +": lambda rng, n: [
        f"+1{v}" for v in rng.integers(2 * 10**9, 9 * 10**9, n)
    ],
    "fractions": lambda rng, n: [f"{a}/{b}" for a, b in rng.integers(1, 13, (n, 2))],
    "ranges": lambda rng, n: [f"{a}-{a + b}" for a, b in rng.integers(1, 90, (n, 2))],
    "years": lambda rng, n: [f"{a}-{a + 1}" for a in rng.integers(1990, 2024, n)],
    "addresses": lambda rng, n: [
        ".".join(map(str, row)) for row in rng.integers(0, 256, (n, 4))
    ],
    "long numbers": lambda rng, n: [
        str(v) for v in rng.integers(10**17, 9 * 10**17, n)
    ],
    "few and a letter": lambda rng, n: list(rng.choice(["1", "2", "3", "A"], n)),
    "parts": lambda rng, n: [
        f"{a:02d}-{b:02d}-{c:04d}"
        for a, b, c in rng.integers(0, (99, 99, 9999), (n, 3))
    ],
}


def columns(folder, *, n_columns=20_000, n_identifiers=5_000, n_scored=200, seed=0):
    """Encode dirty columns and identifiers; compare with what they were before."""
    from sktransfer.tables import guess_kinds

    rng = np.random.default_rng(seed)
    lost_kind, wrong_values, losses = collections.Counter(), [], []
    for number in range(n_columns):
        kind, style, clean, truth = clean_column(rng)
        dirty, noise, at = with_noise(clean, truth, kind, rng)
        guess, got = encoded(dirty)
        if guess != kind:
            share = np.mean([cell == noise for cell in dirty])
            lost_kind[f"{kind}, {style}, {noise} in {share:.1%} -> {guess}"] += 1
            continue
        if kind != "categorical":
            wrong_values += differences(got, truth, at, f"{style}, {noise}")
        if kind == "numeric" and len(losses) < n_scored and number % 10 == 0:
            losses.append(loss_of_score(got, truth))
    kept = 1 - sum(lost_kind.values()) / n_columns
    assert kept >= KEPT, f"{kept:.4f} keep their kind: {lost_kind.most_common(20)}"
    assert not wrong_values, f"{len(wrong_values)}: {sorted(set(wrong_values))[:20]}"
    mean = float(np.mean(losses))
    assert mean < LARGEST_LOSS, f"accuracy lost on the mean: {mean:.4f}"

    mistaken = collections.Counter()
    for number in range(n_identifiers):
        name = list(IDENTIFIERS)[number % len(IDENTIFIERS)]
        cells = IDENTIFIERS[name](rng, int(rng.integers(100, 400)))
        guess = guess_kinds(pd.DataFrame({"x": cells}))["x"]
        if guess not in ("categorical", "text"):
            mistaken[f"{name}: {guess}"] += 1
    assert not mistaken, f"identifiers that became numbers or dates: {mistaken}"

    return {
        "columns": n_columns,
        "kinds_of_noise": len(NULLS) + len(STRAYS) + len(WRITTEN),
        "kind_kept": round(kept, 5),
        "kind_lost": dict(lost_kind.most_common(5)),
        "cells_with_another_value": len(wrong_values),
        "accuracy_lost": {
            "mean": round(mean, 5),
            "95th_percentile": round(float(np.percentile(losses, 95)), 5),
        },
        "identifiers": n_identifiers,
        "identifiers_mistaken": sum(mistaken.values()),
        "ambiguous_dates_warned": ambiguous_dates(rng),
    }


def clean_column(rng):
    """Return the kind, the style, the strings, and the numbers that they stand for."""
    n_rows = int(rng.integers(60, 300))
    kind = ("numeric", "date", "categorical")[rng.integers(3)]
    if kind == "numeric":
        style = str(rng.choice(list(NUMBERS)))
        cells = NUMBERS[style](rng, n_rows)
        return kind, style, cells, np.array(cells, dtype=np.float64)
    if kind == "date":
        style = str(rng.choice(list(DATES)))
        seconds = rng.integers(0, 1_700_000_000, n_rows)
        if "time" not in style:
            seconds -= seconds % 86_400
        stamps = pd.to_datetime(seconds, unit="s")
        cells = [stamp.strftime(DATES[style]) for stamp in stamps]
        return kind, style, cells, seconds / 86_400
    values = [f"{word}{i}" for i, word in enumerate(rng.choice(["red", "A-", "k"], 12))]
    return kind, "words", list(rng.choice(values, n_rows)), None


def with_noise(clean, truth, kind, rng):
    """Return the cells, the noise, and which cells of it do not say their number."""
    cells = list(clean)
    rate = rng.choice(RATES)
    rows = np.flatnonzero(rng.random(len(cells)) < rate)
    if not len(rows):
        rows = rng.integers(0, len(cells), 1)
    names = [*NULLS, *STRAYS]
    names += [*WRITTEN] if kind == "numeric" else []
    names += [*DATES_WRITTEN, *ODD_DATES] if kind == "date" else []
    noise = str(rng.choice(names))
    silent = set(rows.tolist())
    for row in rows:
        if noise in WRITTEN:
            cells[row] = WRITTEN[noise](truth[row])
            silent.discard(int(row))
        elif noise in DATES_WRITTEN:
            stamp = pd.Timestamp(truth[row], unit="D").floor("D")
            truth[row] = (stamp - pd.Timestamp(0)).days
            cells[row] = stamp.strftime(noise)
            silent.discard(int(row))
        else:
            cells[row] = noise
    return cells, noise, silent


def encoded(cells):
    """Return the kind, and the first column that comes out."""
    from sktransfer import TableEncoder

    encoder = TableEncoder()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        out = encoder.fit_transform(pd.DataFrame({"x": cells}))
    return encoder.kinds_["x"], out[:, 0]


def differences(got, truth, silent, name):
    """Return what differs from the numbers, and what should be NaN and is not."""
    wrong = []
    for row, (a, b) in enumerate(zip(got, truth, strict=True)):
        is_right = np.isnan(a) if row in silent else abs(a - b) <= 1e-6 * max(1, abs(b))
        if not is_right:
            wrong.append(f"{name}: {a} for {b}")
    return wrong


def loss_of_score(got, truth):
    """Return how much less accurate boosting is on the column than on the clean one."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.model_selection import cross_val_score

    target = truth > np.median(truth)
    model = HistGradientBoostingClassifier(max_iter=30, random_state=0)
    clean, dirty = (
        cross_val_score(model, values[:, None], target, cv=5).mean()
        for values in (truth, got)
    )
    return clean - dirty


def ambiguous_dates(rng, n_columns=200):
    """Return how many columns of days below 13 were warned of; all must be."""
    from sktransfer import TableEncoder

    for _ in range(n_columns):
        pairs = rng.integers(1, 13, (40, 2))
        frame = pd.DataFrame({"x": [f"{a}/{b}/2021" for a, b in pairs]})
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            TableEncoder().fit(frame)
        said = [str(entry.message) for entry in caught]
        assert any("no date tells the day from the month" in text for text in said)
    return n_columns
