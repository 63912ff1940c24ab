"""The skorch net that trains: loss, steps and callbacks.

The only module that imports skorch.
"""

import sys
import warnings

import skorch
import torch
from skorch.callbacks import (
    Callback,
    EarlyStopping,
    GradientNormClipping,
    LRScheduler,
    PassthroughScoring,
)
from skorch.helper import predefined_split
from skorch.history import History
from skorch.utils import to_tensor
from torch import nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from .._utils.devices import autocast
from .._utils.names import on_disk
from ..exceptions import NonFiniteLossError
from ._batches import RowsLoader
from ._optim import Schedule


@on_disk
class Loss(nn.Module):
    """The mean of the rows' losses, each times its weight.

    Parameters
    ----------
    task : {"classes", "labels", "numbers"}
    label_smoothing : float
    """

    def __init__(self, task, label_smoothing=0.0):
        super().__init__()
        self.task, self.label_smoothing = task, label_smoothing

    def forward(self, outputs, target):
        """Return the loss of a batch."""
        target, weight = target
        if self.task == "classes":
            losses = functional.cross_entropy(
                outputs,
                target,
                reduction="none",
                label_smoothing=self.label_smoothing,
            )
        elif self.task == "labels":
            smooth = target * (1 - self.label_smoothing) + self.label_smoothing / 2
            losses = functional.binary_cross_entropy_with_logits(
                outputs, smooth, reduction="none"
            ).mean(1)
        else:
            losses = functional.mse_loss(outputs, target, reduction="none").mean(1)
        return (losses * weight).mean()


