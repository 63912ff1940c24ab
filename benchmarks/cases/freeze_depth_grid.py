"""A grid over freeze depth and learning rate: ours against plain skorch, same scores.

120 photos (the first 20 of 6 classes of clothing10's training part), freeze_depth in
["all", -1, -2], lr in [1e-3, 3e-4], 3 folds, 4 epochs. The rival is plain skorch:
the whole network as the module, its prefix frozen by ``requires_grad=False`` and
in eval mode, seeds and order of the rows as ours. The long grid (5 folds, 10 epochs, 3
rates) is compared with what bounds it: the cost of training through the whole network
over the cost of training the suffix alone, both measured here.
"""

import copy
import statistics
import time

import numpy as np
import torch
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from torch import nn

from benchmarks._harness import claim, clothing10, counting, stopwatch
from sktransfer import FeatureCache, ImageClassifier, load_backbone
from sktransfer._utils.seeds import seeded
from sktransfer.finetuning import Head, LogLoss, Optimizer

DEPTHS = ["all", -1, -2]
SHORT = {"rates": [1e-3, 3e-4], "n_folds": 3, "n_epochs": 4}
LONG = {"rates": [1e-3, 3e-4, 1e-4], "n_folds": 5, "n_epochs": 10}
BATCH = 32
SEED = 0
# Both train alike: AdamW, one rate for all, no schedule, no clipping, plain log loss, a
# random head.
PLAIN = {
    "head": Head(init="random"),
    "loss": LogLoss(label_smoothing=0.0),
    "optimizer": Optimizer(
        backbone_lr_scale=1.0,
        layer_decay=1.0,
        weight_decay=0.0,
        lr_schedule="constant",
        gradient_clip_value=None,
    ),
    "batch_norm": "eval",
    "batch_size": BATCH,
    "random_state": SEED,
}


def run(full):
    frame = clothing10("train")
    names = sorted(frame["label"].unique())[:6]
    rows = [frame[frame["label"] == name].head(20) for name in names]
    X = np.concatenate([part["path"].to_numpy() for part in rows]).astype(object)
    y = np.concatenate([part["label"].to_numpy() for part in rows])
    warm_up()
    with counting() as count:
        ours = our_grid(X, y, **SHORT)
    rival = skorch_grid(X, y, **SHORT)
    limit = costs(X, y)
    long_ours = our_grid(X, y, **LONG)
    long_rival = skorch_grid(X, y, **LONG, n_measured=1)
    speedup = rival["wall_s"] / ours["wall_s"]
    long_speedup = long_rival["wall_s"] / long_ours["wall_s"]
    share = long_speedup / limit["ratio"]
    return {
        "rows": len(X),
        "forwards": count.rows,
        "ours": ours,
        "rival": rival,
        "limit": limit,
        "long_ours": long_ours,
        "long_rival": long_rival,
        "claims": [
            claim("times faster", round(speedup, 1), ">= 15", speedup >= 15),
            claim(
                "largest difference of a mean score",
                float(np.abs(np.subtract(ours["scores"], rival["scores"])).max()),
                "0",
                np.allclose(ours["scores"], rival["scores"], atol=1e-9),
            ),
            claim(
                "images through the first layer",
                count.rows,
                f"{len(X)}: each once",
                count.rows == len(X),
            ),
            claim(
                "long grid: share of the limit",
                f"{share:.0%} of {limit['ratio']:.1f}",
                ">= 85 %",
                share >= 0.85,
            ),
        ],
    }


def warm_up():
    """Load and prepare the network, whose example runs would count as rows."""
    noise = np.random.default_rng(0).integers(0, 256, (4, 64, 64, 3), dtype=np.uint8)
    model = ImageClassifier(max_epochs=1, freeze_depth=-1, cache=None, **PLAIN)
    model.fit(noise, [0, 1, 0, 1])


def folds(n_folds):
    return StratifiedKFold(n_folds, shuffle=True, random_state=SEED)


def our_grid(X, y, rates, n_folds, n_epochs):
    model = ImageClassifier(max_epochs=n_epochs, cache=FeatureCache(), **PLAIN)
    grid = {"freeze_depth": DEPTHS, "lr": rates}
    with stopwatch() as clock:
        search = GridSearchCV(model, grid, cv=folds(n_folds), refit=False).fit(X, y)
    scores = search.cv_results_["mean_test_score"].tolist()
    return {"scores": scores, "wall_s": clock.wall_s, "user_s": clock.user_s}


# -- plain skorch ----------------------------------------------------------------------


class Network(nn.Module):
    """The whole network with a head; the prefix is frozen."""

    def __init__(self, blocks, n_frozen, head):
        super().__init__()
        self.blocks = nn.ModuleList(copy.deepcopy(list(blocks)))
        self.head = copy.deepcopy(head)
        self.n_frozen = n_frozen
        self.blocks.requires_grad_(True)
        for block in self.blocks[:n_frozen]:
            block.requires_grad_(False)
        self.to(memory_format=torch.channels_last)

    def train(self, mode=True):
        super().train(mode)
        # Ours keeps BatchNorm's statistics in the trained blocks too.
        for module in self.blocks.modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.eval()
        for block in self.blocks[: self.n_frozen]:
            block.eval()
        return self

    def forward(self, pixels):
        from sktransfer.backbones import State

        state = State(pixels.contiguous(memory_format=torch.channels_last))
        for block in self.blocks:
            state = block(state)
        return self.head(state.hidden.mean((2, 3)))


class Shuffled:
    """One order an epoch; torch's own sampler draws a second one and drops it."""

    def __init__(self, n_rows, generator):
        self.n_rows, self.generator = n_rows, generator

    def __len__(self):
        return self.n_rows

    def __iter__(self):
        return iter(torch.randperm(self.n_rows, generator=self.generator).tolist())


