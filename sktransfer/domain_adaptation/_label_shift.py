"""Label shift: predictions for a target with other class shares than the source."""

from __future__ import annotations

from numbers import Real

import numpy as np
from scipy.special import log_softmax

from .._utils.names import set_module
from .._utils.parameters import Parametrized
from .._utils.validation import Interval
from ._beliefs import log_beliefs


@set_module("sktransfer")
class LabelShiftCorrection(Parametrized):
    """Adjust probabilities to the class shares of the target, estimated without labels.

    Use it as the last entry of `DomainAdaptationClassifier`'s `adapter`. It suits
    domains in which rows of a class look alike and only the class shares differ;
    `domain_shift` tests this. The class shares are estimated by the EM algorithm of
    Saerens et al., from out-of-fold probabilities that are calibrated on the source
    rows. Predictions of source rows do not change.

    Parameters
    ----------
    strength : float in [0, 1], default=0.75
        Exponent of the ratios of class shares by which probabilities are multiplied. 1
        is Bayes' rule. The default, 0.75, predicts as many rows correctly, finds more
        rows of rare classes, and suffers less from bad estimates.
    alpha : float in (0, 1], default=0.05
        Significance level of the likelihood ratio test for a difference of the class
        shares. If the test finds none, predictions do not change. 1 always corrects.

    See Also
    --------
    domain_shift : Says whether class shares are all that has changed.

    References
    ----------
    Saerens, Latinne and Decaestecker (2002), Adjusting the Outputs of a Classifier to
    New a Priori Probabilities. Alexandari, Kundaje and Shrikumar (2020), Maximum
    Likelihood With Bias-Corrected Calibration is Hard-To-Beat at Label Shift
    Adaptation.

    Examples
    --------
    >>> import numpy as np
    >>> from sktransfer import DomainAdaptationClassifier
    >>> rng = np.random.default_rng(0)
    >>> y = np.repeat(["ham", "spam", "ham", "spam"], [50, 50, 90, 10])
    >>> X = (y == "spam")[:, None] + rng.normal(size=(200, 4))
    >>> domain = np.repeat([0, -1], 100)
    >>> model = DomainAdaptationClassifier(adapter="label_shift")
    >>> model.fit(X, y, sample_domain=domain).target_shares_.round(1)
    array([0.9, 0.1])
    """

    _parameter_constraints = {
        "strength": [Interval(Real, 0, 1, closed="both")],
        "alpha": [Interval(Real, 0, 1, closed="right")],
    }

    def __init__(self, strength: float = 0.75, alpha: float = 0.05) -> None:
        self.strength = strength
        self.alpha = alpha

    def _factors(self, shares):
        """Return the factors of tempered probabilities, or None to leave them."""
        self._validate_params()
        if not shares.have_moved(self.alpha):
            return None
        ratios = np.log(shares.target / shares.source)
        return np.exp(shares.constants + self.strength * ratios)


def corrected_answer(method, estimator, X, temperature, factors, *, name, params):
    """Return what a method of a classifier says under other class shares.

    Parameters
    ----------
    method : {"predict", "predict_proba", "decision_function"}
    estimator : classifier
        Fitted.
    X : ndarray of shape (n_samples, n_features)
    temperature : float
    factors : ndarray of shape (n_classes,)
        Probabilities become ``p ** (1 / temperature) * factors``, at a sum of 1.
    name : str
        Asks for them, for messages.
    params : dict
        Metadata for the estimator's method.

    Returns
    -------
    ndarray
        Decisions are the log odds of two classes, or the logarithms of probabilities.
    """
    logs = log_beliefs(estimator, X, name, params)
    logs = log_softmax(logs / temperature + np.log(factors), axis=1)
    if method == "predict":
        return estimator.classes_[logs.argmax(axis=1)]
    if method == "predict_proba":
        return np.exp(logs)
    return logs[:, 1] - logs[:, 0] if logs.shape[1] == 2 else logs
