"""Texts from folders: prompts, poolings, dense layers, padding, CLIP's tower."""

import json

import numpy as np
import pytest
import torch
import transformers
from folders import (
    TEXTS,
    randomised,
    save,
    tiny_clip,
    tiny_text_options,
    word_tokenizer,
)
from sentence_transformers import SentenceTransformer
from tokenizers import normalizers

from sktransfer import (
    BackboneSpec,
    TextEncoder,
    check_backbone,
    load_backbone,
)
from sktransfer._utils.seeds import seeded
from sktransfer.backbones._huggingface import clip
from sktransfer.backbones._huggingface.load import quiet
from sktransfer.backbones._huggingface.texts import _module_classes
from sktransfer.backbones._huggingface.tokenizer import HuggingFaceTokenize, identity_of
from sktransfer.exceptions import UnknownBackboneError, WeightsMismatchError
from sktransfer.persistence import load
from sktransfer.persistence import save as save_model

models = _module_classes()

pytestmark = pytest.mark.filterwarnings("ignore:.*texts have more than")


def bert(folder, **options):
    config = transformers.BertConfig(**tiny_text_options())
    config.architectures = ["BertModel"]  # else transformers 4 reports nothing
    model = randomised(transformers.BertModel, config)
    return save(folder, model, word_tokenizer(), **options)


def gpt2(folder, padding_side):
    config = transformers.GPT2Config(**tiny_text_options())
    model = randomised(transformers.GPT2Model, config)
    return save(folder, model, word_tokenizer(padding_side))


def sentence_folder(path, source, pooling="mean", *modules, **options):
    """Save a sentence-transformers model; return its folder and the model."""
    with quiet(), seeded(0):
        first = models.Transformer(source)
        pooled = models.Pooling(32, pooling_mode=pooling)
        made = [make() for make in modules]
        model = SentenceTransformer(
            modules=[first, pooled, *made], device="cpu", **options
        )
        model.save(str(path), create_model_card=False)
    return str(path), model


def assert_same(got, want):
    assert got.shape == want.shape
    assert np.abs(got - want).max() <= 1e-5 * np.abs(want).max()


def encode(model, texts=TEXTS, **options):
    with quiet():
        return model.encode(texts, show_progress_bar=False, **options)


def test_a_plain_transformers_folder_is_pooled_by_the_mean(tmp_path):
    folder = bert(tmp_path)
    backbone = load_backbone(folder)
    assert backbone.pooling == "mean"
    assert len(backbone.blocks) == 3
    assert check_backbone(backbone).largest_difference <= 1e-5
    with quiet():
        model = SentenceTransformer(folder, device="cpu")
    assert_same(TextEncoder(folder).fit_transform(TEXTS), encode(model))


def test_a_prompt_of_the_record_goes_by_its_name(tmp_path):
    folder, model = sentence_folder(
        tmp_path / "e5",
        bert(tmp_path / "bert"),
        prompts={"query": "query : ", "passage": "passage : "},
        default_prompt_name="passage",
    )
    record = json.loads(
        (tmp_path / "e5" / "config_sentence_transformers.json").read_text()
    )
    assert record["default_prompt_name"] == "passage"
    for options in (
        {},
        {"prompt_name": "query"},
        {"prompt_name": "passage"},
        {"prompt": "the photo "},
        {"prompt": "query"},  # a text, and no name
        {"prompt": ""},
    ):
        got = TextEncoder(folder, **options).fit_transform(TEXTS)
        assert_same(got, encode(model, **options))
    query, passage = (
        TextEncoder(folder, prompt_name=name).fit_transform(TEXTS)
        for name in ("query", "passage")
    )
    assert np.abs(query - passage).max() > 1e-3
    save_model(TextEncoder(folder, prompt_name="query").fit(TEXTS), tmp_path / "saved")
    assert_same(load(tmp_path / "saved").transform(TEXTS), query)


