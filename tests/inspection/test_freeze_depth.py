"""FreezeDepthDisplay."""

import dataclasses
import functools
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sktransfer import (
    BackboneSpec,
    TargetAwareEncoder,
    TextClassifier,
    TextEncoder,
    load_backbone,
)
from sktransfer.inspection import (
    BackboneRankingDisplay,
    FreezeDepthDisplay,
    LabelEfficiencyDisplay,
)
from sktransfer.model_selection import BackboneRanking, LabelEfficiencyCurves

mpl.use("Agg")


def search(values=(-1, "all", -2, 0, -1, "all"), name="freeze_depth"):
    n = len(values)
    return SimpleNamespace(
        cv_results_={
            f"param_{name}": np.array(values, dtype=object),
            "param_lr": np.arange(n),
            "mean_test_score": np.linspace(0.5, 0.5 + 0.1 * (n - 1), n),
            "std_test_score": np.full(n, 0.01),
            "mean_fit_time": np.arange(n) + 1.0,
        }
    )


def test_the_best_candidate_of_each_depth_is_drawn_frozen_most_first():
    import matplotlib.pyplot as plt

    display = FreezeDepthDisplay.from_search(search(), score_name="accuracy")
    assert display.depths == ["all", -1, -2, 0]
    np.testing.assert_allclose(display.scores, [1.0, 0.9, 0.7, 0.8])
    np.testing.assert_allclose(display.fit_times, [6, 5, 3, 4])
    assert display.ax_.get_ylabel().startswith("accuracy")
    assert len(display.ax_time_.patches) == 4
    assert [t.get_text() for t in display.ax_.get_xticklabels()] == [
        "all",
        "-1",
        "-2",
        "0",
    ]
    plt.close(display.figure_)


@pytest.mark.parametrize(("values", "place"), [((-1, "all", 0), 1), ((0, 0, 0), None)])
def test_the_first_fit_is_hatched_since_it_pays_for_the_pass(values, place):
    """The best of several candidates of a depth may not be the first one."""
    import matplotlib.pyplot as plt

    display = FreezeDepthDisplay.from_search(search(values))
    assert display.first == place
    hatched = [bar.get_hatch() is not None for bar in display.ax_time_.patches]
    assert hatched == [i == place for i in range(len(display.depths))]
    assert ("fitted first" in display.ax_.get_xlabel()) == (place is not None)
    plt.close(display.figure_)


def test_it_draws_into_axes_that_are_there():
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    step = search(("all", -1), name="model__freeze_depth")
    display = FreezeDepthDisplay.from_search(step, ax=ax, color="C3")
    assert display.figure_ is figure
    plt.close(figure)


def test_a_search_over_something_else_is_refused():
    with pytest.raises(ValueError, match=r"did not vary 'freeze_depth'.*\['C', 'lr'\]"):
        FreezeDepthDisplay.from_search(search(name="C"))
    with pytest.raises(ValueError, match="has no cv_results_; fit it first"):
        FreezeDepthDisplay.from_search(SimpleNamespace())


TEXTS = [f"{word} film {i}" for i in range(10) for word in ("good", "bad")]
LABELS = np.array([1, 0] * 10)


def tuned(**options):
    options = {"max_epochs": 1, "random_state": 0} | options
    return TextClassifier("tiny-bert", **options)


@functools.cache
def one_fit():
    return GridSearchCV(tuned(), {"freeze_depth": [-1]}, cv=2).fit(TEXTS, LABELS)


def searched(values, scores=None, estimator=None, param="freeze_depth", more=None):
    """A search of "tiny-bert", which has three blocks, as if it had been fitted."""
    estimator = tuned() if estimator is None else estimator
    n = len(values)
    params = [{param: value} | (more or [{}] * n)[i] for i, value in enumerate(values)]
    found = np.empty(n, dtype=object)
    found[:] = values
    scores = np.linspace(0.5, 0.9, n) if scores is None else np.array(scores)
    return SimpleNamespace(
        estimator=estimator,
        cv_results_={
            f"param_{param}": found,
            "params": params,
            "mean_test_score": scores,
            "std_test_score": np.full(n, 0.01),
            "mean_fit_time": np.arange(n) + 1.0,
        },
    )


