"""The losses between domains: formulas on rows without labels, and the table of them.

Formulas take features whose source rows have a standard deviation of 1
(`BetweenDomains` divides by it), so that a weight means the same on every network. The
table is read by parameter constraints, so that this file loads no torch.
"""

import math
from typing import Any, Literal, NamedTuple

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)  # of mmd, times the mean squared distance
TEMPERATURE = 2.5  # of mcc, the paper's


def ramp(share):
    """Return the weight's factor after a share of the training, from 0 to almost 1."""
    return 2 / (1 + math.exp(-10 * share)) - 1


def coral(source, target):
    """Return the squared distance of the covariances, over ``4 d ** 2``.

    References
    ----------
    B. Sun and K. Saenko, "Deep CORAL: Correlation Alignment for Deep Domain
    Adaptation", ECCV Workshops 2016, https://arxiv.org/abs/1607.01719
    """
    difference = _covariance(source) - _covariance(target)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def _covariance(features):
    centred = features - features.mean(0)
    return centred.T @ centred / max(1, len(features) - 1)


def mmd(source, target):
    """Return the squared maximum mean discrepancy under a mean of Gaussian kernels.

    The kernels are ``exp(-distance ** 2 / (b * m))`` for b in `BANDWIDTHS`, where m is
    the mean squared distance of two different rows of either domain. The estimate is
    the biased one, which is never negative.

    References
    ----------
    M. Long et al., "Learning Transferable Features with Deep Adaptation Networks", ICML
    2015, https://arxiv.org/abs/1502.02791
    """
    import torch

    rows, n = torch.cat([source, target]), len(source)
    rows = rows - rows.mean(0).detach()  # smaller numbers, more exact differences
    norms = rows.square().sum(1)
    squared = (norms[:, None] + norms - 2 * rows @ rows.T).clamp(min=0)
    mean = squared.detach().sum() / max(1, len(rows) * (len(rows) - 1))
    mean = mean.clamp(min=1e-12)
    kernels = [(-squared / (b * mean)).exp() for b in BANDWIDTHS]
    kernel = sum(kernels[1:], kernels[0]) / len(BANDWIDTHS)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def mcc(outputs):
    """Return how much a classifier confuses classes on rows without labels.

    References
    ----------
    Y. Jin et al., "Minimum Class Confusion for Versatile Domain Adaptation", ECCV 2020,
    https://arxiv.org/abs/1912.03699
    """
    log_shares = (outputs / TEMPERATURE).log_softmax(1)
    shares = log_shares.exp()
    certainty = 1 + (shares * log_shares).sum(1).exp().detach()
    weights = len(outputs) * certainty / certainty.sum()
    confusion = (shares * weights[:, None]).T @ shares
    confusion = confusion / confusion.sum(1, keepdim=True).clamp(min=1e-12)
    return (confusion.sum() - confusion.trace()) / outputs.shape[1]


class DomainLossSpec(NamedTuple):
    """Entry of the table of losses between domains.

    Attributes
    ----------
    function : callable or None
        The formula: ``function(source, target)`` of features, or ``function(outputs)``
        of the head's outputs on target rows. None leaves it to a discriminator.
    acts_on : {"features", "outputs"}
        Tensor that the loss acts on. No head can lower a loss of features.
    needs_classes : bool, default=False
        True if it needs one class per row, under a softmax.
    is_conditional : bool, default=False
        True if the discriminator sees features together with predicted classes.
    """

    function: Any  # Callable[..., Tensor] | None
    acts_on: Literal["features", "outputs"]
    needs_classes: bool = False
    is_conditional: bool = False


# The one place that names them: constraints, checks and messages read it, and
# tests/test_docstrings.py compares the docstrings with it.
DOMAIN_LOSSES = {
    "coral": DomainLossSpec(coral, "features"),
    "mmd": DomainLossSpec(mmd, "features"),
    "dann": DomainLossSpec(None, "features"),
    "cdan": DomainLossSpec(None, "features", needs_classes=True, is_conditional=True),
    "mcc": DomainLossSpec(mcc, "outputs", needs_classes=True),
}
