"""transformers' families, cut at every block."""

import pytest
import torch
import transformers

from sktransfer import Backbone, check_backbone
from sktransfer._utils.seeds import seeded
from sktransfer.backbones._huggingface import text_families, texts
from sktransfer.backbones._preprocess import TextPreprocess
from sktransfer.backbones._toy import hash_words

SMALL = {
    "vocab_size": 1000,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 80,
    "pad_token_id": 0,
}
RELATIVE = {
    "relative_attention": True,
    "position_buckets": 8,
    "norm_rel_ebd": "layer_norm",
    "share_att_key": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_biased_input": False,
    "type_vocab_size": 0,
    "max_relative_positions": -1,
}
FAMILIES = {
    "Bert": {},
    "Roberta": {"pad_token_id": 1},
    "XLMRoberta": {"pad_token_id": 1},
    "Electra": {"embedding_size": 16},
    "MPNet": {"pad_token_id": 1},
    "DebertaV2": RELATIVE,
    "DebertaV2 with a convolution": RELATIVE | {"conv_kernel_size": 3},
    "DistilBert": {},
    "ModernBert": {"local_attention": 8, "global_attn_every_n_layers": 2},
    "GPT2": {},
    "CLIPText": {},
}


def network(name):
    """Random weights, with norms that are not the identity."""
    kind = name.split()[0]
    options = SMALL | FAMILIES[name]
    if kind in ("ModernBert", "CLIPText"):
        options |= {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1}
        options |= {"sep_token_id": 2}
    config = getattr(transformers, f"{kind}Config")(**options)
    with seeded(0):
        model = getattr(transformers, f"{kind}Model")(config)
        for module in model.modules():
            if isinstance(module, torch.nn.LayerNorm):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                if module.bias is not None:
                    torch.nn.init.uniform_(module.bias, -0.3, 0.3)
    return model.eval()


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("pooling", ["mean", "last"])
def test_a_family_can_be_cut_anywhere(name, pooling):
    model = network(name)
    cut = texts.cut_network(model, pooling)
    assert len(cut.blocks) == 4
    preprocess = TextPreprocess(hash_words, max_length=64, tokenizer_id="hash-words")
    backbone = Backbone(name, "text", preprocess=preprocess, **cut._asdict())

    def own_vectors(rows):
        tokens = [model(torch.from_numpy(r)[None]).last_hidden_state[0] for r in rows]
        by_name = {"mean": lambda t: t.mean(0), "last": lambda t: t[-1]}
        return torch.stack([by_name[pooling](t) for t in tokens])

    assert check_backbone(backbone, reference=own_vectors).n_cuts == 3


class DropsTheMask(torch.nn.Module):
    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, state):
        out = self.layer(state.hidden)  # a tuple before transformers 5
        return state._replace(hidden=out[0] if isinstance(out, tuple) else out)


def drop_the_mask(model):
    cut = text_families.bert(model)
    layers = {n: DropsTheMask(b.layer) for n, b in list(cut.blocks.items())[1:]}
    return cut._replace(blocks={"embeddings": cut.blocks["embeddings"]} | layers)


def forget_the_position_bias(model):
    return text_families.bert(model)


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("Bert", drop_the_mask), ("MPNet", forget_the_position_bias)],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_a_wrong_recipe_is_refused(name, wrong, monkeypatch):
    model = network(name)
    assert len(texts.cut_network(model, "mean").blocks) == 4
    monkeypatch.setitem(texts.RECIPES, type(model).__name__, wrong)
    assert list(texts.cut_network(model, "mean").blocks) == ["model"]


def test_a_network_without_a_recipe_runs_as_a_whole():
    config = transformers.AlbertConfig(
        **SMALL | {"embedding_size": 16, "num_hidden_groups": 1}
    )
    with seeded(0):
        model = transformers.AlbertModel(config).eval()
    assert list(texts.cut_network(model, "mean").blocks) == ["model"]
