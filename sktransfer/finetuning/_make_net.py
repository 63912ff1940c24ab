"""Build a net for a training, and run it."""

import sys
import warnings

import torch
from skorch.callbacks import LRScheduler, PassthroughScoring
from skorch.helper import predefined_split
from skorch.history import History
from torch.optim.lr_scheduler import LambdaLR

from ..exceptions import NonFiniteLossError
from ._batches import RowsLoader
from ._callbacks import (
    Bar,
    Clip,
    Epochs,
    KeepLastGood,
    Scores,
    StopEarly,
    Unscale,
    has_stopped,
)
from ._net import FineTuneNet
from ._optim import Schedule, optimizer_class, own_arguments
from ._scored import name_of


def make_net(
    module,
    loss,
    groups,
    dataset,
    valid,
    *,
    optimizer,
    stopping,
    scoring,
    codec,
    max_epochs,
    batch_size,
    lr,
    device,
    precision,
    callbacks,
    verbose,
    task,
    probe=None,
    domain=None,
    domain_loss_weight=1.0,
    is_partial=False,
    n_steps_before=0,
    mean_weights=None,
    loader=RowsLoader,
    n_batches=None,
):
    """Return an initialised net, ready to train on a dataset.

    `stopping`, an `EarlyStopping` or None, watches `valid`; `probe` is a state of the
    head that it takes for the start. With `BetweenDomains` as `domain` it is a
    `DomainNet`. `loader` makes the batches, and with `n_batches` so many an epoch. With
    `is_partial` it is one call of many, with `n_steps_before` behind it, and
    `mean_weights` is a callback that collects the mean of the weights, or None. `task`
    gets a subtask for each epoch.
    """
    own = [("unscale", Unscale()), ("keep_last_good", KeepLastGood())]
    if optimizer.gradient_clip_value is not None:
        own.append(("gradient_clipping", Clip(optimizer.gradient_clip_value)))
    n_steps = max_epochs * (n_batches or len(loader(dataset, batch_size)))
    kind = optimizer.lr_schedule
    if kind != "constant":
        if is_partial:  # nobody knows how many calls there will be
            kind = "inverse-sqrt"
        schedule = Schedule(kind, n_steps, n_steps_before)
        own.append(
            (
                "lr_schedule",
                LRScheduler(LambdaLR, lr_lambda=schedule, step_every="batch"),
            )
        )
    if mean_weights is not None:
        own.append(("mean_weights", mean_weights))
    scores = Scores(scoring, codec) if scoring else None
    if scores is not None:
        own.append(("scores", scores))
    if valid is not None and stopping is not None:
        watched = {}
        if stopping.monitor != "loss":
            watched = {"scores": scores, "metric": name_of(stopping.monitor)}
        own.append(("early_stopping", StopEarly(stopping.patience, probe, **watched)))
    if verbose and sys.stderr is not None:  # None: pythonw has no console
        own.append(("bar", Bar(n_steps, max_epochs)))
    # The last one: all others have seen an epoch before it can be the end.
    theirs = [*(callbacks or []), ("epochs", Epochs(task))]
    options = {
        "optimizer": optimizer_class(optimizer),
        "codec": codec,
        "max_epochs": max_epochs,
        "batch_size": batch_size,
        "lr": lr,
        "train_split": None if valid is None else predefined_split(valid),
        "iterator_train": loader,
        "iterator_train__shuffle": True,
        "iterator_valid": loader,
        "callbacks": [*own, *theirs],
        "callbacks__print_log": None,
        "device": str(device),
        "verbose": 0,
    }
    arguments = own_arguments(optimizer, torch.device(device))
    for key, value in (arguments | dict(optimizer.params or {})).items():
        options[f"optimizer__{key}"] = value
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
            "callbacks": [*own, *theirs],
            "iterator_train": DomainLoader,
            "domain_loss_weight": domain_loss_weight,
            "n_ramp_steps": None if is_partial else n_steps,
        }
    net = net(
        module,
        loss,
        parameter_groups=groups,
        precision=precision,
        **options,
    )
    return net.initialize()


def idle_net(module, loss, *, codec, device, precision, history):
    """Return an initialised net around a trained module, to predict with.

    Parameters
    ----------
    module : Trained
    loss : RowLoss
    codec : ClassCodec or NumberCodec
    device : torch.device
    precision : str
    history : list of dict
        The epochs that were trained.
    """
    net = FineTuneNet(
        module.to(device),
        loss,
        codec=codec,
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


def train_net(net, dataset, max_epochs, name):
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
        # Early stopping and scikit-learn's callbacks raise KeyboardInterrupt too.
        if not any(map(has_stopped, callbacks.values())):
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
        "optimizer__backbone_lr_scale), optimizer__gradient_clip_value=1.0, or "
        "precision='float32'."
    )


def _warn(text):
    from sklearn.exceptions import ConvergenceWarning

    warnings.warn(text, ConvergenceWarning, stacklevel=2)
