"""Callbacks of scikit-learn 1.9, in every estimator."""

import collections
import inspect
import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator, clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import sktransfer
from sktransfer import (
    ImageEncoder,
    TableEncoder,
    TargetAwareEncoder,
    TextClassifier,
    TextEncoder,
    ZeroShotClassifier,
    finetuning,
    load,
    save,
)

callback = pytest.importorskip("sklearn.callback", reason="scikit-learn before 1.9")

N = 16
TEXTS = [f"{'good' if i % 2 else 'bad'} thing number {i}" for i in range(N)]
PIXELS = np.random.default_rng(0).integers(0, 255, (N, 20, 20, 3), dtype=np.uint8)
VECTORS = np.random.default_rng(1).normal(size=(N, 4))
LABELS = np.arange(N) % 2
DOMAIN = np.where(np.arange(N) % 4 < 2, 0, -1)
TABLE = pd.DataFrame(
    {
        "review": TEXTS,
        "color": ["red", "blue"] * (N // 2),
        "price": np.arange(N, dtype=float),
        "day": pd.date_range("2024-01-01", periods=N, freq="17D"),
        "nothing": [None] * N,
    }
)
IN_DOMAINS = {"sample_domain": DOMAIN}
SMALL = {"max_epochs": 3, "freeze_depth": -1, "batch_size": 8}


def small(cls, backbone, **options):
    return cls(backbone, random_state=0, **(SMALL | options))


def table_encoder():
    return TableEncoder(
        text_encoder=TextEncoder("tiny-bert"),
        kinds={"review": "text", "nothing": "text"},
    )


# A small one of every public estimator that has a fit, and what it is fitted to.
FITS = {
    "ImageEncoder": lambda: (ImageEncoder("tiny-cnn"), PIXELS, None, {}),
    "TextEncoder": lambda: (TextEncoder("tiny-bert"), TEXTS, None, {}),
    "ImageClassifier": lambda: (
        small(sktransfer.ImageClassifier, "tiny-cnn"),
        PIXELS,
        LABELS,
        {},
    ),
    "ImageRegressor": lambda: (
        small(sktransfer.ImageRegressor, "tiny-cnn"),
        PIXELS,
        VECTORS[:, 0],
        {},
    ),
    "TextClassifier": lambda: (small(TextClassifier, "tiny-bert"), TEXTS, LABELS, {}),
    "TextRegressor": lambda: (
        small(sktransfer.TextRegressor, "tiny-bert"),
        TEXTS,
        VECTORS[:, 0],
        {},
    ),
    "TableEncoder": lambda: (table_encoder(), TABLE, None, {}),
    "TargetAwareEncoder": lambda: (
        TargetAwareEncoder(
            LogisticRegression(), cv=2, frozen=StandardScaler(), random_state=0
        ),
        VECTORS,
        LABELS,
        {},
    ),
    "ZeroShotClassifier": lambda: (
        ZeroShotClassifier(["good", "bad"], TextEncoder("tiny-bert", missing="mean")),
        TEXTS,
        None,
        {},
    ),
    "DomainAdaptationClassifier": lambda: (
        sktransfer.DomainAdaptationClassifier(LogisticRegression()),
        VECTORS,
        LABELS,
        IN_DOMAINS,
    ),
    "DomainAdaptationRegressor": lambda: (
        sktransfer.DomainAdaptationRegressor(),
        VECTORS,
        VECTORS[:, 0],
        IN_DOMAINS,
    ),
    **{
        name: lambda name=name: (
            getattr(sktransfer, name)(),
            VECTORS,
            LABELS,
            IN_DOMAINS,
        )
        for name in (
            "CORALAdapter",
            "DensityRatioWeights",
            "DomainNormalizer",
            "DomainStandardScaler",
            "KMMWeights",
            "OptimalTransport",
            "SubspaceAlignment",
            "TransferComponentAnalysis",
        )
    },
}


class Recorder:
    """Writes down every task, and goes to inner estimators.

    Parameters
    ----------
    stop_after : dict of str to int
        Ask to stop after so many tasks of a name.
    fail_at : str
        Name of a task at whose end it raises an error.
    """

    max_propagation_depth = None

    def __init__(self, stop_after=None, fail_at=None):
        self.stop_after, self.fail_at = stop_after or {}, fail_at
        self.n_setups = self.n_teardowns = 0
        self.begun, self.ended, self.sizes = [], [], {}

    def setup(self, estimator, context):
        self.n_setups += 1

    def teardown(self, estimator, context):
        self.n_teardowns += 1

    def on_fit_task_begin(self, estimator, context):
        path = path_of(context)
        self.begun.append(path)
        self.sizes[path] = context.max_subtasks

    def on_fit_task_end(self, estimator, context):
        self.ended.append(path_of(context))
        if context.task_name == self.fail_at:
            raise RuntimeError("the callback failed")
        wanted = self.stop_after.get(context.task_name)
        return wanted is not None and self.count(context.task_name) >= wanted

    def count(self, name):
        return sum(path[-1][1] == name for path in self.ended)

    def names(self):
        """Names of the tasks that ended, with how many there were."""
        return collections.Counter(path[-1][:2] for path in self.ended)

    def check(self):
        """Fail unless each task began and ended once, inside its parent."""
        assert self.n_setups == self.n_teardowns
        assert len(set(self.begun)) == len(self.begun)
        assert sorted(self.begun) == sorted(self.ended)
        for path in self.begun:
            if len(path) > 1:
                parent = path[:-1]
                assert self.begun.index(parent) < self.begun.index(path)
                assert self.ended.index(path) < self.ended.index(parent)
        children = collections.Counter(path[:-1] for path in self.begun)
        for path, size in self.sizes.items():
            assert children[path] <= size, path


def path_of(context):
    own = (context.estimator_name, context.task_name, context.task_id)
    return (*(() if context.parent is None else path_of(context.parent)), own)


def parts_of(estimator):
    """The estimator and everything that it holds."""
    todo, seen = [estimator], {}
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, (list, tuple)):
            todo += one
        elif isinstance(one, dict):
            todo += one.values()
        elif type(one).__module__.startswith(("sktransfer", "sklearn")):
            todo += vars(one).values() if hasattr(one, "__dict__") else []
    return seen.values()