@pytest.mark.parametrize("padding_side", ["left", "right"])
def test_a_decoder_is_pooled_at_its_last_token(tmp_path, padding_side):
    source = gpt2(tmp_path / "gpt2", padding_side)
    folder, model = sentence_folder(tmp_path / "st", source, "lasttoken")
    backbone = load_backbone(folder)
    assert backbone.pooling == "last"
    assert len(backbone.blocks) == 3
    assert check_backbone(backbone).largest_difference <= 1e-5
    alone = np.concatenate([encode(model, [text]) for text in TEXTS])
    got = TextEncoder(folder).fit_transform(TEXTS)
    assert_same(got, alone)
    if padding_side == "right":  # left padding moves their learned positions
        assert_same(got, encode(model))


@pytest.mark.parametrize("pooling", ["cls", "max"])
def test_other_poolings_come_from_the_record(tmp_path, pooling):
    folder, model = sentence_folder(tmp_path / "st", bert(tmp_path / "bert"), pooling)
    assert load_backbone(folder).pooling == pooling
    assert_same(TextEncoder(folder).fit_transform(TEXTS), encode(model))


def test_a_dense_layer_after_pooling_runs_at_full_depth(tmp_path):
    folder, model = sentence_folder(
        tmp_path / "st",
        bert(tmp_path / "bert"),
        "mean",
        lambda: models.Dense(32, 12, activation_function=torch.nn.Tanh()),
        models.Normalize,
    )
    got = TextEncoder(folder, normalize=True).fit_transform(TEXTS)
    assert_same(got, encode(model))
    assert load_backbone(folder).widths == (32, 32, 12)
    assert TextEncoder(folder, depth=-1).fit_transform(TEXTS).shape == (5, 32)


def test_a_pooling_without_the_prompt_is_refused(tmp_path):
    folder, _ = sentence_folder(tmp_path / "st", bert(tmp_path / "bert"))
    path = tmp_path / "st" / "1_Pooling" / "config.json"
    path.write_text(
        json.dumps(json.loads(path.read_text()) | {"include_prompt": False})
    )
    with pytest.raises(UnknownBackboneError, match="include_prompt=false"):
        load_backbone(folder)


def test_missing_weights_are_named_and_a_missing_pooler_is_not_missed(tmp_path):
    config = transformers.BertConfig(**tiny_text_options())
    state = randomised(transformers.BertModel, config).state_dict()
    # save_pretrained empties the dict that it is given.
    light = {k: v for k, v in state.items() if "pooler" not in k}
    assert load_backbone(bert(tmp_path / "light", state_dict=dict(light))) is not None
    short = {k: v for k, v in light.items() if "layer.1.output" not in k}
    short["extra.weight"] = torch.zeros(3)
    folder = bert(tmp_path / "short", state_dict=short)
    with pytest.raises(
        WeightsMismatchError,
        match=r"missing: encoder\.layer\.1\.output.*; unexpected: extra\.weight",
    ):
        load_backbone(folder)


def test_half_precision_weights_run_in_float32(tmp_path):
    config = transformers.BertConfig(**tiny_text_options())
    model = randomised(transformers.BertModel, config).half()
    backbone = load_backbone(save(tmp_path, model, word_tokenizer()))
    tensors = [p for m in backbone.modules() for p in m.parameters()]
    assert {p.dtype for p in tensors} == {torch.float32}


# Records before 2023 say 2, and then CLIP takes the highest id instead.
@pytest.mark.parametrize("eos", [3, 2])
def test_clips_text_tower_gives_its_text_features(tmp_path, eos):
    model = tiny_clip(eos_token_id=eos)
    tokenizer = word_tokenizer()
    if eos == 2:
        tokenizer = end_has_the_highest_id()
    folder = save(tmp_path, model, tokenizer)
    backbone = load_backbone(folder, modality="text")
    assert len(backbone.blocks) == 3
    assert check_backbone(backbone).largest_difference <= 1e-5
    texts = [text.replace(" .", "") for text in TEXTS]  # "." is that highest id
    got = TextEncoder(folder).fit_transform(texts)
    rows = tokenizer(
        texts, return_tensors="pt", padding=True, truncation=True, max_length=16
    )
    with torch.inference_mode():
        output = model.get_text_features(
            input_ids=rows["input_ids"], attention_mask=rows["attention_mask"]
        )
    assert_same(got, getattr(output, "pooler_output", output).numpy())


