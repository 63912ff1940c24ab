"""What "auto" stands for."""

import numpy as np
import pytest
import transformers
from folders import save, tiny_text_options, word_tokenizer
from torch import nn

from sktransfer import (
    Backbone,
    BackboneSpec,
    ImageClassifier,
    ImageRegressor,
    TextClassifier,
    TextRegressor,
)
from sktransfer._utils.seeds import seeded
from sktransfer.backbones import ImagePreprocess
from sktransfer.backbones._huggingface.load import quiet
from sktransfer.finetuning._settings import (
    CHOICES,
    NEW_HEAD_LR,
    NEW_HEAD_STEPS,
    Case,
    Settings,
    auto_freeze_depth,
    settle,
)

TEXTS = [f"text {i} {'good' if i % 2 else 'bad'}" for i in range(12)]
LABELS = np.arange(12) % 2
AUTO = dict.fromkeys(Settings._fields, "auto") | {"batch_size": 16}
USUAL = Case(
    "text",
    "classes",
    n_rows=400,
    n_trained=4,
    start="probe",
    is_contrastive=False,
    may_average=False,
    is_partial=False,
)


def settings(asked=(), **case):
    return settle(AUTO | dict(asked), USUAL._replace(**case))


def block_lr(found):
    return found.lr * found.backbone_lr_scale


@pytest.mark.parametrize("modality", ["image", "text"])
def test_few_rows_are_passed_over_more_often_and_many_take_more_steps(modality):
    sizes = [1, 50, 100, 400, 1500, 100_000]
    epochs = [settings(n_rows=n, modality=modality).max_epochs for n in sizes]
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[0] <= 20
    seen = np.multiply(epochs, sizes)
    assert (np.diff(seen) > 0).all()


def test_a_head_that_starts_at_random_learns_faster_and_the_blocks_do_not():
    fitted, random = settings(), settings(start="random")
    assert random.lr == NEW_HEAD_LR > 5 * fitted.lr
    assert block_lr(random) == pytest.approx(block_lr(fitted))


def test_means_that_rows_are_trained_against_are_trained_less():
    usual, means = settings(), settings(start="means")
    assert block_lr(means) < block_lr(usual)
    assert means.max_epochs <= usual.max_epochs


def test_a_fitted_head_alone_is_hardly_trained():
    assert settings(n_trained=0).lr < settings().lr


def test_a_rate_of_ones_own_is_that_of_head_and_blocks():
    for start in ("probe", "random", "means"):
        found = settings({"lr": 1e-3}, start=start)
        assert (found.lr, found.backbone_lr_scale) == (1e-3, 1.0)
    given = settings({"lr": NEW_HEAD_LR}, start="random")
    assert given.backbone_lr_scale == 1.0  # also where it is that of "auto"
    assert settings({"backbone_lr_scale": 0.5}).backbone_lr_scale == 0.5


def test_a_new_head_alone_gets_the_steps_that_it_needs():
    found = settings(n_rows=40, n_trained=0, start="random")
    assert found.max_epochs * 3 >= NEW_HEAD_STEPS  # 40 rows are 3 batches of 16


def test_the_start_is_held_back_only_where_blocks_are_trained():
    assert settings().C < settings(n_trained=0).C
    numbers = settings(task="numbers"), settings(task="numbers", n_trained=0)
    assert numbers[0].C == numbers[1].C


def test_labels_are_smoothed_where_a_row_has_one_class_and_a_loss_of_its_own():
    assert settings().label_smoothing > 0
    for case in ({"task": "labels"}, {"task": "numbers"}, {"is_contrastive": True}):
        assert settings(**case).label_smoothing == 0


def test_values_that_are_given_stay():
    given = {name: i + 1 for i, name in enumerate(Settings._fields)}
    assert settings(given)._asdict() == given
    assert set(CHOICES) < set(given)


