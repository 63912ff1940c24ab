"""Checks before a training: refuse choices that have no effect, or no meaning."""

import numpy as np

from .._utils.choices import Choices, any_of
from ._domain_losses import DOMAIN_LOSSES
from ._heads import HEADS
from ._losses import LOSSES, ContrastiveLoss, LossOptions, OwnLoss
from ._optim import optimizer_class


def why_target_rows(recipe):
    """Return the parameter that needs rows of a target domain, or None."""
    if recipe.domain_loss is not None:
        return f"domain_loss={recipe.domain_loss.kind!r}"
    return "batch_norm='target'" if recipe.batch_norm == "target" else None


def check_recipe(recipe, request, codec, settings, *, is_partial):
    """Refuse what has no effect on this network and these targets, or no meaning.

    Raises
    ------
    ValueError
    """
    _check_loss(recipe, codec)
    if recipe.stopping is not None and recipe.optimizer.average is True:
        raise ValueError(
            f"{recipe.caller}: optimizer__average=True changes the weights that "
            "early_stopping has chosen. Set one of them to False."
        )
    optimizer_class(recipe.optimizer)  # or an error
    _check_domains(recipe, request, codec)
    is_contrastive = isinstance(recipe.loss, ContrastiveLoss)
    if is_contrastive:
        chosen = "loss='contrastive'"
    elif HEADS[recipe.head.kind].is_trained:
        return
    else:
        chosen = f"head={recipe.head.kind!r}"
    if codec.task != "classes":  # of a head: such a loss was refused before
        others = Choices(HEADS, lambda head: not head.needs_classes)
        raise ValueError(
            f"{recipe.caller}: {chosen} needs one class per row, and y has "
            f"{_what(codec)}. Use head={any_of(others)}."
        )
    if is_partial and not takes_later_classes(recipe, request):
        advice = "" if is_contrastive else ", or freeze_depth='all'"
        raise ValueError(
            f"{recipe.caller}: {chosen} fits the head to all rows at once, but each "
            "call of partial_fit has only some of them. Use fit, with warm_start=True "
            f"to continue training{advice}."
        )
    if is_contrastive:
        _check_contrastive(recipe, settings, request.n_behind)
    elif not request.n_behind:
        _check_untrained(recipe, chosen)


def takes_later_classes(recipe, request):
    """Return True if nothing is trained, so that means of classes can go on."""
    return (
        not HEADS[recipe.head.kind].is_trained
        and not isinstance(recipe.loss, ContrastiveLoss)
        and not request.n_behind
    )


def _check_untrained(recipe, chosen):
    """Refuse what needs a training, where neither head nor blocks have one."""
    for name, value in (
        ("early_stopping", recipe.stopping),
        ("scoring", recipe.scoring),
        ("callbacks", recipe.callbacks),
    ):
        if value:
            raise ValueError(
                f"{recipe.caller}: {name} needs epochs of training, and {chosen} with "
                f"freeze_depth={recipe.freeze_depth!r} has none. Leave {name} out, or "
                "use a smaller freeze_depth."
            )
    if recipe.domain_loss is not None:
        # Losses on features were refused before.
        raise ValueError(
            f"{recipe.caller}: domain_loss={recipe.domain_loss.kind!r} has nothing to "
            f"train: {chosen} has no trained weights, and freeze_depth="
            f"{recipe.freeze_depth!r} freezes all blocks. Use another head, or a "
            "smaller freeze_depth."
        )


def _check_loss(recipe, codec):
    if isinstance(recipe.loss, OwnLoss) and isinstance(recipe.loss.module, type):
        kind = recipe.loss.module
        arguments = "" if issubclass(kind, LossOptions) else "reduction='none'"
        raise ValueError(
            f"{recipe.caller}: loss={kind.__name__} is a class; expected an instance, "
            f"such as {kind.__name__}({arguments})."
        )
    if codec.task in recipe.loss.tasks:
        return
    others = [name for name, kind in LOSSES.items() if codec.task in kind.tasks]
    raise ValueError(
        f"{recipe.caller}: loss={recipe.loss_name} does not suit y, which has "
        f"{_what(codec)}. Use {any_of(others)}."
    )


def _what(codec):
    return {
        "classes": "one class per row",
        "labels": f"{codec.n_outputs} labels per row",
        "numbers": "numbers",
    }[codec.task]


