"""Metrics by epoch, rows to watch, and skorch's scoring callbacks."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import accuracy_score, make_scorer
from sklearn.model_selection import PredefinedSplit, TimeSeriesSplit
from skorch.callbacks import BatchScoring, EpochScoring
from skorch.callbacks import EarlyStopping as SkorchEarlyStopping

from sktransfer import FeatureCache, ImageClassifier, TextClassifier, TextRegressor
from sktransfer.finetuning import (
    Augmentation,
    ContrastiveLoss,
    EarlyStopping,
    Head,
    LogLoss,
    Optimizer,
)

TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(24)]
LABELS = np.where(np.arange(24) % 2, "good", "bad")
PIXELS = np.random.default_rng(0).integers(0, 256, (24, 40, 40, 3), dtype=np.uint8)
WATCHED = {"X_val": TEXTS[:6], "y_val": LABELS[:6]}


def model(**options):
    options = {"freeze_depth": -1, "max_epochs": 3, "random_state": 0} | options
    return TextClassifier("tiny-bert", **options)


def column(fitted, name):
    return [row[name] for row in fitted.history_]


# -- metrics of scikit-learn -------------------------------------------------------


def test_metrics_are_recorded_for_rows_trained_on_and_rows_watched():
    fitted = model(scoring=["accuracy", "neg_log_loss", "roc_auc"])
    fitted.fit(TEXTS, LABELS, **WATCHED)
    assert column(fitted, "valid_accuracy")[-1] == fitted.score(TEXTS[:6], LABELS[:6])
    proba = fitted.predict_proba(TEXTS[:6])
    own = proba[np.arange(6), (LABELS[:6] == "good").astype(int)]
    assert column(fitted, "valid_neg_log_loss")[-1] == pytest.approx(np.log(own).mean())
    for name in ("accuracy", "neg_log_loss", "roc_auc"):
        for part in ("train", "valid"):
            assert len(column(fitted, f"{part}_{name}")) == 3


def test_metrics_of_rows_trained_on_need_nothing_watched():
    fitted = model(scoring="f1_macro").fit(TEXTS, LABELS)
    assert all(0 <= value <= 1 for value in column(fitted, "train_f1_macro"))
    assert "valid_f1_macro" not in fitted.history_[0]


def test_functions_and_scorers_see_labels_as_they_were_given():
    seen = []

    def rate(estimator, X, y):
        seen.append((list(estimator.classes_), set(y), set(estimator.predict(X))))
        return accuracy_score(y, estimator.predict(X))

    good = make_scorer(accuracy_score)
    fitted = model(scoring=[rate, good]).fit(TEXTS, LABELS)
    assert seen[0][0] == ["bad", "good"]
    assert seen[0][1] == {"bad", "good"}
    assert column(fitted, "train_rate") == column(fitted, f"train_{good!r}")


def test_metrics_of_numbers_are_in_the_units_of_y():
    y = 1000.0 + np.arange(24) % 5
    fitted = TextRegressor(
        "tiny-bert", scoring=["neg_mean_absolute_error", "r2"], random_state=0
    ).fit(TEXTS, y, X_val=TEXTS[:8], y_val=y[:8])
    wanted = -np.abs(fitted.predict(TEXTS[:8]) - y[:8]).mean()
    last = column(fitted, "valid_neg_mean_absolute_error")[-1]
    assert last == pytest.approx(wanted, rel=0.5)  # before weights are averaged
    assert -5 < last < 0


def test_metrics_of_several_labels():
    Y = np.c_[np.arange(24) % 2, np.arange(24) % 3 == 0].astype(int)
    fitted = model(scoring=["f1_micro", "average_precision"]).fit(TEXTS, Y)
    assert all(0 <= v <= 1 for v in column(fitted, "train_average_precision"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scoring": "exactness"}, "'exactness' is not a valid scoring value"),
        ({"scoring": 3}, "The 'scoring' parameter"),
        ({"early_stopping": EarlyStopping(monitor="acc")}, "'acc' is not a valid"),
        (
            {"loss": ContrastiveLoss(), "scoring": "accuracy"},
            "does not take scoring",
        ),
    ],
)
def test_a_metric_that_does_not_exist_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        model(**options).fit(TEXTS, LABELS)


@pytest.mark.parametrize(
    ("scoring", "message"),
    [
        (accuracy_score, "looks like it is a metric function"),
        ([lambda m, X, y: 1.0, lambda m, X, y: 2.0], "the name '<lambda>' twice"),
        (["loss"], "the name 'loss' twice, or it is one of"),
    ],
)
def test_metrics_that_cannot_be_told_apart_or_scored_are_refused(scoring, message):
    with pytest.raises(ValueError, match=message):
        model(scoring=scoring).fit(TEXTS, LABELS)


def test_a_metric_that_some_rows_do_not_have_is_nan_with_one_warning():
    fitted = model(scoring=["neg_log_loss", "accuracy"])
    with pytest.warns(UserWarning, match="neg_log_loss cannot be computed") as caught:
        fitted.fit(TEXTS, LABELS, X_val=TEXTS[::2], y_val=LABELS[::2])
    assert len(caught) == 1
    assert np.isnan(column(fitted, "valid_neg_log_loss")).all()
    assert np.isfinite(column(fitted, "train_neg_log_loss")).all()
    assert np.isfinite(column(fitted, "valid_accuracy")).all()


def test_metrics_of_half_precision():
    fitted = model(precision="bfloat16", scoring="accuracy", early_stopping=True)
    assert len(column(fitted.fit(TEXTS, LABELS), "valid_accuracy")) == fitted.n_epochs_


def test_prototypes_that_are_not_trained_take_nothing_that_watches():
    for options in (
        {"early_stopping": True},
        {"scoring": "accuracy"},
        {"callbacks": [EpochScoring("accuracy")]},
    ):
        name = next(iter(options))
        fitted = model(head="prototype", freeze_depth="all", **options)
        with pytest.raises(ValueError, match=f"{name} needs epochs of training, and"):
            fitted.fit(TEXTS, LABELS)


# -- rows to watch -----------------------------------------------------------------


def test_rows_of_ones_own_are_watched_and_none_is_set_aside():
    seen = []
    split = model(early_stopping=True, max_epochs=4)
    split.set_params(callbacks=[Rows(seen)]).fit(TEXTS, LABELS, **WATCHED)
    assert seen[0] == (24, 6)
    assert all(value > 0 for value in column(split, "valid_loss"))


class Rows(EpochScoring):
    """Notes how many rows are trained on and watched."""

    def __init__(self, seen):
        super().__init__("accuracy", on_train=True)
        self.seen = seen

    def on_epoch_begin(self, net, dataset_train, dataset_valid, **kwargs):
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        n_valid = 0 if dataset_valid is None else len(dataset_valid)
        self.seen.append((len(dataset_train), n_valid))


def test_watched_rows_do_not_change_a_training_that_does_not_stop():
    plain = model().fit(TEXTS, LABELS).predict_proba(TEXTS)
    watched = model().fit(TEXTS, LABELS, **WATCHED).predict_proba(TEXTS)
    np.testing.assert_array_equal(watched, plain)


def test_weights_of_watched_rows_count_in_their_loss():
    fits = [
        model().fit(TEXTS, LABELS, **WATCHED, sample_weight_val=weight)
        for weight in (None, np.ones(6), [1, 1, 1, 1, 1, 0])
    ]
    losses = [column(fitted, "valid_loss") for fitted in fits]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_rows_to_watch_are_of_the_same_column():
    X = pd.DataFrame({"text": TEXTS})
    model().fit(X, LABELS, X_val=X[:6], y_val=LABELS[:6])
    with pytest.raises(ValueError, match="X_val has the column 'title', and X has 'te"):
        model().fit(X, LABELS, X_val=X.set_axis(["title"], axis=1), y_val=LABELS)


@pytest.mark.parametrize("augment", ["light", Augmentation("light", views=2), None])
@pytest.mark.parametrize("freeze_depth", [0, -1])
def test_watched_images_are_not_changed(augment, freeze_depth):
    fitted = ImageClassifier(
        "tiny-cnn",
        augment=augment,
        freeze_depth=freeze_depth,
        max_epochs=2,
        loss=LogLoss(label_smoothing=0.0),
        scoring="neg_log_loss",
        random_state=0,
    ).fit(PIXELS, LABELS, X_val=PIXELS[:8], y_val=LABELS[:8])
    proba = fitted.predict_proba(PIXELS[:8])
    own = proba[np.arange(8), (LABELS[:8] == "good").astype(int)]
    last = fitted.history_[-1]
    assert last["valid_neg_log_loss"] == pytest.approx(np.log(own).mean(), abs=1e-5)
    assert last["valid_loss"] == pytest.approx(-np.log(own).mean(), abs=1e-5)


@pytest.mark.parametrize(
    ("watched", "message"),
    [
        ({"y_val": LABELS[:2]}, "need X_val"),
        ({"X_val": TEXTS[:2]}, "X_val needs y_val"),
        ({"X_val": TEXTS[:2], "y_val": LABELS[:3]}, "inconsistent numbers of samples"),
        (
            {"X_val": TEXTS[:2], "y_val": ["good", "new"]},
            "y_val does not fit",
        ),
        ({"X_val": TEXTS[:2], "y_val": np.eye(2)}, "the first y had one class per row"),
        (
            {"X_val": TEXTS[:1], "y_val": ["good"], "sample_weight_val": [0]},
            "no row with a sample_weight_val above 0",
        ),
        (
            {"X_val": TEXTS[:1], "y_val": ["good"], "sample_weight_val": [-1]},
            "sample_weight_val must be one finite number",
        ),
    ],
)
def test_rows_to_watch_that_make_no_sense_are_refused(watched, message):
    with pytest.raises(ValueError, match=message):
        model().fit(TEXTS, LABELS, **watched)


class Masks:
    """A splitter that says rows by masks."""

    def split(self, X, y, groups=None):
        aside = np.arange(len(y)) >= 20
        yield ~aside, aside

    def get_n_splits(self, X=None, y=None, groups=None):
        return 1


@pytest.mark.parametrize("splitter", [PredefinedSplit([-1] * 20 + [0] * 4), Masks()])
def test_a_splitter_says_which_rows_are_set_aside(splitter):
    seen = []
    fitted = model(early_stopping=EarlyStopping(splitter), callbacks=[Aside(seen)])
    fitted.fit(TEXTS, LABELS)
    assert seen[0][0].tolist() == list(range(20))
    assert seen[0][1].tolist() == list(range(20, 24))


def test_rows_that_a_splitter_puts_on_neither_side_are_said():
    fitted = model(early_stopping=EarlyStopping(TimeSeriesSplit(2)))
    with pytest.warns(UserWarning, match="8 of 24 rows are on neither side of the"):
        fitted.fit(TEXTS, LABELS)


def test_a_splitter_counts_rows_of_X_also_where_some_take_no_part():
    seen = []
    splitter = PredefinedSplit([-1] * 20 + [0] * 4)
    weight = np.ones(24)
    weight[[0, 23]] = 0
    fitted = model(early_stopping=EarlyStopping(splitter), callbacks=[Rows(seen)])
    fitted.fit(TEXTS, LABELS, sample_weight=weight)
    assert seen[0] == (19, 3)
    weight[20:] = 0
    with pytest.raises(
        ValueError, match="leaves 0 rows to watch and 19 rows to train on"
    ):
        fitted.fit(TEXTS, LABELS, sample_weight=weight)


# -- copies ------------------------------------------------------------------------


class Aside(EpochScoring):
    """Notes which rows are trained on and which are set aside."""

    def __init__(self, seen):
        super().__init__("accuracy", on_train=True)
        self.seen = seen

    def on_epoch_begin(self, net, dataset_train, dataset_valid, **kwargs):
        super().on_epoch_begin(net, dataset_train, dataset_valid, **kwargs)
        self.seen.append((dataset_train.indices, dataset_valid.indices))


@pytest.mark.parametrize("kind", ["texts", "images"])
@pytest.mark.parametrize("with_groups", [False, True])
@pytest.mark.parametrize("cache", [None, FeatureCache()])
def test_copies_of_a_row_are_never_on_both_sides(kind, with_groups, cache):
    X = TEXTS * 3 if kind == "texts" else np.concatenate([PIXELS] * 3)
    content = np.tile(np.arange(24), 3)
    groups = np.arange(72) // 2 if with_groups else None  # which join other contents
    options = {"max_epochs": 1, "random_state": 0, "cache": cache}
    kinds = {"texts": TextClassifier, "images": ImageClassifier}
    network = {"texts": "tiny-bert", "images": "tiny-cnn"}[kind]
    for _ in range(2):  # the second time activations are found
        seen = []
        fitted = kinds[kind](
            network,
            early_stopping=EarlyStopping(0.3),
            callbacks=[Aside(seen)],
            **options,
        )
        fitted.fit(X, np.tile(LABELS, 3), groups=groups)
        train, aside = seen[0]
        assert len(train) + len(aside) == 72
        assert len(aside) >= 15
        assert not set(content[train]) & set(content[aside])
        if with_groups:
            assert not set(groups[train]) & set(groups[aside])


def test_a_splitter_that_parts_copies_leaves_them_out_of_the_training():
    seen = []
    splitter = PredefinedSplit([-1] * 20 + [0] * 4)
    texts = [*TEXTS[:20], TEXTS[0], TEXTS[1], *TEXTS[22:]]
    model(early_stopping=EarlyStopping(splitter), callbacks=[Aside(seen)]).fit(
        texts, LABELS
    )
    train, aside = seen[0]
    assert train.tolist() == list(range(2, 20))
    assert aside.tolist() == [20, 21, 22, 23]


def test_copies_alone_cannot_be_set_aside():
    fitted = TextRegressor("tiny-bert", early_stopping=True, random_state=0)
    with pytest.raises(ValueError, match="of 1 different row none would be left"):
        fitted.fit(["the same"] * 10, np.arange(10.0))


# -- early stopping on a metric ----------------------------------------------------


def test_the_epoch_of_the_best_metric_comes_back():
    watched = EarlyStopping(0.3, monitor="balanced_accuracy", patience=4)
    fitted = model(
        early_stopping=watched, lr=0.05, max_epochs=12, head=Head(init="random")
    ).fit(TEXTS, LABELS)
    values = column(fitted, "valid_balanced_accuracy")
    assert len(values) == len(column(fitted, "train_balanced_accuracy"))
    stop = dict(fitted.net_.callbacks_).get("early_stopping")
    assert stop is None or max(values) >= values[-1]


def test_a_metric_that_never_gets_better_than_the_start_keeps_the_start():
    def constant(estimator, X, y):
        return 0.5

    watched = EarlyStopping(monitor=constant, patience=2)
    fitted = model(early_stopping=watched, lr=0.05, max_epochs=9)
    fitted.fit(TEXTS, LABELS, **WATCHED)
    start = model(max_epochs=0, freeze_depth="all").fit(TEXTS, LABELS)
    assert fitted.n_epochs_ == 2
    np.testing.assert_allclose(
        fitted.predict_proba(TEXTS), start.predict_proba(TEXTS), atol=1e-5
    )


# -- skorch's callbacks ------------------------------------------------------------

CALLBACKS = {
    "valid": EpochScoring("accuracy", lower_is_better=False, name="found"),
    "train": EpochScoring("accuracy", on_train=True, name="found"),
    "probabilities": EpochScoring("roc_auc", name="found"),
    "a function": EpochScoring(lambda net, X, y: len(y), name="found"),
    "a metric": EpochScoring(accuracy_score, name="found"),
    "none": EpochScoring(None, name="found"),
    "no caching": EpochScoring("accuracy", use_caching=False, name="found"),
    "no caching, train": EpochScoring(
        "accuracy", use_caching=False, on_train=True, name="found"
    ),
    "batches": BatchScoring("accuracy", name="found"),
    "batches, train": BatchScoring("accuracy", on_train=True, name="found"),
    "batches, no caching": BatchScoring("accuracy", use_caching=False, name="found"),
}


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("name", CALLBACKS)
def test_scoring_callbacks_of_skorch_record_what_they_are_for(name, early_stopping):
    fitted = model(callbacks=[CALLBACKS[name]], early_stopping=early_stopping)
    watched = {} if early_stopping else WATCHED
    values = column(fitted.fit(TEXTS, LABELS, **watched), "found")
    assert len(values) == fitted.n_epochs_
    assert np.isfinite(values).all()
    if name not in ("a function", "probabilities"):
        assert all(0 <= value <= 1 for value in values)


def test_scoring_callbacks_agree_with_the_model():
    callback = EpochScoring("accuracy", use_caching=False, name="found")
    fitted = model(callbacks=[callback]).fit(TEXTS, LABELS, **WATCHED)
    assert column(fitted, "found")[-1] == fitted.score(TEXTS[:6], LABELS[:6])


@pytest.mark.parametrize("y", [np.arange(24.0), np.c_[np.arange(24.0), np.ones(24)]])
def test_scoring_callbacks_of_numbers(y):
    callback = EpochScoring("r2", on_train=True, name="found")
    fitted = TextRegressor("tiny-bert", callbacks=[callback], random_state=0)
    assert all(value <= 1 for value in column(fitted.fit(TEXTS, y), "found"))


def test_an_early_stopping_of_skorch_ends_without_a_warning():
    stop = SkorchEarlyStopping(
        monitor="valid_accuracy", lower_is_better=False, patience=2, sink=str
    )
    fitted = model(scoring="accuracy", callbacks=[stop], max_epochs=30, lr=1e-5)
    fitted.fit(TEXTS, LABELS, **WATCHED)
    assert fitted.n_epochs_ < 30


def test_an_optimizer_is_stepped_where_metrics_are_recorded():
    plain = model(optimizer=Optimizer(layer_decay=0.5))
    scored = model(optimizer=Optimizer(layer_decay=0.5), scoring="accuracy")
    np.testing.assert_array_equal(
        plain.fit(TEXTS, LABELS).predict_proba(TEXTS),
        scored.fit(TEXTS, LABELS).predict_proba(TEXTS),
    )
