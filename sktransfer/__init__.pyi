"""The public names, for type checkers and editors; at run time they are lazy."""

from . import backbones as backbones
from . import bulk as bulk
from . import cache as cache
from . import datasets as datasets
from . import demo as demo
from . import domain_adaptation as domain_adaptation
from . import encoders as encoders
from . import estimator_checks as estimator_checks
from . import exceptions as exceptions
from . import finetuning as finetuning
from . import inspection as inspection
from . import model_selection as model_selection
from . import onnx_export as onnx_export
from . import persistence as persistence
from . import tables as tables
from . import target_encoding as target_encoding
from . import zero_shot as zero_shot
from .backbones import (
    Backbone as Backbone,
)
from .backbones import (
    BackboneSpec as BackboneSpec,
)
from .backbones import (
    check_backbone as check_backbone,
)
from .backbones import (
    list_backbones as list_backbones,
)
from .backbones import (
    load_backbone as load_backbone,
)
from .backbones import (
    register_backbone as register_backbone,
)
from .backbones import (
    unload_backbones as unload_backbones,
)
from .cache import (
    FeatureCache as FeatureCache,
)
from .cache import (
    cache_info as cache_info,
)
from .cache import (
    clear_cache as clear_cache,
)
from .cache import (
    set_cache_dir as set_cache_dir,
)
from .domain_adaptation import (
    CircularValidationScorer as CircularValidationScorer,
)
from .domain_adaptation import (
    CORALAdapter as CORALAdapter,
)
from .domain_adaptation import (
    DensityRatioWeights as DensityRatioWeights,
)
from .domain_adaptation import (
    DomainAdaptationClassifier as DomainAdaptationClassifier,
)
from .domain_adaptation import (
    DomainAdaptationRegressor as DomainAdaptationRegressor,
)
from .domain_adaptation import (
    DomainNormalizer as DomainNormalizer,
)
from .domain_adaptation import (
    DomainStandardScaler as DomainStandardScaler,
)
from .domain_adaptation import (
    EnsembleAgreementScorer as EnsembleAgreementScorer,
)
from .domain_adaptation import (
    ImportanceWeightedScorer as ImportanceWeightedScorer,
)
from .domain_adaptation import (
    InformationMaximizationScorer as InformationMaximizationScorer,
)
from .domain_adaptation import (
    KMMWeights as KMMWeights,
)
from .domain_adaptation import (
    LabelShiftCorrection as LabelShiftCorrection,
)
from .domain_adaptation import (
    LeaveOneDomainOut as LeaveOneDomainOut,
)
from .domain_adaptation import (
    OptimalTransport as OptimalTransport,
)
from .domain_adaptation import (
    PredictionEntropyScorer as PredictionEntropyScorer,
)
from .domain_adaptation import (
    PseudoLabels as PseudoLabels,
)
from .domain_adaptation import (
    SoftNeighborhoodDensityScorer as SoftNeighborhoodDensityScorer,
)
from .domain_adaptation import (
    SourceTargetKFold as SourceTargetKFold,
)
from .domain_adaptation import (
    SubspaceAlignment as SubspaceAlignment,
)
from .domain_adaptation import (
    TransferComponentAnalysis as TransferComponentAnalysis,
)
from .domain_adaptation import (
    as_both_domains as as_both_domains,
)
from .domain_adaptation import (
    domain_shift as domain_shift,
)
from .encoders import (
    ImageEncoder as ImageEncoder,
)
from .encoders import (
    TextEncoder as TextEncoder,
)
from .finetuning import (
    ImageClassifier as ImageClassifier,
)
from .finetuning import (
    ImageRegressor as ImageRegressor,
)
from .finetuning import (
    TextClassifier as TextClassifier,
)
from .finetuning import (
    TextRegressor as TextRegressor,
)
from .persistence import (
    load as load,
)
from .persistence import (
    model_card as model_card,
)
from .persistence import (
    save as save,
)
from .tables import (
    TableEncoder as TableEncoder,
)
from .target_encoding import (
    TargetAwareEncoder as TargetAwareEncoder,
)
from .zero_shot import (
    ZeroShotClassifier as ZeroShotClassifier,
)

__version__: str

__all__ = [
    "Backbone",
    "BackboneSpec",
    "CORALAdapter",
    "CircularValidationScorer",
    "DensityRatioWeights",
    "DomainAdaptationClassifier",
    "DomainAdaptationRegressor",
    "DomainNormalizer",
    "DomainStandardScaler",
    "EnsembleAgreementScorer",
    "FeatureCache",
    "ImageClassifier",
    "ImageEncoder",
    "ImageRegressor",
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
    "TableEncoder",
    "TargetAwareEncoder",
    "TextClassifier",
    "TextEncoder",
    "TextRegressor",
    "TransferComponentAnalysis",
    "ZeroShotClassifier",
    "as_both_domains",
    "cache_info",
    "check_backbone",
    "clear_cache",
    "domain_shift",
    "list_backbones",
    "load",
    "load_backbone",
    "model_card",
    "register_backbone",
    "save",
    "set_cache_dir",
    "unload_backbones",
]
