"""The trained part of a fine-tuning estimator as numbers and tensors, and back."""

import copy


def describe_net(estimator):
    """Take the trained part of a fitted estimator apart.

    Parameters
    ----------
    estimator : BaseFineTuner
        Fitted.

    Returns
    -------
    record : dict
        What `rebuild_net` needs to make an empty one; JSON holds it.
    tensors : dict of str to Tensor
        Weights and buffers of the trained blocks and the head, on the CPU.
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
    return record, tensors


def rebuild_net(estimator, backbone, record, tensors, device):
    """Make the net of a fitted estimator again.

    Parameters
    ----------
    estimator : BaseFineTuner
        With its `_codec`.
    backbone : Backbone
        The network that it was fitted on.
    record, tensors : dict
        From `describe_net`.
    device : torch.device
        Where it is to run.

    Returns
    -------
    FineTuneNet

    Raises
    ------
    ValueError
        If the tensors do not fit.
    """
    import torch

    from .._utils.devices import own_arithmetic, seeded
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
        module.load_state_dict(tensors)
    except RuntimeError as err:
        raise ValueError(f"the tensors do not fit the network: {err}") from err
    module.eval()
    return idle_net(
        module,
        RowLoss(torch.nn.Identity()),  # a call that goes on training makes its own
        codec=estimator._codec,
        device=device,
        precision=record["precision"],
        history=copy.deepcopy(estimator.history_),
    )
