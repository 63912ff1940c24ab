"""Domain adaptation: labels in one domain, predictions in another."""

from ._coral import CORALAdapter
from ._estimators import DomainAdaptationClassifier, DomainAdaptationRegressor
from ._optimal_transport import OptimalTransport
from ._pseudo_labels import PseudoLabels
from ._standardize import DomainNormalizer, DomainStandardScaler
from ._subspace import SubspaceAlignment, TransferComponentAnalysis
from ._weights import DensityRatioWeights, KMMWeights

__all__ = [
    "CORALAdapter",
    "DensityRatioWeights",
    "DomainAdaptationClassifier",
    "DomainAdaptationRegressor",
    "DomainNormalizer",
    "DomainStandardScaler",
    "KMMWeights",
    "OptimalTransport",
    "PseudoLabels",
    "SubspaceAlignment",
    "TransferComponentAnalysis",
]