def pixels_of(backbone, paths):
    """Decode once, before the clock of the rival starts."""
    from PIL import Image

    rows = [backbone.preprocess.prepare(Image.open(p).convert("RGB")) for p in paths]
    state = backbone.preprocess.to_input(backbone.batch(rows))
    return state.hidden


def skorch_grid(X, y, rates, n_folds, n_epochs, n_measured=None):
    """Every candidate and fold; or `n_measured` folds of one rate, multiplied."""
    backbone = load_backbone("efficientnet_lite0")
    pixels = pixels_of(backbone, X)
    classes, targets = np.unique(y, return_inverse=True)
    targets = torch.from_numpy(targets)
    splits = list(folds(n_folds).split(X, y))
    seconds, scores = 0.0, []
    for depth in DEPTHS:
        for rate in rates if n_measured is None else rates[:1]:
            parts = splits if n_measured is None else splits[:n_measured]
            start = time.perf_counter()
            fold_scores = [
                skorch_fit(backbone, depth, rate, n_epochs, pixels, targets, split)
                for split in parts
            ]
            elapsed = time.perf_counter() - start
            if n_measured is not None:
                elapsed *= len(rates) * n_folds / n_measured
            seconds += elapsed
            scores.append(statistics.fmean(fold_scores))
    return {
        "scores": scores,
        "wall_s": seconds,
        "measured": "all" if n_measured is None else "one fold and rate a depth",
    }


def skorch_fit(backbone, depth, rate, n_epochs, pixels, targets, split):
    from skorch import NeuralNetClassifier

    from sktransfer.finetuning._heads import make_head

    train, test = split
    n_frozen = backbone.resolve_depth(depth)
    seed = int(np.random.RandomState(SEED).randint(2**31 - 1))
    with seeded(seed):
        n_classes = len(targets.unique())
        head = make_head("linear", backbone.widths[-1], n_classes, 0.0)
        module = Network(backbone.blocks.values(), n_frozen, head)
        data = torch.utils.data.TensorDataset(pixels[train], targets[train])
        sampler = Shuffled(len(data), torch.Generator().manual_seed(seed))
        net = NeuralNetClassifier(
            module,
            criterion=nn.CrossEntropyLoss,
            optimizer=torch.optim.AdamW,
            optimizer__weight_decay=0.0,
            lr=rate,
            max_epochs=n_epochs,
            batch_size=BATCH,
            train_split=None,
            iterator_train__sampler=sampler,
            verbose=0,
        )
        net.fit(data, None)
        logits = torch.as_tensor(net.predict_proba(pixels[test]))
    return float((logits.argmax(1) == targets[test]).float().mean())


# -- what bounds it --------------------------------------------------------------------


def costs(X, y):
    """Seconds of one epoch through the whole network, and of the suffix alone."""
    backbone = load_backbone("efficientnet_lite0")
    pixels = pixels_of(backbone, X)[:96]
    targets = torch.from_numpy(np.unique(y, return_inverse=True)[1])[:96]
    from sktransfer.backbones import State
    from sktransfer.finetuning._heads import make_head

    whole, suffix = [], []
    for depth in DEPTHS:
        k = backbone.resolve_depth(depth)
        with seeded(SEED):
            head = make_head("linear", backbone.widths[-1], 6, 0.0)
        with torch.no_grad():
            state = State(pixels)
            for block in list(backbone.blocks.values())[:k]:
                state = block(state)
        hidden = state.hidden if k < len(backbone.blocks) else None
        pooled = state.hidden.mean((2, 3)) if hidden is None else None
        blocks = list(backbone.blocks.values())
        full = Network(blocks, k, head)
        part = Network(blocks[k:], 0, head)
        if hidden is None:
            part = part.head
        inputs = pooled if hidden is None else hidden
        times = {"whole": [], "suffix": []}
        for _ in range(5):
            times["whole"].append(epoch_s(full, pixels, targets))
            times["suffix"].append(epoch_s(part, inputs, targets))
        whole.append(statistics.median(times["whole"]))
        suffix.append(statistics.median(times["suffix"]))
    return {
        "whole_s": whole,
        "suffix_s": suffix,
        "ratio": sum(whole) / sum(suffix),
    }


def epoch_s(module, inputs, targets):
    """Train for one epoch in batches; the plainest loop there is."""
    parameters = [p for p in module.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4)
    module.train()
    start = time.perf_counter()
    for first in range(0, len(inputs), BATCH):
        optimizer.zero_grad()
        part = slice(first, first + BATCH)
        loss = nn.functional.cross_entropy(module(inputs[part]), targets[part])
        loss.backward()
        optimizer.step()
    return time.perf_counter() - start


def table(result):
    limit = result["limit"]
    rows = [["grid", "ours, s", "plain skorch, s", "times faster"]]
    for name, ours, rival in (
        ("short: 3 depths, 2 rates, 3 folds, 4 epochs", "ours", "rival"),
        ("long: 3 depths, 3 rates, 5 folds, 10 epochs", "long_ours", "long_rival"),
    ):
        a, b = result[ours]["wall_s"], result[rival]["wall_s"]
        rows.append([name, f"{a:.1f}", f"{b:.0f}", f"**{b / a:.1f}**"])
    rows.append(
        [
            "limit: an epoch of 96 photos, the three depths",
            f"{sum(limit['suffix_s']):.2f}",
            f"{sum(limit['whole_s']):.2f}",
            f"{limit['ratio']:.1f}",
        ]
    )
    return rows
