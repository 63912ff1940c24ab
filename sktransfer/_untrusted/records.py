"""Records of networks (their JSON files) that would run code or read other files.

The loaders of transformers and sentence-transformers import what a record names. Before
they see it, every name in it is compared with what their own files have.
"""

import re
from pathlib import PurePosixPath

from ..exceptions import RemoteCodeError, UnknownBackboneError

# What sentence-transformers' modules may be: `texts.as_backbone` uses no others, and
# the others import classes that their own records name (Router, WordEmbeddings).
MODULES = (
    "Dense",
    "Dropout",
    "LayerNorm",
    "Normalize",
    "Pooling",
    "StaticEmbedding",
    "Transformer",
)
ACTIVATION = re.compile(r"torch\.nn\.(modules\.(activation|linear)\.)?[A-Z]\w*")
ADAPTER = "adapter_config.json"
# In a record of sentence-transformers' Transformer these lead to code, or elsewhere.
REFUSED = (
    "allow_all_kernels",
    "cache_dir",
    "code_revision",
    "kernel_config",
    "tokenizer_name_or_path",
    "use_kernels",
    "weights_only",
)
IMPLEMENTATIONS = (
    "attn_implementation",
    "_attn_implementation",
    "experts_implementation",
    "_experts_implementation",
)


def is_record(path):
    """Whether a file is one that a loader reads names of code or of files in."""
    name = PurePosixPath(path).name
    return name.endswith(("modules.json", ".index.json")) or (
        name.endswith(".json") and "config" in name
    )


def check_record(name, path, content):
    """Refuse a record that asks for code of its own.

    Parameters
    ----------
    name : str
        The network's, for the message.
    path : str
        The record's path in the folder or repository, with slashes.
    content : object
        Parsed JSON.

    Raises
    ------
    RemoteCodeError
        If it names code, a kernel of the hub, or files outside its folder.
    UnknownBackboneError
        If it is made of modules that no backbone has.
    """
    file = PurePosixPath(path).name
    if file == ADAPTER:
        raise RemoteCodeError(
            f"{name!r} has {path}: an adapter, whose network would be fetched from "
            "elsewhere. Merge it first (merge_and_unload of peft) and save the network."
        )
    if file == "modules.json":
        for module in _modules(name, path, content):
            _check_module(name, path, module)
    if file.endswith(".index.json"):
        _check_shards(name, path, content)
    for key, value in _pairs(content):
        if key == "auto_map" and value or key == "trust_remote_code" and value is True:
            _refuse(name, path, f"{key}={value!r}")
        if key in IMPLEMENTATIONS and "/" in str(value):
            _refuse(name, path, f"{key}={value!r}, a kernel of the hub")
        if file.startswith("sentence_") and key in REFUSED:
            _refuse(name, path, f"{key}={value!r}")


def check_activations(name, modules, read):
    """Refuse dense layers whose activation is no module of torch's.

    sentence-transformers before 6 imports and calls whatever the record names.

    Parameters
    ----------
    name : str
        The network's, for the message.
    modules : list of dict
        A modules.json that `check_record` let pass.
    read : callable
        ``read(path)`` gives the parsed JSON of a file, or None.

    Raises
    ------
    RemoteCodeError
    """
    for module in modules:
        if module["type"].rpartition(".")[2] != "Dense":
            continue
        path = str(PurePosixPath(module.get("path") or ".", "config.json"))
        activation = (read(path) or {}).get("activation_function")
        if activation is not None and not ACTIVATION.fullmatch(str(activation)):
            _refuse(name, path, f"activation_function={activation!r}")


def _modules(name, path, content):
    is_list = isinstance(content, list) and all(
        isinstance(module, dict)
        and isinstance(module.get("type"), str)
        and isinstance(module.get("path", ""), str)
        for module in content
    )
    if not is_list:
        raise RemoteCodeError(
            f"{name!r}: {path} must be a list of modules with 'type' and 'path', as "
            f"sentence-transformers writes it; got {str(content)[:100]}."
        )
    return content


def _check_module(name, path, module):
    package, _, rest = module["type"].partition(".")
    if package != "sentence_transformers":
        _refuse(name, path, f"the module {module['type']!r}")
    if rest.rpartition(".")[2] not in MODULES:
        raise UnknownBackboneError(
            f"{name!r} has a module {module['type']!r} ({path}); only networks made of "
            f"{', '.join(MODULES)} can be used."
        )
    folder = module.get("path", "")
    if folder.startswith(("/", "~")) or re.search(r"[\\:]|(^|/)\.\.(/|$)", folder):
        _refuse(name, path, f"the path {folder!r}, which leaves the folder")


def _check_shards(name, path, content):
    shards = content.get("weight_map") if isinstance(content, dict) else None
    for shard in set(map(str, shards.values())) if isinstance(shards, dict) else ():
        if re.search(r"[/\\]", shard) or shard.startswith("."):
            _refuse(name, path, f"the file {shard!r}, which is not in the folder")


def _pairs(content):
    """Yield every key with its value, at every depth."""
    todo = [content]
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            yield from node.items()
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)


def _refuse(name, path, what):
    raise RemoteCodeError(
        f"{name!r} asks for code or files of its own: {path} has {what}. They are not "
        "run: use a network of the installed transformers or sentence-transformers, "
        "or build this one yourself and pass it as Backbone.from_module(...)."
    )
