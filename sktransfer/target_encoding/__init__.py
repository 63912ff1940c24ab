"""TargetAwareEncoder: out-of-fold outputs of a supervised model as features."""

from ._encoder import TargetAwareEncoder

__all__ = [
    "TargetAwareEncoder",
]
