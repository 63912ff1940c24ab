"""Correct programs: type checkers have nothing to say (`.ci/types` asks pyright).

They are read and never run.
"""

from pathlib import Path
from typing import Any, assert_type

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

import sktransfer
from sktransfer import (
    Backbone,
    BackboneSpec,
    DomainAdaptationClassifier,
    DomainAdaptationRegressor,
    EnsembleAgreementScorer,
    FeatureCache,
    ImageClassifier,
    ImageEncoder,
    ImageRegressor,
    SourceTargetKFold,
    TableEncoder,
    TargetAwareEncoder,
    TextClassifier,
    TextEncoder,
    TextRegressor,
    ZeroShotClassifier,
    as_both_domains,
    bulk,
    cache_info,
    check_backbone,
    domain_shift,
    load,
    load_backbone,
    model_card,
    register_backbone,
    save,
)
from sktransfer.backbones import ArrayPreprocess
from sktransfer.cache import CacheInfo, FeatureStore
from sktransfer.datasets import load_elpv
from sktransfer.estimator_checks import check_estimator
from sktransfer.finetuning import Augmentation, Optimizer
from sktransfer.inspection import FreezeDepthDisplay
from sktransfer.model_selection import (
    BackboneRanking,
    label_efficiency_curve,
    layer_profile,
    rank_backbones,
)
from sktransfer.onnx_export import prepare_inputs, to_onnx
from sktransfer.tables import guess_kinds

texts = ["one", "two"]
frame = pd.DataFrame({"text": texts, "price": [1.0, 2.0]})
pixels = np.zeros((2, 32, 32, 3), dtype=np.uint8)
labels = np.array(["a", "b"])
domain = np.array([0, -1])

# -- encoders: every container, every kind of depth, network and cache ----------------

for X in (texts, tuple(texts), np.array(texts), frame["text"], frame[["text"]]):
    assert_type(TextEncoder().fit_transform(X), np.ndarray)
TextEncoder(Path("folder"), depth=-1, pooling="cls", batch_size=8, cache=None)
TextEncoder(BackboneSpec("all-MiniLM-L6-v2"), cache="folder", prompt="query: ")
ImageEncoder(load_backbone("tiny-cnn"), depth="blocks.4", cache=FeatureCache())
ImageEncoder("tiny-cnn", image_size=64, source="bytes", engine="onnxruntime")
assert_type(ImageEncoder().fit(pixels), ImageEncoder)
pipeline = make_pipeline(ImageEncoder(), StandardScaler(), LogisticRegression())
assert_type(TextEncoder().set_callbacks(), TextEncoder)
names: np.ndarray = TextEncoder().fit(texts).get_feature_names_out()

# -- fine-tuning -----------------------------------------------------------------------

ImageClassifier(freeze_depth="all", class_weight="balanced", augment="light")
ImageClassifier(freeze_depth=0, class_weight={"a": 2.0}, augment=Augmentation(views=3))
ImageClassifier(augment=lambda image: image, domain_loss="cdan", batch_norm="target")
classifier = TextClassifier(max_epochs=3, random_state=np.random.RandomState(0))
assert_type(classifier.fit(texts, labels), TextClassifier)
classifier.fit(frame["text"], list(labels), sample_domain=domain, groups=[0, 1])
classifier.partial_fit(texts, labels, classes=["a", "b"])
shares: np.ndarray = classifier.predict_proba(texts)
TextEncoder(classifier.backbone_)
ImageRegressor(freeze_depth=-2, lr=1e-3).fit(pixels, [0.5, 1.5]).predict(pixels)
TextRegressor(callbacks=[], optimizer=Optimizer(params={"eps": 1e-6}), loss="huber")

# -- tables, targets, descriptions ----------------------------------------------------

TableEncoder(n_components=None, kinds={"price": "numeric"}, categorical="ordinal")
TableEncoder(text_encoder=TextEncoder("tiny-bert"), numeric=StandardScaler())
TableEncoder().set_callbacks().fit(frame, labels, groups=[0, 1])
assert_type(guess_kinds(frame), dict[str, str])
TargetAwareEncoder(TextClassifier(), cv=GroupKFold(3), frozen="auto")
TargetAwareEncoder(LogisticRegression(), cv=3).fit_transform(pixels, labels)
ZeroShotClassifier({"a": "a cat", "b": ["a dog", "a puppy"]}, ImageEncoder())
ZeroShotClassifier(["cat", "dog"], template="a photo of a {}.").fit(texts)

# -- domains ---------------------------------------------------------------------------

DomainAdaptationClassifier(LogisticRegression(), ["normalize", "coral"])
DomainAdaptationClassifier(adapter=sktransfer.CORALAdapter(reg=0.1))
adapted = DomainAdaptationClassifier().fit(pixels, labels, sample_domain=domain)
DomainAdaptationRegressor(Ridge(), adapter=None)
domain_shift(np.zeros((2, 3)), sample_domain=domain)
as_both_domains(np.zeros((2, 3)), labels, sample_domain=domain)
EnsembleAgreementScorer([adapted])
SourceTargetKFold(n_splits=3, target="folds", random_state=0)

# -- choosing and looking --------------------------------------------------------------

candidates = ["tiny-bert", ("tiny-bert", -1, "auto"), load_backbone("tiny-bert")]
assert_type(rank_backbones(texts, [0, 1], candidates), BackboneRanking)
rank_backbones(texts, [0, 1], ["tiny-bert", ("tiny-bert", -1, "auto")])
layer_profile(texts, [0, 1], "tiny-bert", n_timed=0)
label_efficiency_curve({"a": classifier}, texts, labels, labels_per_class=[1, 2], cv=3)
label_efficiency_curve(HistGradientBoostingClassifier(), np.zeros((2, 3)), labels)
sktransfer.inspection.FreezeDepthDisplay.from_search(object())
display = FreezeDepthDisplay([-1, "all"], np.zeros(2), np.zeros(2), np.zeros(2))

# -- networks, cache, files ------------------------------------------------------------

network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
mine = Backbone.from_module(
    network, blocks={"hidden": ["0", "1"]}, head="2", preprocess=ArrayPreprocess(4)
)
assert_type(mine, Backbone)
check_backbone(mine, reference=lambda rows: np.stack(rows))
register_backbone("mine", lambda spec: mine, modality="array")
assert_type(cache_info(), CacheInfo)


class Store(FeatureStore):
    """The smallest store."""

    def get_many(self, keys):
        """Find nothing."""
        return []

    def put_many(self, records):
        """Keep nothing."""

    def clear(self):
        """Forget nothing."""


FeatureCache(store=Store(), memory_budget=10**6)
digest: str = save(pipeline, "model", weights="include", trusted=["my.Type"])
model: Any = load(Path("model"), sha256=digest, device="cpu")
print(model_card(pipeline, title="Mine", metrics={"accuracy": 0.9}))
to_onnx(pipeline, "model.onnx", pixels)
prepare_inputs(pipeline, pixels)
bulk.encode("mails.csv", "v", column="mail", keep=["id"], rows_per_part=20)
bulk.encode(["a.parquet", Path("b.parquet")], "v", depth=-1, batch_size=8)
check_estimator(TextClassifier("tiny-bert"), modality="text")
load_elpv().head()
