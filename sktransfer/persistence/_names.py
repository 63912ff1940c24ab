"""The names that files have: where they lead now, and what they were before.

Pickles and saves name classes. Public classes have their public name. The others have
the home `sktransfer.persistence`, where only pickles and saves look for them; their own
files may move, and ON_DISK says where they are today. Names that change go into MOVED.
"""

import importlib
import io
import json
import zipfile

SCHEMA = "schema.json"

# Name in `sktransfer.persistence` -> the module that has it now.
ON_DISK = {
    "Apply": "sktransfer.backbones._blocks",
    "AttentionBlock": "sktransfer.backbones._blocks",
    "AttentionPool": "sktransfer.backbones._timm.transformers",
    "AugmentedPreprocess": "sktransfer.finetuning._augment",
    "Bar": "sktransfer.finetuning._callbacks",
    "BeitBlock": "sktransfer.backbones._timm.transformers",
    "BeitStem": "sktransfer.backbones._timm.transformers",
    "BetweenDomains": "sktransfer.finetuning._domain_net",
    "BinaryCrossEntropy": "sktransfer.finetuning._row_losses",
    "CategoricalColumn": "sktransfer.tables._columns",
    "ClassCodec": "sktransfer.finetuning._codec",
    "Clip": "sktransfer.finetuning._callbacks",
    "ContrastiveLoader": "sktransfer.finetuning._contrastive",
    "Cosine": "sktransfer.finetuning._head_layers",
    "CrossEntropy": "sktransfer.finetuning._row_losses",
    "DateColumn": "sktransfer.tables._columns",
    "DebertaBlock": "sktransfer.backbones._huggingface.text_families",
    "DebertaEmbeddings": "sktransfer.backbones._huggingface.text_families",
    "DenseStep": "sktransfer.backbones._blocks",
    "Discriminator": "sktransfer.finetuning._discriminator",
    "DomainCriterion": "sktransfer.finetuning._domain_net",
    "DomainLoader": "sktransfer.finetuning._domain_net",
    "DomainNet": "sktransfer.finetuning._domain_net",
    "Epochs": "sktransfer.finetuning._callbacks",
    "FineTuneNet": "sktransfer.finetuning._net",
    "HuggingFaceTokenize": "sktransfer.backbones._huggingface.tokenizer",
    "InDomains": "sktransfer.domain_adaptation._scorer_base",
    "KeepLastGood": "sktransfer.finetuning._callbacks",
    "MPNetBlock": "sktransfer.backbones._huggingface.text_families",
    "MatchedHead": "sktransfer.backbones._timm.matcher",
    "MeanWeights": "sktransfer.finetuning._callbacks",
    "ModernBertBlock": "sktransfer.backbones._huggingface.text_families",
    "NetworkColumn": "sktransfer.tables._columns",
    "Nhwc": "sktransfer.backbones._blocks",
    "NumberCodec": "sktransfer.finetuning._codec",
    "NumericColumn": "sktransfer.tables._columns",
    "OnMap": "sktransfer.backbones._blocks",
    "Lowered": "sktransfer.backbones._engines.lowered",
    "PackedLinear": "sktransfer.backbones._engines.packed",
    "PaddingMaskBlock": "sktransfer.backbones._blocks",
    "PairLoss": "sktransfer.finetuning._contrastive",
    "Pinball": "sktransfer.finetuning._row_losses",
    "PooledVectors": "sktransfer.backbones._engines.pooled",
    "Positioned": "sktransfer.backbones._huggingface.text_families",
    "Prefix": "sktransfer.finetuning._prefix",
    "Product": "sktransfer.finetuning._discriminator",
    "Prototypes": "sktransfer.finetuning._head_layers",
    "RopeBlock": "sktransfer.backbones._timm.transformers",
    "RowLoss": "sktransfer.finetuning._row_losses",
    "RowsDataset": "sktransfer.finetuning._batches",
    "RowsLoader": "sktransfer.finetuning._batches",
    "Schedule": "sktransfer.finetuning._optim",
    "Scores": "sktransfer.finetuning._callbacks",
    "Standardize": "sktransfer.finetuning._head_layers",
    "StaticTokenize": "sktransfer.backbones._huggingface.static",
    "StopEarly": "sktransfer.finetuning._callbacks",
    "Tail": "sktransfer.backbones._blocks",
    "Token": "sktransfer.persistence._swap",
    "TorchvisionViTStem": "sktransfer.backbones._torchvision.families",
    "ToyColumns": "sktransfer.backbones._toy",
    "ToyEmbeddings": "sktransfer.backbones._toy",
    "ToyLayer": "sktransfer.backbones._toy",
    "Trained": "sktransfer.finetuning._trained",
    "TrainingState": "sktransfer.finetuning._state",
    "Unscale": "sktransfer.finetuning._callbacks",
    "ViTStem": "sktransfer.backbones._timm.transformers",
    "VisionLayer": "sktransfer.backbones._huggingface.vision_families",
    "WholeTimm": "sktransfer.backbones._blocks",
    "WholeTransformer": "sktransfer.backbones._blocks",
    "WholeVision": "sktransfer.backbones._blocks",
    "hash_words": "sktransfer.backbones._toy",
    "no_prefix": "sktransfer.finetuning._prefix",
    "rebuild_with_network": "sktransfer.backbones._travel",
}

# Dotted name in older saves -> dotted name now.
MOVED: dict[str, str] = {}


def find(name: str) -> object:
    """Return a class or function that files name.

    Raises
    ------
    AttributeError
        If it is on no list.
    """
    if name not in ON_DISK:
        raise AttributeError(
            f"module 'sktransfer.persistence' has no attribute {name!r}"
        )
    return getattr(importlib.import_module(ON_DISK[name]), name)


def with_new_names(structure: bytes) -> bytes:
    """Return a skops archive in which names of MOVED are today's.

    Parameters
    ----------
    structure : bytes
        An archive that `check_archive` let pass.

    Returns
    -------
    bytes
        The same ones where no name has moved.
    """
    if not MOVED:
        return structure
    with zipfile.ZipFile(io.BytesIO(structure)) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(parts[SCHEMA])
    if not _rename(schema):
        return structure
    parts[SCHEMA] = json.dumps(schema).encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def _rename(node):
    """Rename in place, at every depth; return whether there was anything to rename."""
    todo, is_changed = [node], False
    while todo:
        node = todo.pop()
        if isinstance(node, dict):
            old = f"{node.get('__module__')}.{node.get('__class__')}"
            if old in MOVED:
                node["__module__"], _, node["__class__"] = MOVED[old].rpartition(".")
                is_changed = True
            todo.extend(node.values())
        elif isinstance(node, list):
            todo.extend(node)
    return is_changed
