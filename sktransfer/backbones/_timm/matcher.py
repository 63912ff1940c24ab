"""The fall-back for timm's other families: the model's own group matcher."""

from torch import nn

from ..._utils.names import on_disk
from .._blocks import Apply
from .._recipe import Recipe, bare

# What comes after forward_features.
HEAD_NAMES = ("head", "fc", "classifier", "global_pool", "head_drop", "drop", "flatten")


def by_group_matcher(model):
    """Cut a model by the groups in which timm's layer decay sees its parameters.

    Works where the parts run one after the other in the order in which they are
    declared; the caller compares the outcome with the model and drops it if not.

    Returns
    -------
    Recipe or None
        None if the model has no matcher or no parts.
    """
    from timm.models import group_parameters

    if not hasattr(model, "group_matcher"):
        return None
    by_parameter = group_parameters(model, model.group_matcher(), reverse=True)
    parts = [
        (name, part)
        for name, child in model.named_children()
        if name not in HEAD_NAMES
        for name, part in _parts(name, child, by_parameter)
    ]
    blocks: dict[str, nn.Module] = {}
    groups: list = []
    for name, part in parts:
        group = _groups(name, part, by_parameter)
        # A part without parameters, or of the group before, belongs to the one before.
        if blocks and (not group or group == groups[-1]):
            last = next(reversed(blocks))
            blocks[last] = nn.Sequential(blocks[last], part)
        else:
            blocks[name] = part
            groups.append(group)
    if len(blocks) < 2:
        return None
    last = next(reversed(blocks))
    blocks[last] = nn.Sequential(blocks[last], MatchedHead(model))
    return Recipe({name: Apply(block) for name, block in blocks.items()}, "none")


def _parts(name, module, by_parameter):
    """Open containers whose parameters belong to more than one group."""
    is_container = isinstance(module, (nn.Sequential, nn.ModuleList))
    if not is_container or len(_groups(name, module, by_parameter)) <= 1:
        return [(name, module)]
    return [
        part
        for child_name, child in module.named_children()
        for part in _parts(f"{name}.{child_name}", child, by_parameter)
    ]


def _groups(name, module, by_parameter):
    return {by_parameter.get(f"{name}.{key}") for key, _ in module.named_parameters()}


@on_disk
class MatchedHead(nn.Module):
    """The model's own pooling and what follows it."""

    def __init__(self, model):
        super().__init__()
        names = [name for name, _ in model.named_children() if name not in HEAD_NAMES]
        self.model = bare(model, *names)

    def forward(self, features):
        """Map the last features to vectors."""
        return self.model.forward_head(features, pre_logits=True)