def test_the_list_has_every_public_estimator_with_a_fit():
    public = {
        name
        for name in sktransfer.__all__
        if inspect.isclass(cls := getattr(sktransfer, name))
        and issubclass(cls, BaseEstimator)
        and hasattr(cls, "fit")
    }
    assert public == set(FITS)


@pytest.mark.parametrize("method", ["fit", "fit_transform"])
@pytest.mark.parametrize("name", FITS)
def test_each_task_of_a_fit_begins_and_ends_once(name, method):
    if name == "OptimalTransport":
        pytest.importorskip("ot")
    estimator, X, y, params = FITS[name]()
    if not hasattr(estimator, method):
        pytest.skip("it transforms nothing")
    recorder = Recorder()
    getattr(estimator.set_callbacks(recorder), method)(X, y, **params)
    recorder.check()
    assert recorder.n_setups == 1
    assert recorder.ended[-1] == ((name, "fit", 0),)
    for part in parts_of(estimator):
        if part is not estimator and not isinstance(part, dict):
            held = set(vars(part)) if hasattr(part, "__dict__") else set()
            # The recorder goes to inner estimators for the time of the fit only, and
            # nothing holds the tasks, which hold the rows.
            assert not held & {"_skl_callbacks", "_parent_callback_ctx"}, part
            assert type(part).__name__ not in ("Task", "CallbackContext")


@pytest.mark.parametrize("name", FITS)
def test_callbacks_of_a_pipeline_reach_every_estimator(name):
    if name == "OptimalTransport":
        pytest.importorskip("ot")
    estimator, X, y, params = FITS[name]()
    recorder = Recorder()
    pipeline = make_pipeline(estimator).set_callbacks(recorder)
    step = pipeline.steps[0][0]
    # A warning of scikit-learn's that it does not support callbacks would be an error.
    pipeline.fit(X, y, **{f"{step}__{key}": value for key, value in params.items()})
    recorder.check()
    assert recorder.n_setups == 1
    assert [path for path in recorder.ended if path[-1][:2] == (name, "fit")]


# -- encoders --------------------------------------------------------------------------


