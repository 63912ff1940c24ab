"""Edit what makes the vectors, behind one cache: no old vector may come back.

An edit changes a config, an attribute, a weight, a buffer, code, a tokenizer, the
preprocessing or a version. After it every row must run anew; without one, a network
that is built again, in another folder and in another process, must find every row.
"""

import contextlib
import copy
import json
import shutil
import sys
import types
from pathlib import Path

import numpy as np

from ._shared import alone

TEXTS = ["one two three", "four", "five six seven eight nine", "a b"]
N_ROWS = len(TEXTS)
IMAGES = np.random.default_rng(0).integers(0, 256, (N_ROWS, 36, 40, 3), np.uint8)


def identity(folder, *, n_edits=500, seed=0):
    """Edit networks at random; count vectors that are old, and rows that run twice."""
    from sktransfer import FeatureCache

    rng = np.random.default_rng(seed)
    counts = dict.fromkeys(EDITS, 0)
    old = wrong = again = 0
    names: dict[str, str] = {}
    for number in range(n_edits):
        kind = list(EDITS)[number % len(EDITS)]
        choices = int(rng.integers(2**31))
        place = Path(folder) / str(number)
        cache = FeatureCache()
        before = _encode(EDITS[kind], place / "one", choices, False, cache)
        misses = cache.info().misses
        _encode(EDITS[kind], place / "two", choices, False, cache)
        again += cache.info().misses - misses
        misses = cache.info().misses
        got = _encode(EDITS[kind], place / "three", choices, True, cache)
        old += N_ROWS - (cache.info().misses - misses)
        want = _encode(EDITS[kind], place / "four", choices, True, None)
        wrong += int((got.vectors != want.vectors).any(axis=1).sum())
        names[f"{kind} {choices}"] = before.identity
        counts[kind] += 1
        shutil.rmtree(place, ignore_errors=True)
    some = list(names)[:: max(1, len(names) // 80)]
    elsewhere, _ = alone(_identities, some, folder)
    others = sum(elsewhere[name] != names[name] for name in some)
    assert (old, wrong, again, others) == (0, 0, 0, 0), (old, wrong, again, others)
    return {
        "edits": counts,
        "old vectors": old,
        "wrong vectors": wrong,
        "rows that ran again without an edit": again,
        "networks with another name in another process": f"{others} of {len(some)}",
    }


class _Encoded:
    def __init__(self, vectors, identity):
        self.vectors, self.identity = vectors, identity


def _encode(edit, place, choices, is_edited, cache):
    from sktransfer import ImageEncoder, TextEncoder

    with contextlib.ExitStack() as stack:
        backbone = edit(place, np.random.default_rng(choices), is_edited, stack)
        if backbone.modality == "text":
            encoder, rows = TextEncoder(backbone, cache=cache), TEXTS
        else:
            encoder, rows = ImageEncoder(backbone, cache=cache), IMAGES
        return _Encoded(encoder.fit_transform(rows), backbone.cache_identity)


def _identities(names, folder):
    found = {}
    for number, name in enumerate(names):
        kind, _, choices = name.rpartition(" ")
        place = Path(folder) / "elsewhere" / str(number)
        found[name] = _encode(EDITS[kind], place, int(choices), False, None).identity
    return found


# -- networks, and one edit of each ----------------------------------------------------

CONFIGS = {
    "num_attention_heads": [2, 8],
    "hidden_act": ["relu", "silu", "gelu_new"],
    "layer_norm_eps": [1e-5, 1e-3],
}


def _config(place, rng, is_edited, stack):
    """A setting in the config.json of a folder of transformers'."""
    from sktransfer import load_backbone

    _save_bert(place, int(rng.integers(3)))
    name = rng.choice(list(CONFIGS))
    value = CONFIGS[name][int(rng.integers(len(CONFIGS[name])))]
    if is_edited:
        _edit_json(place / "config.json", lambda record: record.update({name: value}))
    return load_backbone(str(place), modality="text")


def _tokenizer(place, rng, is_edited, stack):
    """The words, the normaliser or the side that is cut of a folder's tokenizer."""
    from sktransfer import load_backbone

    _save_bert(place, int(rng.integers(3)))
    edits = [_swap_words, _lower, _strip_words]
    edit = edits[int(rng.integers(len(edits)))]
    numbers = rng.permutation(9)[:2].tolist()
    if is_edited:
        _edit_json(place / "tokenizer.json", lambda record: edit(record, numbers))
    return load_backbone(str(place), modality="text")


def _swap_words(record, numbers):
    words = record["model"]["vocab"]
    first, second = (list(words)[4 + number] for number in numbers)
    words[first], words[second] = words[second], words[first]


def _lower(record, numbers):
    record["normalizer"] = {"type": "Lowercase"}


def _strip_words(record, numbers):
    word = list(record["model"]["vocab"])[4 + numbers[0]]
    record["normalizer"] = {
        "type": "Replace",
        "pattern": {"String": word},
        "content": "",
    }


def _weight(place, rng, is_edited, stack):
    """One number of one tensor of a network."""
    net = _cnn(int(rng.integers(5)))
    tensors = [t for block in net.blocks.values() for t in block.state_dict().values()]
    tensor = tensors[int(rng.integers(len(tensors)))]
    if is_edited and tensor.is_floating_point():
        flat = tensor.flatten()
        flat[int(rng.integers(len(flat)))] += 1
        tensor.copy_(flat.reshape(tensor.shape))
    elif is_edited:
        tensor.add_(1)
    return _rebuilt(net)


def _attribute(place, rng, is_edited, stack):
    """A number, a list, an object or a tensor in an attribute of a module."""
    import torch

    net = _cnn(int(rng.integers(5)))
    modules = [m for block in net.blocks.values() for m in block.modules()]
    module = modules[int(rng.integers(len(modules)))]
    number = int(rng.integers(1, 100))
    values = [
        (number, number + 1),
        ([number, 1], [number, 2]),
        ({"a": {"b": number}}, {"a": {"b": -number}}),
        (types.SimpleNamespace(a=number), types.SimpleNamespace(a=-number)),
        (torch.full((3,), number), torch.full((3,), number + 1)),
        (frozenset({number}), frozenset({number, 0})),
        (np.arange(number), np.arange(number + 1)),
        (torch.float16, torch.bfloat16),
    ]
    module.setting = values[int(rng.integers(len(values)))][is_edited]
    return _rebuilt(net)


def _buffer(place, rng, is_edited, stack):
    """A buffer that `state_dict` does not have."""
    import torch

    net = _cnn(int(rng.integers(5)))
    block = list(net.blocks.values())[int(rng.integers(len(net.blocks)))]
    table = torch.from_numpy(rng.normal(size=4))
    if is_edited:
        table[int(rng.integers(4))] += 1
    block.register_buffer("table", table, persistent=False)
    return _rebuilt(net)


CODE = """
import torch
FACTOR = 2.0
def helper(x):
    return x + 0.5
class Stem(torch.nn.Module):
    shift = 0.25
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 8, 3)
    def act(self, x, power=2):
        return helper(x) ** power
    def forward(self, x):
        more = lambda y: y * FACTOR
        return more(self.act(torch.relu(self.conv(x)))) + self.shift
"""
CODE_EDITS = {
    "FACTOR = 2.0": "FACTOR = {}",
    "x + 0.5": "x + {}",
    "shift = 0.25": "shift = {}",
    "power=2": "power={}",
    "y * FACTOR": "y * FACTOR * {}",
    "torch.relu(self.conv(x))": "torch.relu(self.conv(x) * {})",
    "** power": "* power * {}",
}


def _code(place, rng, is_edited, stack):
    """A number or an operator in the code of a network of one's own."""
    from sktransfer import Backbone
    from sktransfer._utils.seeds import seeded

    old = list(CODE_EDITS)[int(rng.integers(len(CODE_EDITS)))]
    new = CODE_EDITS[old].format(int(rng.integers(3, 50)))
    module = types.ModuleType("own_network")
    exec(CODE.replace(old, new) if is_edited else CODE, module.__dict__)
    with seeded(0):
        net = module.Stem()
    return Backbone.from_module(
        _sequential(net), blocks=["0"], preprocess=_preprocess(), name="own"
    )


def _own_tokenizer(place, rng, is_edited, stack):
    """The code or the table of a tokenizer of one's own."""
    from sktransfer import Backbone, load_backbone
    from sktransfer.backbones import TextPreprocess

    bert = load_backbone("tiny-bert")
    factor, table = int(rng.integers(2, 50)), {"one": 7, "four": 9}
    if is_edited and rng.integers(2):
        factor += 1
    elif is_edited:
        table["four"] += 1

    def tokenize(texts, max_length):
        rows = [
            [table.get(word, len(word) * factor) % 1000 for word in text.split()]
            for text in texts
        ]
        return [row[:max_length] for row in rows]

    preprocess = TextPreprocess(tokenize, max_length=32)
    return Backbone("own", "text", bert.blocks, preprocess, "mean")


def _preprocessing(place, rng, is_edited, stack):
    """A setting of the preprocessing of images."""
    from sktransfer import Backbone

    net = _cnn(0)
    edits = [
        {"size": (32, 32 + 8 * int(rng.integers(1, 4)))},
        {"mean": (0.5, 0.5, 0.1 + float(rng.random()) / 4)},
        {"std": (0.5, 0.5, 0.1 + float(rng.random()) / 4)},
        {"crop_pct": 0.5 + float(rng.random()) / 4},
        {"crop_mode": "squash"},
        {"interpolation": "bilinear"},
    ]
    changed = edits[int(rng.integers(len(edits)))] if is_edited else {}
    preprocess = _preprocess(**changed)
    return Backbone("cnn", "image", net.blocks, preprocess, "mean")


VERSIONED = ("torch", "torchvision", "timm", "PIL")


def _version(place, rng, is_edited, stack):
    """A package in another minor version; in another patch release it is the same."""
    name = VERSIONED[int(rng.integers(len(VERSIONED)))]
    net = _cnn(int(rng.integers(5)))
    __import__(name)
    module = sys.modules[name]
    before = module.__version__
    major, minor, *_ = before.split(".")
    edited = f"{major}.{int(minor) + 1}.0" if is_edited else f"{major}.{minor}.999"
    stack.callback(setattr, module, "__version__", before)
    module.__version__ = edited
    return _rebuilt(net)


EDITS = {
    "config": _config,
    "tokenizer": _tokenizer,
    "weight": _weight,
    "attribute": _attribute,
    "buffer": _buffer,
    "code": _code,
    "own tokenizer": _own_tokenizer,
    "preprocessing": _preprocessing,
    "version": _version,
}


# -- parts -----------------------------------------------------------------------------


def _cnn(seed):
    from sktransfer import BackboneSpec, load_backbone

    source = load_backbone(BackboneSpec("tiny-cnn", random_state=seed))
    return _rebuilt(source, copy.deepcopy(dict(source.blocks)))


def _rebuilt(net, blocks=None):
    from sktransfer import Backbone

    return Backbone("cnn", "image", blocks or net.blocks, net.preprocess, "mean")


def _preprocess(**changed):
    from sktransfer.backbones import ImagePreprocess

    usual = {"size": (32, 32), "mean": (0.5,) * 3, "std": (0.5,) * 3, "crop_pct": 0.9}
    return ImagePreprocess(**(usual | changed))


def _sequential(net):
    import torch

    return torch.nn.Sequential(net)


def _save_bert(folder, seed):
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    from sktransfer._utils.seeds import seeded
    from sktransfer.backbones._huggingface.load import quiet

    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
    names += "one two three four five six seven eight nine a b".split()
    tokenizer = Tokenizer(
        models.WordLevel({n: i for i, n in enumerate(names)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    options = {"pad_token": "[PAD]", "unk_token": "[UNK]", "model_max_length": 16}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, **options)
    config = transformers.BertConfig(
        vocab_size=len(names),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=32,
        max_position_embeddings=16,
        initializer_range=0.3,
    )
    with quiet(), seeded(seed):
        transformers.BertModel(config).save_pretrained(folder)
        fast.save_pretrained(folder)


def _edit_json(path, edit):
    record = json.loads(path.read_text())
    edit(record)
    path.write_text(json.dumps(record))