@pytest.mark.parametrize(
    ("n_blocks", "n_frozen"), [(1, 0), (2, 0), (3, 1), (7, 3), (12, 5), (18, 8)]
)
def test_a_share_of_the_blocks_is_trained_and_never_none(n_blocks, n_frozen):
    assert auto_freeze_depth(n_blocks) == n_frozen


@pytest.mark.parametrize("cls", [TextClassifier, TextRegressor])
def test_a_fit_says_what_it_used(cls):
    model = cls("tiny-bert", random_state=0, lr=1e-3).fit(TEXTS, LABELS)
    found = model.settings_
    assert found["lr"] == 1e-3
    assert found["max_epochs"] == model.n_epochs_ == len(model.history_)
    assert found["freeze_depth"] == model.freeze_depth_
    trained = sum(p.numel() for p in model.net_.module_.blocks.parameters())
    whole = sum(
        p.numel() for block in model.backbone_.modules() for p in block.parameters()
    )
    assert found["trained_share"] == pytest.approx(trained / whole)
    assert "auto" not in found.values()
    frozen = cls("tiny-bert", freeze_depth="all", random_state=0).fit(TEXTS, LABELS)
    assert frozen.settings_["trained_share"] == 0


@pytest.mark.parametrize("cls", [ImageClassifier, ImageRegressor])
def test_image_estimators_fit_a_network_of_few_blocks_by_default(cls):
    X = np.random.default_rng(0).integers(0, 256, (12, 36, 36, 3), np.uint8)
    model = cls("tiny-cnn", random_state=0).fit(X, LABELS)
    assert model.freeze_depth_ == "stem"


def test_parts_take_the_depth_of_the_first_and_one_epoch_each():
    model = TextClassifier("tiny-bert", random_state=0)
    model.partial_fit(TEXTS, LABELS).partial_fit(TEXTS[:2], LABELS[:2])
    assert model.n_epochs_ == 2
    assert model.settings_["max_epochs"] == 1


# -- networks of every size -----------------------------------------------------------


def gpt2():
    return transformers.GPT2Model(transformers.GPT2Config(**tiny_text_options()))


def modernbert():
    options = tiny_text_options(local_attention=8)
    return transformers.ModernBertModel(transformers.ModernBertConfig(**options))


@pytest.mark.filterwarnings("ignore:.*token_id must be")
@pytest.mark.parametrize("make", [gpt2, modernbert])
def test_a_text_network_of_any_family_fits_without_a_parameter(make, tmp_path):
    with quiet(), seeded(0):
        source = save(tmp_path / "network", make().eval(), word_tokenizer())
    model = TextClassifier(source, random_state=0).fit(TEXTS, LABELS)
    assert 0 < model.settings_["trained_share"] <= 1
    assert set(model.predict(TEXTS)) <= {0, 1}


def three_blocks():
    with seeded(0):
        net = nn.Sequential(
            nn.Conv2d(3, 4, 3, stride=4), nn.ReLU(), nn.Conv2d(4, 8, 3, stride=2)
        )
    preprocess = ImagePreprocess((32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
    return Backbone.from_module(net, blocks=["0", "1", "2"], preprocess=preprocess)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("network", "share"),
    [
        ("torchvision/alexnet", 1.0),
        ("torchvision/vgg11", 1.0),
        ("torchvision/resnet18", 0.97),
        ("timm/vit_small_patch16_224", 0.66),
        (three_blocks, 0.72),
    ],
)
def test_an_image_network_of_any_size_fits_without_a_parameter(network, share):
    X = np.random.default_rng(0).integers(0, 256, (4, 40, 40, 3), np.uint8)
    if callable(network):
        backbone = network()
    else:
        backbone = BackboneSpec(network, pretrained=False)
    model = ImageClassifier(backbone, cache=None, random_state=0)
    if network != three_blocks:  # twenty epochs of a large network say no more
        model.set_params(max_epochs=1)
    model.fit(X, LABELS[:4])
    assert model.settings_["trained_share"] == pytest.approx(share, abs=0.01)
    assert set(model.predict(X)) <= {0, 1}
