"""How a fit trains, once the activations of its rows are there."""

from __future__ import annotations

import copy

import numpy as np

from .._utils.allocator import hand_back
from ._checks import check_pairs
from ._head_fit import correct, estimate_statistics, features_of, fit_head, fit_probe
from ._heads import HEADS, make_head
from ._losses import ContrastiveLoss
from ._prefix import Prefix

SCALED_ROWS = 4096  # that are enough to learn a mean and a spread from


def train(plan, task):
    """Train on rows whose activations are there.

    Parameters
    ----------
    plan : Plan
    task : Task
        Gets a subtask for each epoch.

    Returns
    -------
    net : FineTuneNet
        With the trained weights, in eval mode.
    n_epochs : int
        Epochs that were whole.
    history : list of dict
        One for each of them.
    """
    recipe = plan.recipe
    module = _new_module(plan)
    if plan.is_partial and plan.state.weights is not None:
        module.load_state_dict(plan.state.weights)
    elif plan.net is not None:
        module.load_state_dict(plan.net.module_.state_dict())
    if plan.places is not None:
        module.head[-1].make_room(plan.places, plan.codec.n_outputs)
    augmentation = recipe.augmentation
    is_on_the_fly = augmentation is not None and augmentation.views is None
    if is_on_the_fly or plan.request.depth == 0:
        module.prefix = Prefix(plan.request)
    module.to(plan.request.device)
    dataset, valid = _datasets(plan, is_on_the_fly)
    if recipe.batch_norm == "target":
        estimate_statistics(plan, module, dataset, plan.train.rows)
    way = _by_pairs if isinstance(recipe.loss, ContrastiveLoss) else _by_outputs
    net, n_epochs, history = way(plan, module, dataset, valid, task)
    module.prefix = None
    module.eval()
    return net, n_epochs, history[:n_epochs]


def row_loss(plan):
    """Return the loss of rows with labels."""
    from torch import nn

    from ._row_losses import RowLoss

    of_outputs = plan.recipe.loss._make(plan.codec.task, plan.settings.label_smoothing)
    if plan.state.loss is not None and isinstance(of_outputs, nn.Module):
        own = of_outputs.state_dict()
        if {k: v.shape for k, v in own.items()} == {
            k: v.shape for k, v in plan.state.loss.items()
        }:
            of_outputs.load_state_dict(plan.state.loss)
    return RowLoss(of_outputs, plan.label_weights)


def _by_outputs(plan, module, dataset, valid, task):
    """Train blocks and head together."""
    recipe = plan.recipe
    is_fitted = not HEADS[recipe.head.kind].is_trained  # before and after the training
    is_probe = plan.start == "probe" and plan.net is None
    probe = start = None
    if is_probe and valid is not None and recipe.stopping and plan.request.n_behind:
        probe = fit_probe(plan, module, dataset)
    elif is_probe or is_fitted:
        is_again = plan.net is not None
        goes_on = is_again and plan.is_partial
        fit_head(plan, module, dataset, is_again=is_again, goes_on=goes_on)
    if plan.settings.average and is_probe and not plan.is_partial:
        start = copy.deepcopy(module.state_dict())
    domain = _between_domains(plan)
    loss = row_loss(plan)
    if not any(p.requires_grad for p in module.parameters()):
        return _idle_net(plan, module, loss, []), 0, []
    mean = _mean_weights(plan)
    net, n_epochs = _run_net(
        plan,
        module,
        loss,
        dataset,
        valid,
        task=task,
        probe=probe,
        mean_weights=mean,
        domain=domain,
        domain_loss_weight=1.0 if domain is None else recipe.domain_loss.weight,
    )
    learned: dict = getattr(loss.of_outputs, "state_dict", dict)()
    plan.state.loss = learned if recipe.is_kept and learned else None
    plan.state.weights = None
    if mean is not None:
        plan.state.weights = copy.deepcopy(module.state_dict())
        module.load_state_dict(mean.mean)
    if start is not None:
        net.module_.average_with(start)
    if is_fitted:
        fit_head(plan, module, dataset, is_again=True)
    if recipe.batch_norm == "target":
        estimate_statistics(plan, module, dataset, plan.target_rows)
    if valid is not None and recipe.loss._is_corrected_by(len(valid.indices)):
        correct(plan, module, valid)
    if domain is not None:
        left = {"kind": domain.kind, "weights": domain.state_dict()}
        plan.state.domain = left if recipe.is_kept else None
        net.forget_domain()
    return net, n_epochs, list(net.history)


def _mean_weights(plan):
    """Return what collects the mean of the weights over calls; None where none does."""
    from ._callbacks import MeanWeights

    if not plan.is_partial or not plan.settings.average:
        return None
    if plan.state.weights is None:  # the first call, or one after a fit
        return MeanWeights()
    mean = {
        name: value.to(plan.request.device, copy=True)
        for name, value in plan.net.module_.state_dict().items()
    }
    return MeanWeights(mean, plan.state.n_steps)


