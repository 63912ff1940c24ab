"""The trained part of a fine-tuning estimator as numbers and tensors, and back."""

import copy

import torch

# Beginnings of names of tensors that are not the net's.
PREFIXES = "optimizer.", "domain_loss.", "loss.", "last."
OPTIMIZER, DOMAIN, LOSS, LAST = PREFIXES


def describe_net(estimator):
    """Take the trained part of a fitted estimator apart.

    Parameters
    ----------
    estimator : BaseFineTuner
        Fitted.

    Returns
    -------
    record : dict
        All that `rebuild_net` needs to make an empty one; JSON holds it.
    tensors : dict of str to Tensor
        Weights and buffers of the trained blocks and the head, on the CPU; and, of a
        training that may go on, what its optimizer and its domain loss keep.
    """
    module = estimator.net_.module_
    head = module.head
    record = {
        "head": head.kind,
        "dropout": float(head[1].p),
        "n_outputs": int(estimator._codec.n_outputs),
        "pooling": module.pooling,
        "batch_norm": module.batch_norm,
        "freeze_depth": estimator.freeze_depth_,
        "precision": estimator.net_.precision,
    }
    tensors = {
        name: tensor.detach().cpu() for name, tensor in module.state_dict().items()
    }
    state = estimator._state
    if state.optimizer is not None:
        record["optimizer"] = {
            key: state.optimizer[key] for key in ("made_by", "scaler")
        }
        for name, values in state.optimizer["moments"].items():
            for key, value in values.items():
                if isinstance(value, torch.Tensor):
                    tensors[f"{OPTIMIZER}{name}.{key}"] = value.detach().cpu()
    if state.domain is not None:
        record["domain_loss"] = state.domain["kind"]
        for name, value in state.domain["weights"].items():
            tensors[DOMAIN + name] = value.detach().cpu()
    for prefix, weights in ((LOSS, state.loss), (LAST, state.weights)):
        for name, value in (weights or {}).items():
            tensors[prefix + name] = value.detach().cpu()
    return record, tensors


def rebuild_net(estimator, backbone, record, tensors, device):
    """Make the net of a fitted estimator again, and what its training goes on with.

    Parameters
    ----------
    estimator : BaseFineTuner
        With its `_codec` and `_state`; the latter is completed.
    backbone : Backbone
        The network that it was fitted on.
    record, tensors : dict
        From `describe_net`.
    device : torch.device
        Device to run on.

    Returns
    -------
    FineTuneNet

    Raises
    ------
    ValueError
        If the tensors do not fit.
    """
    from .._utils.arithmetic import own_arithmetic
    from .._utils.seeds import seeded
    from ..backbones._pooling import POOLING_CHOICES
    from ._heads import HEADS, make_head
    from ._make_net import idle_net
    from ._row_losses import RowLoss
    from ._trained import BATCH_NORMS, Trained

    if record["head"] not in HEADS or record["batch_norm"] not in BATCH_NORMS:
        raise ValueError(f"no such head or batch_norm: {record}")
    if record["pooling"] not in (*POOLING_CHOICES, backbone.pooling):
        raise ValueError(f"no such pooling: {record}")
    k = backbone.resolve_depth(
        record["freeze_depth"] or 0, parameter="freeze_depth", minimum=0
    )
    blocks = list(backbone.blocks.values())[k:]
    with own_arithmetic(), seeded(0):  # making modules draws from torch's generator
        head = make_head(
            record["head"], backbone.widths[-1], record["n_outputs"], record["dropout"]
        )
        module = Trained(
            blocks,
            backbone.post_pool if blocks else None,
            head,
            pooling=record["pooling"],
            n_prefix_tokens=backbone.n_prefix_tokens,
            batch_norm=record["batch_norm"],
        )
    try:
        weights = _with_prefix(tensors, "")
        module.load_state_dict(weights)
    except RuntimeError as err:
        raise ValueError(f"the tensors do not fit the network: {err}") from err
    _complete(estimator._state, record, tensors)
    module.eval()
    return idle_net(
        module,
        RowLoss(torch.nn.Identity()),  # a call that goes on training makes its own
        codec=estimator._codec,
        device=device,
        precision=record["precision"],
        history=copy.deepcopy(estimator.history_),
    )


def _complete(state, record, tensors):
    """Give a state what its optimizer and its losses kept."""
    if "optimizer" in record:
        moments: dict = {}
        for name, value in _with_prefix(tensors, OPTIMIZER).items():
            parameter, _, key = name.rpartition(".")
            moments.setdefault(parameter, {})[key] = value
        state.optimizer = {
            "made_by": str(record["optimizer"]["made_by"]),
            "moments": moments,
            "scaler": record["optimizer"]["scaler"],
        }
    if "domain_loss" in record:
        weights = _with_prefix(tensors, DOMAIN)
        state.domain = {"kind": record["domain_loss"], "weights": weights}
    state.loss = _with_prefix(tensors, LOSS) or None
    state.weights = _with_prefix(tensors, LAST) or None


def _with_prefix(tensors, prefix):
    """Return the tensors of a part, without the prefix; "" is the net itself."""
    if prefix:
        found = {name for name in tensors if name.startswith(prefix)}
    else:
        found = {name for name in tensors if not name.startswith(PREFIXES)}
    return {name.removeprefix(prefix): tensors[name] for name in sorted(found)}
