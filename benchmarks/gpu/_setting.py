"""Sizes of a run, and what its contestants share."""

import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from .._harness import stopwatch

N_COMPARED = 64  # rows whose features contestants leave for each other
WARM_ROWS = 32


class Setting(NamedTuple):
    """What a run measures, and how much of it.

    Attributes
    ----------
    folder : str
        Folder of the images and networks, and of features that contestants share.
    """

    folder: str
    is_small: bool = False
    device: str = "cuda"
    precision: str = "bfloat16"  # of every contestant whose speed is compared
    networks: tuple[str, ...] = ("resnet50", "vit_base_patch16_224")
    batches: tuple[int, ...] = (64, 256, 512)  # of the network alone; its best counts
    loader_batch: int = 256
    n_images: int = 3000
    n_arrays: int = 4096
    n_texts: int = 20_000
    n_texts_to_choose: int = 4096  # by which the rival's best options are found
    text_networks: tuple[str, ...] = ("MiniLM", "BERT-base")
    trained: str = "resnet50"
    n_trained: int = 1500
    n_epochs: int = 4
    train_batch: int = 32
    grid_network: str = "resnet18"
    n_grid: int = 600
    grid_epochs: int = 2
    grid_depths: tuple[int | str, ...] = ("all", -1, -2)
    jobs: tuple[int, int] = (1, 4)
    n_exact: int = 64
    n_memory: int = 1024
    memory_batches: tuple[int, int] = (1024, 512)  # of transform, of fit
    memory_gib: float = 3.0

    @property
    def n_workers(self):
        """Worker processes of a DataLoader."""
        return min(2 if self.is_small else 16, os.cpu_count())


SMALL: dict[str, Any] = {
    "is_small": True,
    "device": "cpu",
    "precision": "float32",  # few CPUs are fast in another one
    "networks": ("test_resnet",),
    "batches": (4, 8),
    "loader_batch": 8,
    "n_images": 16,
    "n_arrays": 16,
    "n_texts": 128,
    "n_texts_to_choose": 32,
    "text_networks": ("tiny",),
    "trained": "test_resnet",
    "n_trained": 20,
    "n_epochs": 2,
    "train_batch": 8,
    "grid_network": "test_resnet",
    "n_grid": 15,
    "grid_epochs": 1,
    "grid_depths": ("all",),
    "jobs": (1, 2),
    "n_exact": 4,
    "n_memory": 16,
    "memory_batches": (16, 8),
}


def setting(folder, is_small):
    """Return the setting of a full run, or of a small one."""
    return Setting(str(folder), **(SMALL if is_small else {}))


def passes(sizes, function, n_rows, n_passes=2):
    """Time a function some times in a row; return what a record holds, and its result.

    The first pass still compiles kernels and finds its memory. The second one is the
    steady state, which counts in long runs.
    """
    seconds, result = [], None
    for _ in range(n_passes):
        result = None
        synchronise(sizes)
        with stopwatch() as clock:
            result = function()
            synchronise(sizes)
        seconds.append(clock.wall_s)
    return {"rows": n_rows, "seconds": seconds}, result


def synchronise(sizes):
    """Wait until the card has done what it was given."""
    import torch

    if sizes.device == "cuda":
        torch.cuda.synchronize()


def leave(sizes, name, features):
    """Leave the features of the first rows for contestants that run later."""
    np.save(_file(sizes, name), features[:N_COMPARED])


def likeness(sizes, name, features):
    """Return the least cosine with features that were left, and nothing without them.

    A rival that computes something else would make its speed meaningless.
    """
    path = _file(sizes, name)
    if not path.exists():
        return {}
    return {"least_cosine_with_ours": least_cosine(np.load(path), features)}


def _file(sizes, name):
    return Path(sizes.folder) / f"features of {name}.npy".replace("/", "-")


def least_cosine(got, want):
    """Return the least cosine between rows of the same place."""
    n_rows = min(len(got), len(want))
    got, want = (np.asarray(one[:n_rows], np.float64) for one in (got, want))
    norms = np.linalg.norm(got, axis=1) * np.linalg.norm(want, axis=1)
    return float(((got * want).sum(axis=1) / norms).min())
