"""Mistakes that type checkers report: each line says which rule finds it.

An "ignore" that has nothing to ignore is an error (`.ci/types`), so that a mistake that
is no longer found fails. The file is read and never run.
"""

import sktransfer
from sktransfer import (
    ImageEncoder,
    TableEncoder,
    TextClassifier,
    TextEncoder,
    bulk,
    load_backbone,
    save,
)
from sktransfer.cache import FeatureStore
from sktransfer.model_selection import rank_backbones

ImageEncoder("tiny-cnn", dept=-1)  # pyright: ignore[reportCallIssue]
ImageEncoder("tiny-cnn", depht=3)  # pyright: ignore[reportCallIssue]
ImageEncoder("tiny-cnn", "all")  # pyright: ignore[reportCallIssue]
ImageEncoder(pooling="men")  # pyright: ignore[reportArgumentType]
ImageEncoder(depth=1.5)  # pyright: ignore[reportArgumentType]
ImageEncoder(cache=3)  # pyright: ignore[reportArgumentType]
TextClassifier(max_epochs="three")  # pyright: ignore[reportArgumentType]
TextClassifier(head="liner")  # pyright: ignore[reportArgumentType]
TextClassifier(class_weight="balance")  # pyright: ignore[reportArgumentType]
TextClassifier(random_state="0")  # pyright: ignore[reportArgumentType]
TextClassifier().fitt(["a"], ["b"])  # pyright: ignore[reportAttributeAccessIssue]
TextClassifier().fit(["a"])  # pyright: ignore[reportCallIssue]
TextClassifier().fit(3, ["b"])  # pyright: ignore[reportArgumentType]
TextEncoder().fit(["a"]).transfrm(["a"])  # pyright: ignore[reportAttributeAccessIssue]
TableEncoder(text_encoder="tiny-bert")  # pyright: ignore[reportArgumentType]
sktransfer.TextEncodr()  # pyright: ignore[reportAttributeAccessIssue]
bulk.encode("a", "b", colum="x")  # pyright: ignore[reportCallIssue]
load_backbone(3)  # pyright: ignore[reportArgumentType]
print(load_backbone("tiny-bert").block_name)  # pyright: ignore[reportAttributeAccessIssue]
rank_backbones(["a"], [0], method="logm")  # pyright: ignore[reportArgumentType]
save(TextEncoder(), "model", weights="included")  # pyright: ignore[reportArgumentType]
FeatureStore()  # pyright: ignore[reportAbstractUsage]
