"""Optimizers: parameter groups, and the schedule of the learning rate."""

import copy
import math

from .._utils.names import on_disk

WARMUP = {"cosine": 0.1, "one-cycle": 0.3}  # share of all steps
SLOW_STEPS = 10  # in which the rate of "inverse-sqrt" rises, before it falls
CHANGING = ("lr", "weight_decay")  # arguments of an optimizer
# How AdamW computes a step; a caller who sets one of them has chosen.
FORMS = {"fused", "foreach", "capturable", "differentiable"}


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


def own_arguments(optimizer, device):
    """Return arguments of the optimizer that the estimator chooses itself.

    On CUDA a step of AdamW is one kernel for all parameters, instead of a dozen.
    """
    is_fused = optimizer.kind == "adamw" and device.type == "cuda"
    if not is_fused or FORMS & set(optimizer.params or ()):
        return {}
    return {"fused": True}


def moments_of(optimizer, scaler=None):
    """Return what an optimizer goes on with, by parameter; None if it is spoilt.

    Returns
    -------
    dict or None
        ``made_by``, the class and its arguments; ``moments``, by the name of a group
        and the place of a parameter there; and ``scaler``, the state of a scaler of
        gradients or None.
    """
    moments: dict[str, dict] = {}
    for group in optimizer.param_groups:
        for place, parameter in enumerate(group["params"]):
            values = optimizer.state.get(parameter, {})
            if values:
                moments[f"{group['name']}.{place}"] = dict(values)
    if not are_finite(v for values in moments.values() for v in values.values()):
        return None
    return {
        "made_by": _made_by(optimizer),
        "moments": moments,
        "scaler": None if scaler is None else scaler.state_dict(),
    }


def are_finite(values):
    """Return True if all tensors among some values are finite.

    A device is asked once for all of its tensors: each question waits for it.
    """
    import torch

    flags: dict = {}
    for value in values:
        if hasattr(value, "isfinite"):
            flags.setdefault(value.device, []).append(value.isfinite().all())
    return all(bool(torch.stack(found).all()) for found in flags.values())


def continue_from(optimizer, state, scaler=None):
    """Give an optimizer moments of an equal one, for parameters that both have.

    Rates and decay stay its own: they are parameters, which may have changed. An
    optimizer of another class or with other arguments starts anew.

    Parameters
    ----------
    optimizer : torch.optim.Optimizer
        Changed in place; its moments are copies.
    state : dict
        From `moments_of` of the other one.
    scaler : torch.amp.GradScaler, default=None
        Changed in place.
    """
    if state["made_by"] != _made_by(optimizer):
        return
    # torch numbers the parameters in its state through all groups.
    own, index, found = optimizer.state_dict(), 0, {}
    for group in optimizer.param_groups:
        for place, parameter in enumerate(group["params"]):
            values = state["moments"].get(f"{group['name']}.{place}")
            if values and all(
                value.shape == parameter.shape
                for value in values.values()
                if getattr(value, "ndim", 0)
            ):
                found[index] = {k: _copied(v) for k, v in values.items()}
            index += 1
    optimizer.load_state_dict(own | {"state": found})
    if scaler is not None and state["scaler"]:
        scaler.load_state_dict(state["scaler"])


def _copied(value):
    """Copy a moment; a count of steps to the CPU.

    A fused optimizer counts on its device, and any other on the CPU. When it loads a
    state, torch moves the count to a device where it is wanted there, but never back.
    """
    if getattr(value, "ndim", None) == 0:
        return value.detach().cpu().clone()
    return copy.deepcopy(value)


def _made_by(optimizer):
    """Return a class and its arguments, without those that may change between calls."""
    kept = {k: v for k, v in optimizer.defaults.items() if k not in CHANGING}
    if "fused" in kept:  # the device's matter, and a training may change devices
        kept["fused"] = None
    return f"{type(optimizer).__module__}.{type(optimizer).__qualname__}: {kept}"


@on_disk
class Schedule:
    """Factor on the learning rate at each step; picklable, for skorch's callback.

    Parameters
    ----------
    kind : {"constant", "cosine", "one-cycle", "inverse-sqrt"}
        "cosine" warms up over a tenth of the steps and falls to 0; "one-cycle" rises
        along a cosine from 1/25 over three tenths, and falls to 0. "inverse-sqrt" rises
        over 10 steps and falls with the inverse square root of them, to a half after
        40, without an end.
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
            number = (self.n_before + step + 1) / SLOW_STEPS
            return min(number, 1 / math.sqrt(number))
        n_warmup = max(1.0, WARMUP[self.kind] * self.n_steps)
        if step < n_warmup:
            share = (step + 1) / (n_warmup + 1)
            if self.kind == "cosine":
                return share
            return 0.04 + 0.96 * (1 - math.cos(math.pi * share)) / 2
        rest = max(1.0, self.n_steps - n_warmup)
        return (1 + math.cos(math.pi * min(1.0, (step - n_warmup) / rest))) / 2
