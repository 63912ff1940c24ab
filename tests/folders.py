"""Small random networks saved to folders, as their libraries save them."""

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from sktransfer._utils.seeds import seeded
from sktransfer.backbones._huggingface.load import quiet

WORDS = "a photo of the cat dog query passage small red one two three four".split()
WORDS += ["words", "here", "in", "many", ":", "."]
TEXTS = [
    "a photo of a cat",
    "dog",
    "the small red dog in a photo of many words here . one two three",
    "",
    "unheard things",
]
TINY_VISION = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "image_size": 32,
    "patch_size": 8,
}


def word_tokenizer(padding_side="right"):
    """One token a word, between [CLS] and [SEP]."""
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS]
    vocabulary = {name: i for i, name in enumerate(names)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        bos_token="[CLS]",
        eos_token="[SEP]",
        model_max_length=16,
        # transformers 4 would add types of tokens, which GPT-2 takes for words.
        model_input_names=["input_ids", "attention_mask"],
        padding_side=padding_side,
    )


def tiny_text_options(**options):
    """Options of a configuration for `word_tokenizer`."""
    return {
        "vocab_size": 4 + len(WORDS),
        "hidden_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "intermediate_size": 64,
        "max_position_embeddings": 16,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
    } | options


def tiny_clip(**text_options):
    """A CLIPModel with both towers."""
    return randomised(
        transformers.CLIPModel,
        transformers.CLIPConfig(
            text_config=tiny_text_options(projection_dim=24, **text_options),
            vision_config=TINY_VISION | {"projection_dim": 24},
            projection_dim=24,
        ),
    )


def randomised(kind, config, **options):
    """Random weights, with norms that are not the identity."""
    with seeded(0):
        model = kind(config, **options)
        for module in model.modules():
            if "Norm" in type(module).__name__ and hasattr(module, "weight"):
                torch.nn.init.uniform_(module.weight, 0.5, 1.5)
                torch.nn.init.uniform_(module.bias, -0.3, 0.3)
        for name, parameter in model.named_parameters():
            if "position" in name or "cls" in name:
                torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def save(folder, *parts, **options):
    """Save networks, tokenizers and processors into one folder; return its path."""
    with quiet(), seeded(0):
        for part in parts:
            part.save_pretrained(folder, **options)
            options = {}
    return str(folder)
