"""How the vision families of transformers are cut."""

from torch import nn

from ..._utils.names import on_disk
from .._blocks import Apply, mask_names
from .._recipe import Recipe, with_last


@on_disk
class VisionLayer(nn.Module):
    """Run a transformer layer, which returns a tuple in some versions.

    Parameters
    ----------
    layer : torch.nn.Module
        Called as ``layer(tokens, **context)``.
    **context
        Further arguments that the layer takes.
    """

    def __init__(self, layer, **context):
        super().__init__()
        self.layer = layer
        self.context = context

    def forward(self, tokens):
        """Map tokens to tokens."""
        out = self.layer(tokens, **self.context)
        return out[0] if isinstance(out, tuple) else out


def clip(model):
    """CLIP's image tower: its norm, and the projection, come after pooling."""
    tower = getattr(model, "vision_model", model)
    stem = nn.Sequential(tower.embeddings, tower.pre_layrnorm)
    blocks: dict[str, nn.Module] = {"embeddings": stem}
    for i, layer in enumerate(tower.encoder.layers):
        names, unused = mask_names(layer)
        masks = dict.fromkeys([*names, *unused])
        blocks[f"encoder.layers.{i}"] = VisionLayer(layer, **masks)
    projection = getattr(model, "visual_projection", None)
    tail = [tower.post_layernorm, *([] if projection is None else [projection])]
    return Recipe(_applied(blocks), "cls", nn.Sequential(*tail), 1)


def vit(model):
    """ViT, DINO, MAE's encoder as a ViT."""
    name = "layers"
    layers = getattr(model, name, None)
    if layers is None:  # before transformers 5
        name, layers = "encoder.layer", model.encoder.layer
    blocks: dict[str, nn.Module] = {"embeddings": model.embeddings}
    for i, layer in enumerate(layers):
        blocks[f"{name}.{i}"] = VisionLayer(layer)
    with_last(blocks, model.layernorm)
    return Recipe(_applied(blocks), "cls", None, 1)


def dinov2(model):
    """DINOv2, with and without registers."""
    blocks: dict[str, nn.Module] = {"embeddings": model.embeddings}
    for i, layer in enumerate(model.encoder.layer):
        blocks[f"encoder.layer.{i}"] = VisionLayer(layer)
    with_last(blocks, model.layernorm)
    n_registers = getattr(model.config, "num_register_tokens", 0)
    return Recipe(_applied(blocks), "cls", None, 1 + n_registers)


def _applied(blocks):
    return {name: Apply(block) for name, block in blocks.items()}


RECIPES = {
    "CLIPModel": clip,
    "CLIPVisionModel": clip,
    "Dinov2Model": dinov2,
    "Dinov2WithRegistersModel": dinov2,
    "ViTModel": vit,
}
