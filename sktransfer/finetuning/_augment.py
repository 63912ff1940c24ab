"""Random changes of training images, from uint8 pixels to as many uint8 pixels."""

import hashlib

import numpy as np

from .._utils.description import Description
from .._utils.names import on_disk
from .._utils.threads import ForkLock

_one_at_a_time = ForkLock()
AUGMENTS = ("light", "standard")


def make_augment(augment, size):
    """Return a torchvision transform.

    Parameters
    ----------
    augment : {"light", "standard"} or callable
        "light" mirrors and shifts by up to 6 %; "standard" also crops to between half
        and all of the image and changes brightness, contrast and saturation. A
        callable, for one a torchvision v2 transform, takes and returns a uint8 tensor
        ``(3, height, width)``.
    size : (int, int)
        Height and width that the network takes.
    """
    if callable(augment):
        return augment
    from torchvision.transforms import v2

    if augment == "light":
        pad = round(0.06 * min(size))
        return v2.Compose(
            [v2.Pad(pad, padding_mode="reflect"), v2.RandomCrop(size)]
            + [v2.RandomHorizontalFlip()]
        )
    return v2.Compose(
        [
            v2.RandomResizedCrop(size, scale=(0.5, 1.0), antialias=True),
            v2.RandomHorizontalFlip(),
            v2.ColorJitter(0.3, 0.3, 0.3),
        ]
    )


def apply(transform, pixels):
    """Apply a transform to uint8 pixels ``(height, width, 3)``.

    Raises
    ------
    ValueError
        If it returns something else than pixels of the same size.
    """
    import torch

    changed = transform(torch.from_numpy(np.array(pixels)).permute(2, 0, 1))
    shape = (3, *pixels.shape[:2])
    is_tensor = isinstance(changed, torch.Tensor)
    if not is_tensor or tuple(changed.shape) != shape or changed.dtype != torch.uint8:
        got = f"{tuple(changed.shape)}, {changed.dtype}" if is_tensor else type(changed)
        raise ValueError(
            f"augment={transform!r} returned {got}; expected a uint8 tensor of shape "
            f"{shape}. Put v2.Resize({shape[1:]}) or v2.ToDtype(torch.uint8) last."
        )
    return changed.permute(1, 2, 0).numpy()


@on_disk
class AugmentedPreprocess:
    """A preprocessing whose images are one fixed random view each.

    The view depends on the image's content, the seed and its number, and on nothing
    else, so that its activations can be kept.

    Parameters
    ----------
    preprocess : ImagePreprocess
    augment : str or callable
    seed, view : int
    """

    def __init__(self, preprocess, augment, seed, view):
        self.preprocess, self.seed, self.view = preprocess, seed, view
        self.transform = make_augment(augment, preprocess.size)
        self.name = augment if isinstance(augment, str) else Description(augment).digest

    @property
    def key(self):
        """Everything that an activation depends on."""
        return f"{self.preprocess.key}:{self.name}:{self.seed}:{self.view}"

    @property
    def enough(self):
        """Pixels a side that images need to have."""
        return self.preprocess.enough

    def prepare(self, image):
        """Turn an RGB image into uint8 pixels of its view."""
        import torch

        pixels = self.preprocess.prepare(image)
        digest = hashlib.blake2b(np.ascontiguousarray(pixels).data, digest_size=7)
        digest.update(f"{self.seed}:{self.view}".encode())
        # Threads decode at the same time, and torch's generator is one for all.
        with _one_at_a_time, torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(
                int.from_bytes(digest.digest(), "big")
            )
            return apply(self.transform, pixels)

    def to_input(self, state):
        """Turn a batch of pixels into normalised floats."""
        return self.preprocess.to_input(state)
