"""to_onnx: one graph that onnxruntime runs, with the pipeline's own numbers."""

import json

import numpy as np
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
)
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    ImageClassifier,
    ImageEncoder,
    TextClassifier,
    TextEncoder,
    TextRegressor,
    load_backbone,
)
from sktransfer.exceptions import ExportError, MissingRowError, UnreadableRowError
from sktransfer.onnx_export import prepare_inputs, to_onnx
from sktransfer.onnx_export._compare import compare

onnxruntime = pytest.importorskip("onnxruntime")

TEXTS = [f"text number {i} " + "word " * (i % 4) for i in range(18)]
LABELS = np.array(["a", "b", "c"] * 6)
NUMBERS = np.linspace(-5.0, 40.0, 18)
PIXELS = np.random.default_rng(0).integers(0, 256, (18, 36, 40, 3), dtype=np.uint8)
ONE = {"max_epochs": 1, "random_state": 0}

CASES = {
    "scaler, PCA, linear": lambda: (
        make_pipeline(
            ImageEncoder("tiny-cnn", normalize=True),
            StandardScaler(),
            "passthrough",
            PCA(4),
            LogisticRegression(),
        ),
        PIXELS,
        LABELS,
    ),
    "two classes and an MLP": lambda: (
        make_pipeline(
            TextEncoder("tiny-bert", depth=-1, pooling="max"),
            MLPClassifier(alpha=1.0, tol=0.01, max_iter=500, random_state=0),
        ),
        TEXTS,
        np.arange(18) % 2,
    ),
    "boosted": lambda: (
        make_pipeline(
            TextEncoder("tiny-bert"),
            GradientBoostingClassifier(n_estimators=5, random_state=0),
        ),
        TEXTS,
        LABELS,
    ),
    "numbers": lambda: (
        make_pipeline(TextEncoder("tiny-bert"), Ridge()),
        TEXTS,
        NUMBERS,
    ),
    "features": lambda: (ImageEncoder("tiny-cnn", depth=2), PIXELS, None),
    "tuned": lambda: (
        ImageClassifier("tiny-cnn", freeze_depth=-2, head="mlp", **ONE),
        PIXELS,
        LABELS,
    ),
    "all frozen": lambda: (
        ImageClassifier("tiny-cnn", freeze_depth="all", **ONE),
        PIXELS,
        np.arange(18) % 3,
    ),
    "several labels": lambda: (
        TextClassifier("tiny-bert", freeze_depth=0, head="cosine", **ONE),
        TEXTS,
        np.column_stack([np.arange(18) % 2, np.arange(18) > 8]).astype(int),
    ),
    "several numbers": lambda: (
        TextRegressor("tiny-bert", **ONE),
        TEXTS,
        np.column_stack([NUMBERS, -NUMBERS]),
    ),
    "search": lambda: (
        GridSearchCV(
            make_pipeline(TextEncoder("tiny-bert"), LogisticRegression()),
            {"logisticregression__C": [0.1, 1.0]},
            cv=2,
        ),
        TEXTS,
        LABELS,
    ),
}


def run(path, inputs):
    session = onnxruntime.InferenceSession(str(path))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


EVERYDAY = ("scaler, PCA, linear", "several labels")  # an export takes seconds


@pytest.mark.parametrize(
    "case",
    [c if c in EVERYDAY else pytest.param(c, marks=pytest.mark.slow) for c in CASES],
)
def test_the_graph_gives_what_the_pipeline_gives(case, tmp_path):
    model, X, y = CASES[case]()
    model.fit(X, y)
    path = to_onnx(model, tmp_path / "model.onnx")
    assert list(tmp_path.iterdir()) == [path]
    # Other numbers of rows and tokens than those that it was made with.
    for part in (slice(0, 1), slice(0, 18)):
        got = run(path, prepare_inputs(model, X[part]))
        if "label" in got:
            assert set(got) == {"label", "probabilities"}
            np.testing.assert_array_equal(got["label"], model.predict(X[part]))
            want = model.predict_proba(X[part])
            np.testing.assert_allclose(got["probabilities"], want, atol=1e-3)
        elif "variable" in got:
            want = model.predict(X[part]).reshape(len(got["variable"]), -1)
            np.testing.assert_allclose(got["variable"], want, atol=1e-3 * 40)
        else:
            np.testing.assert_allclose(
                got["features"], model.transform(X[part]), atol=1e-3
            )


@pytest.mark.slow
def test_the_graph_says_what_it_is(tmp_path):
    import onnx

    model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    model.fit(TEXTS, LABELS)
    graph = onnx.load(to_onnx(model, tmp_path / "m.onnx", TEXTS[:3]))
    onnx.checker.check_model(graph, full_check=True)
    (record,) = [json.loads(p.value) for p in graph.metadata_props if p.key]
    assert record["fingerprint"] == load_backbone("tiny-bert").fingerprint
    assert record["classes"] == ["a", "b", "c"]
    assert record["steps"] == ["textencoder", "logisticregression"]
    assert record["compared"] == {
        "rows": 3,
        "labels": len(set(model.predict(TEXTS[:3]))),
    }


