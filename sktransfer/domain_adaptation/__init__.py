"""Domain adaptation: labels in one domain, predictions in another."""

from ._coral import CORALAdapter
from ._estimators import DomainAdaptationClassifier, DomainAdaptationRegressor
from ._label_shift import LabelShiftCorrection
from ._optimal_transport import OptimalTransport
from ._pseudo_labels import PseudoLabels
from ._scorers import (
    CircularValidationScorer,
    EnsembleAgreementScorer,
    ImportanceWeightedScorer,
    InformationMaximizationScorer,
    PredictionEntropyScorer,
    SoftNeighborhoodDensityScorer,
)
from ._shift import DomainShift, domain_shift
from ._splitters import LeaveOneDomainOut, SourceTargetKFold, as_both_domains
from ._standardize import DomainNormalizer, DomainStandardScaler
from ._subspace import SubspaceAlignment, TransferComponentAnalysis
from ._weights import DensityRatioWeights, KMMWeights

__all__ = [
    "CORALAdapter",
    "CircularValidationScorer",
    "DensityRatioWeights",
    "DomainAdaptationClassifier",
    "DomainAdaptationRegressor",
    "DomainNormalizer",
    "DomainShift",
    "DomainStandardScaler",
    "EnsembleAgreementScorer",
    "ImportanceWeightedScorer",
    "InformationMaximizationScorer",
    "KMMWeights",
    "LabelShiftCorrection",
    "LeaveOneDomainOut",
    "OptimalTransport",
    "PredictionEntropyScorer",
    "PseudoLabels",
    "SoftNeighborhoodDensityScorer",
    "SourceTargetKFold",
    "SubspaceAlignment",
    "TransferComponentAnalysis",
    "as_both_domains",
    "domain_shift",
]
