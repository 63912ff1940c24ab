"""TargetAwareEncoder: what a supervised model says of rows that it has not seen."""

from ._encoder import TargetAwareEncoder

__all__ = [
    "TargetAwareEncoder",
]
