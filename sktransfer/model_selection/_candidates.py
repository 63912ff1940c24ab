"""Candidates of a ranking: what callers name, as triples that encoders take."""

from numbers import Integral
from typing import Any

from .._cells.guess import guess_modality
from ..backbones import Backbone, BackboneSpec, list_backbones
from ..backbones._installed import installed
from ..encoders import ImageEncoder, TextEncoder
from ._transferability import GROUP_METHODS, METHODS

ENCODERS: dict[Any, Any] = {"image": ImageEncoder, "text": TextEncoder}
NOT_ENCODER_PARAMS = {"add_indicator", "backbone", "depth", "missing", "pooling"}
MISSING = ("drop", "raise")
SINGLE = (str, Backbone, BackboneSpec, tuple)  # one candidate, and no list of them


def check_options(
    method, modality, missing, encoder_params, n_timed, n_neighbors, groups
):
    """Refuse what is not one of the options of `rank_backbones`."""
    for name, value, allowed in (
        ("method", method, METHODS),
        ("modality", modality, tuple(ENCODERS)),
        ("missing", missing, MISSING),
    ):
        if value not in allowed:
            raise ValueError(
                f"rank_backbones: {name}={value!r} must be one of {allowed}."
            )
    if groups is not None and method not in GROUP_METHODS:
        raise ValueError(
            f"rank_backbones: groups is not used by method={method!r}, which scores "
            "all rows at once; it is by "
            f"{' and '.join(f'method={name!r}' for name in GROUP_METHODS)}. Choose one "
            "of these, or leave groups out."
        )
    for name, value, least in (
        ("n_timed", n_timed, 0),
        ("n_neighbors", n_neighbors, 1),
    ):
        if not isinstance(value, Integral) or value < least:
            raise ValueError(
                f"rank_backbones: {name}={value!r} must be an int of at least {least}."
            )
    if encoder_params is None:
        return
    known = set(ENCODERS[modality]().get_params()) - NOT_ENCODER_PARAMS
    unknown = set(encoder_params) - known
    if unknown:
        raise ValueError(
            f"rank_backbones: encoder_params has {sorted(unknown)}; expected some of "
            f"{sorted(known)}. Backbone, depth and pooling belong to a candidate, and "
            "missing is a parameter of rank_backbones."
        )


def modality_of(candidates, column):
    """Ask the candidates that know what they read, and else look at the cells."""
    if not isinstance(candidates, SINGLE):
        for candidate in candidates:
            backbone = candidate[0] if isinstance(candidate, tuple) else candidate
            if isinstance(backbone, Backbone):
                return backbone.modality
            name = backbone.name if isinstance(backbone, BackboneSpec) else backbone
            for modality in ENCODERS:
                if name in list_backbones(modality):
                    return modality
    return guess_modality(column)


def triples_of(candidates, modality):
    """Return the candidates as triples."""
    if isinstance(candidates, str) and candidates == "installed":
        candidates = installed(modality)
        if not candidates:
            raise ValueError(
                f"rank_backbones: no backbone for {modality}s is installed; run: pip "
                'install "sktransfer[bundled]", or pass a list of candidates.'
            )
    if isinstance(candidates, SINGLE):
        raise ValueError(
            f"rank_backbones: candidates={candidates!r} must be 'installed' or a list; "
            "put a single candidate into a list."
        )
    triples = []
    for candidate in candidates:
        if not isinstance(candidate, tuple):
            candidate = (candidate, "all", "auto")
        if len(candidate) != 3:
            raise ValueError(
                f"rank_backbones: the candidate {candidate!r} has {len(candidate)} "
                "parts; expected a backbone or (backbone, depth, pooling)."
            )
        triples.append(candidate)
    if not triples:
        raise ValueError("rank_backbones: candidates is empty; name at least one.")
    return triples
