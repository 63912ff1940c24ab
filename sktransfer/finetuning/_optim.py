"""Who learns how fast: parameter groups, and the course of the learning rate."""

import math

from .._utils.names import on_disk

WARMUP = {"cosine": 0.1, "one-cycle": 0.3}  # share of all steps
SLOW_STEPS = 10  # after which the rate of "inverse-sqrt" begins to fall


def parameter_groups(
    module, *, lr, backbone_lr_scale, layer_decay, weight_decay, loss=None, domain=None
):
    """Return the optimizer's groups.

    The head and whatever a loss learns learn with `lr`, the last block with
    ``lr * backbone_lr_scale``, and each block before it with `layer_decay` times the
    rate of the one behind it. Biases and norms are not decayed.

    Returns
    -------
    list of dict
        In the optimizer's form, with the name of each.
    """
    parts = [("head", module.head, lr)]
    for name, part in (("loss", loss), ("domain", domain)):
        if part is not None:
            parts.append((name, part, lr))
    # The head starts new (or at a linear model) and learns fastest. What was pretrained
    # learns the slower the earlier it stands: early blocks are the most general, and
    # their error is multiplied by all that follows.
    rate = lr * backbone_lr_scale
    if module.post_pool is not None:
        parts.append(("post_pool", module.post_pool, rate))
    for i in reversed(range(len(module.blocks))):
        parts.append((f"blocks.{i}", module.blocks[i], rate))
        rate *= layer_decay
    # A parameter that several blocks share (`seen`) belongs to the latest of them, as
    # torch refuses one that is in two groups. Each part makes two groups: decay pulls
    # matrices towards 0, where biases, norms and scales have no reason to be.
    groups: list[dict] = []
    seen: set[int] = set()
    for name, part, part_lr in parts:
        own = [p for p in part.parameters() if p.requires_grad and id(p) not in seen]
        seen.update(map(id, own))
        for is_decayed in (True, False):
            chosen = [p for p in own if (p.ndim > 1) == is_decayed]
            if chosen:
                groups.append(
                    {
                        "params": chosen,
                        "name": f"{name}{'' if is_decayed else ' (not decayed)'}",
                        "lr": part_lr,
                        "weight_decay": weight_decay if is_decayed else 0.0,
                    }
                )
    return groups


def optimizer_class(optimizer):
    """Return the class of torch's that makes the steps.

    Raises
    ------
    ValueError
        If it is none.
    """
    import torch

    kind = torch.optim.AdamW if optimizer.kind == "adamw" else optimizer.kind
    if not (isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)):
        raise ValueError(
            f"optimizer={kind!r} is no optimizer; expected 'adamw' or a subclass of "
            "torch.optim.Optimizer, with its arguments in optimizer__params."
        )
    taken = sorted({"lr", "weight_decay"} & set(optimizer.params or ()))
    if taken:
        raise ValueError(
            f"optimizer__params has {taken}, which the estimator sets from lr and "
            "optimizer__weight_decay. Set those, and leave these out."
        )
    return kind


def continue_from(optimizer, state):
    """Give an optimizer the moments of another one, if it has the same parameters.

    Rates and decay stay its own: they are parameters, which may have changed.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Changed in place.
    state : dict
        From ``state_dict`` of the other one.
    """
    own = optimizer.state_dict()
    sizes = [
        [len(group["params"]) for group in groups["param_groups"]]
        for groups in (own, state)
    ]
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    fits = sizes[0] == sizes[1] and all(
        0 <= i < len(parameters) and value.shape == parameters[i].shape
        for i, values in state["state"].items()
        for value in values.values()
        if getattr(value, "ndim", 0)
    )
    if fits:
        optimizer.load_state_dict(own | {"state": state["state"]})


@on_disk
class Schedule:
    """Factor on the learning rate at each step; picklable, for skorch's callback.

    Parameters
    ----------
    kind : {"constant", "cosine", "one-cycle", "inverse-sqrt"}
        "cosine" warms up over a tenth of the steps and falls to 0; "one-cycle" rises
        along a cosine from 1/25 over three tenths, and falls to 0. "inverse-sqrt" falls
        with the inverse square root of the steps, to a half after 30, without an end.
    n_steps : int
    n_before : int, default=0
        Steps of calls before, which "inverse-sqrt" counts.
    """

    def __init__(self, kind, n_steps, n_before=0):
        self.kind, self.n_steps, self.n_before = kind, n_steps, n_before

    def __call__(self, step):
        """Return the factor at a step, from 0."""
        if self.kind == "constant":
            return 1.0
        if self.kind == "inverse-sqrt":
            return 1 / math.sqrt(1 + (self.n_before + step) / SLOW_STEPS)
        n_warmup = max(1.0, WARMUP[self.kind] * self.n_steps)
        if step < n_warmup:
            share = (step + 1) / (n_warmup + 1)
            if self.kind == "cosine":
                return share
            return 0.04 + 0.96 * (1 - math.cos(math.pi * share)) / 2
        rest = max(1.0, self.n_steps - n_warmup)
        return (1 + math.cos(math.pi * min(1.0, (step - n_warmup) / rest))) / 2
