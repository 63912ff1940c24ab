"""Preprocessing, as the configuration of the weights describes it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from .._cells.images import crop_to_aspect
from .._utils.names import set_module
from .._utils.types import ArrayLike
from .._utils.validation import is_integer
from ._resizing import image_steps

if TYPE_CHECKING:
    import PIL.Image
    import torch

    from ._state import State

VERSION = 2  # part of every cache key; raise it when the same record gives other input


@set_module("sktransfer.backbones")
@dataclasses.dataclass(frozen=True)
class ImagePreprocess:
    """Resize, crop and normalise images.

    Parameters
    ----------
    size : (int, int)
        Height and width in pixels.
    mean, std : tuple of 3 floats
        Mean and standard deviation of pixel values between 0 and 1.
    interpolation : str, default="bicubic"
        Interpolation of the resizing: "bilinear", "bicubic" or another name in Pillow.
    crop_pct : float, default=0.875
        Share of the resized image that the crop keeps; 1.0 for a network that was
        trained on whole images.
    crop_mode : str, default="center"
        Mode of the crop: "center", "squash" or "border", as in timm.
    fixed_size : bool, default=False
        True if the network accepts only this size.

    Examples
    --------
    >>> from sktransfer.backbones import ImagePreprocess
    >>> preprocess = ImagePreprocess(size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3)
    >>> preprocess.resized(64, "mine").size
    (64, 64)
    """

    size: tuple
    mean: tuple
    std: tuple
    interpolation: str = "bicubic"
    crop_pct: float = 0.875
    crop_mode: str = "center"
    fixed_size: bool = False

    def __post_init__(self) -> None:
        """Make Python's numbers of NumPy's: the key prints them."""
        for name, kind in (("size", int), ("mean", float), ("std", float)):
            values = tuple(kind(value) for value in getattr(self, name))
            object.__setattr__(self, name, values)
        object.__setattr__(self, "crop_pct", float(self.crop_pct))

    @property
    def key(self) -> str:
        """String of everything that a vector depends on."""
        return f"image{VERSION}:{dataclasses.astuple(self)}"

    def resized(self, image_size: int | None, name: str) -> ImagePreprocess:
        """Return a copy for another input size.

        Parameters
        ----------
        image_size : int or None
            Height and width in pixels. None keeps the size.
        name : str
            Name of the backbone, for the message.

        Returns
        -------
        ImagePreprocess

        Raises
        ------
        ValueError
            If the size is no positive int, or the network accepts only its own.
        """
        if image_size is None or (image_size, image_size) == self.size:
            return self
        if not is_integer(image_size) or image_size < 1:
            raise ValueError(
                f"image_size={image_size!r} must be a positive int or None."
            )
        if self.fixed_size:
            raise ValueError(
                f"image_size={image_size} cannot be used: {name!r} takes only "
                f"{self.size[0]} x {self.size[1]} pixels; leave image_size=None."
            )
        return dataclasses.replace(self, size=(int(image_size), int(image_size)))

    @property
    def enough(self) -> int:
        """Pixels a side that images need to have before they are resized.

        Twice of what they are resized to: a JPEG decoded at half its size is then
        resized to what the whole one is, within a level or two.
        """
        return 2 * math.floor(max(self.size) / self.crop_pct)

    def prepare(self, image: np.ndarray | PIL.Image.Image) -> np.ndarray:
        """Resize and crop an image.

        torch's 8-bit kernels resize. They usually agree with Pillow within one level of
        256, and within three where noise is enlarged.

        Parameters
        ----------
        image : uint8 ndarray of shape (height, width, 3), or PIL image in RGB

        Returns
        -------
        uint8 ndarray of shape (height, width, 3)
        """
        import torch

        pixels = crop_to_aspect(np.asarray(image))
        # torch wants memory that can be written to, laid out row by row.
        pixels = np.require(pixels, np.uint8, ["C", "W"])
        changed = self._changed(torch.from_numpy(pixels).permute(2, 0, 1))
        return np.ascontiguousarray(np.moveaxis(np.asarray(changed), 0, -1))

    def _changed(self, pixels):
        """Resize and crop a uint8 tensor of shape (3, height, width), where it is."""
        for step in image_steps(
            self.size, self.mean, self.interpolation, self.crop_pct, self.crop_mode
        ):
            pixels = step(pixels)
        return pixels

    def _prepare_tensors(self, images: Mapping[int, torch.Tensor]) -> dict:
        """Do as `prepare` for tensors (3, height, width), where they are."""
        import torch

        changed = {}
        for i, image in images.items():
            cropped = crop_to_aspect(image.permute(1, 2, 0)).permute(2, 0, 1)
            changed[i] = self._changed(cropped)
        if not changed:
            return {}
        rows = torch.stack(list(changed.values())).permute(0, 2, 3, 1).contiguous()
        return dict(zip(changed, rows.cpu().numpy(), strict=True))

    @property
    def _runs_on_tensors(self) -> bool:
        """Whether no step needs Pillow."""
        is_known = self.interpolation in ("bilinear", "bicubic")
        return is_known and self.crop_mode != "border"

    def to_input(self, state: State) -> State:
        """Turn a batch of uint8 pixels into normalised floats, on its device.

        Parameters
        ----------
        state : State
            ``hidden`` is uint8 of shape (n, height, width, 3); floats stay as they are.

        Returns
        -------
        State
            ``hidden`` is float32 of shape (n, 3, height, width).
        """
        import torch

        if state.hidden.is_floating_point():
            return state
        pixels = state.hidden.permute(0, 3, 1, 2).float().div_(255)
        # The caller's default dtype may be another.
        options: dict = {"dtype": torch.float32, "device": pixels.device}
        mean = torch.tensor(self.mean, **options).view(3, 1, 1)
        std = torch.tensor(self.std, **options).view(3, 1, 1)
        return state._replace(hidden=pixels.sub_(mean).div_(std))

    def example(self) -> np.ndarray:
        """Return seeded noise in the shape of one image.

        Returns
        -------
        uint8 ndarray of shape (height, width, 3)
        """
        rng = np.random.default_rng(0)
        return rng.integers(0, 256, size=(*self.size, 3), dtype=np.uint8)


def crop_share(size, resized):
    """Return the `crop_pct` with which timm resizes to exactly `resized` pixels.

    timm rounds ``size / crop_pct`` down, and 224 / (224 / 246) is below 246.
    """
    share = size / resized
    while math.floor(size / share) < resized:
        share = math.nextafter(share, 0.0)
    return share


@set_module("sktransfer.backbones")
@dataclasses.dataclass(frozen=True)
class TextPreprocess:
    """Turn texts into token ids.

    Parameters
    ----------
    tokenize : callable
        Function ``tokenize(texts, max_length)`` that returns one list of ids per text.
    max_length : int
        Greatest number of tokens, special ones included.
    tokenizer_id : str, default=""
        Name of whatever determines the tokens but is not in the tokenizer's code and
        attributes, for cache keys: for instance the version of a service that it calls.
    prompts : mapping of str to str, default={}
        Prompts that the weights were trained with, by name.
    default_prompt : str, default=""
        Prompt to put in front by default.

    Examples
    --------
    >>> from sktransfer.backbones import TextPreprocess
    >>> def tokenize(texts, max_length):
    ...     return [[len(word) for word in text.split()][:max_length] for text in texts]
    >>> TextPreprocess(tokenize, max_length=4).prepare(["one short text"])
    [array([3, 5, 4])]
    """

    tokenize: Callable
    max_length: int
    tokenizer_id: str = ""
    prompts: Mapping = dataclasses.field(default_factory=dict)
    default_prompt: str = ""

    @property
    def key(self) -> str:
        """Everything that a vector depends on, but the prompt: texts carry it."""
        return f"text{VERSION}:{self.tokenizer_id}:{self.max_length}"

    def shortened(self, max_length: int | None, name: str) -> TextPreprocess:
        """Return a copy with another limit on tokens.

        Parameters
        ----------
        max_length : int or None
            Number of tokens, special ones included. None keeps the limit.
        name : str
            Name of the backbone, for the message.

        Returns
        -------
        TextPreprocess

        Raises
        ------
        ValueError
            If `max_length` is no positive int, or more than the network accepts.
        """
        if max_length is None:
            return self
        if not is_integer(max_length) or not 3 <= max_length <= self.limit:
            raise ValueError(
                f"max_length={max_length!r} must be an int from 3 to {self.limit}, the "
                f"greatest number of tokens that {name!r} takes, None for its default "
                f"{self.max_length}, or 'pieces' to cut nothing off."
            )
        return dataclasses.replace(self, max_length=int(max_length))

    @property
    def limit(self) -> int:
        """Greatest number of tokens that the network accepts."""
        return getattr(self.tokenize, "limit", self.max_length)

    def prompt(self, prompt: str | None, prompt_name: str | None = None) -> str:
        """Return the text to put in front of each text.

        Parameters
        ----------
        prompt : str or None
            Prompt text.
        prompt_name : str or None, default=None
            Name in `prompts`. If both are None, the default prompt is used.

        Returns
        -------
        str

        Raises
        ------
        ValueError
            If no prompt has that name, or both are given.
        """
        if prompt_name is None:
            return self.default_prompt if prompt is None else prompt
        if prompt is not None:
            raise ValueError(
                f"prompt={prompt!r} and prompt_name={prompt_name!r} were both given. "
                "prompt is your own text, and prompt_name the name of a prompt in the "
                "network's configuration. Leave one of them out."
            )
        if prompt_name not in self.prompts:
            known = sorted(self.prompts) or "no prompts"
            raise ValueError(
                f"prompt_name={prompt_name!r} is not in the configuration of the "
                f"network, which has {known}. To put your own text in front, use "
                "prompt=."
            )
        return self.prompts[prompt_name]

    def prepare(self, texts: list[str]) -> list[np.ndarray]:
        """Tokenize.

        Parameters
        ----------
        texts : list of str

        Returns
        -------
        list of int64 ndarray of shape (length,)
            Token ids, special ones included.
        """
        ids = self.tokenize(texts, self.max_length)
        # A tokenizer without special tokens has none for an empty text.
        return [np.asarray(row or [0], dtype=np.int64) for row in ids]

    def to_input(self, state: State) -> State:
        """Return the state as it is: token ids are what the first block takes.

        Parameters
        ----------
        state : State

        Returns
        -------
        State
        """
        return state

    def example(self) -> np.ndarray:
        """Return the tokens of one short text.

        Returns
        -------
        int64 ndarray of shape (length,)
        """
        return self.prepare(["one short text"])[0]


@set_module("sktransfer.backbones")
@dataclasses.dataclass(frozen=True)
class ArrayPreprocess:
    """Take rows of numbers as they are.

    Parameters
    ----------
    n_features : int
        Number of columns of a row, at most.

    Examples
    --------
    >>> from sktransfer.backbones import ArrayPreprocess
    >>> ArrayPreprocess(3).prepare([1, 2, 3])
    array([1., 2., 3.], dtype=float32)
    """

    n_features: int

    @property
    def key(self) -> str:
        """String of everything that a vector depends on."""
        return f"array{VERSION}:{self.n_features}"

    def prepare(self, row: ArrayLike) -> np.ndarray:
        """Turn one row into float32.

        Parameters
        ----------
        row : array-like of shape (n_features,)

        Returns
        -------
        float32 ndarray of shape (n_features,)
        """
        return np.asarray(row, dtype=np.float32)

    def to_input(self, state: State) -> State:
        """Return the state as it is: rows are what the first block takes.

        Parameters
        ----------
        state : State

        Returns
        -------
        State
        """
        return state

    def example(self) -> np.ndarray:
        """Return seeded noise in the shape of one row.

        Returns
        -------
        float32 ndarray of shape (n_features,)
        """
        return np.random.default_rng(0).normal(size=self.n_features).astype(np.float32)


Preprocess: TypeAlias = ImagePreprocess | TextPreprocess | ArrayPreprocess
