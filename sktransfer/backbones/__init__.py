"""Pretrained networks as lists of named blocks, by name."""

from ._base import Backbone
from ._check import CutReport, check_backbone
from ._preprocess import ArrayPreprocess, ImagePreprocess, TextPreprocess
from ._registry import (
    BackboneSpec,
    list_backbones,
    load_backbone,
    register_backbone,
    unload_backbones,
)
from ._state import State

__all__ = [
    "ArrayPreprocess",
    "Backbone",
    "BackboneSpec",
    "CutReport",
    "ImagePreprocess",
    "State",
    "TextPreprocess",
    "check_backbone",
    "list_backbones",
    "load_backbone",
    "register_backbone",
    "unload_backbones",
]


def _build_lite(spec):
    from ._bundled import build_efficientnet_lite

    return build_efficientnet_lite(spec)


def _build_minilm(spec):
    from ._bundled import build_minilm

    return build_minilm(spec)


def _build_toy(spec):
    from . import _toy

    builders = {
        "tiny-cnn": _toy.build_cnn,
        "tiny-bert": _toy.build_bert,
        "tiny-mlp": _toy.build_mlp,
    }
    return builders[spec.name](spec)


for _name in ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"):
    register_backbone(_name, _build_lite, modality="image")
register_backbone("all-MiniLM-L6-v2", _build_minilm, modality="text")
register_backbone("tiny-cnn", _build_toy, modality="image")
register_backbone("tiny-bert", _build_toy, modality="text")
register_backbone("tiny-mlp", _build_toy, modality="array")
