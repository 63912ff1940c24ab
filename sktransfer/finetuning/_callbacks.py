"""skorch callbacks of a training."""

import copy
import math
import sys
import warnings
from contextlib import closing

import numpy as np
import torch
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
)
from skorch.utils import to_tensor

from .._utils.names import on_disk
from ..exceptions import NonFiniteLossError
from ._batches import SAMPLE_WEIGHT
from ._optim import are_finite
from ._scored import Scored

MEAN_STEPS = 100  # of `MeanWeights`, about
OWN_CALLBACKS = (
    "bar",
    "early_stopping",
    "epochs",
    "gradient_clipping",
    "keep_last_good",
    "lr_schedule",
    "mean_weights",
    "scores",
    "unscale",
)


@on_disk
class Unscale(Callback):
    """Bring gradients back to their size before they are clipped."""

    def on_grad_computed(self, net, **kwargs):
        """Unscale, if there is a scaler."""
        if net.scaler is not None:
            net.scaler.unscale_(net.optimizer_)


@on_disk
class Clip(GradientNormClipping):
    """Clip the gradient of the network, and that of a discriminator for itself.

    Together, what a discriminator learns would slow the network down.
    """

    def on_grad_computed(self, net, named_parameters, **kwargs):
        """Clip."""
        for part in (net.module_, net.criterion_):
            named = list(part.named_parameters())
            if named:
                super().on_grad_computed(net, named, **kwargs)


@on_disk
class KeepLastGood(Callback):
    """Remember the weights of the last whole epoch, and count epochs."""

    def on_train_begin(self, net, **kwargs):
        """Start to count."""
        self.n_epochs_, self.weights_ = 0, None

    def on_epoch_end(self, net, **kwargs):
        """Copy the weights, unless the last step has spoilt them."""
        weights = {
            key: value.detach().clone()
            for key, value in net.module_.state_dict().items()
        }
        if not are_finite(weights.values()):
            raise NonFiniteLossError("a weight is not finite")
        self.n_epochs_ += 1
        self.weights_ = weights

    def __getstate__(self):
        """Leave out the copy."""
        return self.__dict__ | {"weights_": None}


@on_disk
class MeanWeights(Callback):
    """Keep the mean of the weights after each step, of about the last hundred.

    Calls that nobody knows the number of have no end at which the rate is small; their
    mean is steadier than the weights after any step.

    Parameters
    ----------
    mean : dict, default=None
        State of the module to go on from.
    n_steps : int, default=0
        Steps that are in it.

    References
    ----------
    B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by
    Averaging", SIAM Journal on Control and Optimization 30, 1992,
    https://doi.org/10.1137/0330046
    """

    def __init__(self, mean=None, n_steps=0):
        self.mean, self.n_steps = mean, n_steps

    def on_batch_end(self, net, training=False, **kwargs):
        """Take the weights in."""
        if not training:
            return
        weights = net.module_.state_dict()
        if self.mean is None:
            self.mean = {name: value.clone() for name, value in weights.items()}
        self.n_steps += 1
        share = max(1 / self.n_steps, 1 / MEAN_STEPS)
        for name, value in weights.items():
            if value.is_floating_point():
                self.mean[name].lerp_(value, share)
            else:
                self.mean[name].copy_(value)


