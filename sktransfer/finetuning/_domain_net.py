"""Training on two domains: batches of both, and the net whose loss takes both."""

import numpy as np
import torch
from torch import nn

from .._utils.names import on_disk
from ._batches import RowsLoader
from ._discriminator import Discriminator, Product
from ._domain_losses import DOMAIN_LOSSES, ramp
from ._net import FineTuneNet


@on_disk
class DomainLoader(RowsLoader):
    """Batches of source rows, followed by as many target rows.

    An epoch is a pass over the source rows. Target rows come in a random order; after
    all have been used, they come in a new order, also across epochs.

    Parameters
    ----------
    dataset : RowsDataset
        Its indices are the source rows; it has `target_rows`.
    batch_size : int
        Source rows of a batch.
    shuffle : bool, default=False
    """

    def __init__(self, dataset, batch_size, shuffle=False):
        super().__init__(dataset, batch_size, shuffle)
        self.order = np.random.default_rng([dataset.seed, 1])
        self.waiting = np.empty(0, np.int64)

    def made(self):
        """Yield batches as the host makes them."""
        for rows in self.parts():
            both = np.concatenate([rows, self._next_target(len(rows))])
            yield self.dataset.make(both)

    def finish(self, made):
        """Return a batch on the device, with the targets of its source rows."""
        inputs, y = super().finish(made)
        # The second half are target rows, whose targets are never read.
        return inputs, y[: len(y) // 2]

    def _next_target(self, n_rows):
        while len(self.waiting) < n_rows:
            more = self.order.permutation(self.dataset.target_rows)
            self.waiting = np.concatenate([self.waiting, more])
        rows, self.waiting = self.waiting[:n_rows], self.waiting[n_rows:]
        return rows


@on_disk
class BetweenDomains(nn.Module):
    """One of the losses, with what it learns itself.

    Parameters
    ----------
    kind : str
        A name in `DOMAIN_LOSSES`.
    n_features, n_outputs : int
    """

    def __init__(self, kind, n_features, n_outputs):
        super().__init__()
        self.kind = kind
        self.product = self.discriminator = None
        spec = DOMAIN_LOSSES[kind]
        if spec.is_conditional:
            self.product = Product(n_features, n_outputs)
            n_features = self.product.width
        if spec.function is None:
            self.discriminator = Discriminator(n_features)

    def forward(self, features, outputs, n_source, factor):
        """Return the loss, and what is added to that of the labels.

        Parameters
        ----------
        features, outputs : Tensor
            Source rows first, then target rows.
        n_source : int
        factor : float
            The weight at this step. A discriminator learns with a weight of 1, and
            only the gradient that it sends back is weighted.
        """
        spec = DOMAIN_LOSSES[self.kind]
        if spec.acts_on == "outputs":
            loss = spec.function(outputs[n_source:])
            return loss, factor * loss
        features = features / _spread(features[:n_source].detach())
        if self.discriminator is None:
            loss = spec.function(features[:n_source], features[n_source:])
            return loss, factor * loss
        if self.product is not None:
            features = self.product(features, outputs)
        loss = self.discriminator.loss(features, n_source, factor)
        return loss, loss


def _spread(features):
    """Return the root of the mean variance of the features; 1 for a single row.

    About the mean of each feature: how far the features' means are apart, which differs
    from network to network, is no spread. Unbiased, so that halves of a batch have that
    of the whole, about.
    """
    variance = features.var(0).mean() if len(features) > 1 else features.new_zeros(())
    return torch.where(variance > 1e-12, variance.sqrt(), 1.0)


@on_disk
class DomainCriterion(nn.Module):
    """The loss of rows with labels, and beside it the one between domains.

    Its discriminator stands here and not in the module, so that predicting and the
    tuned network know nothing of it.

    Parameters
    ----------
    loss : RowLoss
    domain : BetweenDomains
    """

    def __init__(self, loss, domain):
        super().__init__()
        self.loss, self.domain = loss, domain

    def forward(self, outputs, y, weight):
        """Return the loss of rows with labels."""
        return self.loss(outputs, y, weight)

    def of_rows(self, outputs, y, weight):
        """Return the loss of each of them."""
        return self.loss.of_rows(outputs, y, weight)


@on_disk
class DomainNet(FineTuneNet):
    """A net that trains on batches of both domains.

    Parameters
    ----------
    domain_loss_weight : float, default=1.0
    n_ramp_steps : int, default=None
        Steps over which the weight rises; None takes all of it from the start.
    """

    def __init__(self, *args, domain_loss_weight=1.0, n_ramp_steps=None, **kwargs):
        super().__init__(*args, **kwargs)
        self.domain_loss_weight = domain_loss_weight
        self.n_ramp_steps = n_ramp_steps

    def on_train_begin(self, net, X=None, y=None, **kwargs):
        """Start to count steps."""
        super().on_train_begin(net, X=X, y=y, **kwargs)
        self.n_steps_ = 0

    def train_step_single(self, batch, **fit_params):
        """Compute gradients, and note the loss between the domains."""
        step = super().train_step_single(batch, **fit_params)
        self.n_steps_ += 1
        between = step.pop("domain_loss")
        # Elsewhere the losses of several steps become numbers together.
        between = between.item() if self.is_on_cpu else between
        self.history.record_batch("domain_loss", between)
        return step

    def _rows_at_once(self, inputs):
        return None  # domains are compared by whole batches

    def _factor(self):
        if self.n_ramp_steps is None:
            return self.domain_loss_weight
        return self.domain_loss_weight * ramp(self.n_steps_ / self.n_ramp_steps)

    def _backward(self, inputs, y, share):
        n_source = len(y)
        outputs, features = self.infer(inputs, n_source=n_source)
        loss = self.get_loss(outputs[:n_source].float(), y, X=inputs, training=True)
        between, added = self.criterion_.domain(
            features, outputs.float(), n_source, self._factor()
        )
        self._send_back(share * (loss + added))
        return {
            "loss": share * loss.detach(),
            "y_pred": outputs[:n_source].detach(),
            "domain_loss": share * between.detach(),
        }

    def _part(self, inputs, y, part):
        """Return some of the source rows with the target rows that go with them."""
        n_rows = len(y)
        if part == slice(0, n_rows):
            return inputs, y
        behind = slice(n_rows + part.start, n_rows + part.stop)
        both = {k: torch.cat([v[part], v[behind]]) for k, v in inputs.items()}
        return both, y[part]

    def forget_domain(self):
        """Drop what the loss between the domains has learned, and its optimizer's."""
        learned = {id(p) for p in self.criterion_.domain.parameters()}
        self.criterion_.domain = None
        for groups in (self.optimizer_.param_groups, self.parameter_groups):
            groups[:] = [
                group
                for group in groups
                if not any(id(p) in learned for p in group["params"])
            ]
        for parameter in list(self.optimizer_.state):
            if id(parameter) in learned:
                del self.optimizer_.state[parameter]
