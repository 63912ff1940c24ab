"""Stages: their contestants, and what is to be shown of what these measured."""

from collections.abc import Callable
from typing import NamedTuple

from .._harness import claim


class Claim(NamedTuple):
    """One thing to show.

    Attributes
    ----------
    text : str
    value : callable
        Takes what the contestants of the stage returned, by name.
    sign : {">=", "<="}
    target : float
    """

    text: str
    value: Callable
    sign: str
    target: float


class Stage(NamedTuple):
    """Some contestants, each of which runs in a process of its own.

    Attributes
    ----------
    contestants : callable
        Takes a setting and returns functions of a setting, by name, in their order.
    claims : callable
        Takes a setting and returns a list of `Claim`.
    prepare : callable, default=None
        Takes a setting and makes the files that the contestants share; it returns
        facts about them.
    """

    contestants: Callable
    claims: Callable
    prepare: Callable | None = None


def judge(one, found, is_small):
    """Return a claim as a record holds it; ``holds`` is None if it was not judged."""
    try:
        value = one.value(found)
    except KeyError:  # a contestant that failed, or was not asked for
        value = None
    target = f"{one.sign} {one.target}"
    if value is None:
        why = "NOT RUN"
    elif is_small:
        why = "not judged, since the run is small"
    else:
        holds = value >= one.target if one.sign == ">=" else value <= one.target
        return claim(one.text, _rounded(value), target, holds)
    return {**claim(one.text, _rounded(value), target, False), "holds": None} | {
        "why": why
    }


def _rounded(value):
    return None if value is None else float(f"{value:.5g}")


def rate(one, which=-1):
    """Return the rows per second of a contestant in one of its passes."""
    return one["rows"] / one["seconds"][which]


def time_over(other, ours):
    """Return what gives the time of a contestant over that of another, steady state."""
    return lambda found: rate(found[ours]) / rate(found[other])
