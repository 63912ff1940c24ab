"""Choose a backbone, a depth and a pooling before an expensive search.

`rank_backbones` scores candidates on your rows without training them. `layer_profile`
scores every depth of one network. `label_efficiency_curve` scores estimators by the
number of labels.
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
