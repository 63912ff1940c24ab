"""What brings the features of two domains together: losses on rows without labels.

All of them take features whose source rows have a standard deviation of 1 (`DomainLoss`
divides by it), so that a weight means the same on every network.
"""

import math

import torch
from torch import nn
from torch.nn import functional

from .._utils.names import on_disk

HIDDEN = 256  # units of a discriminator's two hidden layers
MAX_PRODUCT = 4096  # numbers that cdan's outer product may have; the paper's bound
N_PROJECTED = 1024  # and what stands for it beyond that
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
    rows, n = torch.cat([source, target]), len(source)
    rows = rows - rows.mean(0).detach()  # smaller numbers, more exact differences
    norms = rows.square().sum(1)
    squared = (norms[:, None] + norms - 2 * rows @ rows.T).clamp(min=0)
    mean = squared.detach().sum() / max(1, len(rows) * (len(rows) - 1))
    mean = mean.clamp(min=1e-12)
    kernel = sum(torch.exp(-squared / (b * mean)) for b in BANDWIDTHS) / len(BANDWIDTHS)
    return kernel[:n, :n].mean() + kernel[n:, n:].mean() - 2 * kernel[:n, n:].mean()


def mcc(outputs):
    """Return how much a classifier confuses classes on rows without labels.

    References
    ----------
    Y. Jin et al., "Minimum Class Confusion for Versatile Domain Adaptation", ECCV 2020,
    https://arxiv.org/abs/1912.03699
    """
    log_shares = functional.log_softmax(outputs / TEMPERATURE, dim=1)
    shares = log_shares.exp()
    certainty = 1 + torch.exp((shares * log_shares).sum(1)).detach()
    weights = len(outputs) * certainty / certainty.sum()
    confusion = (shares * weights[:, None]).T @ shares
    confusion = confusion / confusion.sum(1, keepdim=True).clamp(min=1e-12)
    return (confusion.sum() - confusion.trace()) / outputs.shape[1]


class _Reverse(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, factor):
        ctx.factor = factor
        return features.view_as(features)

    @staticmethod
    def backward(ctx, gradient):
        return -ctx.factor * gradient, None


def reverse_gradient(features, factor):
    """Return the features as they are; their gradient comes back times ``-factor``.

    References
    ----------
    Y. Ganin et al., "Domain-Adversarial Training of Neural Networks", JMLR 17, 2016,
    https://arxiv.org/abs/1505.07818
    """
    return _Reverse.apply(features, factor)


@on_disk
class Discriminator(nn.Sequential):
    """Says from which domain a row is, and by its reversed gradient unlearns to.

    Parameters
    ----------
    n_features : int
    """

    def __init__(self, n_features):
        super().__init__(
            nn.Linear(n_features, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, 1),
        )

    def loss(self, features, n_source, factor):
        """Return its cross entropy, half for each domain."""
        outputs = self(reverse_gradient(features, factor))[:, 0]
        wanted = torch.zeros_like(outputs)
        wanted[:n_source] = 1.0
        losses = functional.binary_cross_entropy_with_logits(
            outputs, wanted, reduction="none"
        )
        return (losses[:n_source].mean() + losses[n_source:].mean()) / 2


@on_disk
class Product(nn.Module):
    """Each feature times each predicted probability, which get no gradient from it.

    Beyond `MAX_PRODUCT` numbers, the product of random projections of both.

    Parameters
    ----------
    n_features, n_outputs : int

    References
    ----------
    M. Long et al., "Conditional Adversarial Domain Adaptation", NeurIPS 2018,
    https://arxiv.org/abs/1705.10667
    """

    def __init__(self, n_features, n_outputs):
        super().__init__()
        self.is_projected = n_features * n_outputs > MAX_PRODUCT
        self.width = N_PROJECTED if self.is_projected else n_features * n_outputs
        if self.is_projected:
            for name, n in (("of_features", n_features), ("of_shares", n_outputs)):
                self.register_buffer(name, torch.randn(n, N_PROJECTED))

    def forward(self, features, outputs):
        """Map features and outputs to one vector a row."""
        shares = outputs.detach().softmax(1)
        if not self.is_projected:
            return (features[:, :, None] * shares[:, None]).flatten(1)
        product = (features @ self.of_features) * (shares @ self.of_shares)
        return product / self.width**0.5


@on_disk
class DomainLoss(nn.Module):
    """One of the losses, with what it learns itself.

    Parameters
    ----------
    kind : {"coral", "mmd", "dann", "cdan", "mcc"}
    n_features, n_outputs : int
    """

    def __init__(self, kind, n_features, n_outputs):
        super().__init__()
        self.kind = kind
        self.product = self.discriminator = None
        if kind == "cdan":
            self.product = Product(n_features, n_outputs)
            n_features = self.product.width
        if kind in ("dann", "cdan"):
            self.discriminator = Discriminator(n_features)

    def forward(self, features, outputs, n_source, factor):
        """Return the loss, and what is added to that of the labels.

        Parameters
        ----------
        features, outputs : Tensor
            Of the source rows and, behind them, the target rows.
        n_source : int
        factor : float
            The weight at this step. A discriminator learns with a weight of 1, and
            only the gradient that it sends back is weighted.
        """
        if self.kind == "mcc":
            loss = mcc(outputs[n_source:])
            return loss, factor * loss
        features = features / features[:n_source].detach().std(correction=0).clamp(
            min=1e-6
        )
        if self.discriminator is None:
            formula = {"coral": coral, "mmd": mmd}[self.kind]
            loss = formula(features[:n_source], features[n_source:])
            return loss, factor * loss
        if self.product is not None:
            features = self.product(features, outputs)
        loss = self.discriminator.loss(features, n_source, factor)
        return loss, loss