class Doubler(TransformerMixin, BaseEstimator):
    def fit(self, X, y=None):
        self.is_fitted_ = True
        return self

    def transform(self, X):
        return 2 * np.asarray(X)


class Skewed(StandardScaler):
    """It is converted as its base class, and computes something else."""

    def transform(self, X, copy=None):
        return super().transform(X, copy=copy) + 0.01


def test_a_step_without_a_form_is_named_and_nothing_is_written(tmp_path):
    head = LogisticRegression(max_iter=1000)
    model = make_pipeline(TextEncoder("tiny-bert"), Doubler(), head)
    model.fit(TEXTS, LABELS)
    with pytest.raises(ExportError, match=r"Step 'doubler' \(Doubler\)"):
        to_onnx(model, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []


def test_the_message_ends_before_the_attributes_of_a_node(tmp_path, monkeypatch):
    def fails(*args, **kwargs):
        raise ValueError(
            "Unable to create node 'Trees' with name='a' and attributes={'x': [0,\n1],"
            "\n 'y': 2}."
        )

    monkeypatch.setattr("skl2onnx.convert_sklearn", fails)
    model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    with pytest.raises(ExportError, match=r"Unable .* with name='a'\. Use a linear"):
        to_onnx(model.fit(TEXTS, LABELS), tmp_path / "m.onnx")


@pytest.mark.slow
def test_boosting_by_histograms_is_exported_or_named(tmp_path):
    """skl2onnx 1.20 cannot take the numbers of scikit-learn 1.9's trees."""
    trees = HistGradientBoostingClassifier(
        max_iter=2, min_samples_leaf=1, random_state=0
    )
    model = make_pipeline(TextEncoder("tiny-bert"), trees).fit(TEXTS, LABELS)
    try:
        path = to_onnx(model, tmp_path / "m.onnx")
    except ExportError as err:
        assert "Step 'histgradientboostingclassifier'" in str(err)  # noqa: PT017
        assert list(tmp_path.iterdir()) == []
        return
    got = run(path, prepare_inputs(model, TEXTS))
    np.testing.assert_array_equal(got["label"], model.predict(TEXTS))


@pytest.mark.slow
def test_a_step_that_computes_something_else_is_named(tmp_path):
    from skl2onnx import update_registered_converter
    from skl2onnx.operator_converters.scaler_op import convert_sklearn_scaler
    from skl2onnx.shape_calculators.scaler import calculate_sklearn_scaler_output_shapes

    update_registered_converter(
        Skewed,
        "SkewedForTests",
        calculate_sklearn_scaler_output_shapes,
        convert_sklearn_scaler,
        overwrite=True,
        options={"div": ["std", "div", "div_cast"]},
    )
    model = make_pipeline(TextEncoder("tiny-bert"), Skewed()).fit(TEXTS)
    with pytest.raises(ExportError, match="'skewed' computes something else"):
        to_onnx(model, tmp_path / "m.onnx")
    assert to_onnx(model, tmp_path / "m.onnx", tolerance=0.1).is_file()


def test_what_no_graph_can_have_is_named(pixels, tmp_path):
    columns = ColumnTransformer([("t", TextEncoder("tiny-bert"), 0)])
    pieces = TextEncoder("tiny-bert", max_length="pieces").fit(["a", "b"])
    with pytest.raises(ExportError, match="set max_length to a number of tokens"):
        to_onnx(pieces, tmp_path / "pieces.onnx")
    with pytest.raises(ExportError, match="some rows have several cells"):
        prepare_inputs(ImageEncoder("tiny-cnn").fit(pixels), [list(pixels[:2])])
    with pytest.raises(ExportError, match="starts with one network"):
        to_onnx(make_pipeline(columns, LogisticRegression()), tmp_path / "m.onnx")
    flagged = TextEncoder("tiny-bert", add_indicator=True).fit(TEXTS)
    with pytest.raises(ExportError, match="add_indicator"):
        to_onnx(flagged, tmp_path / "m.onnx")


def test_inputs_of_unreadable_cells_are_an_error_that_names_the_row():
    encoder = ImageEncoder("tiny-cnn").fit(PIXELS)
    assert prepare_inputs(encoder, PIXELS)["pixels"].shape == (18, 32, 32, 3)
    with pytest.raises(UnreadableRowError, match="row 1"):
        prepare_inputs(encoder, [PIXELS[0], b"no picture"])
    with pytest.raises(UnreadableRowError, match="row 0"):
        prepare_inputs(encoder, ["/nowhere.png"])


@pytest.mark.slow
@pytest.mark.parametrize("encoder", [ImageEncoder(), TextEncoder()], ids=["i", "t"])
def test_bundled_networks(encoder, tmp_path, bundled_weights):
    X = PIXELS[:6] if isinstance(encoder, ImageEncoder) else TEXTS[:6]
    model = make_pipeline(encoder, LogisticRegression()).fit(X, LABELS[:6])
    path = to_onnx(model, tmp_path / "m.onnx")
    got = run(path, prepare_inputs(model, X))["probabilities"]
    np.testing.assert_allclose(got, model.predict_proba(X), atol=1e-3)


def test_a_null_text_is_the_empty_text_unless_the_encoder_says_otherwise():
    encoder = TextEncoder("tiny-bert").fit(TEXTS)
    got = prepare_inputs(encoder, ["a", None])
    want = prepare_inputs(encoder, ["a", ""])
    np.testing.assert_array_equal(got["input_ids"], want["input_ids"])
    encoder.set_params(missing="zero")
    with pytest.raises(MissingRowError, match="row 1 is missing, and the graph"):
        prepare_inputs(encoder, ["a", None])


class TestLabels:
    """What `compare` says of a graph whose labels are not the pipeline's."""

    def compare(self, monkeypatch, wanted, got, classes):
        class Session:
            def __init__(self, *args, **kwargs):
                pass

            def run(self, names, inputs):
                return [got[name] for name in names]

        class Graph:
            def SerializeToString(self):  # noqa: N802
                return b""

            def ByteSize(self):  # noqa: N802
                return 0

        monkeypatch.setattr(onnxruntime, "InferenceSession", Session)
        inputs = {"pixels": np.zeros(len(wanted["label"]))}
        return compare("last", Graph(), inputs, wanted, 1e-3, classes)

    def test_labels_of_rows_that_no_class_is_sure_of_are_compared(self, monkeypatch):
        """Of forty classes with almost the same probability."""
        chances = np.full((3, 40), 1 / 40)
        chances[:, 7] += 1e-5
        wanted = {"label": np.full(3, 7), "probabilities": chances}
        good = {**wanted, "label": np.array([7, 3, 7])}  # level with the best
        classes = np.arange(40)
        assert self.compare(monkeypatch, wanted, good, classes) == {
            "rows": 3,
            "labels": 1,
        }
        bad = {**wanted, "label": np.full(3, -5)}
        with pytest.raises(ExportError, match="row 0 of 3 is -5, expected 7"):
            self.compare(monkeypatch, wanted, bad, classes)

    @pytest.mark.parametrize(
        ("values", "label", "classes"),
        [
            ({"probabilities": [[0.1, 0.2, 0.7]]}, ["c"], ["a", "b", "c"]),
            ({"scores": [[1.5]]}, ["b"], ["a", "b"]),
            ({"scores": [[1.0, 2.0, 3.0]]}, ["d"], ["a", "b", "c", "d"]),
            ({"probabilities": [[0.9, 0.6]]}, [[1, 1]], None),
        ],
    )
    def test_another_label_is_an_error(self, monkeypatch, values, label, classes):
        values = {key: np.array(value) for key, value in values.items()}
        wanted = {"label": np.array(label), **values}
        assert self.compare(monkeypatch, wanted, wanted, classes)["rows"] == 1
        other = [[1, 0]] if classes is None else ["a"]
        with pytest.raises(ExportError, match="gives other labels in ONNX: row 0"):
            self.compare(
                monkeypatch, wanted, {**values, "label": np.array(other)}, classes
            )
        with pytest.raises(ExportError, match=r"labels of shape \(2"):
            self.compare(
                monkeypatch, wanted, {**values, "label": np.array(other * 2)}, classes
            )


def test_labels_are_compared_without_rows_of_the_caller(tmp_path):
    y = np.arange(40).repeat(2)
    texts = [f"text number {i} about {k}" for i, k in enumerate(y)]
    model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression(C=0.01))
    path = to_onnx(model.fit(texts, y), tmp_path / "m.onnx")
    metadata = onnxruntime.InferenceSession(str(path)).get_modelmeta()
    record = json.loads(metadata.custom_metadata_map["sktransfer"])
    assert record["compared"]["rows"] == 32
    assert record["compared"]["labels"] > 1


