"""Transfer learning that never leaves scikit-learn."""

import importlib

__version__ = "0.1.0.dev0"

_HOME = {
    "Backbone": ".backbones",
    "BackboneSpec": ".backbones",
    "FeatureCache": ".cache",
    "ImageClassifier": ".finetuning",
    "ImageEncoder": ".encoders",
    "ImageRegressor": ".finetuning",
    "TextClassifier": ".finetuning",
    "TextEncoder": ".encoders",
    "TextRegressor": ".finetuning",
    "cache_info": ".cache",
    "check_backbone": ".backbones",
    "clear_cache": ".cache",
    "list_backbones": ".backbones",
    "load": ".persistence",
    "load_backbone": ".backbones",
    "model_card": ".persistence",
    "register_backbone": ".backbones",
    "save": ".persistence",
    "set_cache_dir": ".cache",
}

__all__ = [
    "Backbone",
    "BackboneSpec",
    "FeatureCache",
    "ImageClassifier",
    "ImageEncoder",
    "ImageRegressor",
    "TextClassifier",
    "TextEncoder",
    "TextRegressor",
    "cache_info",
    "check_backbone",
    "clear_cache",
    "list_backbones",
    "load",
    "load_backbone",
    "model_card",
    "register_backbone",
    "save",
    "set_cache_dir",
]


def __getattr__(name):
    """Import a public name when it is first used."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name], __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """List the public names."""
    return sorted([*globals(), *__all__])
