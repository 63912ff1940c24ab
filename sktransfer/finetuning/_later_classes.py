"""Classes that come after the first call of `partial_fit`."""

import numpy as np

from .._utils.labels import read_labels
from .._utils.validation import is_null, shorten
from ._codec import ClassCodec


def with_later_classes(codec, classes, y, caller):
    """Return a codec that has later classes too, and the places of those so far.

    Parameters
    ----------
    codec : ClassCodec
        The classes so far.
    classes : array-like or None
        All classes, those so far among them; None adds none.
    y : ndarray of shape (n_samples,)
        Labels of rows. A class that nobody named is refused, since it may be a
        misspelling.
    caller : str
        Class name for messages.

    Returns
    -------
    codec : ClassCodec
    places : ndarray of int or None
        Place of each class so far among all; None where none was added.

    Raises
    ------
    ValueError
        If `classes` lacks some of those so far or has another type, or if `y` has a
        class that is in neither.
    """
    known = codec.classes.tolist()
    asked = codec.classes if classes is None else _distinct(classes, caller)
    labels = asked.tolist()
    named = set(labels)
    lost = [label for label in known if label not in named]
    if lost:
        raise ValueError(
            f"{caller}: classes={shorten(labels)} lacks {shorten(lost)}, which earlier "
            "calls had. Pass the earlier and the new ones: "
            "classes=[*model.classes_, ...]."
        )
    if {type(label) for label in labels} != {type(label) for label in known}:
        raise ValueError(
            f"{caller}: classes={shorten(labels)} has another type than the classes of "
            f"earlier calls, {shorten(known)}."
        )
    if np.ndim(y) == 1:
        unseen = [label for label in np.unique(y).tolist() if label not in named]
        if unseen:
            raise ValueError(
                f"{caller}: y has classes that are not known: {shorten(unseen)}; known "
                f"are {shorten(labels)}. To add them, pass the earlier and the new "
                f"ones: classes=[*model.classes_, {shorten(unseen)[1:-1]}]."
            )
    if len(labels) == len(known):
        return codec, None
    if codec.classes.dtype == object:
        asked = asked.astype(object)
    return ClassCodec(asked, False), np.searchsorted(asked, codec.classes)


def _distinct(classes, caller):
    names = np.array([*classes], dtype=object)
    if names.ndim != 1 or any(is_null(name) for name in names):
        raise ValueError(
            f"{caller}: classes={shorten(classes)} is not one class beside the other; "
            "expected a list of classes."
        )
    return np.unique(read_labels(classes, len(names), caller))