@on_disk
class Scores(Callback):
    """Metrics of each epoch: of the rows as they are trained, and of those watched.

    Each row counts once, whatever its weight. The former are those of the outputs that
    the steps made on the way, with dropout and weights that change: they cost no pass
    of their own.

    Parameters
    ----------
    scorers : dict of str to callable
        Scorers of scikit-learn, by the names that the history has behind ``train_`` and
        ``valid_``.
    codec : ClassCodec or NumberCodec
        Turns outputs and targets into what scorers take.
    """

    def __init__(self, scorers, codec):
        self.scorers, self.codec = scorers, codec
        self.failed_: set[str] = set()

    def on_epoch_begin(self, net, **kwargs):
        """Start to collect outputs."""
        self.seen_: dict[str, list] = {"train": [], "valid": []}

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):
        """Collect outputs and targets."""
        self.seen_["train" if training else "valid"].append((y_pred, batch[1]))

    def on_epoch_end(self, net, **kwargs):
        """Score them."""
        for part, seen in self.seen_.items():
            if seen:
                for name, value in self.score(seen).items():
                    net.history.record(f"{part}_{name}", value)
        self.seen_ = {"train": [], "valid": []}

    def score(self, seen):
        """Return the scores of batches of outputs and targets.

        A score that these rows do not have is NaN, with a warning.
        """
        outputs, targets = (
            torch.cat([part.detach() for part in parts]).cpu()
            for parts in zip(*seen, strict=True)
        )
        scored = Scored(self.codec, outputs.float().numpy())
        y = self.codec.labels_of(targets.numpy())
        X, found = np.empty((len(y), 0)), {}
        for name, scorer in self.scorers.items():
            try:
                found[name] = float(scorer(scored, X, y))
            except ValueError as err:
                found[name] = math.nan
                if name not in self.failed_:
                    self.failed_.add(name)
                    warnings.warn(
                        f"{name} cannot be computed for {len(y)} rows, and is NaN: "
                        f"{err}",
                        stacklevel=2,
                    )
        return found


@on_disk
class StopEarly(EarlyStopping):
    """Early stopping that counts the start of a training as an epoch.

    By its loss, an epoch is better than the start if it is lower on the rows that are
    watched by more than one standard error of the difference, which pairs the rows. A
    head that was fitted to frozen features may be hard to beat, and a few rows say
    little. Where no epoch is better, the weights at the end are those of the start.

    Parameters
    ----------
    patience : int
        Epochs without a better one before it stops.
    probe : dict, default=None
        State of the head that the start is measured with, and goes back to. None is the
        head that the training starts with.
    scores : Scores, default=None
        Scores the start, where a metric is watched and not the loss.
    metric : str, default=None
        Its name there.
    """

    def __init__(self, patience, probe=None, scores=None, metric=None):
        super().__init__(
            monitor="valid_loss" if metric is None else f"valid_{metric}",
            lower_is_better=metric is None,
            patience=patience,
            load_best=True,
            sink=_silent,
        )
        self.probe, self.scores, self.metric = probe, scores, metric
        self.rows_: list[float] = []
        self.waiting_: list[torch.Tensor] = []

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Measure the start."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        head = net.module_.head
        trained = copy.deepcopy(head.state_dict())
        if self.probe is not None:
            head.load_state_dict(self.probe)
        self._measure(net, X, y)
        head.load_state_dict(trained)

    def _measure(self, net, X, y):
        _, valid = net.get_split_datasets(X, y)
        self.rows_, self.waiting_ = [], []
        means, sizes, seen = [], [], []
        with closing(net.get_iterator(valid, training=False).ahead()) as batches:
            for batch in batches:
                step = net.validation_step(batch)
                means.append(step["loss"])
                sizes.append(len(step["y_pred"]))
                seen.append((step["y_pred"], batch[1]))
                self._keep_rows(net, batch, step["y_pred"])
        means = torch.stack(means).tolist()
        self._collect()
        self.start_rows_ = self.rows_
        value = np.average(means, weights=sizes)
        if self.scores is not None:
            value = self.scores.score(seen)[self.metric]
        if math.isfinite(value):
            self.dynamic_threshold_ = self._calc_new_threshold(value)
            self.best_model_weights_ = copy.deepcopy(net.module_.state_dict())

    def on_epoch_begin(self, net, **kwargs):
        """Start to collect losses."""
        self.rows_, self.waiting_ = [], []

    def on_batch_end(self, net, batch=None, training=False, y_pred=None, **kwargs):
        """Collect the losses of rows that are watched."""
        if not training:
            self._keep_rows(net, batch, y_pred)

    def on_train_end(self, net, **kwargs):
        """Go back to the best epoch; without any to the start."""
        if net.history:
            super().on_train_end(net, **kwargs)
        elif self.best_model_weights_ is not None:
            net.module_.load_state_dict(self.best_model_weights_)

    def _keep_rows(self, net, batch, y_pred):
        # Rows that are compared with each other have no losses of their own, and a
        # metric has none of rows.
        of_rows = getattr(net.criterion_, "of_rows", None)
        if of_rows is not None and self.metric is None:
            y = to_tensor((batch[1], batch[0][SAMPLE_WEIGHT]), device=net.device)
            self.waiting_.append(of_rows(y_pred, *y))

    def _collect(self):
        """Make numbers of the losses, all at once: a device is waited for."""
        if self.waiting_:
            self.rows_ += torch.cat(self.waiting_).tolist()
            self.waiting_ = []

    def _calc_new_threshold(self, score):
        # skorch's is relative to the score, and of a negative one on the wrong side.
        step = self.threshold * abs(score)
        return score - step if self.lower_is_better else score + step

    def _is_score_improved(self, score):
        self._collect()
        if not super()._is_score_improved(score):
            return False
        if len(self.rows_) < 2:
            return True
        gains = np.subtract(self.start_rows_, self.rows_)
        # Not so where the start's loss was not finite.
        return not gains.mean() <= gains.std(ddof=1) / math.sqrt(len(gains))


