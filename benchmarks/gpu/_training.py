"""Stages `train` and `grid`: fine-tuning, and a search over it on one card."""

from functools import partial

from .._harness import SEED
from .._rivals import PictureFiles
from ._data import N_CLASSES, jpegs, labels, prepare
from ._setting import WARM_ROWS, passes
from ._stage import Claim, Stage, time_over

OURS, BY_HAND = "ImageClassifier", "DataLoader loop"
# Blocks that stay as they are, as `freeze_depth`; the head is trained in any case.
PARTS = {"last block": -1, "everything": 0}
OVER_LOOP, AGAINST_LOOP = 3, 1.1
LR = 3e-4
RATES = (1e-3, 3e-4)
N_FOLDS = 3
JOBS_RATIO = 1.0


def contestants(sizes):
    found = {}
    for part, depth in PARTS.items():
        found[f"{part}, {OURS}"] = partial(classifier, depth=depth)
        found[f"{part}, {BY_HAND}"] = partial(loop_by_hand, depth=depth)
    return found


def claims(sizes):
    last, everything = PARTS
    return [
        Claim(
            f"train, {last}: time of the {BY_HAND} over ours",
            time_over(f"{last}, {BY_HAND}", f"{last}, {OURS}"),
            ">=",
            OVER_LOOP,
        ),
        Claim(
            f"train, {everything}: our time over that of the {BY_HAND}",
            time_over(f"{everything}, {OURS}", f"{everything}, {BY_HAND}"),
            "<=",
            AGAINST_LOOP,
        ),
    ]


def classifier(sizes, depth):
    from sktransfer import BackboneSpec, ImageClassifier

    spec = BackboneSpec(sizes.trained, pretrained=False, random_state=SEED)
    paths, y = jpegs(sizes, sizes.n_trained), labels(sizes.n_trained)
    ours = ImageClassifier(
        spec,
        freeze_depth=depth,
        max_epochs=sizes.n_epochs,
        batch_size=sizes.train_batch,
        lr=LR,
        cache=None,  # a second fit would find everything
        device=sizes.device,
        precision=sizes.precision,
        random_state=SEED,
    )
    ours.fit(paths[:WARM_ROWS], y[:WARM_ROWS])
    times, _ = passes(sizes, lambda: ours.fit(paths, y), len(paths))
    return {**times, "last_loss": float(ours.history_[-1]["train_loss"])}


def loop_by_hand(sizes, depth):
    """Train with a DataLoader, under autocast, with BatchNorm's own statistics."""
    import timm
    import torch
    from timm.data import create_transform, resolve_data_config

    torch.manual_seed(SEED)
    model = timm.create_model(sizes.trained, pretrained=False, num_classes=N_CLASSES)
    model = model.eval().to(sizes.device, memory_format=torch.channels_last)
    if depth:
        trained = [*model.layer4[-1].parameters(), *model.fc.parameters()]
        model.requires_grad_(False)
        for parameter in trained:
            parameter.requires_grad_(True)
    transform = create_transform(**resolve_data_config({}, model=model))
    paths, y = jpegs(sizes, sizes.n_trained), labels(sizes.n_trained)
    train = partial(_train, sizes, model)
    train(_loader(sizes, transform, paths[:WARM_ROWS], y))

    def fit():
        return train(_loader(sizes, transform, paths, y))

    times, loss = passes(sizes, fit, len(paths))
    return {**times, "workers": sizes.n_workers, "last_loss": loss}


class LabelledFiles(PictureFiles):
    """A torch data set of files and their classes."""

    def __init__(self, paths, transform, y):
        super().__init__(paths, transform)
        self.y = y

    def __getitem__(self, i):
        return super().__getitem__(i), int(self.y[i])


def _loader(sizes, transform, paths, y):
    from torch.utils.data import DataLoader

    return DataLoader(
        LabelledFiles(paths, transform, y),
        batch_size=sizes.train_batch,
        shuffle=True,
        num_workers=sizes.n_workers,
        pin_memory=sizes.device == "cuda",
        persistent_workers=True,
    )


def _train(sizes, model, loader):
    """Train for all epochs; return the mean loss of the last one."""
    import torch
    from torch.nn.functional import cross_entropy

    dtype = getattr(torch, sizes.precision)
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LR)
    for _ in range(sizes.n_epochs):
        losses = []
        for images, targets in loader:
            images = images.to(sizes.device, non_blocking=True)
            images = images.contiguous(memory_format=torch.channels_last)
            targets = targets.to(sizes.device, non_blocking=True)
            with torch.autocast(sizes.device, dtype, enabled=dtype != torch.float32):
                loss = cross_entropy(model(images), targets)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            losses.append(loss.detach())  # reading it would wait for the device
    return float(torch.stack(losses).mean())


# -- grid ----------------------------------------------------------------------------


def grid_contestants(sizes):
    return {f"n_jobs={n_jobs}": partial(search, n_jobs=n_jobs) for n_jobs in sizes.jobs}


def grid_claims(sizes):
    one, many = (f"n_jobs={n_jobs}" for n_jobs in sizes.jobs)
    return [
        Claim(
            f"grid: time with {many} over that with {one}",
            time_over(many, one),
            "<=",
            JOBS_RATIO,
        ),
        Claim(
            f"grid: greatest difference of scores between {one} and {many}",
            lambda found: max(
                abs(a - b)
                for a, b in zip(
                    found[one]["scores"], found[many]["scores"], strict=True
                )
            ),
            "<=",
            0,
        ),
    ]


def search(sizes, n_jobs):
    from sklearn.model_selection import GridSearchCV

    from sktransfer import BackboneSpec, ImageClassifier

    spec = BackboneSpec(sizes.grid_network, pretrained=False, random_state=SEED)
    paths, y = jpegs(sizes, sizes.n_grid), labels(sizes.n_grid)
    model = ImageClassifier(
        spec, max_epochs=sizes.grid_epochs, device=sizes.device, random_state=SEED
    )
    # Workers, their imports and their networks are part of what n_jobs costs; a second
    # pass would find everything in the caches.
    candidates = {"freeze_depth": list(sizes.grid_depths), "lr": RATES}
    grid = GridSearchCV(model, candidates, cv=N_FOLDS, n_jobs=n_jobs, refit=False)
    times, _ = passes(sizes, lambda: grid.fit(paths, y), len(paths), n_passes=1)
    scores = [
        float(score)
        for fold in range(N_FOLDS)
        for score in grid.cv_results_[f"split{fold}_test_score"]
    ]
    return {**times, "scores": scores}


TRAIN = Stage(contestants, claims, prepare)
GRID_SEARCH = Stage(grid_contestants, grid_claims, prepare)