@pytest.mark.parametrize("is_tuned", [False, True])
def test_labels_that_are_whole_floats_are_whole_numbers(is_tuned, tmp_path):
    """A column of Int64 becomes them in scikit-learn."""
    import onnxruntime

    texts = [f"{'good' if i % 2 else 'bad'} item {i}" for i in range(12)]
    model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    if is_tuned:
        model = TextClassifier("tiny-bert", freeze_depth="all", random_state=0)
    path = to_onnx(model.fit(texts, np.array([0.0, -2.0] * 6)), tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(path)
    (got,) = session.run(["label"], prepare_inputs(model, texts))
    assert got.dtype == np.int64
    np.testing.assert_array_equal(got, model.predict(texts))


@pytest.mark.parametrize("n_bytes", [1000, 62_000])
def test_a_graph_above_the_limit_of_onnx_says_what_to_do(
    n_bytes, tmp_path, monkeypatch
):
    from sktransfer.onnx_export import _compare

    encoder = TextEncoder("tiny-bert").fit(["a"])
    size = to_onnx(encoder, tmp_path / "whole.onnx").stat().st_size
    monkeypatch.setattr(_compare, "MAX_BYTES", min(n_bytes, size - 200))
    with pytest.raises(ExportError, match=r"holds at most 2\. Use a smaller network"):
        to_onnx(encoder, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()
