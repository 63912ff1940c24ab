"""How the vision families of transformers are cut."""

from torch import nn

from ._blocks import Apply
from ._recipe import Recipe, with_last


class FirstOfTuple(nn.Module):
    """Run a layer that wants to be told that there is no attention mask."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, tokens):
        """Map tokens to tokens."""
        out = self.layer(tokens, attention_mask=None)
        return out[0] if isinstance(out, tuple) else out


class PlainLayer(nn.Module):
    """Run a layer on the tokens alone; a tuple's first element is what it made."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, tokens):
        """Map tokens to tokens."""
        out = self.layer(tokens)
        return out[0] if isinstance(out, tuple) else out


def clip(model):
    """CLIP's image tower: its norm, and the projection, come after pooling."""
    tower = getattr(model, "vision_model", model)
    stem = nn.Sequential(tower.embeddings, tower.pre_layrnorm)
    blocks = {"embeddings": stem}
    for i, layer in enumerate(tower.encoder.layers):
        blocks[f"encoder.layers.{i}"] = FirstOfTuple(layer)
    projection = getattr(model, "visual_projection", None)
    tail = [tower.post_layernorm, *([] if projection is None else [projection])]
    return Recipe(_applied(blocks), "cls", nn.Sequential(*tail), 1)


def vit(model):
    """ViT, DINO, MAE's encoder as a ViT."""
    name = "layers"
    layers = getattr(model, name, None)
    if layers is None:  # before transformers 5
        name, layers = "encoder.layer", model.encoder.layer
    blocks = {"embeddings": model.embeddings}
    for i, layer in enumerate(layers):
        blocks[f"{name}.{i}"] = PlainLayer(layer)
    with_last(blocks, model.layernorm)
    return Recipe(_applied(blocks), "cls", None, 1)


def dinov2(model):
    """DINOv2, with and without registers."""
    blocks = {"embeddings": model.embeddings}
    for i, layer in enumerate(model.encoder.layer):
        blocks[f"encoder.layer.{i}"] = PlainLayer(layer)
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
