"""Displays of fitted estimators, rankings and domains."""

from ._attribution import AttributionDisplay
from ._backbone_ranking import BackboneRankingDisplay
from ._class_shares import ClassSharesDisplay
from ._column_choices import ColumnChoicesDisplay
from ._domain_shift import DomainShiftDisplay
from ._freeze_depth import FreezeDepthDisplay
from ._label_efficiency import LabelEfficiencyDisplay
from ._training_curve import TrainingCurveDisplay

__all__ = [
    "AttributionDisplay",
    "BackboneRankingDisplay",
    "ClassSharesDisplay",
    "ColumnChoicesDisplay",
    "DomainShiftDisplay",
    "FreezeDepthDisplay",
    "LabelEfficiencyDisplay",
    "TrainingCurveDisplay",
]