@pytest.mark.parametrize(("n_rows", "n_parts"), [(1, 1), (16, 16), (250, 100)])
def test_rows_of_an_encoder_are_at_most_a_hundred_tasks(n_rows, n_parts):
    texts = [f"text {i % 40}" if i % 3 else None for i in range(n_rows)]
    recorder = Recorder()
    encoder = TextEncoder("tiny-bert").set_callbacks(recorder)
    encoder.fit_transform(texts)
    recorder.check()
    assert recorder.names() == {
        ("TextEncoder", "rows"): n_parts,
        ("TextEncoder", "fit"): 1,
    }
    assert recorder.sizes[(("TextEncoder", "fit", 0),)] == n_parts
    encoder.transform(texts)  # is no fit
    assert recorder.n_setups == 1


def test_an_encoder_that_only_checks_its_rows_has_no_tasks_for_them():
    recorder = Recorder()
    ImageEncoder("tiny-cnn").set_callbacks(recorder).fit(PIXELS)
    assert recorder.names() == {("ImageEncoder", "fit"): 1}
    recorder = Recorder()
    encoder = ImageEncoder("tiny-cnn", missing="mean").set_callbacks(recorder)
    encoder.fit(PIXELS)
    assert recorder.names()["ImageEncoder", "rows"] == N


@pytest.mark.filterwarnings("ignore:ImageEncoder. 2 of 18 rows cannot be read")
def test_rows_without_a_value_leave_no_task_open(tmp_path, image_paths):
    (tmp_path / "damaged.png").write_bytes(b"no image")
    cells = [image_paths[i % 6] for i in range(14)]
    cells += [tmp_path / "damaged.png", tmp_path / "damaged.png", None, None]
    recorder = Recorder()
    encoder = ImageEncoder("tiny-cnn", missing="zero", on_error="zero")
    encoder.set_callbacks(recorder).fit_transform(cells)
    recorder.check()


def test_rows_of_several_parts_are_no_more_tasks_than_rows():
    recorder = Recorder()
    lists = [list(PIXELS[i : i + 3]) for i in range(N)]
    ImageEncoder("tiny-cnn").set_callbacks(recorder).fit_transform(lists)
    recorder.check()
    assert recorder.count("rows") == N
    recorder = Recorder()
    texts = [f"{'so much ' * 40} {i}" for i in range(3)]
    encoder = TextEncoder("tiny-bert", max_length="pieces").set_callbacks(recorder)
    encoder.fit_transform(texts)
    recorder.check()
    assert recorder.count("rows") == 3
    recorder = Recorder()
    model = small(sktransfer.ImageClassifier, "tiny-cnn").set_callbacks(recorder)
    model.fit(lists, LABELS)
    recorder.check()
    assert recorder.count("epoch") == 3


# -- fine-tuning -----------------------------------------------------------------------


def classifier(**options):
    return small(TextClassifier, "tiny-bert", **options)


def test_epochs_are_tasks_of_the_training():
    recorder = Recorder()
    classifier().set_callbacks(recorder).fit(TEXTS, LABELS)
    recorder.check()
    root = ("TextClassifier", "fit", 0)
    frozen = (root, ("TextClassifier", "frozen-blocks", 0))
    training = (root, ("TextClassifier", "train", 1))
    assert recorder.sizes[frozen] == N
    assert recorder.sizes[training] == 3
    assert recorder.ended[-5:-2] == [
        (*training, ("TextClassifier", "epoch", i)) for i in range(3)
    ]


def test_a_callback_ends_a_training():
    recorder = Recorder(stop_after={"epoch": 2})
    constant = finetuning.Optimizer(lr_schedule="constant")
    stopped = classifier(optimizer=constant).set_callbacks(recorder)
    stopped.fit(TEXTS, LABELS)
    recorder.check()
    assert stopped.n_epochs_ == len(stopped.history_) == recorder.count("epoch") == 2
    short = classifier(optimizer=constant, max_epochs=2)
    short.fit(TEXTS, LABELS)
    np.testing.assert_array_equal(
        stopped.predict_proba(TEXTS), short.predict_proba(TEXTS)
    )


def test_early_stopping_ends_the_tasks_early():
    recorder = Recorder()
    model = classifier(
        max_epochs=30,
        lr=0.5,
        early_stopping=finetuning.EarlyStopping(0.5, patience=1),
    )
    model.set_callbacks(recorder).fit(TEXTS, LABELS)
    recorder.check()
    assert recorder.count("epoch") == model.n_epochs_ < 30


