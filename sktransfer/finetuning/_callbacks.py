"""What happens beside the steps of a training: skorch callbacks."""

import sys

import torch
from skorch.callbacks import (
    Callback,
    GradientNormClipping,
)

from .._utils.names import on_disk
from ..exceptions import NonFiniteLossError

OWN_CALLBACKS = (
    "bar",
    "early_stopping",
    "gradient_clipping",
    "keep_last_good",
    "lr_schedule",
    "unscale",
)


@on_disk
class Unscale(Callback):
    """Bring gradients back to their size before they are clipped."""

    def on_grad_computed(self, net, **kwargs):
        """Unscale, if there is a scaler."""
        if net.scaler is not None:
            net.scaler.unscale_(net.optimizer_)


@on_disk
class Clip(GradientNormClipping):
    """Clip the gradient of the network, and that of a discriminator for itself.

    Together, what a discriminator learns would slow the network down.
    """

    def on_grad_computed(self, net, named_parameters, **kwargs):
        """Clip."""
        for part in (net.module_, net.criterion_):
            named = list(part.named_parameters())
            if named:
                super().on_grad_computed(net, named, **kwargs)


@on_disk
class KeepLastGood(Callback):
    """Remember the weights of the last whole epoch, and count epochs."""

    def on_train_begin(self, net, **kwargs):
        """Start to count."""
        self.n_epochs_, self.weights_ = 0, None

    def on_epoch_end(self, net, **kwargs):
        """Copy the weights, unless the last step has spoilt them."""
        weights = {
            key: value.detach().clone()
            for key, value in net.module_.state_dict().items()
        }
        if not all(torch.isfinite(value).all() for value in weights.values()):
            raise NonFiniteLossError("a weight is not finite")
        self.n_epochs_ += 1
        self.weights_ = weights

    def __getstate__(self):
        """Leave out the copy."""
        return self.__dict__ | {"weights_": None}


@on_disk
class Bar(Callback):
    """A progress bar over the epochs, with losses and the time that is left."""

    def __init__(self, max_epochs):
        self.max_epochs = max_epochs

    def on_train_begin(self, net, **kwargs):
        """Draw an empty bar."""
        from tqdm import tqdm

        self.bar_ = tqdm(total=self.max_epochs, unit="epoch", file=sys.stderr)

    def on_epoch_end(self, net, **kwargs):
        """Move on."""
        row = net.history[-1]
        names = ("train_loss", "valid_loss", "domain_loss")
        losses = {name: f"{row[name]:.4f}" for name in names if name in row}
        self.bar_.set_postfix(losses)
        self.bar_.update()

    def on_train_end(self, net, **kwargs):
        """Close the bar."""
        self.bar_.close()
        self.bar_ = None