def end_has_the_highest_id():
    """Return a tokenizer that ends a text with its last word's id, as CLIP's does."""
    from tokenizers import processors

    tokenizer = word_tokenizer()
    last = len(tokenizer) - 1
    token = tokenizer.convert_ids_to_tokens(last)
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single=f"[CLS] $A {token}", special_tokens=[("[CLS]", 2), (token, last)]
    )
    return tokenizer


def test_a_tokenizer_that_is_not_clips_is_refused():
    with pytest.raises(UnknownBackboneError, match="is not the end token"):
        clip.as_backbone(tiny_clip(eos_token_id=2), word_tokenizer(), name="some")


def static_folder(path, dense=False):
    """Save a model of one vector per token; return its folder and the model."""
    with seeded(0):
        static = models.StaticEmbedding(word_tokenizer(), embedding_dim=12)
        modules = [static, models.Dense(12, 5)] if dense else [static]
        model = SentenceTransformer(modules=modules, device="cpu")
    model.save(str(path), create_model_card=False)
    return str(path), model


@pytest.mark.parametrize("dense", [False, True])
def test_static_embeddings_are_those_of_sentence_transformers(tmp_path, dense):
    folder, model = static_folder(tmp_path, dense)
    texts = [*TEXTS, "", "a" * 3, " ".join(TEXTS) * 20]
    assert_same(TextEncoder(folder).fit_transform(texts), model.encode(texts))
    assert load_backbone(folder).block_names == ("embedding",)
    assert check_backbone(load_backbone(folder)).largest_difference <= 1e-5


def test_static_embeddings_stop_at_max_length_and_can_be_random(tmp_path):
    folder, model = static_folder(tmp_path)
    words = " ".join(TEXTS).replace(".", "").split()
    got = TextEncoder(folder, max_length=3).fit_transform([" ".join(words)])
    assert_same(got, model.encode([" ".join(words[:3])]))
    random = load_backbone(BackboneSpec(folder, pretrained=False))
    assert not np.allclose(TextEncoder(random).fit_transform([words[0]]), got)


def test_a_record_that_lowercases_is_followed(tmp_path):
    folder, _ = sentence_folder(tmp_path / "lower", bert(tmp_path / "bert"))
    path = tmp_path / "lower" / "sentence_bert_config.json"
    record = json.loads(path.read_text())
    assert not record.get("do_lower_case")
    mixed, plain = ["A Photo of a CAT"], ["a photo of a cat"]
    assert not np.allclose(
        *(TextEncoder(folder).fit_transform(t) for t in (mixed, plain))
    )
    path.write_text(json.dumps(record | {"do_lower_case": True}))
    got, want = (TextEncoder(folder).fit_transform(t) for t in (mixed, plain))
    np.testing.assert_array_equal(got, want)


def test_a_tokenizer_is_known_by_all_that_it_does():
    texts = ["one two", "Two"]
    tokenizers = [word_tokenizer() for _ in range(3)]
    tokenizers[2].backend_tokenizer.normalizer = normalizers.Lowercase()
    first, second, lower = (identity_of(t) for t in tokenizers)
    assert first == second != lower
    # What a call leaves in the tokenizer is no part of it.
    HuggingFaceTokenize(tokenizers[0], 16)(texts, 4)
    assert identity_of(tokenizers[0]) == first
    tokenizers[0].truncation_side = "left"
    assert identity_of(tokenizers[0]) != first


def test_a_tokenizer_written_in_python_is_known_by_its_vocabulary():
    class Slow:
        def __init__(self, words):
            self.words = words

        def get_vocab(self):
            return {word: i for i, word in enumerate(self.words)}

    assert identity_of(Slow("abc")) == identity_of(Slow("abc"))
    assert identity_of(Slow("abc")) != identity_of(Slow("acb"))
