"""Ways to encode a column of images or texts, from which one is chosen."""

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from .._extraction.estimator import ImageColumn, TextColumn
from .._utils.optional import import_optional
from ..backbones import load_backbone
from ..backbones._installed import installed
from ..finetuning import ImageClassifier, ImageRegressor, TextClassifier, TextRegressor
from ..target_encoding import TargetAwareEncoder

# Cheapest first: of equals the first is taken.
WAYS = (
    "drop",
    "words",
    "ngrams",
    "shallow",
    "frozen",
    "probe",
    "larger",
    "tuned",
)
OF_TEXTS = {"words", "ngrams"}
OUT_OF_FOLD = {"probe", "tuned"}
PROBE_C, PROBE_ALPHAS = 0.01, np.logspace(1, 5, 5)  # for hundreds of columns
N_COMPONENTS, ROWS_A_COMPONENT = 30, 4
LONG = 50  # characters of a label
N_SHALLOW = 2  # depths, each a block less than the one before
TUNED = {
    ("image", True): ImageClassifier,
    ("image", False): ImageRegressor,
    ("text", True): TextClassifier,
    ("text", False): TextRegressor,
}


def ways_of(names, encoder, kind, *, is_classes, n_rows, cv, seed):
    """Return the ways that some names stand for.

    Parameters
    ----------
    names : list of str or transformer
        Some of `WAYS`, and transformers.
    encoder : transformer
        The one of columns of that kind; its parameters are those of the others.
    kind : {"image", "text"}
    is_classes : bool
        True for classes, and for labels.
    n_rows : int
        Least number of rows that an encoder will learn from.
    cv : int, splitter or iterable
        Folds of tuned outputs.
    seed : int

    Returns
    -------
    dict of str to (transformer or "drop")
        By label, cheapest first.
    """
    is_ours, ways = _is_ours(encoder), {}
    for name in (n for n in WAYS if n in names):
        if name == "drop":
            ways["drop"] = "drop"
        elif name in OF_TEXTS and kind == "text":
            ways[name] = _strings(name, n_rows, seed)
        elif name == "frozen":
            ways[base_label(encoder)] = encoder
        elif name == "shallow" and is_ours:
            ways |= _shallow(encoder, kind)
        elif name == "larger" and is_ours:
            ways |= _larger(encoder, kind)
        elif name == "probe" and is_ours:
            model = _probe(encoder, is_classes)
            ways[name] = _beside(encoder, model, cv, seed)
        elif name == "tuned" and is_ours:
            model = _tuned(encoder, kind, is_classes, seed)
            ways[name] = _beside(encoder, model, cv, seed)
    for given in (n for n in names if not isinstance(n, str)):
        ways[_label(given, ways)] = given
    return ways


def base_label(encoder):
    """Return the label of a column's own encoder."""
    return "frozen" if _is_ours(encoder) else type(encoder).__name__


def _is_ours(encoder):
    return isinstance(encoder, (ImageColumn, TextColumn))


def _strings(name, n_rows, seed):
    """Return words or n-grams, with no more components than the rows speak for.

    With fewer rows than components, skrub skips the decomposition and keeps the first
    words of the alphabet.
    """
    skrub = import_optional(
        "skrub", extra="tables", purpose=f"TableEncoder(choose=...) with {name!r}"
    )
    params = {"analyzer": "word", "ngram_range": (1, 1)} if name == "words" else {}
    size = min(N_COMPONENTS, max(1, n_rows // ROWS_A_COMPONENT))
    return skrub.StringEncoder(size, random_state=seed, **params)


def _shallow(encoder, kind):
    """Return the network without its last blocks, shortest first."""
    network = load_backbone(encoder.backbone, modality=kind)
    n_blocks = network.resolve_depth(encoder.depth)
    depths = [n_blocks - less for less in range(N_SHALLOW, 0, -1)]
    return {
        f"frozen, depth={depth - len(network.blocks)}": clone(encoder).set_params(
            depth=depth
        )
        for depth in depths
        if depth >= 1 and network.why_whole is None
    }


def _larger(encoder, kind):
    """Return networks that are installed and have more weights, smallest first."""
    least = _n_weights(encoder.backbone, kind)
    found = {name: _n_weights(name, kind) for name in installed(kind)}
    return {
        f"frozen {name}": clone(encoder).set_params(backbone=name, depth="all")
        for name, n_weights in sorted(found.items(), key=lambda item: item[1])
        if n_weights > least
    }


def _n_weights(backbone, kind):
    network = load_backbone(backbone, modality=kind)
    return sum(
        weight.numel()
        for block in network.blocks.values()
        for weight in block.parameters()
    )


def _beside(encoder, model, cv, seed):
    """Return outputs of a model of the target beside what the encoder makes."""
    return TargetAwareEncoder(model, cv=cv, frozen=encoder, random_state=seed)


def _probe(encoder, is_classes):
    """Return a linear model of all that the encoder makes."""
    model = LogisticRegression(C=PROBE_C, max_iter=1000)
    return make_pipeline(
        encoder, StandardScaler(), model if is_classes else RidgeCV(PROBE_ALPHAS)
    )


def _tuned(encoder, kind, is_classes, seed):
    """Return a fine-tuning estimator that reads cells as the encoder does."""
    model = TUNED[kind, is_classes](random_state=seed)
    theirs, own = encoder.get_params(deep=False), model.get_params(deep=False)
    shared = {name: theirs[name] for name in own.keys() & theirs.keys()}
    shared.pop("batch_size")
    for policy in {"missing", "on_error"} & shared.keys():
        if shared[policy] not in ("raise", *model._policies(policy)):
            shared[policy] = "prior"
    return model.set_params(**shared)


def _label(encoder, ways):
    """Return a name that no other way has."""
    label = shown = " ".join(repr(encoder).split())
    if len(shown) > LONG:
        label = shown = type(encoder).__name__
    number = 1
    while label in ways:
        number += 1
        label = f"{shown} {number}"
    return label
