"""The four classes as scikit-learn sees them: batteries, routing, clones, displays."""

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import (
    parametrize_with_checks as sklearn_parametrize_with_checks,
)
from sklearn.utils.validation import check_is_fitted, validate_data

from sktransfer import (
    BackboneSpec,
    ImageClassifier,
    ImageRegressor,
    TextClassifier,
    TextRegressor,
)
from sktransfer._cells.column import Column
from sktransfer.estimator_checks import parametrize_with_checks
from sktransfer.estimator_checks._watching import global_state_restored
from sktransfer.finetuning import Head, Optimizer
from sktransfer.finetuning._base_estimators import BaseClassifier, BaseRegressor

SMALL = {"max_epochs": 2, "freeze_depth": -1, "random_state": 0}
FOUR = [
    ImageClassifier("tiny-cnn", **SMALL),
    ImageRegressor("tiny-cnn", **SMALL),
    TextClassifier("tiny-bert", **SMALL),
    TextRegressor("tiny-bert", **SMALL),
]


@parametrize_with_checks(FOUR)
def test_our_battery_passes(estimator, check):
    check(estimator)


# -- scikit-learn's battery, on rows of numbers --------------------------------------


class ArrayReader:
    """Rows of numbers, as `TextReader` reads texts."""

    chunk_size = 4096

    def read(self, cells):
        return [(np.asarray(cell).tobytes(), cell) for cell in cells]

    def prepare(self, contents, request):
        return [request.preprocess.prepare(content) for content in contents]

    def results(self, prepared, device):
        yield from prepared

    def close(self):
        pass


class ArrayColumn:
    """A table of numbers in place of a column."""

    _modality = "array"
    missing = "raise"

    def _column(self, X):
        return Column(X, None, None)

    def _fit(self, X, y, *args, is_resumed, **kwargs):
        X = validate_data(self, X, dtype=np.float32, reset=not is_resumed)
        n_features = X.shape[1]
        super()._fit(X, y, *args, is_resumed=is_resumed, **kwargs)
        self.n_features_in_ = n_features
        return self

    def _outputs(self, X):
        check_is_fitted(self, "net_")
        return super()._outputs(validate_data(self, X, dtype=np.float32, reset=False))

    def _nulls(self, column):
        return []

    def _reader(self, request):
        return ArrayReader()

    def _adapt(self, backbone):
        return backbone.preprocess

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = True
        tags.input_tags.one_d_array = False
        tags.input_tags.string = False
        tags.input_tags.allow_nan = False
        return tags


class ArrayParameters:
    """What the other parameters are."""

    pooling = "auto"
    head = Head(C=1.0)
    optimizer = Optimizer(layer_decay=0.9, backbone_lr_scale=0.1)
    batch_norm = "eval"
    domain_loss = None
    early_stopping = False
    scoring = None
    activation_dtype = "float32"
    cache = "auto"
    callbacks = None
    device = "auto"
    precision = "float32"
    verbose = 0

    def __init__(
        self,
        backbone="tiny-mlp",
        *,
        freeze_depth=-1,
        lr=0.001,
        max_epochs=4,
        batch_size=32,
        warm_start=False,
        random_state=None,
    ):
        self.backbone = backbone
        self.freeze_depth = freeze_depth
        self.lr = lr
        self.max_epochs = max_epochs
        self.batch_size = batch_size
        self.warm_start = warm_start
        self.random_state = random_state


class ArrayClassifier(ArrayColumn, ArrayParameters, BaseClassifier):
    loss = "log_loss"


class ArrayRegressor(ArrayColumn, ArrayParameters, BaseRegressor):
    loss = "squared_error"


EXPECTED_TO_FAIL = {
    "check_sample_weight_equivalence_on_dense_data": (
        "a row of weight 2 is in one batch, and two rows are in any two"
    ),
}


@sklearn_parametrize_with_checks(
    [ArrayClassifier(), ArrayRegressor()],
    expected_failed_checks=lambda estimator: EXPECTED_TO_FAIL,
)
def test_the_battery_of_scikit_learn_passes(estimator, check):
    with global_state_restored():  # some of its checks draw from NumPy's generator
        check(estimator)


@pytest.mark.parametrize(
    "name",
    ["tiny-cnn", "resnet10t", "mobilenetv3_small_050", "convnext_atto"]
    + [
        pytest.param(name, marks=pytest.mark.slow)
        for name in (
            "tf_efficientnetv2_b0",
            "mobilenetv4_conv_small_050",
            "regnety_002",
            "regnetx_002",
            "efficientnet_b0",
            "convnextv2_atto",
            "torchvision/resnet18",
            "torchvision/mobilenet_v3_small",
        )
    ],
)
def test_one_grid_serves_every_architecture(name):
    pixels = np.random.default_rng(0).integers(0, 256, (8, 40, 40, 3), np.uint8)
    model = ImageClassifier(
        BackboneSpec(name, pretrained=False), image_size=64, **SMALL
    )
    search = GridSearchCV(
        model, {"freeze_depth": ["all", -1]}, cv=2, error_score="raise"
    )
    search.fit(pixels, np.arange(8) % 2)
    assert search.predict(pixels).shape == (8,)


@pytest.mark.parametrize("model", FOUR, ids=lambda model: type(model).__name__)
def test_a_clone_is_unfitted_and_shows_itself(model):
    copy = clone(model)
    assert not hasattr(copy, "net_")
    assert type(model).__name__ in copy._repr_html_()
