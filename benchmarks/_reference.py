"""A careful training loop in plain torch, to measure fine-tuning against.

It trains the last half of a network, or all of it, with a new head: AdamW, warm-up over
a tenth of the steps, a linear decay, clipped gradients, dropout as the network has it,
BatchNorm with the network's own statistics. Depth, rate and epochs are chosen once for
a set and a number of rows, on rows that no draw is scored on.
"""

import copy
import itertools

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from sktransfer import load_backbone

NETWORKS = {"text": "all-MiniLM-L6-v2", "image": "efficientnet_lite0"}
RATES = {"text": (1e-4, 3e-4), "image": (3e-4, 1e-3)}
SHARES = (0.5, 1.0)  # of the blocks that are trained
EPOCHS = 8  # while depth and rate are chosen
OTHER_EPOCHS = (4, 16)
HEAD_LR = 1e-3
WEIGHT_DECAY = 0.01
WARM_UP = 0.1
BATCH = 16
HELD_OUT = 0.25  # of the rows of a draw, to choose by, with rows that it leaves
MOST_HELD_OUT = 500


class Net(nn.Module):
    """The trained blocks, pooling, and a linear head on standardised features."""

    def __init__(self, backbone, n_frozen, n_classes):
        super().__init__()
        blocks = list(backbone.blocks.values())[n_frozen:]
        self.blocks = nn.ModuleList(copy.deepcopy(blocks)).requires_grad_(True)
        self.backbone, self.n_frozen = backbone, n_frozen
        self.pooling = backbone.resolve_pooling("auto")
        self.head = nn.Linear(backbone.widths[-1], n_classes)
        self.register_buffer("mean", torch.zeros(backbone.widths[-1]))
        self.register_buffer("scale", torch.ones(()))

    def train(self, mode=True):
        """Leave BatchNorm in eval mode: small batches estimate it badly."""
        super().train(mode)
        for module in self.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        return self

    def features(self, state):
        """Return the pooled features of a batch of activations."""
        for block in self.blocks:
            state = block(state)
        return self.backbone.pool(state, self.pooling, len(self.backbone.blocks))

    def forward(self, state):
        """Return the outputs of a batch of activations."""
        return self.head((self.features(state).float() - self.mean) / self.scale)


class Rows:
    """Rows of a set: prepared once, run through the frozen blocks once for a depth."""

    def __init__(self, modality, cells):
        self.backbone = load_backbone(NETWORKS[modality])
        preprocess = self.backbone.preprocess
        if modality == "text":
            self.prepared = preprocess.prepare(list(cells))
        else:
            self.prepared = [preprocess.prepare(open_image(cell)) for cell in cells]
        self.by_depth = {}

    def after(self, depth, rows):
        """Return what the first blocks make of rows."""
        known = self.by_depth.setdefault(depth, {})
        left = [row for row in rows if row not in known]
        left.sort(key=lambda row: len(self.prepared[row]))
        for part in _parts(left):
            batch = self.backbone.batch([self.prepared[row] for row in part])
            with torch.inference_mode():
                state = self.backbone.run(batch, 0, depth)
            known.update(zip(part, self.backbone.unbatch(state), strict=True))
        return [known[row] for row in rows]


def _parts(items):
    return [items[start : start + 32] for start in range(0, len(items), 32)]


def open_image(cell):
    """Open a path, a file or pixels by Pillow, transparent parts laid on white."""
    from PIL import Image

    if isinstance(cell, np.ndarray):
        return Image.fromarray(cell)
    with Image.open(cell) as image:
        if "transparency" not in image.info and image.mode != "RGBA":
            return image.convert("RGB")
        image = image.convert("RGBA")
        ground = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(ground, image).convert("RGB")


