"""Small seeded networks without training, for tests and examples."""

import re
import zlib

import torch
from torch import nn

from .._utils.names import on_disk
from ._base import Backbone
from ._blocks import Apply, AttentionBlock
from ._preprocess import ArrayPreprocess, ImagePreprocess, TextPreprocess

N_WORDS = 1000
MAX_TOKENS = 64
N_COLUMNS = 256


def build_cnn(spec):
    """Four convolutions with BatchNorm, whose statistics are not the trivial ones."""

    def stage(n_in, n_out):
        norm = nn.BatchNorm2d(n_out)
        nn.init.uniform_(norm.weight, 0.5, 1.5)
        nn.init.uniform_(norm.bias, -0.2, 0.2)
        nn.init.uniform_(norm.running_mean, -0.2, 0.2)  # type: ignore[arg-type]
        nn.init.uniform_(norm.running_var, 0.5, 1.5)  # type: ignore[arg-type]
        conv = nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, bias=False)
        return Apply(nn.Sequential(conv, norm, nn.ReLU()))

    blocks = {"stem": stage(3, 8)}
    for i, (n_in, n_out) in enumerate([(8, 12), (12, 16), (16, 24)]):
        blocks[f"stages.{i}"] = stage(n_in, n_out)
    preprocess = ImagePreprocess(
        size=(32, 32), mean=(0.5,) * 3, std=(0.25,) * 3, crop_pct=1.0
    )
    return Backbone(spec.name, "image", blocks, preprocess, pooling="mean")


def build_bert(spec):
    """Word embeddings with positions and two attention layers."""
    blocks = {
        "embeddings": Apply(ToyEmbeddings(16)),
        "layers.0": AttentionBlock(ToyLayer(16)),
        "layers.1": AttentionBlock(ToyLayer(16)),
    }
    preprocess = TextPreprocess(
        tokenize=hash_words, max_length=MAX_TOKENS, tokenizer_id="hash-words"
    )
    return Backbone(spec.name, "text", blocks, preprocess, pooling="mean")


def build_mlp(spec):
    """Three layers over the columns of a numeric row, however many there are."""
    blocks = {
        "layers.0": Apply(ToyColumns(16)),
        "layers.1": Apply(nn.Sequential(nn.Linear(16, 16), nn.Tanh())),
        "layers.2": Apply(nn.Sequential(nn.Linear(16, 12), nn.Tanh())),
    }
    return Backbone(
        spec.name, "array", blocks, ArrayPreprocess(N_COLUMNS), pooling="mean"
    )


@on_disk
def hash_words(texts, max_length):
    """Give each word a number by its hash; 1 starts a text and 2 ends it."""
    rows = []
    for text in texts:
        words = re.findall(r"\w+|[^\w\s]", text.lower())
        codes = [w.encode("utf-8", "surrogatepass") for w in words]
        ids = [3 + zlib.crc32(code) % (N_WORDS - 3) for code in codes]
        rows.append([1, *ids[: max_length - 2], 2])
    return rows


@on_disk
class ToyEmbeddings(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.words = nn.Embedding(N_WORDS, width)
        self.positions = nn.Embedding(MAX_TOKENS, width)

    def forward(self, ids):
        positions = torch.arange(ids.shape[1], device=ids.device)
        return self.words(ids) + self.positions(positions)


@on_disk
class ToyLayer(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.query_key_value = nn.Linear(width, 3 * width)
        self.mix = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.GELU(),
            nn.Linear(2 * width, width),
        )

    def forward(self, hidden, attention_mask):
        query, key, value = self.query_key_value(hidden)[:, None].chunk(3, dim=-1)
        attended = nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=attention_mask
        )
        hidden = hidden + attended[:, 0]
        return hidden + self.mix(hidden)


@on_disk
class ToyColumns(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(N_COLUMNS, width))

    def forward(self, rows):
        return torch.tanh(rows @ self.weight[: rows.shape[1]] / rows.shape[1] ** 0.5)