@on_disk
class Epochs(Callback):
    """Epochs as tasks of scikit-learn's callbacks, which may end the training.

    Parameters
    ----------
    task : Task
        The training.
    """

    def __init__(self, task):
        self.task, self.epoch, self.is_stopped = task, None, False

    def on_epoch_begin(self, net, **kwargs):
        """Begin a task."""
        self.epoch = self.task.subtask("epoch").__enter__()

    def on_epoch_end(self, net, **kwargs):
        """End it, and the training where a callback asks for that."""
        self._end()
        if self.is_stopped:
            raise KeyboardInterrupt

    def on_train_end(self, net, **kwargs):
        """End the task of an epoch that something else has stopped; forget the rows."""
        self._end()
        self.task = None

    def _end(self):
        epoch, self.epoch = self.epoch, None
        if epoch is not None:
            epoch.__exit__(None, None, None)
            self.is_stopped = epoch.is_stopped


def has_stopped(callback):
    """Return True for what has ended a training on purpose."""
    if isinstance(callback, Epochs):
        return callback.is_stopped
    return isinstance(callback, EarlyStopping) and callback.misses_ >= callback.patience


def _silent(*args, **kwargs):
    """Take what a callback would print."""


@on_disk
class Bar(Callback):
    """A progress bar over the steps, with the time that is left, epochs and losses.

    Parameters
    ----------
    n_steps, max_epochs : int
        Length of the whole training, unless it stops early.
    """

    def __init__(self, n_steps, max_epochs):
        self.n_steps, self.max_epochs = n_steps, max_epochs

    def on_train_begin(self, net, **kwargs):
        """Draw an empty bar."""
        from tqdm import tqdm

        self.bar_ = tqdm(total=self.n_steps, unit="step", file=sys.stderr)

    def on_batch_end(self, net, training=False, **kwargs):
        """Move on."""
        if training:
            self.bar_.update()

    def on_epoch_end(self, net, **kwargs):
        """Show what the epoch came to."""
        row = net.history[-1]
        losses = {
            name: f"{value:.4f}"
            for name, value in row.items()
            if name.startswith(("train_", "valid_", "domain_"))
            and isinstance(value, float)
        }
        self.bar_.set_postfix({"epoch": f"{row['epoch']}/{self.max_epochs}"} | losses)

    def on_train_end(self, net, **kwargs):
        """Close the bar."""
        self.bar_.close()
        self.bar_ = None