@pytest.mark.parametrize(
    ("options", "params", "n_passes"),
    [
        ({}, {"X_val": TEXTS[:4], "y_val": LABELS[:4]}, 2),
        ({"freeze_depth": 0}, {}, 1),
        ({"freeze_depth": "all", "head": "linear"}, {}, 1),
        ({"loss": "contrastive"}, {}, 1),
        ({"domain_loss": "dann"}, IN_DOMAINS, 1),
    ],
)
def test_every_way_to_train_has_its_tasks(options, params, n_passes):
    recorder = Recorder()
    model = classifier(**options).set_callbacks(recorder)
    model.fit(TEXTS, LABELS, **params)
    recorder.check()
    assert recorder.count("frozen-blocks") == n_passes
    assert recorder.count("epoch") == model.n_epochs_ == 3


def test_views_of_a_row_are_tasks_of_one_pass():
    recorder = Recorder()
    model = small(
        sktransfer.ImageClassifier,
        "tiny-cnn",
        augment=finetuning.Augmentation("light", views=2),
    )
    model.set_callbacks(recorder).fit(PIXELS, LABELS)
    recorder.check()
    assert recorder.count("rows") == 2 * N


def test_partial_fit_is_a_fit_of_one_epoch():
    recorder = Recorder()
    model = classifier().set_callbacks(recorder)
    model.partial_fit(TEXTS, LABELS).partial_fit(TEXTS, LABELS)
    assert recorder.n_setups == recorder.n_teardowns == 2
    assert recorder.count("epoch") == 2


def test_a_scoring_monitor_scores_the_fitted_estimator():
    monitor = callback.ScoringMonitor(scoring="accuracy")
    model = classifier().set_callbacks(monitor)
    model.fit(TEXTS, LABELS, sample_weight=np.ones(N))
    (row,) = monitor.get_logs().data
    assert row["accuracy"] == model.score(TEXTS, LABELS)


# -- estimators that hold others -------------------------------------------------------


def test_columns_of_a_table_are_tasks_and_their_encoders_inside():
    recorder = Recorder()
    table_encoder().set_callbacks(recorder).fit(TABLE)
    recorder.check()
    root = (("TableEncoder", "fit", 0),)
    assert recorder.sizes[root] == 5
    # The task of a column is the fit of its encoder.
    children = [path[-1][:2] for path in recorder.begun if path[:-1] == root]
    assert children == [
        ("TextEncoder", "fit"),
        ("TableEncoder", "column-color"),
        ("TableEncoder", "column-price"),
        ("TableEncoder", "column-day"),
        ("TableEncoder", "column-nothing"),
    ]
    assert recorder.names()["TextEncoder", "rows"] == N


def test_columns_of_skrub_are_one_task():
    skrub = pytest.importorskip("skrub")
    assert skrub.TableVectorizer
    recorder = Recorder()
    encoder = table_encoder().set_params(rest="skrub").set_callbacks(recorder)
    encoder.fit(TABLE)
    recorder.check()
    assert recorder.count("skrub") == 1


def test_epochs_of_each_fold_are_inside_the_fold():
    recorder = Recorder()
    encoder = TargetAwareEncoder(
        classifier(), cv=2, frozen=TextEncoder("tiny-bert"), random_state=0
    )
    table = TableEncoder(text_encoder=encoder, kinds={"review": "text"})
    table.set_callbacks(recorder).fit_transform(TABLE[["review"]], LABELS)
    recorder.check()
    assert recorder.names()["TextClassifier", "fit"] == 3
    assert recorder.names()["TextClassifier", "epoch"] == 9
    assert recorder.names()["TextEncoder", "fit"] == 1
    root = ("TableEncoder", "fit", 0)
    column = ("TargetAwareEncoder", "fit", 0)
    assert recorder.sizes[root, column] == 4


def test_a_fold_of_one_class_is_a_task_without_a_fit():
    recorder = Recorder()
    folds = [(range(1, N, 2), range(0, N, 2)), (range(0, N, 2), range(1, N, 2))]
    encoder = TargetAwareEncoder(LogisticRegression(), cv=folds, random_state=0)
    encoder.set_callbacks(recorder).fit_transform(VECTORS, LABELS)
    recorder.check()
    assert recorder.names()["TargetAwareEncoder", "fit-fold"] == 2
    assert recorder.names()["LogisticRegression", "fit"] == 1


