"""AttributionDisplay."""

import copy
import dataclasses

import matplotlib as mpl
import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from conftest import encoded
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.compose import ColumnTransformer
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import HistGradientBoostingClassifier, IsolationForest
from sklearn.exceptions import NotFittedError
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, Ridge, RidgeClassifier
from sklearn.model_selection import FixedThresholdClassifier, GridSearchCV
from sklearn.multiclass import OneVsRestClassifier
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import Normalizer, StandardScaler
from sklearn.svm import LinearSVC

from sktransfer import (
    ImageClassifier,
    ImageEncoder,
    ImageRegressor,
    TableEncoder,
    TextEncoder,
    ZeroShotClassifier,
    load_backbone,
)
from sktransfer.exceptions import MissingRowError, UnreadableRowError
from sktransfer.inspection import AttributionDisplay
from sktransfer.inspection._gradients import _seen

mpl.use("Agg")

TEXTS = [f"{word} film {i}" for i in range(6) for word in ("fine", "dull")]
SIGNS = ["+", "-"] * 6
TREES = HistGradientBoostingClassifier(min_samples_leaf=1, random_state=0)


@pytest.fixture(scope="module")
def images():
    """Twelve different images, uint8 of shape (12, 32, 32, 3)."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, size=(12, 32, 32, 3), dtype=np.uint8)


def linear(images, head=None, y=SIGNS, **options):
    encoder = ImageEncoder("tiny-cnn", **options)
    head = LogisticRegression() if head is None else head
    return make_pipeline(encoder, StandardScaler(), head).fit(images, y)


def text_model(head=None, y=SIGNS):
    head = LogisticRegression() if head is None else head
    return make_pipeline(TextEncoder("tiny-bert"), head).fit(TEXTS, y)


def explain(model, X, **options):
    return AttributionDisplay.from_estimator(model, X, plot=False, **options)


class LightOfAPlace(ClassifierMixin, BaseEstimator):
    """Judges an image by the light in some of its places."""

    def __init__(self, place=(slice(16, 24), slice(4, 12))):
        self.place = place

    def fit(self, X=None, y=None):
        """Know the classes."""
        self.classes_ = np.array(["dark", "light"])
        return self

    def predict_proba(self, X):
        """Return the share of light."""
        light = np.array([np.mean(x[self.place]) for x in X]) / 255
        return np.column_stack([1 - light, light])

    def predict(self, X):
        """Return the more probable class."""
        return self.classes_[self.predict_proba(X).argmax(1)]


def spotted(place, shape=(32, 32)):
    image = np.full((*shape, 3), 10, np.uint8)
    image[place] = 250
    return image


# -- covering ----------------------------------------------------------------------


def test_covering_finds_what_an_estimator_without_gradients_looks_at():
    model = LightOfAPlace().fit()
    display = explain(model, [spotted(model.place)])
    assert display.method == "occlusion"
    assert display.unit == "probability"
    assert display.targets == ["light"]
    assert display.scores == pytest.approx([250 / 255])
    (values,) = display.values
    assert values.shape == (32, 32)
    row, column = np.unravel_index(values.argmax(), values.shape)
    assert 16 <= row < 24
    assert 4 <= column < 12
    assert values[:10].max() == values[:, 20:].max() == 0  # no window touches both


def test_a_covered_place_gets_what_the_probability_loses():
    place = (slice(0, 16), slice(0, 16))
    image = spotted(place)
    model = LightOfAPlace(place).fit()
    covered = image.copy()
    covered[:24, :24] = image.mean((0, 1)).round()  # two steps of 16 around 8
    before, after = model.predict_proba([image, covered])[:, 1]
    values = explain(model, [image], max_evals=8).values[0]  # 2 x 2
    assert values[0, 0] == pytest.approx(before - after)


@pytest.mark.parametrize("shape", [(40, 36), (7, 90), (3, 2), (1, 5)], ids=str)
def test_images_of_any_shape_are_covered(shape):
    model = LightOfAPlace((slice(0, 2), slice(0, 2))).fit()
    image = np.full((*shape, 3), 100, np.uint8)
    image[0, 0] = 255
    (values,) = explain(model, [image]).values
    assert values.shape == shape
    assert values.argmax() == 0


def test_large_images_are_reduced():
    model = LightOfAPlace((slice(0, 9), slice(0, 9))).fit()
    image = spotted((slice(0, 90), slice(0, 90)), (1500, 3000))
    display = explain(model, [image], max_evals=4)
    assert display.inputs[0].shape == (512, 1024, 3)
    assert display.values[0].shape == (512, 1024)


def test_covered_copies_are_bounded_and_found_again(images, counting_backbone):
    backbone, counter = counting_backbone("tiny-cnn")
    model = make_pipeline(ImageEncoder(backbone), TREES)
    model.fit(images, SIGNS)
    counter.reset()
    for target in ("+", "-"):
        options = {"method": "occlusion", "max_evals": 10}
        explain(model, images[:2], target=target, **options)
        assert counter.rows == 2 * 9


def test_a_part_without_influence_is_said(images):
    model = linear(images, DummyClassifier())
    with pytest.warns(UserWarning, match=r"no part of 2 of the 2 rows .* is row 0"):
        explain(model, images[:2], max_evals=4)


def test_each_word_gets_what_the_probability_loses_without_it():
    model = text_model()
    text = "a fine film, all in all"
    display = explain(model, [text], target="+")
    assert display.inputs == [["a", "fine", "film,", "all", "in", "all"]]
    without = [
        " fine film, all in all",
        "a  film, all in all",
        "a fine  all in all",
        "a fine film,  in all",
        "a fine film, all  all",
        "a fine film, all in ",
    ]
    place = list(model.classes_).index("+")
    before = model.predict_proba([text])[0, place]
    losses = before - model.predict_proba(without)[:, place]
    np.testing.assert_allclose(display.values[0], losses, atol=1e-6)
    assert display.scores == pytest.approx([before])
    assert display.inputs[0][display.values[0].argmax()] == "fine"


def test_words_of_long_texts_are_left_out_in_groups(counting_backbone):
    backbone, counter = counting_backbone("tiny-bert")
    model = make_pipeline(TextEncoder(backbone), LogisticRegression())
    model.fit(TEXTS, SIGNS)
    counter.reset()
    text = " ".join(f"w{i}" for i in range(12))
    (values,) = explain(model, [text], max_evals=5).values
    assert counter.rows == 1 + 5
    assert len(values) == 12
    assert len(np.unique(values)) == 5
    before, after = model.decision_function([text, text.removeprefix("w0 w1 w2")])
    assert np.sign(values[0]) == np.sign((before - after) * (before > 0 or -1))


def test_characters_of_scripts_without_spaces_are_words():
    display = explain(text_model(), ["良い映画 です fine"])
    assert display.inputs == [["良", "い", "映", "画", "で", "す", "fine"]]


def test_a_pipeline_without_a_network_is_explained_too():
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(TEXTS, SIGNS)
    display = explain(model, ["a dull day"])
    assert display.inputs[0][display.values[0].argmax()] == "dull"
    assert display.values[0][[0, 2]] == pytest.approx(0, abs=0.02)


# -- gradients -------------------------------------------------------------------------


def grids(backbone, head, images, place):
    """Return gradient times activation after the third block, whose map is 4 x 4."""
    state = backbone.run(backbone.batch(list(images)), 0, 3)
    hidden = state.hidden.detach().requires_grad_()
    last = backbone.run(state._replace(hidden=hidden), 3)
    numbers = head(backbone.pool(last, "mean", 4))
    number = numbers[:, place] - numbers.mean(1)
    (gradient,) = torch.autograd.grad(number.sum(), hidden)
    return (gradient * hidden).sum(1).detach().numpy()


def at_middles(values):
    """Return the values of 32 x 32 pixels around the middles of 4 x 4 places."""
    return values.reshape(4, 8, 4, 8)[:, 3:5, :, 3:5].mean((1, 3))


@pytest.mark.parametrize(
    "options", [{}, {"normalize": True}, {"missing": "zero", "add_indicator": True}]
)
def test_gradients_go_through_a_linear_head(images, options):
    y = np.arange(12) % 3
    model = linear(images, y=y, **options)
    display = explain(model, images, target=1)
    assert display.method == "gradient"
    np.testing.assert_allclose(display.scores, model.predict_proba(images)[:, 1])
    scaler, head = model[1:]
    n = 24  # without the indicator
    weight = torch.tensor(head.coef_[:, :n] / scaler.scale_[:n], dtype=torch.float32)

    def through(vectors):
        if options.get("normalize"):
            vectors = torch.nn.functional.normalize(vectors)
        return vectors @ weight.T

    wanted = grids(load_backbone("tiny-cnn"), through, images, 1)
    found = [at_middles(values) for values in display.values]
    np.testing.assert_allclose(found, wanted, rtol=0.1, atol=0.05 * abs(wanted).max())
    sums = [16 * values.mean() for values in display.values]  # each place is a 16th
    np.testing.assert_allclose(sums, wanted.sum((1, 2)), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("freeze_depth", ["all", -1, 0])
def test_gradients_go_through_a_fine_tuned_model(images, freeze_depth):
    y = ["a", "b", "c"] * 4
    model = ImageClassifier(
        "tiny-cnn", freeze_depth=freeze_depth, max_epochs=2, random_state=0
    ).fit(images, y)
    display = explain(model, images, target="b")
    assert display.method == "gradient"
    head = copy.deepcopy(model.net_.module_.head).cpu()
    wanted = grids(model.backbone_, head, images, 1)
    sums = [16 * values.mean() for values in display.values]
    np.testing.assert_allclose(sums, wanted.sum((1, 2)), rtol=1e-3, atol=1e-3)


def test_gradients_take_one_pass(images, counting_backbone):
    backbone, counter = counting_backbone("tiny-cnn")
    model = make_pipeline(ImageEncoder(backbone), LogisticRegression())
    model.fit(images, SIGNS)
    counter.reset()
    explain(model, images, method="gradient")
    assert counter.rows == len(images)


@pytest.mark.parametrize(
    "head",
    [LogisticRegression(), RidgeClassifier(), Ridge(), LinearSVC(random_state=0)],
    ids=str,
)
def test_heads_that_are_linear_have_gradients(images, head):
    y = np.arange(12) % 3
    model = linear(images, head, y)
    assert explain(model, images[:2], method="gradient").method == "gradient"


@pytest.mark.parametrize(
    "wrap",
    [
        lambda model: GridSearchCV(
            model, {"logisticregression__C": [1.0]}, cv=2, scoring="accuracy"
        ),
        FrozenEstimator,
        make_pipeline,
    ],
)
def test_wrappers_are_looked_into(images, wrap):
    inner = make_pipeline(ImageEncoder("tiny-cnn"), LogisticRegression())
    model = wrap(inner.fit(images, SIGNS)).fit(images, SIGNS)
    assert explain(model, images[:2]).method == "gradient"


@pytest.mark.parametrize("container", ["pandas", "polars", "torch"])
def test_heads_get_the_container_that_they_were_fitted_with(images, container):
    encoder = ImageEncoder("tiny-cnn", device="cpu").set_output(transform=container)
    model = make_pipeline(encoder, LogisticRegression()).fit(images, SIGNS)
    plain = make_pipeline(ImageEncoder("tiny-cnn"), LogisticRegression())
    found = explain(model, images[:2], method="gradient").values
    wanted = explain(plain.fit(images, SIGNS), images[:2]).values
    np.testing.assert_allclose(found, wanted, rtol=1e-2, atol=1e-4)


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([Normalizer(), LogisticRegression()], "LogisticRegression at the end, is not"),
        ([TREES], "is not linear"),
    ],
    ids=["a normalizer", "trees"],
)
def test_where_there_is_no_gradient_it_is_said(images, steps, reason):
    model = make_pipeline(ImageEncoder("tiny-cnn"), *steps).fit(images, SIGNS)
    with pytest.raises(ValueError, match=f"'gradient' cannot be used: .*{reason}"):
        explain(model, images[:1], method="gradient")
    assert explain(model, images[:1], max_evals=4).method == "occlusion"


def vision_transformer(**options):
    """A small transformer with random weights, on 64 x 64 pixels."""
    timm = pytest.importorskip("timm")
    from sktransfer._utils.seeds import seeded
    from sktransfer.backbones._timm import networks

    with seeded(0):
        model = timm.create_model(
            "vit_tiny_patch16_224", pretrained=False, img_size=64, depth=2, **options
        )
    return networks.as_backbone(model.eval(), name="vit")


@pytest.mark.parametrize(
    "options",
    [{}, {"global_pool": "avg"}, {"reg_tokens": 4}, {"class_token": False}],
    ids=str,
)
def test_tokens_of_a_transformer_are_places(images, options):
    if options == {"class_token": False}:
        options = options | {"global_pool": "avg"}
    model = make_pipeline(
        ImageEncoder(vision_transformer(**options)), LogisticRegression()
    ).fit(images, SIGNS)
    display = explain(model, images[:2])
    assert display.method == "gradient"
    # 4 x 4 patches of the middle 7/8 of 32 pixels: more than one has an influence.
    middles = display.values[0][[5, 12, 19, 26]][:, [5, 12, 19, 26]]
    assert len(np.unique(middles)) == 16


@pytest.mark.parametrize("shape", [(32, 32), (64, 40), (40, 64)], ids=str)
def test_what_the_network_does_not_see_has_no_influence(shape):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, size=(12, *shape, 3), dtype=np.uint8)
    backbone = load_backbone("tiny-cnn")
    preprocess = dataclasses.replace(backbone.preprocess, crop_pct=0.5)
    model = linear(images)
    model[0].backbone = backbone
    cropped = dataclasses.replace(backbone, preprocess=preprocess)
    model = make_pipeline(ImageEncoder(cropped), LogisticRegression())
    (values,) = explain(model.fit(images, SIGNS), images[:1]).values
    assert values.shape == shape
    half = min(shape) // 2
    seen = np.zeros(shape, bool)
    top, left = ((n - half) // 2 for n in shape)
    seen[top + 1 : top + half - 1, left + 1 : left + half - 1] = True
    assert (values[seen] != 0).all()
    around = np.ones(shape, bool)
    around[top - 1 : top + half + 1, left - 1 : left + half + 1] = False
    assert not values[around].any()


@pytest.mark.parametrize(
    ("size", "options", "wanted"),
    [
        ((64, 40), {}, ((12 / 64, 52 / 64), (0, 1))),
        ((40, 64), {"crop_pct": 0.5}, ((0.25, 0.75), (22 / 64, 42 / 64))),
        ((40, 80), {"crop_mode": "squash"}, ((0, 1), (0, 1))),
        ((40, 80), {"crop_mode": "border"}, ((-0.5, 1.5), (0, 1))),
        ((400, 20), {}, ((0.475, 0.525), (0, 1))),
        ((1, 3), {}, ((0, 1), (1 / 3, 2 / 3))),
    ],
    ids=str,
)
def test_the_part_that_a_network_sees_is_measured(size, options, wanted):
    preprocess = dataclasses.replace(load_backbone("tiny-cnn").preprocess, **options)
    found = _seen(size, preprocess)
    np.testing.assert_allclose(found, wanted, atol=0.7 / min(size))


def test_a_callers_grad_mode_does_not_matter(images):
    model = linear(images)
    wanted = explain(model, images[:2]).values
    for mode in (torch.no_grad, torch.inference_mode):
        with mode():
            found = explain(model, images[:2]).values
        np.testing.assert_array_equal(found, wanted)


# -- what is explained -----------------------------------------------------------------


def test_the_target_is_one_for_all_rows_or_one_per_row(images):
    model = linear(images, y=np.arange(12) % 3)
    assert explain(model, images[:3], target=2).targets == [2, 2, 2]
    display = explain(model, images[:3], target=pd.Series([2, 0, 1]))
    assert display.targets == [2, 0, 1]
    proba = model.predict_proba(images[:3])
    np.testing.assert_allclose(display.scores, proba[[0, 1, 2], [2, 0, 1]])


def test_a_class_by_a_threshold_of_its_own_is_the_predicted_one():
    model = FixedThresholdClassifier(text_model(), threshold=0.999).fit(TEXTS, SIGNS)
    display = explain(model, TEXTS[:4])
    assert display.targets == list(model.predict(TEXTS[:4]))
    assert len(set(display.targets)) == 1


def test_classes_without_labels_are_explained():
    model = ZeroShotClassifier(["card", "cash"], TextEncoder("tiny-bert")).fit()
    display = explain(model, ["my card please"])
    assert display.targets == ["card"]
    assert display.inputs[0][display.values[0].argmax()] == "card"


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("?", r"target='\?' is not known; expected one of \['\+', '-'\]"),
        (["+"], "target has 1 entries for 2 rows"),
    ],
)
def test_a_target_that_is_not_known_is_refused(target, message):
    with pytest.raises(ValueError, match=message):
        explain(text_model(), TEXTS[:2], target=target)


def test_numbers_have_no_target(images):
    model = linear(images, Ridge(), np.arange(12.0))
    display = explain(model, images[:2])
    assert display.targets == [None, None]
    assert display.unit == "prediction"
    np.testing.assert_allclose(display.scores, model.predict(images[:2]))
    with pytest.raises(ValueError, match="one number per row; leave target=None"):
        explain(model, images[:2], target=1)


def test_of_several_numbers_one_has_to_be_chosen(images):
    y = np.arange(24.0).reshape(12, 2)
    model = ImageRegressor("tiny-cnn", max_epochs=1, random_state=0).fit(images, y)
    with pytest.raises(
        ValueError, match="predicts 2 numbers per row; choose one with target"
    ):
        explain(model, images[:2])
    display = explain(model, images[:2], target=1)
    assert display.method == "gradient"
    assert display.targets == [1, 1]
    np.testing.assert_allclose(display.scores, model.predict(images[:2])[:, 1])


def test_of_several_labels_the_most_probable_is_explained(images):
    y = np.column_stack([np.arange(12) % 2, np.arange(12) > 5]).astype(int)
    tuned = ImageClassifier("tiny-cnn", max_epochs=1, random_state=0).fit(images, y)
    for model in (
        tuned,
        linear(images, OneVsRestClassifier(LogisticRegression()), y),
        linear(images, MultiOutputClassifier(LogisticRegression()), y),
    ):
        proba = model.predict_proba(images[:3])
        if isinstance(proba, list):
            proba = np.column_stack([one[:, 1] for one in proba])
        display = explain(model, images[:3], max_evals=4)
        assert display.targets == list(proba.argmax(1))
        np.testing.assert_allclose(display.scores, proba.max(1))
        assert explain(model, images[:3], target=0, max_evals=4).targets == [0, 0, 0]


def test_several_targets_of_several_classes_are_refused():
    y = np.column_stack([np.arange(12) % 3, np.arange(12) % 2])
    model = text_model(MultiOutputClassifier(LogisticRegression()), y)
    with pytest.raises(TypeError, match="predicts 2 targets of several classes each"):
        explain(model, TEXTS[:2])


def test_a_classifier_without_scores_is_explained_by_its_class():
    class Hard(ClassifierMixin, BaseEstimator):
        def fit(self, X, y):
            self.classes_ = np.unique(y)
            return self

        def predict(self, X):
            return np.where(["fine" in text for text in X], "+", "-")

    display = explain(Hard().fit(TEXTS, SIGNS), ["so fine it is"])
    assert display.unit == "prediction"
    assert display.values[0].tolist() == [0, 1, 0, 0]


def test_an_outlier_detector_is_explained_by_its_score(images):
    model = make_pipeline(ImageEncoder("tiny-cnn"), IsolationForest(random_state=0))
    model.fit(images)
    display = explain(model, images[:2], max_evals=4)
    assert display.unit == "score"
    np.testing.assert_allclose(display.scores, model.decision_function(images[:2]))


# -- tables ----------------------------------------------------------------------------


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_one_column_of_a_table_is_looked_at(make, images, tmp_path):
    paths = []
    for i, image in enumerate(images):
        paths.append(str(tmp_path / f"{i}.png"))
        (tmp_path / f"{i}.png").write_bytes(encoded(image))
    table = make({"photo": paths, "title": TEXTS, "price": list(range(12))})
    model = make_pipeline(
        TableEncoder(ImageEncoder("tiny-cnn"), TextEncoder("tiny-bert")),
        LogisticRegression(max_iter=1000),
    ).fit(table, SIGNS)
    display = explain(model, table[:2], column="title", target="+")
    assert display.inputs[0] == ["fine", "film", "0"]
    shorter = make({"photo": paths[:1], "title": [" film 0"], "price": [0]})
    place = list(model.classes_).index("+")
    before, after = (model.predict_proba(part) for part in (table[:1], shorter))
    assert display.values[0][0] == pytest.approx((before - after)[0, place], abs=1e-6)
    display = explain(model, table[:2], column="photo", max_evals=4)
    assert display.method == "occlusion"
    np.testing.assert_array_equal(display.inputs[0], images[0])
    assert display.values[0].any()


def test_the_encoder_of_a_column_says_how_its_cells_are_read(images):
    import base64

    photos = [base64.b64encode(encoded(image)).decode() for image in images]
    table = pd.DataFrame({"photo": photos, "title": TEXTS})
    columns = ColumnTransformer(
        [
            ("title", TextEncoder("tiny-bert"), "title"),
            ("photo", ImageEncoder("tiny-cnn", source="base64"), "photo"),
        ]
    )
    model = make_pipeline(columns, LogisticRegression(max_iter=1000))
    model.fit(table, SIGNS)
    display = explain(model, table[:1], column="photo", max_evals=4)
    np.testing.assert_array_equal(display.inputs[0], images[0])


def test_the_column_of_a_table_has_to_be_named():
    table = pd.DataFrame({"title": TEXTS, "price": range(12)})
    model = text_model()
    with pytest.raises(ValueError, match=r"X has 2 columns: \['title', 'price'\]"):
        explain(model, table)
    with pytest.raises(ValueError, match="X has no column 'name'"):
        explain(model, table, column="name")
    with pytest.raises(TypeError, match="column='title' needs a pandas or polars"):
        explain(model, TEXTS, column="title")


# -- what cannot be explained ----------------------------------------------------------


def test_a_model_has_to_be_fitted():
    model = make_pipeline(TextEncoder("tiny-bert"), LogisticRegression())
    for unfitted in (model, ImageClassifier("tiny-cnn")):
        with pytest.raises(NotFittedError):
            explain(unfitted, TEXTS)


def test_an_encoder_alone_has_no_number_to_explain(images):
    encoder = ImageEncoder("tiny-cnn").fit(images)
    with pytest.raises(TypeError, match="got ImageEncoder, which predicts neither"):
        explain(encoder, images)


@pytest.mark.parametrize(
    "kind", ["truncated", "html_named_jpg", "missing_file", "empty_bytes", "wrong_type"]
)
@pytest.mark.parametrize("on_error", ["raise", "zero"])
def test_an_image_that_cannot_be_read_is_named(images, bad_images, kind, on_error):
    model = linear(images, on_error=on_error)
    cells = [images[0], bad_images[kind]]
    with pytest.raises(UnreadableRowError, match="AttributionDisplay: row 1") as caught:
        explain(model, cells)
    assert caught.value.row == 1


def test_rows_that_are_missing_or_lists_are_named(images):
    model = linear(images, missing="zero")
    with pytest.raises(MissingRowError, match="row 1 is missing"):
        explain(model, [images[0], None])
    with pytest.raises(ValueError, match="row 1 is a list of 2 images"):
        explain(model, [images[0], [images[0], images[1]]])


def test_images_for_a_model_of_texts_are_refused(images):
    with pytest.raises(UnreadableRowError, match="row 0 cannot be used: .* is no text"):
        explain(text_model(), images)


def test_texts_for_a_model_of_images_are_refused(images):
    with pytest.raises(UnreadableRowError, match="there is no such file"):
        explain(linear(images), ["a fine film"])


def test_a_text_without_a_word_is_refused():
    with pytest.raises(ValueError, match="row 1 has no word to leave out"):
        explain(text_model(), ["a film", "  "])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"method": "lime"}, "method='lime' must be one of"),
        ({"max_evals": 3}, "max_evals=3 must be an int of at least 4"),
        ({"max_evals": 9.0}, "max_evals=9.0 must be an int"),
        ({"method": "gradient"}, "method='gradient' is for images"),
        ({"y": ["+"]}, "inconsistent numbers of samples"),
    ],
)
def test_wrong_arguments_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        explain(text_model(), TEXTS[:2], **options)


# -- drawing ---------------------------------------------------------------------------


def test_each_image_has_axes_with_its_class(images):
    import matplotlib.pyplot as plt

    model = linear(images, y=np.arange(12) % 2)
    display = AttributionDisplay.from_estimator(model, images[:5], np.arange(5) % 2)
    assert len(display.axes_) == 5
    title = display.axes_[3].get_title().splitlines()
    assert title[0] == str(model.predict(images[3:4])[0])
    assert title[1] == f"probability {model.predict_proba(images[3:4]).max():.3f}"
    assert title[2] == "label 1"
    display.figure_.canvas.draw()
    for ax in display.axes_:
        box = ax.title.get_window_extent()
        assert box.y1 <= display.figure_.bbox.y1  # not cut
    plt.close(display.figure_)


@pytest.mark.parametrize("options", [{}, {"fontsize": 20, "family": "monospace"}])
def test_words_stay_inside_the_figure_and_apart(options):
    import matplotlib.pyplot as plt

    text = "the price of $5 was_not a $6 <bad> one, and so on and on " * 3
    texts = [text, "a fine film"]
    display = AttributionDisplay.from_estimator(text_model(), texts, **options)
    display.figure_.canvas.draw()
    whole, (ax, _) = display.figure_.bbox, display.axes_
    boxes = [word.get_window_extent() for word in ax.texts]
    assert len(boxes) == len(text.split())
    for one, other in zip(boxes, boxes[1:], strict=False):
        assert one.x1 < other.x0 or one.y0 >= other.y1 - 1  # beside, or a line below
    assert all(0 <= b.x0 and b.x1 <= whole.x1 and 0 <= b.y0 for b in boxes)
    plt.close(display.figure_)


def test_words_against_the_class_have_another_edge():
    import matplotlib.pyplot as plt

    display = AttributionDisplay(
        [["good", "bad"]],
        [np.array([0.4, -0.4])],
        targets=["+"],
        scores=np.array([0.6]),
    ).plot()
    styles = [word.get_bbox_patch().get_linestyle() for word in display.axes_[0].texts]
    assert styles == ["-", "--"]
    plt.close(display.figure_)


def test_axes_can_be_given(images):
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2)
    model = linear(images)
    display = AttributionDisplay.from_estimator(model, images[:2], axes=axes)
    assert display.figure_ is figure
    with pytest.raises(ValueError, match="got 2 axes for 3 rows"):
        AttributionDisplay.from_estimator(model, images[:3], axes=axes)
    with pytest.raises(ValueError, match="got 1 axes for 2 rows"):
        display.plot(axes=[axes[0]])
    plt.close(figure)


def test_images_of_one_line_of_pixels_are_drawn():
    import matplotlib.pyplot as plt

    model = LightOfAPlace((slice(0, 1), slice(0, 2))).fit()
    image = spotted(model.place, (1, 6))
    display = AttributionDisplay.from_estimator(model, [image], interpolation="none")
    display.figure_.canvas.draw()
    plt.close(display.figure_)