def _check_domains(recipe, request, codec):
    from ._trained import batch_norms

    name = recipe.caller
    kind = None if recipe.domain_loss is None else recipe.domain_loss.kind
    loss = None if kind is None else DOMAIN_LOSSES[kind]
    blocks = list(request.backbone.blocks.values())[request.depth :]
    if loss is not None and loss.acts_on == "features" and not blocks:
        others = [
            other
            for other, spec in DOMAIN_LOSSES.items()
            if spec.acts_on == "outputs"
            and (codec.task == "classes" or not spec.needs_classes)
        ]
        advice = "Use a smaller freeze_depth, such as -1"
        if others:
            advice += f"; or domain_loss={any_of(others)}, which trains the head"
        raise ValueError(
            f"{name}: domain_loss={kind!r} changes the features, and "
            f"freeze_depth={recipe.freeze_depth!r} freezes all blocks that make them. "
            f"{advice}."
        )
    if loss is not None and loss.needs_classes and codec.task != "classes":
        sound = Choices(DOMAIN_LOSSES, lambda spec: not spec.needs_classes)
        raise ValueError(
            f"{name}: domain_loss={kind!r} needs one class per row, "
            f"and y has {_what(codec)}. Use {any_of(sound)}."
        )
    post_pool = request.backbone.post_pool if blocks else None
    if recipe.batch_norm == "target" and not batch_norms(*blocks, post_pool):
        raise ValueError(
            f"{name}: batch_norm='target' needs BatchNorm layers in the trained "
            f"blocks; {request.backbone.name!r} has none after freeze_depth="
            f"{recipe.freeze_depth!r}. Use another batch_norm, or a smaller "
            "freeze_depth if the frozen blocks have such layers."
        )


def _check_contrastive(recipe, settings, n_trained):
    if not n_trained:
        raise ValueError(
            f"{recipe.caller}: loss='contrastive' changes the features, and "
            f"freeze_depth={recipe.freeze_depth!r} freezes all blocks that make them. "
            "Use a smaller freeze_depth, such as -1; or loss='log_loss'."
        )
    heads = Choices(HEADS, lambda head: head.can_be_fitted("classes"))
    domain = None if recipe.domain_loss is None else recipe.domain_loss.kind
    monitor = "loss" if recipe.stopping is None else recipe.stopping.monitor
    for parameter, value, is_taken, advice in (
        ("batch_size", settings.batch_size, settings.batch_size > 1, "2 or more"),
        ("head", recipe.head.kind, recipe.head.kind in heads, any_of(heads)),
        ("head__init", recipe.head.init, recipe.head.init != "random", "'auto'"),
        ("domain_loss", domain, domain is None, "None"),
        (
            "batch_norm",
            recipe.batch_norm,
            recipe.batch_norm != "target",
            "another one",
        ),
        ("early_stopping__monitor", monitor, monitor == "loss", "'loss'"),
        ("scoring", list(recipe.scoring), not recipe.scoring, "None"),
    ):
        if not is_taken:
            raise ValueError(
                f"{recipe.caller}: loss='contrastive' does not take {parameter}="
                f"{value!r}, as it compares labelled rows with each other and fits the "
                f"head afterwards. Use {advice}, or loss='log_loss'."
            )


def check_pairs(recipe, targets):
    """Refuse rows of which no two have the same class."""
    if np.bincount(targets).max() < 2:
        raise ValueError(
            f"{recipe.caller}: loss='contrastive' compares rows of one "
            f"class, and each of these {len(targets)} rows is the only one of its "
            "class. Use head='prototype' with freeze_depth='all', or give more rows "
            "of a class."
        )


def last_frozen(request):
    """Return the name of the last frozen block; empty if nothing is frozen."""
    return request.backbone.block_names[request.depth - 1] if request.depth else ""


def check_can_go_on(fitted, request, recipe):
    """Refuse to go on training with another network, cut, pooling or head.

    Parameters
    ----------
    fitted : BaseFineTuner
        Estimator after a fit, whose parameters may have changed since.
    request : Request
        Network, cut and pooling that its parameters ask for now.
    recipe : Recipe

    Raises
    ------
    ValueError
    """
    module = fitted.net_.module_
    depth = last_frozen(request)
    begin, end = f"{recipe.caller} cannot continue training: ", " Use warm_start=False."
    if request.backbone.fingerprint != fitted._fingerprint:
        raise ValueError(f"{begin}backbone is not the network of the first fit.{end}")
    if depth != fitted.freeze_depth_:
        raise ValueError(
            f"{begin}freeze_depth={fitted.freeze_depth!r} freezes up to {depth!r}, but "
            f"the first fit froze up to {fitted.freeze_depth_!r}.{end}"
        )
    if request.pooling != module.pooling:
        raise ValueError(
            f"{begin}pooling={fitted.pooling!r}, but the first fit used "
            f"{module.pooling!r}.{end}"
        )
    if module.head.kind != recipe.head.kind:
        raise ValueError(
            f"{begin}head={recipe.head.kind!r}, but the first fit made "
            f"{module.head.kind!r}.{end}"
        )