@on_disk
class FineTuneNet(skorch.NeuralNet):
    """A skorch net with parameter groups, mixed precision, and halved batches.

    Parameters
    ----------
    parameter_groups : list of dict, default=None
        What the optimizer gets.
    precision : {"float32", "bfloat16", "float16"}, default="float32"
    """

    def __init__(self, *args, parameter_groups=None, precision="float32", **kwargs):
        super().__init__(*args, **kwargs)
        self.parameter_groups = parameter_groups
        self.precision = precision

    def get_params_for_optimizer(self, prefix, named_parameters):
        """Return the groups instead of skorch's name patterns."""
        args, kwargs = super().get_params_for_optimizer(prefix, named_parameters)
        if prefix == "optimizer" and self.parameter_groups:
            args = (self.parameter_groups,)
        return args, kwargs

    def initialize_optimizer(self, triggered_directly=None):
        """Make the optimizer, and a gradient scaler for float16 on CUDA."""
        super().initialize_optimizer(triggered_directly)
        device = torch.device(self.device)
        is_scaled = self.precision == "float16" and device.type == "cuda"
        self.scaler = torch.amp.GradScaler(enabled=True) if is_scaled else None
        return self

    def infer(self, x, **fit_params):
        """Run the module at the given precision."""
        device = torch.device(self.device)
        if device.type == "cuda":
            pinned = {k: v if v.is_cuda else v.pin_memory() for k, v in x.items()}
            x = {k: v.to(device, non_blocking=True) for k, v in pinned.items()}
        with autocast(device, self.precision):
            return super().infer(x, **fit_params)

    def train_step_single(self, batch, **fit_params):
        """Compute gradients; in two halves where the device's memory is too small."""
        self._set_training(True)
        inputs, target = batch
        try:
            return self._backward(inputs, target, 1.0)
        except torch.OutOfMemoryError:
            n_rows = len(target[1])
            if n_rows == 1:
                raise
        self._zero_grad_optimizer()
        torch.cuda.empty_cache()
        steps = [
            self._backward(*half, len(half[1][1]) / n_rows)
            for half in self._halves(inputs, target)
        ]
        return {
            "loss": steps[0]["loss"] + steps[1]["loss"],
            "y_pred": torch.cat([step["y_pred"] for step in steps]),
        }

    def _halves(self, inputs, target):
        for part in self._half_slices(len(target[1])):
            yield {k: v[part] for k, v in inputs.items()}, [t[part] for t in target]

    def _half_slices(self, n_rows):
        half = -(-n_rows // 2)
        return slice(0, half), slice(half, None)

    def _backward(self, inputs, target, share):
        outputs = self.infer(inputs)
        loss = share * self.get_loss(outputs.float(), target, X=inputs, training=True)
        self._send_back(loss)
        return {"loss": loss.detach(), "y_pred": outputs.detach()}

    def _send_back(self, loss):
        if not torch.isfinite(loss):
            raise NonFiniteLossError(f"the loss is {loss.item()}")
        (loss if self.scaler is None else self.scaler.scale(loss)).backward()

    def _step_optimizer(self, step_fn):
        """Step, through the scaler if there is one."""
        if self.scaler is None:
            super()._step_optimizer(step_fn)
            return
        step_fn()
        self.scaler.step(self.optimizer_)
        self.scaler.update()

    def get_loss(self, y_pred, y_true, X=None, training=False):
        """Return the loss; targets come with weights."""
        return self.criterion_(y_pred, to_tensor(tuple(y_true), device=self.device))

    def __getstate__(self):
        """Leave out what only training needs, above all the rows that were set aside.

        skorch would write the weights several times over: as a parameter, as an
        attribute, and in optimizer, parameter groups and callbacks.
        """
        slim = object.__new__(type(self))
        slim.__dict__.update(self.__dict__)
        slim.__dict__.update(
            module=None,
            train_split=None,
            parameter_groups=None,
            scaler=None,
            initialized_=False,
            callbacks=_without_own(self.callbacks),
            callbacks_=_without_own(getattr(self, "callbacks_", [])),
        )
        slim.__dict__.pop("optimizer_", None)
        return super(FineTuneNet, slim).__getstate__()

    def __setstate__(self, state):
        """Restore a net that predicts; `initialize` makes one that trains of it."""
        super().__setstate__(state)
        self.module = self.module_


OWN_PARAMS = {
    "batch_size",
    "callbacks",
    "criterion",
    "device",
    "iterator_train",
    "iterator_train__shuffle",
    "iterator_valid",
    "lr",
    "max_epochs",
    "module",
    "optimizer__lr",
    "optimizer__weight_decay",
    "train_split",
    "verbose",
}
OWN_CALLBACKS = (
    "bar",
    "early_stopping",
    "gradient_clipping",
    "keep_last_good",
    "lr_schedule",
    "unscale",
)


def _without_own(callbacks):
    def is_own(entry):
        return isinstance(entry, tuple) and entry[0] in OWN_CALLBACKS

    return [entry for entry in callbacks or [] if not is_own(entry)]


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
        if not all(torch.isfinite(value).all() for value in weights.values()):
            raise NonFiniteLossError("a weight is not finite")
        self.n_epochs_ += 1
        self.weights_ = weights

    def __getstate__(self):
        """Leave out the copy."""
        return self.__dict__ | {"weights_": None}


@on_disk
class Bar(Callback):
    """A progress bar over the epochs, with losses and the time that is left."""

    def __init__(self, max_epochs):
        self.max_epochs = max_epochs

    def on_train_begin(self, net, **kwargs):
        """Draw an empty bar."""
        from tqdm import tqdm

        self.bar_ = tqdm(total=self.max_epochs, unit="epoch", file=sys.stderr)

    def on_epoch_end(self, net, **kwargs):
        """Move on."""
        row = net.history[-1]
        names = ("train_loss", "valid_loss", "domain_loss")
        losses = {name: f"{row[name]:.4f}" for name in names if name in row}
        self.bar_.set_postfix(losses)
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        """Close the bar."""
        self.bar_.close()
        self.bar_ = None


def make_net(
    module,
    loss,
    groups,
    dataset,
    valid,
    *,
    max_epochs,
    batch_size,
    lr,
    lr_schedule,
    gradient_clip_value,
    n_iter_no_change,
    device,
    precision,
    callbacks,
    net_params,
    verbose,
    domain=None,
    domain_loss_weight=1.0,
    is_ramped=True,
    loader=RowsLoader,
    n_batches=None,
):
    """Return an initialised net, ready to train on a dataset.

    With a `DomainLoss` as `domain` it is a `DomainNet`. `loader` makes the batches, and
    with `n_batches` so many an epoch.
    """
    taken = sorted(OWN_PARAMS & set(net_params or ()))
    if taken:
        raise ValueError(
            f"net_params has {taken}, which the estimator sets from parameters of its "
            "own, such as lr, weight_decay, max_epochs, batch_size, callbacks, "
            "objective and early_stopping. Set those, and leave these out."
        )
    own = [("unscale", Unscale()), ("keep_last_good", KeepLastGood())]
    if gradient_clip_value is not None:
        own.append(("gradient_clipping", Clip(gradient_clip_value)))
    n_steps = max_epochs * (n_batches or len(loader(dataset, batch_size)))
    if lr_schedule != "constant":
        schedule = Schedule(lr_schedule, n_steps)
        own.append(
            (
                "lr_schedule",
                LRScheduler(LambdaLR, lr_lambda=schedule, step_every="batch"),
            )
        )
    if valid is not None:
        own.append(
            (
                "early_stopping",
                EarlyStopping(patience=n_iter_no_change, load_best=True, sink=_silent),
            )
        )
    if verbose:
        own.append(("bar", Bar(max_epochs)))
    options = {
        "optimizer": torch.optim.AdamW,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "lr": lr,
        "train_split": None if valid is None else predefined_split(valid),
        "iterator_train": loader,
        "iterator_train__shuffle": True,
        "iterator_valid": loader,
        "callbacks": [*own, *(callbacks or [])],
        "callbacks__print_log": None,
        "device": str(device),
        "verbose": 0,
    }
    if n_batches is not None:
        options["iterator_train__n_batches"] = n_batches
    net = FineTuneNet
    if domain is not None:
        from ._domain_net import DomainCriterion, DomainLoader, DomainNet

        net, loss = DomainNet, DomainCriterion(loss, domain)
        own.append(
            (
                "domain_loss",
                PassthroughScoring("domain_loss", lower_is_better=None, on_train=True),
            )
        )
        options |= {
            "callbacks": [*own, *(callbacks or [])],
            "iterator_train": DomainLoader,
            "domain_loss_weight": domain_loss_weight,
            "n_ramp_steps": n_steps if is_ramped else None,
        }
    net = net(
        module,
        loss,
        parameter_groups=groups,
        precision=precision,
        **options | (net_params or {}),
    )
    return net.initialize()


def idle_net(module, loss, *, device, precision, history):
    """Return an initialised net around a trained module, to predict with.

    Parameters
    ----------
    module : Trained
    loss : Loss
    device : torch.device
    precision : str
    history : list of dict
        The epochs that were trained.
    """
    net = FineTuneNet(
        module.to(device),
        loss,
        precision=precision,
        optimizer=torch.optim.AdamW,
        train_split=None,
        iterator_train=RowsLoader,
        iterator_valid=RowsLoader,
        callbacks__print_log=None,
        device=str(device),
        verbose=0,
    ).initialize()
    net.history = History(history)
    return net


def train(net, dataset, max_epochs, name):
    """Train for some epochs; return how many were whole.

    A loss that is not finite and a KeyboardInterrupt end the training with a warning
    and the weights of the last whole epoch (with early stopping, of the best one).

    Raises
    ------
    NonFiniteLossError, KeyboardInterrupt
        If there was no whole epoch.
    """
    callbacks = dict(net.callbacks_)
    keeper, early = callbacks["keep_last_good"], callbacks.get("early_stopping")
    net.notify("on_train_begin", X=dataset, y=None)
    error = None
    try:
        net.fit_loop(dataset, None, epochs=max_epochs)
    except (KeyboardInterrupt, NonFiniteLossError) as err:
        # skorch's early stopping raises KeyboardInterrupt too.
        if early is None or early.misses_ < early.patience:
            error = err
            if keeper.weights_ is not None:
                net.module_.load_state_dict(keeper.weights_)
    net.notify("on_train_end", X=dataset, y=None)
    n_epochs, is_lost = keeper.n_epochs_, keeper.weights_ is None
    keeper.weights_ = None
    net.train_split = None  # holds the rows that were set aside
    if early is not None:
        early.best_model_weights_ = None
    if isinstance(error, NonFiniteLossError):
        if is_lost:
            raise NonFiniteLossError(_advice(name, "in the first epoch")) from error
        when = f"in epoch {n_epochs + 1}; the weights of the last whole epoch are kept"
        _warn(_advice(name, when))
    elif error is not None:
        if is_lost:
            raise error
        _warn(
            f"{name}: training was interrupted after {n_epochs} epochs; the weights "
            "are those of the last whole epoch, or the best (early_stopping)."
        )
    return n_epochs


def _advice(name, when):
    return (
        f"{name}: the loss or a weight was not finite {when}. Use a smaller lr (or "
        "backbone_lr_scale), gradient_clip_value=1.0, or precision='float32'."
    )


def _warn(text):
    from sklearn.exceptions import ConvergenceWarning

    warnings.warn(text, ConvergenceWarning, stacklevel=2)


def _silent(*args, **kwargs):
    """Take what a callback would print."""