def fit(data, y, rows, *, share, lr, epochs, seed):
    """Train on rows of a set; return the net. `y` has class numbers."""
    torch.manual_seed(seed)
    backbone = data.backbone
    n_blocks = len(backbone.blocks)
    n_frozen = n_blocks - round(share * n_blocks)
    net = Net(backbone, n_frozen, y.max() + 1)
    activations = dict(zip(rows, data.after(n_frozen, rows), strict=True))
    _standardize(net, [activations[row] for row in rows])
    decayed = [p for p in net.blocks.parameters() if p.ndim > 1]
    plain = [p for p in net.blocks.parameters() if p.ndim <= 1]
    optimizer = torch.optim.AdamW(
        [
            {"params": decayed, "lr": lr},
            {"params": plain, "lr": lr, "weight_decay": 0.0},
            {"params": net.head.parameters(), "lr": max(lr, HEAD_LR)},
        ],
        weight_decay=WEIGHT_DECAY,
    )
    n_steps = epochs * -(-len(rows) // BATCH)
    schedule = torch.optim.lr_scheduler.LambdaLR(
        optimizer,
        lambda step: min(
            (step + 1) / (WARM_UP * n_steps + 1),
            (n_steps - step) / ((1 - WARM_UP) * n_steps),
        ),
    )
    rng = np.random.default_rng(seed)
    net.train()
    for _ in range(epochs):
        order = rng.permutation(rows)
        for part in np.array_split(order, -(-len(order) // BATCH)):
            state = backbone.batch([activations[row] for row in part])
            with _precision(backbone):
                outputs = net(state)
            loss = functional.cross_entropy(outputs.float(), torch.tensor(y[part]))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            optimizer.step()
            schedule.step()
    return net.eval()


def _precision(backbone):
    """Return bfloat16 autocast for texts, around weights in float32.

    It halves the time where the processor has it; depthwise convolutions gain nothing.
    """
    return torch.autocast("cpu", torch.bfloat16, enabled=backbone.modality == "text")


def _standardize(net, activations):
    features = []
    net.eval()
    with torch.inference_mode():
        for part in _parts(activations):
            features.append(net.features(net.backbone.batch(part)))
    features = torch.cat(features).float()
    net.mean.copy_(features.mean(0))
    net.scale.copy_((features - features.mean(0)).square().mean().sqrt())


def probabilities(net, data, rows):
    """Return the probabilities of the classes for rows of a set."""
    order = sorted(range(len(rows)), key=lambda i: len(data.prepared[rows[i]]))
    activations = data.after(net.n_frozen, rows)
    found = np.empty((len(rows), net.head.out_features))
    with torch.inference_mode():
        for part in _parts(order):
            batch = net.backbone.batch([activations[i] for i in part])
            found[part] = net(batch).double().softmax(1)
    return found


def choose(data, y, drawn, others, seed):
    """Return share, rate and epochs for so many rows of a set, and what was tried.

    A quarter of the drawn rows is set aside to choose by, with rows that were not
    drawn, where there are some.
    """
    rng = np.random.default_rng([seed, 1])
    drawn, others = rng.permutation(drawn), rng.permutation(others)
    n_aside = round(HELD_OUT * len(drawn))
    aside = np.concatenate([drawn[:n_aside], others[:MOST_HELD_OUT]])
    train = drawn[n_aside:]
    tried = []

    def score(**options):
        net = fit(data, y, train, seed=seed, **options)
        found = probabilities(net, data, aside)
        right = found[np.arange(len(aside)), y[aside]]
        accuracy = float((found.argmax(1) == y[aside]).mean())
        loss = float(-np.log(np.maximum(right, 1e-12)).mean())
        tried.append(options | {"accuracy": accuracy, "log_loss": loss})

    for share, lr in itertools.product(SHARES, RATES[data.backbone.modality]):
        score(share=share, lr=lr, epochs=EPOCHS)
    best = max(tried, key=_rank)
    for epochs in OTHER_EPOCHS:
        score(share=best["share"], lr=best["lr"], epochs=epochs)
    best = max(tried, key=_rank)
    return {name: best[name] for name in ("share", "lr", "epochs")}, tried


def _rank(one):
    return one["accuracy"], -one["log_loss"]