@pytest.mark.parametrize(
    ("values", "want"),
    [
        (["embeddings", "layers.0", "all"], ["all", "layers.0", "embeddings"]),
        ([1, 2, -1, 0], [2, 1, 0]),
        ([0, -1, "embeddings", 3], [3, -1, "embeddings", 0]),
        (["auto", "all", -2, 0], ["all", "auto", 0]),
        ([-3, 0, "layers.1"], ["layers.1", -3]),
    ],
)
def test_depths_are_ordered_and_merged_by_what_they_freeze(values, want):
    display = FreezeDepthDisplay.from_search(searched(values), plot=False)
    assert display.depths == want


def test_of_depths_that_are_the_same_the_best_candidate_is_drawn():
    display = FreezeDepthDisplay.from_search(
        searched([-1, 2, "layers.0", "all"], [0.7, 0.9, np.nan, 0.6]), plot=False
    )
    assert display.depths == ["all", -1]
    np.testing.assert_allclose(display.scores, [0.6, 0.9])
    np.testing.assert_allclose(display.fit_times, [4, 2])


@pytest.mark.parametrize(
    ("estimator", "param"),
    [
        (
            make_pipeline(FunctionTransformer(), tuned()),
            "textclassifier__freeze_depth",
        ),
        (
            make_pipeline(TargetAwareEncoder(tuned()), LogisticRegression()),
            "targetawareencoder__estimator__freeze_depth",
        ),
    ],
)
def test_the_network_is_that_of_the_step_that_was_searched(estimator, param):
    values = [0, "layers.0", 1, "all", -1]
    display = FreezeDepthDisplay.from_search(
        searched(values, estimator=estimator, param=param), plot=False
    )
    assert display.depths == ["all", "layers.0", 1, 0]


def test_candidates_of_several_networks_are_compared_by_what_was_said():
    bert = load_backbone("tiny-bert")
    first = dataclasses.replace(bert, blocks=dict([*bert.blocks.items()][:2]))
    other = [{"backbone": first}, {"backbone": bert}] * 2
    search = searched([-1, -1, "all", "all"], [0.5, 0.6, 0.8, 0.7], more=other)
    display = FreezeDepthDisplay.from_search(search, plot=False)
    assert display.depths == ["all", -1]
    np.testing.assert_allclose(display.scores, [0.8, 0.6])
    seeds = [{"backbone": BackboneSpec("tiny-bert", random_state=i)} for i in range(3)]
    display = FreezeDepthDisplay.from_search(
        searched([2, -1, 0], more=seeds), plot=False
    )
    assert display.depths == [2, 0]  # one structure


def test_a_candidate_that_says_nothing_has_the_depth_of_the_estimator():
    search = GridSearchCV(
        tuned(freeze_depth=0), [{"freeze_depth": [1, "all"]}, {"lr": [0.01]}], cv=2
    ).fit(TEXTS, LABELS)
    assert FreezeDepthDisplay.from_search(search, plot=False).depths == ["all", 1, 0]
    del search.estimator  # without the network only what was said
    assert FreezeDepthDisplay.from_search(search, plot=False).depths == ["all", 1]


def test_a_network_that_is_not_at_hand_leaves_the_order_of_what_was_said():
    search = searched([0, -1, "all"], estimator=tuned().set_params(backbone="nowhere"))
    display = FreezeDepthDisplay.from_search(search, plot=False)
    assert display.depths == ["all", -1, 0]
    search = searched([0, -1, "all"], estimator=TextEncoder("tiny-bert"), param="depth")
    display = FreezeDepthDisplay.from_search(search, param="depth", plot=False)
    assert display.depths == ["all", -1, 0]


def test_of_a_halving_search_the_last_iteration_counts():
    search = HalvingGridSearchCV(
        tuned(),
        {"freeze_depth": ["all", -1, 0]},
        cv=2,
        min_resources=8,
        factor=2,
        random_state=0,
    ).fit(np.array(TEXTS, dtype=object), LABELS)
    display = FreezeDepthDisplay.from_search(search, plot=False)
    assert display.depths == ["all", -1, 0]
    results = search.cv_results_
    for depth, score in zip(display.depths, display.scores, strict=True):
        rows = [
            i for i, p in enumerate(results["params"]) if p["freeze_depth"] == depth
        ]
        assert score == results["mean_test_score"][max(rows)]


def scored(refit, names=("accuracy", "roc_auc")):
    made = searched(["all", -1])
    results = made.cv_results_
    for i, name in enumerate(names):
        results[f"mean_test_{name}"] = np.array([0.5, 0.6]) + i / 10
        results[f"std_test_{name}"] = np.full(2, 0.1 * i)
    del results["mean_test_score"], results["std_test_score"]
    made.refit = refit
    return made


