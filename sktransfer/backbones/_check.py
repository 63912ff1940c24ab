"""check_backbone: the proof that a backbone can be cut anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._utils.names import set_module
from ..exceptions import BackboneCutError
from ._probe import run_each
from ._recipe import MATCH_TOLERANCE

if TYPE_CHECKING:
    from ._base import Backbone

TEXTS = (
    "one",
    "a text of some more words than the others have, with punctuation!",
    "three words here",
    "",
    "zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich",
)
ORDER = (3, 0, 4, 2, 1)  # the order in which activations are collated again
PART = 3  # rows of the first batch after the cut; the rest are another


@set_module("sktransfer.backbones")
class CutReport(NamedTuple):
    """Result of `check_backbone`.

    Attributes
    ----------
    n_cuts : int
        Number of places where the network was cut: one less than its blocks.
    largest_difference : float
        Largest difference over all cuts, relative to the greatest value of the vectors.
    reference_difference : float or None
        Largest difference from `reference`; None without a reference.
    """

    n_cuts: int
    largest_difference: float
    reference_difference: float | None


@set_module("sktransfer")
def check_backbone(
    backbone: Backbone,
    *,
    reference: Callable[..., Any] | None = None,
    tolerance: float = MATCH_TOLERANCE,
) -> CutReport:
    """Prove that a backbone can be cut after each of its blocks.

    Five rows are run (texts: of different lengths). At each cut their activations are
    converted to NumPy arrays and trimmed to their own length, then collated with other
    rows, in another order and with other padding, and run to the end. The vectors must
    equal those of each row alone through the whole network.

    Parameters
    ----------
    backbone : Backbone
        Backbone to check.
    reference : callable, default=None
        Function that returns the vectors ``(n_rows, features)`` that the original
        network computes for prepared rows: a list of uint8 pixels
        ``(height, width, 3)``, of token ids ``(length,)`` or of numbers
        ``(features,)``. Without it, the check cannot notice a missing norm or two
        swapped blocks.
    tolerance : float, default=1e-5
        Greatest difference allowed, relative to the greatest value.

    Returns
    -------
    CutReport

    Raises
    ------
    BackboneCutError
        If a block fails, a vector differs, an activation has another length than its
        row, or `widths` are wrong. The message names the block.

    Examples
    --------
    >>> from sktransfer import check_backbone, load_backbone
    >>> check_backbone(load_backbone("tiny-bert")).n_cuts
    2
    """
    import torch

    rows = example_rows(backbone)
    n_blocks = len(backbone.blocks)
    for _ in run_each(backbone, backbone.batch(rows)):
        pass  # a block that fails is named here
    with torch.inference_mode():
        want = np.concatenate([_vectors(backbone, [row]) for row in rows])
        from_reference = None
        if reference is not None:
            from_reference = _compare(
                backbone, want, np.asarray(reference(rows)), "its reference", tolerance
            )
        worst, prefix = 0.0, backbone.batch(rows)
        for k in range(1, n_blocks + 1):
            prefix = backbone.run(prefix, k - 1, k)
            name = backbone.block_names[k - 1]
            _check_width(backbone, prefix, k)
            if k == n_blocks:
                break
            cut = backbone.unbatch(prefix)
            _check_lengths(backbone, cut, rows, name)
            got = np.empty_like(want)
            for order in (ORDER[:PART], ORDER[PART:]):
                part = [cut[i] for i in order]
                got[list(order)] = _vectors(backbone, part, start=k, padded=True)
            what = f"its own whole run, when it is cut after block {name!r}"
            worst = max(worst, _compare(backbone, got, want, what, tolerance))
    return CutReport(n_blocks - 1, worst, from_reference)


def example_rows(backbone):
    """Return five rows as `preprocess` makes them, seeded; texts of several lengths."""
    if backbone.modality == "text":
        return backbone.preprocess.prepare(list(TEXTS))
    rng = np.random.default_rng(3)
    example = backbone.preprocess.example()
    shape = (len(TEXTS), *example.shape)
    if example.dtype == np.uint8:
        return list(rng.integers(0, 256, size=shape, dtype=np.uint8))
    return list(rng.normal(size=shape).astype(example.dtype))


def _vectors(backbone, rows, start=0, padded=False):
    options = {}
    if padded:
        options["n_rows"] = len(rows) + 1
        if backbone.modality == "text":
            options["length"] = max(map(len, rows)) + 5
    state = backbone.run(backbone.batch(rows, **options), start)
    vectors = backbone.pool(state, backbone.pooling, len(backbone.blocks))
    return vectors[: len(rows)].float().numpy()


def _compare(backbone, got, want, what, tolerance):
    if got.shape != want.shape:
        raise BackboneCutError(
            f"{backbone.name!r} gives vectors of shape {got.shape}; {what} gives "
            f"{want.shape}."
        )
    difference = np.abs(got - want).max() / max(np.abs(want).max(), 1e-30)
    if not difference <= tolerance:
        raise BackboneCutError(
            f"{backbone.name!r} differs from {what} by {difference:.2g} of the "
            f"greatest value; expected at most {tolerance:g}. Each block must map a "
            "State to a State on its own. Look for a skip connection or another step "
            "that is in the network's forward and in no part, a norm that is missing, "
            "blocks in another order, a mask that is not used, and positions or biases "
            "that blocks share."
        )
    return float(difference)


def _check_lengths(backbone, cut, rows, name):
    if backbone.modality != "text":
        return
    got, expected = [len(row) for row in cut], [len(row) for row in rows]
    if got != expected:
        raise BackboneCutError(
            f"{backbone.name!r}: after block {name!r} the rows have {got} positions, "
            f"expected one for each token, {expected}."
        )


def _check_width(backbone, state, k):
    pooling = "mean" if backbone.pooling == "none" else backbone.pooling
    width = backbone.pool(state, pooling, k).shape[1]
    if width != backbone.widths[k - 1]:
        raise BackboneCutError(
            f"{backbone.name!r}: block {backbone.block_names[k - 1]!r} gives {width} "
            f"features, and widths says {backbone.widths[k - 1]}."
        )
