"""Transfer learning that never leaves scikit-learn."""

import importlib

__version__ = "0.1.0"

# Public name -> the module that has it. `__init__.pyi` says the same to type checkers.
_HOME = {
    "Backbone": ".backbones",
    "BackboneSpec": ".backbones",
    "CORALAdapter": ".domain_adaptation",
    "CircularValidationScorer": ".domain_adaptation",
    "DensityRatioWeights": ".domain_adaptation",
    "DomainAdaptationClassifier": ".domain_adaptation",
    "DomainAdaptationRegressor": ".domain_adaptation",
    "DomainNormalizer": ".domain_adaptation",
    "DomainStandardScaler": ".domain_adaptation",
    "EnsembleAgreementScorer": ".domain_adaptation",
    "FeatureCache": ".cache",
    "ImageClassifier": ".finetuning",
    "ImageEncoder": ".encoders",
    "ImageRegressor": ".finetuning",
    "ImportanceWeightedScorer": ".domain_adaptation",
    "InformationMaximizationScorer": ".domain_adaptation",
    "KMMWeights": ".domain_adaptation",
    "LabelShiftCorrection": ".domain_adaptation",
    "LeaveOneDomainOut": ".domain_adaptation",
    "OptimalTransport": ".domain_adaptation",
    "PredictionEntropyScorer": ".domain_adaptation",
    "PseudoLabels": ".domain_adaptation",
    "SoftNeighborhoodDensityScorer": ".domain_adaptation",
    "SourceTargetKFold": ".domain_adaptation",
    "SubspaceAlignment": ".domain_adaptation",
    "TableEncoder": ".tables",
    "TargetAwareEncoder": ".target_encoding",
    "TextClassifier": ".finetuning",
    "TextEncoder": ".encoders",
    "TextRegressor": ".finetuning",
    "TransferComponentAnalysis": ".domain_adaptation",
    "ZeroShotClassifier": ".zero_shot",
    "as_both_domains": ".domain_adaptation",
    "cache_info": ".cache",
    "check_backbone": ".backbones",
    "clear_cache": ".cache",
    "domain_shift": ".domain_adaptation",
    "list_backbones": ".backbones",
    "load": ".persistence",
    "load_backbone": ".backbones",
    "model_card": ".persistence",
    "register_backbone": ".backbones",
    "save": ".persistence",
    "set_cache_dir": ".cache",
    "unload_backbones": ".backbones",
}

__all__ = sorted(_HOME)

# ``sktransfer.inspection`` after ``import sktransfer`` imports it, as in scikit-learn.
_MODULES = (
    "backbones",
    "bulk",
    "cache",
    "datasets",
    "demo",
    "domain_adaptation",
    "encoders",
    "estimator_checks",
    "exceptions",
    "finetuning",
    "inspection",
    "model_selection",
    "onnx_export",
    "persistence",
    "tables",
    "target_encoding",
    "zero_shot",
)


def __getattr__(name):
    """Import a public name or module when it is first used."""
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name], __name__), name)
    if name in _MODULES:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    """List the public names and modules."""
    return sorted({*globals(), *__all__, *_MODULES})
