"""Choose a backbone, a depth and a pooling before paying for a search.

`rank_backbones` scores candidates on your rows without training them,
`layer_profile` every depth of one network, and `label_efficiency_curve` estimators at
some numbers of labels.
"""

from ._backbone_ranking import BackboneRanking
from ._label_efficiency import label_efficiency_curve
from ._label_efficiency_curves import LabelEfficiencyCurves
from ._ranking import layer_profile, rank_backbones

__all__ = [
    "BackboneRanking",
    "LabelEfficiencyCurves",
    "label_efficiency_curve",
    "layer_profile",
    "rank_backbones",
]