def test_one_of_several_metrics_is_drawn():
    display = FreezeDepthDisplay.from_search(scored("roc_auc"), plot=False)
    assert display.score_name == "roc_auc"
    np.testing.assert_allclose(display.scores, [0.6, 0.7])
    np.testing.assert_allclose(display.errors, [0.1, 0.1])
    display = FreezeDepthDisplay.from_search(
        scored("roc_auc"), metric="accuracy", score_name="share", plot=False
    )
    assert display.score_name == "share"
    np.testing.assert_allclose(display.scores, [0.5, 0.6])
    for refit in (False, lambda results: 0):
        with pytest.raises(
            ValueError, match=r"scored \['accuracy', 'roc_auc'\].*with metric="
        ):
            FreezeDepthDisplay.from_search(scored(refit))
        display = FreezeDepthDisplay.from_search(
            scored(refit), metric="accuracy", plot=False
        )
        assert display.score_name == "accuracy"
    with pytest.raises(ValueError, match="metric='f1' was not scored; the search has"):
        FreezeDepthDisplay.from_search(scored("accuracy"), metric="f1")


def test_a_real_search_of_several_metrics_is_drawn():
    search = GridSearchCV(
        tuned(),
        {"freeze_depth": ["all", -1]},
        cv=2,
        scoring=["accuracy", "roc_auc"],
        refit="accuracy",
    ).fit(TEXTS, LABELS)
    display = FreezeDepthDisplay.from_search(search, plot=False)
    np.testing.assert_allclose(display.scores, search.cv_results_["mean_test_accuracy"])


def test_a_single_metric_has_the_name_that_the_search_gave_it():
    search = one_fit()
    assert FreezeDepthDisplay.from_search(search, plot=False).score_name == "score"
    named = SimpleNamespace(**vars(search) | {"scoring": "f1"})
    for metric in (None, "f1", "score"):
        display = FreezeDepthDisplay.from_search(named, metric=metric, plot=False)
        assert display.score_name == "f1"


@pytest.mark.parametrize(
    ("scores", "errors", "name", "low", "high"),
    [
        ([1.0, 1.0], [0, 0], "accuracy", None, 1.0),
        ([0.97, 0.9], [0.1, 0.1], "score", None, 1.0),
        ([0.02, 0.4], [0.1, 0.1], "score", 0.0, None),
        ([-0.02, -0.4], [0.1, 0.1], "neg_log_loss", None, 0.0),
        ([0.0, 0.0], [0, 0], "neg_log_loss", None, None),
        ([1.0, np.nan], [0, np.nan], "accuracy", None, 1.0),
        ([3.0, 2.0], [0, 0], "gain", None, None),
    ],
)
def test_the_axis_ends_where_no_score_can_be(scores, errors, name, low, high):
    import matplotlib.pyplot as plt

    display = FreezeDepthDisplay(
        ["all", -1], np.array(scores), np.array(errors), np.ones(2), score_name=name
    ).plot()
    bottom, top = display.ax_.get_ylim()
    assert bottom < top
    assert low is None or bottom == low
    assert top == high if high is not None else top > np.nanmax(scores)
    plt.close(display.figure_)


def test_other_displays_end_at_an_accuracy_of_one_too():
    import matplotlib.pyplot as plt

    point = {"estimator": "a", "score": 0.98, "low": 0.8, "high": 1.16}
    curves = [point | {"labels_per_class": n} for n in (1, 5)]
    display = LabelEfficiencyDisplay.from_curves(LabelEfficiencyCurves(curves))
    assert display.ax_.get_ylim()[1] == 1.0
    row = {"depth": "a", "backbone": "b", "pooling": "mean", "megabytes": 3.0}
    rows = [row | {"score": score} for score in (1.0, 1.0)]
    for by_depth in (True, False):
        ranking = BackboneRanking(rows, score_name="accuracy of knn", by_depth=by_depth)
        display = BackboneRankingDisplay.from_ranking(ranking, cost="megabytes")
        assert display.ax_.get_ylim()[1] == 1.0
    ranking = BackboneRanking(rows, score_name="LogME (nats per row)", by_depth=True)
    assert ranking.plot().ax_.get_ylim()[1] > 1.0
    plt.close("all")


def test_axes_that_hold_something_keep_their_ends():
    import matplotlib.pyplot as plt

    figure, ax = plt.subplots()
    ax.plot([0, 1], [0, 3])
    FreezeDepthDisplay(["all", -1], np.ones(2), np.zeros(2), np.ones(2)).plot(ax=ax)
    assert ax.get_ylim()[1] > 3
    plt.close(figure)
