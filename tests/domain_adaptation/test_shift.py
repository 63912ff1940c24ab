"""The report on how far domains are apart, and its picture."""

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from made import shifted
from scipy.stats import ks_2samp
from sklearn.decomposition import PCA
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import (
    DomainAdaptationClassifier,
    DomainAdaptationRegressor,
    domain_shift,
)
from sktransfer.inspection import ClassSharesDisplay, DomainShiftDisplay

mpl.use("Agg")


def test_domains_that_are_alike_are_at_distance_none():
    X = np.random.default_rng(0).normal(size=(400, 3))
    shift = domain_shift(X, sample_domain=np.repeat([0, -1], 200))
    assert shift.proxy_a_distance < 0.3
    assert shift.domain_accuracy == pytest.approx(0.5, abs=0.08)
    assert max(row["ks"] for row in shift) < 0.2


def test_domains_that_everybody_can_tell_are_at_distance_two():
    made = shifted()
    shift = domain_shift(made.X, sample_domain=made.domain)
    assert shift.proxy_a_distance == 2 * (2 * shift.domain_accuracy - 1)
    assert shift.proxy_a_distance > 1.9
    adapted = DomainAdaptationClassifier(adapter="standardize")
    adapted = adapted.fit(made.X, made.y, sample_domain=made.domain)
    after = adapted.adapt(made.X, sample_domain=made.domain)
    assert domain_shift(after, sample_domain=made.domain).proxy_a_distance < 0.5


def test_few_target_rows_weigh_as_much_as_many_source_rows():
    X = np.random.default_rng(0).normal(size=(420, 2))
    shift = domain_shift(X, sample_domain=np.repeat([0, -1], [400, 20]))
    assert shift.domain_accuracy == pytest.approx(0.5, abs=0.2)


def test_each_feature_has_its_difference_and_its_spread():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3))
    domain = np.repeat([0, -1], 100)
    X[100:, 1] += 5
    X[100:, 2] *= 10
    shift = domain_shift(X, sample_domain=domain, feature_names=["a", "b", "c"])
    assert [row["feature"] for row in shift] == ["b", "c", "a"]
    b, c = shift[0], shift[1]
    means = X[100:, 1].mean() - X[:100, 1].mean()
    pooled = np.sqrt((X[100:, 1].var() + X[:100, 1].var()) / 2)
    assert b["difference"] == pytest.approx(means / pooled)
    assert c["spread_ratio"] == pytest.approx(X[100:, 2].std() / X[:100, 2].std())
    assert b["ks"] == ks_2samp(X[:100, 1], X[100:, 1]).statistic
    frame = shift.to_frame()
    assert list(frame.columns) == ["feature", "difference", "spread_ratio", "ks"]
    assert len(frame) == len(shift) == 3
    assert "proxy A-distance 1." in repr(shift) or "distance 2." in repr(shift)


def test_names_come_from_a_frame_and_long_reports_are_cut():
    X = pd.DataFrame(np.random.default_rng(0).normal(size=(20, 12)))
    X.columns = [f"c{i}" for i in range(12)]
    shift = domain_shift(X, sample_domain=np.repeat([0, -1], 10))
    assert {row["feature"] for row in shift} == set(X.columns)
    assert repr(shift).endswith("and 2 more features")


def test_constant_features_are_said_without_a_warning():
    X = np.array([[1.0, 1, 1], [1, 1, 2], [1, 2, 1], [1, 2, 2]])
    same, moved, _ = sorted(
        domain_shift(X, sample_domain=[0, 0, -1, -1]), key=lambda r: r["feature"]
    )
    assert same["difference"] == 0
    assert np.isnan(same["spread_ratio"])
    assert moved["difference"] == np.inf
    assert moved["ks"] == 1


@pytest.mark.parametrize(
    ("X", "options", "message"),
    [
        (np.zeros((4, 2)), {"sample_domain": [0, 0, 0, 0]}, "got only source rows"),
        (np.zeros((4, 2)), {"sample_domain": [0, 0, 0, -1]}, "3 source and 1 target"),
        (np.full((4, 2), np.nan), {"sample_domain": [0, 0, -1, -1]}, "NaN"),
        (
            np.zeros((4, 2)),
            {"sample_domain": [0, 0, -1, -1], "feature_names": ["a"]},
            "got 1 feature_names for 2 features",
        ),
    ],
)
def test_bad_input_is_refused(X, options, message):
    with pytest.raises(ValueError, match=message):
        domain_shift(X, **options)


def test_the_callers_array_is_left_alone():
    made = shifted()
    before = made.X.copy()
    domain_shift(made.X, sample_domain=made.domain)
    assert (made.X == before).all()


# -- the picture ---------------------------------------------------------------------


@pytest.fixture
def model():
    made = shifted()
    model = DomainAdaptationClassifier(adapter="standardize")
    return model.fit(made.X, made.y, sample_domain=made.domain)


