"""State that one call of a training leaves to the next."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._utils.names import on_disk


@on_disk
class TrainingState:
    """Seeds, scales and the optimizer of a training of several calls.

    `partial_fit` and `warm_start` go on with the state of the call before. A copy is
    changed while a call runs, so that one that fails leaves everything as it was.

    Parameters
    ----------
    seed : int
        Seed of the first call; later calls have seeds that follow from it.

    Attributes
    ----------
    n_calls, n_steps : int
        Calls that were begun, and steps of the optimizer in them.
    weight_sum, n_rows : float, int
        Weights of all rows before they are scaled, and the number of rows.
    counts : ndarray or None
        Rows of each class, or of each label, in all calls.
    prior_sum, prior_weight : ndarray or float, float
        Weighted sum of the encoded targets since the last fit, and of the weights.
    weights : dict or None
        Weights after the last step, where the net has the mean of the steps.
    optimizer : dict or None
        State of the optimizer, from `moments_of`.
    loss : dict or None
        Weights of a loss that learns some.
    domain : dict or None
        Weights of the loss between domains, with its kind.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.n_calls = self.n_steps = 0
        self.weight_sum, self.n_rows = 0.0, 0
        self.counts: np.ndarray | None = None
        self.prior_sum: Any = 0.0
        self.prior_weight = 0.0
        self.weights: dict[str, Any] | None = None
        self.optimizer: dict[str, Any] | None = None
        self.loss: dict[str, Any] | None = None
        self.domain: dict[str, Any] | None = None

    def copy(self) -> TrainingState:
        """Return a copy; arrays and tensors are shared, and never changed in place."""
        copy = TrainingState(self.seed)
        copy.__dict__.update(self.__dict__)
        return copy

    def next_seed(self) -> int:
        """Return the seed of a new call: of its order, views, changes and dropout."""
        seed = self.seed
        if self.n_calls:
            sequence = np.random.SeedSequence([self.seed, self.n_calls])
            seed = int(sequence.generate_state(1)[0] % 2**31)
        self.n_calls += 1
        return seed

    def scale_of(self, weight: np.ndarray) -> float:
        """Count rows with weights, and return the mean weight of all so far.

        Divided by it, weights mean the same in every call, and have no part in the
        learning rate.
        """
        self.weight_sum += float(weight.sum())
        self.n_rows += len(weight)
        return self.weight_sum / self.n_rows if self.weight_sum else 1.0

    def count(self, counts: np.ndarray) -> np.ndarray:
        """Count rows of each class or label, and return those of all calls."""
        self.counts = counts if self.counts is None else self.counts + counts
        return self.counts

    def make_room(self, places: np.ndarray, n_classes: int) -> None:
        """Add classes without rows; `places` are those of the classes so far."""
        for name in ("counts", "prior_sum"):
            old = getattr(self, name)
            new = np.zeros(n_classes, old.dtype)
            new[places] = old
            setattr(self, name, new)

    def prior_of(self, mean: np.ndarray, weight: float, *, is_new: bool) -> np.ndarray:
        """Take a mean of targets in, and return the mean since the last fit."""
        if is_new:
            self.prior_sum, self.prior_weight = 0.0, 0.0
        self.prior_sum = self.prior_sum + mean * weight
        self.prior_weight += weight
        return np.asarray(self.prior_sum / self.prior_weight)

    def without_tensors(self) -> TrainingState:
        """Return a copy without the weights of the optimizer and of losses."""
        copy = self.copy()
        copy.weights = copy.optimizer = copy.loss = copy.domain = None
        return copy

    def __getstate__(self) -> dict[str, Any]:
        """Bring tensors to the CPU, which every machine has."""
        state = dict(self.__dict__)
        for name in ("weights", "optimizer", "loss", "domain"):
            state[name] = _on_cpu(state[name])
        return state


def _on_cpu(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _on_cpu(inner) for key, inner in value.items()}
    return value.detach().cpu() if hasattr(value, "detach") else value