def test_rounds_of_pseudo_labels_are_tasks():
    recorder = Recorder()
    model = sktransfer.DomainAdaptationClassifier(
        LogisticRegression(), ["coral", "pseudo_labels"]
    )
    model.set_callbacks(recorder).fit(VECTORS, LABELS, **IN_DOMAINS)
    assert recorder.names()["LogisticRegression", "fit"] == 1 + 5
    assert recorder.names()["CORALAdapter", "fit"] == 1


@pytest.mark.parametrize("n_jobs", [None, 2])
def test_fits_of_a_search_have_tasks_of_their_own(n_jobs):
    from joblib import parallel_config

    recorder = Recorder()
    pipeline = make_pipeline(table_encoder(), LogisticRegression(max_iter=2000))
    grid = {"tableencoder__n_components": [2, 3]}
    search = GridSearchCV(pipeline, grid, cv=2, n_jobs=n_jobs)
    with parallel_config("threading"):
        search.set_callbacks(recorder).fit(TABLE, LABELS)
    assert recorder.n_setups == recorder.n_teardowns == 1
    assert len(set(recorder.begun)) == len(recorder.begun)
    assert sorted(recorder.begun) == sorted(recorder.ended)
    assert recorder.names()["TextEncoder", "fit"] == 5
    assert recorder.names()["TextEncoder", "rows"] == 4 * N // 2 + N


# -- bars, errors, clones and files ----------------------------------------------------


@pytest.mark.parametrize("in_search", [False, True])
def test_a_progress_bar_names_what_is_fitted(in_search, capsys):
    pytest.importorskip("rich")
    model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    if in_search:
        model = GridSearchCV(model, {"logisticregression__C": [0.1, 1.0]}, cv=2)
    bar = callback.ProgressBar(max_propagation_depth=None)
    model.set_callbacks(bar).fit(TEXTS, LABELS)
    shown = capsys.readouterr().out
    assert "TextEncoder - fit" in shown
    assert "100%" in shown
    assert ("GridSearchCV" in shown) == in_search


@pytest.mark.parametrize("name", ["rows", "epoch", "fit"])
def test_a_callback_that_fails_is_torn_down_and_the_estimator_fits_again(name):
    recorder = Recorder(fail_at=name)
    model = classifier().set_callbacks(recorder)
    with pytest.raises(RuntimeError, match="the callback failed"):
        model.fit(TEXTS, LABELS)
    assert recorder.n_teardowns == 1
    model.set_callbacks().fit(TEXTS, LABELS)
    assert model.n_epochs_ == 3
    assert recorder.n_setups == 1


def test_a_fit_that_fails_tears_callbacks_down():
    recorder = Recorder()
    model = classifier().set_callbacks(recorder)
    with pytest.raises(ValueError, match="y"):
        model.fit(TEXTS, LABELS[:3])
    assert recorder.n_setups == recorder.n_teardowns == 1
    assert recorder.ended == []


@pytest.mark.parametrize("wrong", [None, object(), Recorder])
def test_what_is_no_callback_is_refused(wrong):
    with pytest.raises(TypeError, match="FitCallback protocol"):
        TextEncoder("tiny-bert").set_callbacks(wrong)


def test_a_clone_and_a_pickle_have_the_callbacks():
    recorder = Recorder()
    model = classifier().set_callbacks(recorder)
    clone(model).fit(TEXTS, LABELS)
    assert recorder.n_setups == 1
    again = pickle.loads(pickle.dumps(model.fit(TEXTS, LABELS)))
    assert again._skl_callbacks[0].n_setups == 2


def test_a_save_has_no_callbacks(tmp_path):
    pytest.importorskip("skops")
    model = make_pipeline(table_encoder(), LogisticRegression(max_iter=2000))
    model.set_callbacks(Recorder()).fit(TABLE, LABELS)
    model[0].set_callbacks(Recorder())
    model[1].set_callbacks(Recorder())
    before = model.predict_proba(TABLE)
    save(model, tmp_path / "model")
    assert all(hasattr(one, "_skl_callbacks") for one in (model, *model))
    loaded = load(tmp_path / "model")
    assert not any(hasattr(one, "_skl_callbacks") for one in (loaded, *loaded))
    np.testing.assert_array_equal(loaded.predict_proba(TABLE), before)
    tuned = classifier().set_callbacks(Recorder()).fit(TEXTS, LABELS)
    save(tuned, tmp_path / "tuned")
    assert not hasattr(load(tmp_path / "tuned"), "_skl_callbacks")
