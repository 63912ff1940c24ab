"""Networks that ask for code of their own: refused, not run, and nobody is asked."""

import json
import shutil
import sys

import pytest
import transformers
from folders import (
    TINY_VISION,
    randomised,
    save,
    tiny_clip,
    tiny_text_options,
    word_tokenizer,
)

from sktransfer import BackboneSpec, ImageEncoder, TextEncoder, load_backbone
from sktransfer._untrusted.records import check_activations, check_record
from sktransfer.exceptions import (
    RemoteCodeError,
    UnknownBackboneError,
    WeightsNotFoundError,
)


@pytest.fixture(autouse=True)
def no_stdin(monkeypatch):
    """Fail a test in which somebody is asked a question."""

    class Stdin:
        def __getattr__(self, name):
            pytest.fail(f"stdin.{name} was asked for")

    def fail(*args):
        pytest.fail(f"input{args} was called")

    monkeypatch.setattr(sys, "stdin", Stdin())
    monkeypatch.setattr("builtins.input", fail)


@pytest.fixture
def canary(tmp_path):
    """Give ``plant(folder)``: a module that leaves a file where it runs."""
    trace = tmp_path / "it-ran"

    def plant(folder, name="mine.py"):
        lines = [f"open({str(trace)!r}, 'w').close()", "class Mine: pass"]
        (folder / name).write_text("\n".join(lines))

    yield plant
    assert not trace.exists(), "code of the folder was run"
    assert "mine" not in sys.modules


@pytest.fixture
def vision_folder(tmp_path):
    config = transformers.ViTConfig(**TINY_VISION)
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    model = randomised(transformers.ViTModel, config)
    return save(tmp_path / "vit", model, processor)


@pytest.fixture
def clip_folder(tmp_path):
    processor = transformers.CLIPImageProcessor(
        size={"shortest_edge": 32}, crop_size=32
    )
    return save(tmp_path / "clip", tiny_clip(), word_tokenizer(), processor)


@pytest.fixture
def text_folder(tmp_path):
    """A folder of sentence-transformers'."""
    from sentence_transformers import SentenceTransformer

    config = transformers.BertConfig(**tiny_text_options())
    model = randomised(transformers.BertModel, config)
    plain = save(tmp_path / "bert", model, word_tokenizer())
    folder = tmp_path / "sentences"
    SentenceTransformer(plain, device="cpu").save(str(folder))
    return str(folder)


def edit(folder, name, **entries):
    """Put entries into a JSON file of a folder."""
    from pathlib import Path

    path = Path(folder) / name
    record = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(record | entries))
    return path.parent


VISION = (
    ("config.json", {"auto_map": {"AutoModel": "mine.Mine"}}),
    ("config.json", {"auto_map": {"AutoConfig": "evil/repo--mine.Mine"}}),
    ("config.json", {"text_config": {"auto_map": {"AutoModel": "mine.Mine"}}}),
    (
        "config.json",
        {"model_type": "mine", "auto_map": {"AutoConfig": "mine.Mine"}},
    ),
    ("config.json", {"attn_implementation": "evil/kernel"}),
    (
        "preprocessor_config.json",
        {
            "image_processor_type": "Mine",
            "auto_map": {"AutoImageProcessor": "mine.Mine"},
        },
    ),
    ("processor_config.json", {"auto_map": {"AutoProcessor": "mine.Mine"}}),
    ("adapter_config.json", {"base_model_name_or_path": "evil/repo"}),
    ("model.safetensors.index.json", {"weight_map": {"a": "../../a.safetensors"}}),
)


@pytest.mark.parametrize(("name", "entries"), VISION)
@pytest.mark.parametrize("pretrained", [True, False])
def test_image_networks(name, entries, pretrained, vision_folder, canary):
    canary(edit(vision_folder, name, **entries))
    with pytest.raises(RemoteCodeError, match=r"code or files of its own|an adapter"):
        ImageEncoder(BackboneSpec(vision_folder, pretrained)).fit(["x.png"])


@pytest.mark.parametrize("modality", ["image", "text"])
def test_both_towers_of_clip(modality, clip_folder, canary):
    entry = {"auto_map": {"AutoTokenizer": ["mine.Mine", None]}}
    canary(edit(clip_folder, "tokenizer_config.json", **entry))
    with pytest.raises(RemoteCodeError, match="tokenizer_config.json has auto_map"):
        load_backbone(clip_folder, modality=modality)


