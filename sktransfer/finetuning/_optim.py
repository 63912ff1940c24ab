"""Who learns how fast: parameter groups, and the course of the learning rate."""

import math

from .._utils.names import on_disk

WARMUP = {"cosine": 0.1, "one-cycle": 0.3}  # share of all steps


def parameter_groups(
    module, *, lr, backbone_lr_scale, layer_decay, weight_decay, domain=None
):
    """Return the optimizer's groups.

    The head and a `DomainLoss` learn with `lr`, the last block with
    ``lr * backbone_lr_scale``, and each block before it with `layer_decay` times the
    rate of the one behind it. Biases and norms are not decayed.

    Returns
    -------
    list of dict
        In the optimizer's form, with the name of each.
    """
    parts = [("head", module.head, lr)]
    if domain is not None:
        parts.append(("domain", domain, lr))
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


@on_disk
class Schedule:
    """Factor on the learning rate at each step; picklable, for skorch's callback.

    Parameters
    ----------
    kind : {"constant", "cosine", "one-cycle"}
        "cosine" warms up over a tenth of the steps and falls to 0; "one-cycle" rises
        along a cosine from 1/25 over three tenths, and falls to 0.
    n_steps : int
    """

    def __init__(self, kind, n_steps):
        self.kind, self.n_steps = kind, n_steps

    def __call__(self, step):
        """Return the factor at a step, from 0."""
        if self.kind == "constant":
            return 1.0
        n_warmup = max(1.0, WARMUP[self.kind] * self.n_steps)
        if step < n_warmup:
            share = (step + 1) / (n_warmup + 1)
            if self.kind == "cosine":
                return share
            return 0.04 + 0.96 * (1 - math.cos(math.pi * share)) / 2
        rest = max(1.0, self.n_steps - n_warmup)
        return (1 + math.cos(math.pi * min(1.0, (step - n_warmup) / rest))) / 2
