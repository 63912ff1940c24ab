"""How the families of transformers are cut."""

import torch
from torch import nn

from ..._utils.names import on_disk
from .._blocks import Apply, AttentionBlock
from .._recipe import Recipe, bare, with_last


@on_disk
class Positioned(nn.Module):
    """Token and position embeddings, as decoders keep them."""

    def __init__(self, tokens, positions):
        super().__init__()
        self.tokens = tokens
        self.positions = positions

    def forward(self, ids):
        """Map token ids to vectors."""
        places = torch.arange(ids.shape[1], device=ids.device)
        return self.tokens(ids) + self.positions(places)


@on_disk
class MPNetBlock(nn.Module):
    """A layer with the encoder's position bias, which is made again."""

    def __init__(self, layer, encoder):
        super().__init__()
        self.block = AttentionBlock(layer)
        self.encoder = bare(encoder, "layer")

    def forward(self, state):
        """Map a State to a State."""
        bias = self.encoder.compute_position_bias(state.hidden)
        return self.block(state, position_bias=bias)


@on_disk
class DebertaEmbeddings(nn.Module):
    """Embeddings that are zero where the mask is."""

    def __init__(self, embeddings):
        super().__init__()
        self.embeddings = embeddings

    def forward(self, state):
        """Map a State of token ids to a State."""
        mask = state.mask.long()
        return state._replace(hidden=self.embeddings(input_ids=state.hidden, mask=mask))


@on_disk
class DebertaBlock(nn.Module):
    """A layer with relative positions, and the convolution after the first one."""

    def __init__(self, index, encoder):
        super().__init__()
        self.layer = encoder.layer[index]
        self.conv = encoder.conv if index == 0 else None
        self.encoder = bare(encoder, "layer", "conv")

    def forward(self, state):
        """Map a State to a State."""
        hidden, mask = state.hidden, state.mask.long()
        out, _ = self.layer(
            hidden,
            self.encoder.get_attention_mask(mask),
            relative_pos=self.encoder.get_rel_pos(hidden),
            rel_embeddings=self.encoder.get_rel_embedding(),
        )
        if self.conv is not None:
            out = self.conv(hidden, out, mask)
        return state._replace(hidden=out)


@on_disk
class ModernBertBlock(nn.Module):
    """A layer with rotary positions and, in most layers, a sliding window."""

    def __init__(self, layer, model):
        super().__init__()
        self.block = AttentionBlock(layer)
        # Before transformers 5 each layer has the rotary positions of its own.
        self.rotary = getattr(model, "rotary_emb", None)
        if self.rotary is None:
            window = layer.attn.local_attention[0]
            self.kind, self.window = None, None if window < 0 else window
            return
        self.kind = layer.attention_type
        # As transformers reads it: so many positions to either side.
        self.window = model.config.sliding_window if "sliding" in self.kind else None

    def forward(self, state):
        """Map a State to a State."""
        places = torch.arange(state.hidden.shape[1], device=state.hidden.device)
        allowed = None
        if self.window is not None:
            allowed = (places[:, None] - places[None]).abs() <= self.window
        if self.rotary is None:
            return self.block(state, allowed, position_ids=places[None])
        rotary = self.rotary(state.hidden, places[None], self.kind)
        return self.block(state, allowed, position_embeddings=rotary)


def bert(model):
    """BERT, RoBERTa, XLM-R, ELECTRA, and what is built like them."""
    first = model.embeddings
    if hasattr(model, "embeddings_project"):
        first = nn.Sequential(first, model.embeddings_project)
    blocks: dict[str, nn.Module] = {"embeddings": Apply(first)}
    for i, layer in enumerate(model.encoder.layer):
        blocks[f"encoder.layer.{i}"] = AttentionBlock(layer)
    return Recipe(blocks, "mean")


def distilbert(model):
    """DistilBERT."""
    blocks: dict[str, nn.Module] = {"embeddings": Apply(model.embeddings)}
    for i, layer in enumerate(model.transformer.layer):
        blocks[f"transformer.layer.{i}"] = AttentionBlock(layer)
    return Recipe(blocks, "mean")


def mpnet(model):
    """MPNet: without the encoder's position bias it would be off by 0.04."""
    blocks: dict[str, nn.Module] = {"embeddings": Apply(model.embeddings)}
    for i, layer in enumerate(model.encoder.layer):
        blocks[f"encoder.layer.{i}"] = MPNetBlock(layer, model.encoder)
    return Recipe(blocks, "mean")


def deberta(model):
    """DeBERTa V2 and V3."""
    if model.z_steps > 1:
        return None
    blocks: dict[str, nn.Module] = {"embeddings": DebertaEmbeddings(model.embeddings)}
    for i in range(len(model.encoder.layer)):
        blocks[f"encoder.layer.{i}"] = DebertaBlock(i, model.encoder)
    return Recipe(blocks, "mean")


def modernbert(model):
    """ModernBERT."""
    blocks: dict[str, nn.Module] = {"embeddings": Apply(model.embeddings)}
    for i, layer in enumerate(model.layers):
        blocks[f"layers.{i}"] = ModernBertBlock(layer, model)
    return Recipe(with_last(blocks, Apply(model.final_norm)), "mean")


def gpt2(model):
    """GPT-2: a decoder, whose last token has seen the text."""
    blocks: dict[str, nn.Module] = {
        "embeddings": Apply(Positioned(model.wte, model.wpe))
    }
    for i, layer in enumerate(model.h):
        blocks[f"h.{i}"] = AttentionBlock(layer, is_causal=True)
    return Recipe(with_last(blocks, Apply(model.ln_f)), "last")


def clip_text(model):
    """CLIP's text tower: its end token, which is the last one, has seen the text."""
    tower = getattr(model, "text_model", model)  # a model around it in older versions
    blocks: dict[str, nn.Module] = {"embeddings": Apply(tower.embeddings)}
    for i, layer in enumerate(tower.encoder.layers):
        blocks[f"encoder.layers.{i}"] = AttentionBlock(layer, is_causal=True)
    return Recipe(with_last(blocks, Apply(tower.final_layer_norm)), "last")


RECIPES = {
    "BertModel": bert,
    "CLIPTextModel": clip_text,
    "CLIPTextTransformer": clip_text,
    "DebertaV2Model": deberta,
    "DistilBertModel": distilbert,
    "ElectraModel": bert,
    "GPT2Model": gpt2,
    "MPNetModel": mpnet,
    "ModernBertModel": modernbert,
    "RobertaModel": bert,
    "XLMRobertaModel": bert,
}