TEXTS = (
    ("config.json", {"auto_map": {"AutoModel": "mine.Mine"}}),
    ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["mine.Mine", None]}}),
    ("sentence_bert_config.json", {"model_args": {"trust_remote_code": True}}),
    (
        "sentence_bert_config.json",
        {"model_args": {"attn_implementation": "evil/k", "allow_all_kernels": True}},
    ),
    ("sentence_bert_config.json", {"tokenizer_name_or_path": "/somewhere/else"}),
)


@pytest.mark.parametrize(("name", "entries"), TEXTS)
def test_text_networks(name, entries, text_folder, canary):
    canary(edit(text_folder, name, **entries))
    with pytest.raises(RemoteCodeError, match="code or files of its own"):
        TextEncoder(text_folder).fit(["x"])


@pytest.mark.parametrize(
    "module",
    [
        {"type": "mine.Mine", "path": "2_Mine"},
        {"type": "sentence_transformers_mine.Mine", "path": "2_Mine"},
        {"type": "sentence_transformers.models.Dense", "path": "../elsewhere"},
        {"type": "sentence_transformers.models.Dense", "path": "/elsewhere"},
        {"type": 7},
    ],
)
def test_modules_of_a_folder(module, text_folder, canary):
    """sentence-transformers before 6 imports a .py file beside modules.json."""
    from pathlib import Path

    path = Path(text_folder) / "modules.json"
    modules = json.loads(path.read_text())
    modules.append({"idx": len(modules), "name": "x"} | module)
    path.write_text(json.dumps(modules))
    canary(path.parent)
    with pytest.raises(RemoteCodeError):
        TextEncoder(text_folder).fit(["x"])


@pytest.mark.parametrize("kind", ["Router", "Asym", "WordEmbeddings"])
def test_modules_that_import_what_their_records_name(kind, text_folder, canary):
    from pathlib import Path

    path = Path(text_folder) / "modules.json"
    module = {"idx": 0, "name": "0", "path": ""}
    module["type"] = f"sentence_transformers.models.{kind}"
    path.write_text(json.dumps([module]))
    edit(text_folder, "router_config.json", types={"a": "mine.Mine"})
    canary(path.parent)
    with pytest.raises(UnknownBackboneError, match="only networks made of"):
        TextEncoder(text_folder).fit(["x"])


@pytest.mark.parametrize("name", ["config.json", "preprocessor_config.json"])
def test_the_loaders_ask_nobody_either(name, vision_folder, canary, monkeypatch):
    from sktransfer.backbones import _record

    monkeypatch.setattr(_record, "check_record", lambda *args: None)
    kinds = ("AutoConfig", "AutoModel", "AutoImageProcessor")
    entries = {"model_type": "mine", "image_processor_type": "Mine"}
    entries["auto_map"] = dict.fromkeys(kinds, "mine.Mine")
    canary(edit(vision_folder, name, **entries))
    with pytest.raises((WeightsNotFoundError, UnknownBackboneError)):
        ImageEncoder(vision_folder).fit(["x.png"])


def test_a_network_of_the_hub_is_looked_at_too(text_folder, hub_cache, canary):
    canary(edit(text_folder, "config.json", auto_map={"AutoModel": "mine.Mine"}))
    hub_cache("someone/mine", text_folder)
    with pytest.raises(RemoteCodeError, match="someone/mine"):
        TextEncoder("someone/mine").fit(["x"])


def test_a_dense_layer_may_have_activations_of_torch_only():
    modules = [{"type": "sentence_transformers.models.Dense", "path": "2_Dense"}]

    def check(activation):
        files = {"2_Dense/config.json": {"activation_function": activation}}
        check_activations("x", modules, files.get)

    check("torch.nn.modules.activation.Tanh")
    check("torch.nn.modules.linear.Identity")
    for activation in ("os.abort", "torch.hub.list", "torch.nn.Tanh.os", "mine.Mine"):
        with pytest.raises(RemoteCodeError, match="activation_function"):
            check(activation)


def test_records_of_real_networks_pass(vision_folder, clip_folder, text_folder):
    for folder in (vision_folder, text_folder):
        load_backbone(folder)
    load_backbone(clip_folder, modality="text")
    check_record("x", "config.json", {"auto_map": {}, "attn_implementation": "sdpa"})
    check_record("x", "a.index.json", {"weight_map": {"a": "model-1-of-2.safetensors"}})
    shutil.rmtree(text_folder)
