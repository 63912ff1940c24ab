"""Looking at what was fitted and what was ranked: displays."""

from ._displays import (
    BackboneRankingDisplay,
    FreezeDepthDisplay,
    LabelEfficiencyDisplay,
)
from ._domain_shift import DomainShiftDisplay

__all__ = [
    "BackboneRankingDisplay",
    "DomainShiftDisplay",
    "FreezeDepthDisplay",
    "LabelEfficiencyDisplay",
]