def test_before_and_after_are_drawn_by_domain_and_by_class(model):
    import matplotlib.pyplot as plt

    made = shifted()
    display = DomainShiftDisplay.from_estimator(
        model, made.X, made.y, sample_domain=made.domain
    )
    assert list(display.points) == ["before", "after"]
    assert display.distances["before"] > 1.9 > 0.5 > display.distances["after"]
    np.testing.assert_allclose(
        np.abs(display.points["before"]), np.abs(PCA(2).fit_transform(made.X))
    )
    assert display.axes_.shape == (2, 2)
    assert display.axes_[0, 0].get_title().startswith("before: proxy A-distance ")
    words = [t.get_text() for t in display.axes_[0, -1].get_legend().get_texts()]
    assert words == ["source 0", "target -1"]
    words = [t.get_text() for t in display.axes_[1, -1].get_legend().get_texts()]
    assert words == ["a", "b", "c"]
    for ax in display.axes_.ravel():  # each row is one point of each panel
        drawn = sum(len(points.get_offsets()) for points in ax.collections)
        assert drawn == len(made.X)
    plt.close(display.figure_)


def test_target_rows_show_what_is_predicted_and_their_labels_are_not_read(model):
    made = shifted()
    for poison in (None, "never a class"):
        made.y[made.target] = poison
        display = DomainShiftDisplay.from_estimator(
            model, made.X, made.y, sample_domain=made.domain, plot=False
        )
        assert display.labels[~made.target].tolist() == made.y[~made.target].tolist()
        predicted = model.predict(made.X[made.target])
        assert display.labels[made.target].tolist() == predicted.tolist()
    assert not hasattr(display, "figure_")


def test_features_alone_and_a_projection_of_ones_own():
    import matplotlib.pyplot as plt

    made = shifted()
    scaled = make_pipeline(StandardScaler(), PCA(2))
    figure, axes = plt.subplots(2, 1, squeeze=False)
    display = DomainShiftDisplay.from_features(
        made.X,
        made.y,
        sample_domain=made.domain,
        projection=scaled,
        axes=axes,
        s=30,
    )
    assert display.figure_ is figure
    assert [label for label in display.labels[made.target] if label is not None] == []
    np.testing.assert_allclose(
        np.abs(display.points["features"]), np.abs(scaled.fit_transform(made.X))
    )
    assert axes[0, 0].collections[0].get_sizes().tolist() == [30]
    plt.close(figure)
    two = {"raw": made.X, "scaled": StandardScaler().fit_transform(made.X)}
    display = DomainShiftDisplay.from_features(two, sample_domain=made.domain)
    assert display.axes_.shape == (2, 2)
    assert display.axes_[1, -1].get_legend() is None
    plt.close(display.figure_)


def test_one_feature_is_drawn_on_a_line_and_one_target_row_is_refused():
    X, domain = np.arange(20.0)[:, None], np.repeat([0, -1], 10)
    display = DomainShiftDisplay.from_features(X, sample_domain=domain)
    np.testing.assert_array_equal(display.points["features"], np.c_[X, np.zeros(20)])
    with pytest.raises(ValueError, match="19 source and 1 target"):
        DomainShiftDisplay.from_features(
            X, sample_domain=np.repeat([0, -1], [19, 1]), plot=False
        )


def test_the_rounding_of_constant_columns_is_no_shift():
    shift = domain_shift(np.full((37, 1), 0.1), sample_domain=[0] * 30 + [-1] * 7)
    assert shift[0]["difference"] == 0.0
    assert np.isnan(shift[0]["spread_ratio"])


def test_a_picture_of_one_kind_of_domain_is_refused():
    with pytest.raises(ValueError, match="got only source rows"):
        DomainShiftDisplay.from_features(np.zeros((4, 2)), sample_domain=[0, 0, 1, 1])


def test_a_model_that_has_no_adapters_or_no_classes_is_refused():
    made = shifted(n=10)
    for other in (PCA(), DomainAdaptationRegressor()):
        with pytest.raises(TypeError, match="needs a DomainAdaptationClassifier; got"):
            DomainShiftDisplay.from_estimator(other, made.X, sample_domain=made.domain)


# -- the picture of class shares -----------------------------------------------------


def test_shares_are_drawn_side_by_side():
    import matplotlib.pyplot as plt

    y = np.tile(["a", "b"], 40)
    X = np.random.default_rng(0).normal(size=(80, 2)) + 4 * (y == "a")[:, None]
    shift = domain_shift(X, y, sample_domain=np.repeat([0, -1], 40))
    display = ClassSharesDisplay.from_shift(shift, alpha=0.5)
    heights = [[bar.get_height() for bar in kind] for kind in display.ax_.containers]
    np.testing.assert_allclose(
        heights, [[row[k] for row in shift.class_shares] for k in ("source", "target")]
    )
    lefts = [kind[0].get_x() for kind in display.ax_.containers]
    assert lefts[0] + display.ax_.containers[0][0].get_width() == pytest.approx(
        lefts[1]
    )
    assert display.ax_.get_title() == "moved: nothing"
    assert [t.get_text() for t in display.ax_.get_xticklabels()] == ["a", "b"]
    assert display.ax_.containers[0][0].get_alpha() == 0.5
    for moved, label in (
        ("nothing", "target"),
        ("features", "target (not reliable)"),
        ("unclear", "target (uncertain)"),
    ):
        doubted = ClassSharesDisplay(display.shares, moved=moved).plot()
        labels = [text.get_text() for text in doubted.ax_.get_legend().get_texts()]
        assert labels == ["source", label]
    figure, ax = plt.subplots()
    assert ClassSharesDisplay(display.shares).plot(ax=ax).figure_ is figure
    plt.close("all")


def test_a_report_without_classes_has_no_picture_of_them():
    made = shifted(n=10)
    shift = domain_shift(made.X, sample_domain=made.domain)
    with pytest.raises(ValueError, match="needs class shares.*with the y of"):
        ClassSharesDisplay.from_shift(shift)