def _by_pairs(plan, module, dataset, valid, task):
    """Train the blocks by comparing rows, then fit the head to what they make."""
    from ._contrastive import ContrastiveLoader, batches_of_an_epoch
    from ._head_start import standardize

    settings, loss = plan.settings, plan.recipe.loss
    for part in (plan.train, plan.valid):
        if part is not None:
            check_pairs(plan.recipe, part.targets[part.rows])
    head = module.head
    order = np.random.default_rng(plan.seed).permutation(plan.train.rows)
    few = features_of(plan, module, dataset, np.sort(order[:SCALED_ROWS]))
    standardize(head, *few[::2])
    module.head = head[:-1]
    net, n_epochs = _run_net(
        plan,
        module,
        loss._make("classes", 0.0),
        dataset,
        valid,
        task=task,
        loader=ContrastiveLoader,
        n_batches=batches_of_an_epoch(
            len(dataset), settings.batch_size, settings.max_epochs, loss.max_pairs
        ),
    )
    module.head = head
    hand_back()  # what training used; the features of all rows come next
    fit_head(plan, module, dataset, is_start=False)
    history = list(net.history)
    return _idle_net(plan, module, row_loss(plan), history), n_epochs, history


def _run_net(plan, module, loss, dataset, valid, *, domain=None, **options):
    """Make a net of the module and train it; return it and its whole epochs."""
    from ._make_net import make_net, train_net
    from ._optim import continue_from, moments_of, parameter_groups

    recipe, settings = plan.recipe, plan.settings
    loss.to(plan.request.device)  # on some devices parameters are other ones then
    groups = parameter_groups(
        module,
        loss=loss,
        domain=domain,
        lr=settings.lr,
        backbone_lr_scale=settings.backbone_lr_scale,
        layer_decay=recipe.optimizer.layer_decay,
        weight_decay=recipe.optimizer.weight_decay,
    )
    net = make_net(
        module,
        loss,
        groups,
        dataset,
        valid,
        optimizer=recipe.optimizer,
        is_partial=plan.is_partial,
        n_steps_before=plan.state.n_steps,
        stopping=recipe.stopping,
        scoring=recipe.scoring,
        codec=plan.codec,
        max_epochs=settings.max_epochs,
        batch_size=settings.batch_size,
        lr=settings.lr,
        device=plan.request.device,
        precision=recipe.precision,
        callbacks=recipe.callbacks,
        verbose=recipe.verbose,
        domain=domain,
        **options,
    )
    if plan.state.optimizer is not None:
        continue_from(net.optimizer_, plan.state.optimizer, net.scaler)
    n_epochs = train_net(net, dataset, settings.max_epochs, recipe.caller)
    plan.state.n_steps += sum(
        row["train_batch_count"] for row in net.history[:n_epochs]
    )
    plan.state.optimizer = None
    if recipe.is_kept:
        plan.state.optimizer = moments_of(net.optimizer_, net.scaler)
    return net, n_epochs


def _idle_net(plan, module, loss, history):
    from ._make_net import idle_net

    return idle_net(
        module,
        loss,
        codec=plan.codec,
        device=plan.request.device,
        precision=plan.recipe.precision,
        history=history,
    )


def _datasets(plan, is_on_the_fly):
    """Return the rows to train on, and those to watch (None without any)."""
    from ._augment import make_augment
    from ._batches import RowsDataset
    from ._device_rows import budget_of, rows_on

    augment = None
    if is_on_the_fly:
        augment = make_augment(
            plan.recipe.augmentation.kind, plan.request.preprocess.size
        )
    backbone, device = plan.request.backbone, plan.request.device
    budget = None if is_on_the_fly else budget_of(device)

    def kept(views, parts, *rows):
        if budget is None:
            return None
        there = np.unique(np.concatenate([part for part in rows if part is not None]))
        if parts is not None:
            there = np.concatenate([parts[row] for row in there])
        return rows_on(views, there, budget, backbone.modality == "text")

    train = RowsDataset(
        backbone,
        *plan.train,
        seed=plan.seed,
        augment=augment,
        target_rows=plan.target_rows,
        device=device,
        kept=kept(
            plan.train.views, plan.train.parts, plan.train.rows, plan.target_rows
        ),
    )
    if plan.valid is None:
        return train, None
    return train, RowsDataset(
        backbone,
        *plan.valid,
        seed=plan.seed,
        device=device,
        kept=kept(plan.valid.views, plan.valid.parts, plan.valid.rows),
    )


def _new_module(plan):
    """Return the trained part, with the weights of the backbone and a new head."""
    from ._trained import Trained

    backbone, head = plan.request.backbone, plan.recipe.head
    n_outputs = plan.codec.n_outputs if plan.places is None else len(plan.places)
    blocks = list(backbone.blocks.values())[plan.request.depth :]
    return Trained(
        blocks,
        backbone.post_pool if blocks else None,
        make_head(head.kind, backbone.widths[-1], n_outputs, head.dropout),
        pooling=plan.request.pooling,
        n_prefix_tokens=backbone.n_prefix_tokens,
        batch_norm=plan.recipe.batch_norm,
    )


def _between_domains(plan):
    """Return the loss between domains, with what the last call has left of it."""
    options = plan.recipe.domain_loss
    if options is None:
        return None
    from ._domain_net import BetweenDomains

    width = plan.request.backbone.widths[-1]
    domain = BetweenDomains(options.kind, width, plan.codec.n_outputs)
    left = plan.state.domain
    if left is not None and left["kind"] == domain.kind:
        domain.load_state_dict(left["weights"])
    return domain.to(plan.request.device)
