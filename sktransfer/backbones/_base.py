"""Backbone: a pretrained network as an immutable, ordered list of named blocks."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from .._utils.names import set_module
from ..exceptions import PoolingError
from ._collate import collate, take_apart
from ._depth import resolve_depth
from ._identity import fingerprint_of, identify, versions
from ._pooling import POOLING_CHOICES, in_float32, pool
from ._state import State

if TYPE_CHECKING:
    import torch
    from torch import nn

    from ._preprocess import Preprocess

MODALITIES = ("image", "text", "array")


@set_module("sktransfer")
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Backbone:
    """A pretrained network as an immutable, ordered list of named blocks.

    Encoder depth, freeze depth and activation caches are all one thing, a bound of a
    slice of this list. Nobody trains a backbone: whoever fine-tunes copies the blocks
    that are to change.

    Parameters
    ----------
    name : str
        Display name.
    modality : {"image", "text", "array"}
        Kind of rows that it reads.
    blocks : mapping of str to torch.nn.Module
        In order. Each maps a `State` to a `State`; names are dotted, and the part
        before a dot is a stage ("blocks.4" means up to its last block).
    preprocess : ImagePreprocess, TextPreprocess or ArrayPreprocess
        From the record of the weights.
    pooling : {"mean", "max", "cls", "last", "none"}
        From the record of the weights; "none" if the blocks pool for themselves.
    post_pool : torch.nn.Module, default=None
        Maps pooled vectors to vectors, at full depth only.
    n_prefix_tokens : int, default=0
        Class and register tokens in front, which "mean" and "max" leave out.
    fingerprint : str, default=None
        Names the weights and the structure; None hashes both.
    widths : tuple of int, default=None
        Features of each block's pooled output; None runs one example to see.
    why_whole : str, default=None
        Reason why a network is one block, for messages; None for one that is cut.

    Examples
    --------
    >>> from sktransfer import load_backbone
    >>> backbone = load_backbone("tiny-cnn")
    >>> backbone.block_names
    ('stem', 'stages.0', 'stages.1', 'stages.2')
    >>> backbone.resolve_depth(-1)
    3
    """

    name: str
    modality: str
    blocks: Mapping
    preprocess: Any
    pooling: str
    post_pool: Any = None
    n_prefix_tokens: int = 0
    fingerprint: str = None  # type: ignore[assignment]  # set in __post_init__
    widths: tuple[int, ...] = None  # type: ignore[assignment]  # likewise
    why_whole: str | None = None
    _prepared: dict = dataclasses.field(default_factory=dict, init=False)

    def __post_init__(self) -> None:
        """Freeze the modules and complete the record."""
        if self.modality not in MODALITIES:
            raise ValueError(f"modality={self.modality!r} must be one of {MODALITIES}.")
        if not self.blocks:
            raise ValueError(f"Backbone {self.name!r} has no blocks.")
        set_field = object.__setattr__
        set_field(self, "blocks", MappingProxyType(dict(self.blocks)))
        for module in self.modules():
            module.eval().requires_grad_(False)
        if self.fingerprint is None:
            set_field(self, "fingerprint", fingerprint_of(self))
        if self.widths is None:
            set_field(self, "widths", self._probe_widths())

    @classmethod
    def from_module(
        cls,
        module: nn.Module,
        *,
        blocks: Sequence[str] | Mapping[str, str | Sequence[str]],
        preprocess: Preprocess,
        pooling: Literal["mean", "max", "cls", "last", "none"] = "mean",
        post_pool: str | Sequence[str] | None = None,
        head: str | None = None,
        n_prefix_tokens: int = 0,
        name: str | None = None,
    ) -> Backbone:
        """Describe a network of your own by the names of its parts.

        The module is copied. What the blocks compute is compared with the module's own
        forward, and cut after every block (`check_backbone`), before it is returned.

        Parameters
        ----------
        module : torch.nn.Module
        blocks : list of str, or dict of str to str or list of str
            Names of submodules in the order in which they run, each a block;
            ``"layers.*"`` makes a block of each child. A dict names the blocks itself,
            and may put several parts into one. For texts, a part whose forward takes
            ``attention_mask`` (additive) or ``src_key_padding_mask`` gets the mask.
        preprocess : ImagePreprocess, TextPreprocess or ArrayPreprocess
            From `sktransfer.backbones`; it says what the network reads.
        pooling : {"mean", "max", "cls", "last", "none"}, default="mean"
            "none" if the last block pools for itself.
        post_pool : str or list of str, default=None
            Parts that run after pooling.
        head : str, default=None
            Name of the part to cut off, such as the classifier: the features are what
            enters it. None if the module itself returns the features.
        n_prefix_tokens : int, default=0
            Class and register tokens in front.
        name : str, default=None
            Display name; None takes the class name.

        Returns
        -------
        Backbone

        Raises
        ------
        BackboneCutError
            If a name is not a part of the module, or the parts do not compute what
            the module does.

        Examples
        --------
        >>> from torch import nn
        >>> from sktransfer import Backbone
        >>> from sktransfer.backbones import ArrayPreprocess
        >>> net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
        >>> backbone = Backbone.from_module(
        ...     net,
        ...     blocks={"hidden": ["0", "1"]},
        ...     head="2",
        ...     preprocess=ArrayPreprocess(4),
        ... )
        >>> backbone.widths
        (8,)
        """
        from ._from_module import from_module

        return from_module(
            cls,
            module,
            blocks=blocks,
            preprocess=preprocess,
            pooling=pooling,
            post_pool=post_pool,
            head=head,
            n_prefix_tokens=n_prefix_tokens,
            name=name,
        )

    def __repr__(self) -> str:
        """Name it in one line."""
        return (
            f"<Backbone {self.name!r}: {self.modality}, {len(self.blocks)} blocks, "
            f"{self.widths[-1]} features, {self.fingerprint[:12]}>"
        )

    def __sklearn_clone__(self) -> Self:
        """Return the backbone itself: it cannot change."""
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        """Return the backbone itself: it cannot change."""
        return self

    def __getstate__(self) -> dict[str, Any]:
        """Leave out what can be made again."""
        state = self.__dict__ | {"blocks": dict(self.blocks)}
        for name in ("_prepared", "_identity"):
            state.pop(name, None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore a pickled backbone."""
        state = state | {"blocks": MappingProxyType(state["blocks"]), "_prepared": {}}
        self.__dict__.update(state)

    @property
    def block_names(self) -> tuple[str, ...]:
        """Names of the blocks, in order."""
        return tuple(self.blocks)

    @functools.cached_property
    def _identity(self):
        return identify(self)

    @property
    def cache_identity(self) -> str:
        """Name of what makes the vectors, for cache keys.

        The fingerprint says which network it is, and a save brings it along. The
        identity is always computed from what was loaded: the bytes of weights and
        buffers, the attributes of the modules, the tokenizer, and the code of classes
        and functions that are not an installed package's.
        """
        return self._identity[0]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of the packages that take part, to the minor, by distribution."""
        return versions(self._identity[1])

    def modules(self) -> tuple[nn.Module, ...]:
        """Return every module: the blocks, and `post_pool` if there is one.

        Returns
        -------
        tuple of torch.nn.Module
        """
        tail = () if self.post_pool is None else (self.post_pool,)
        return (*self.blocks.values(), *tail)

    def resolve_depth(
        self, depth: int | str, *, parameter: str = "depth", minimum: int = 1
    ) -> int:
        """Turn a depth into a number of blocks.

        Parameters
        ----------
        depth : int or str
            ``"all"``; an int as in a slice (``-1`` is all but the last block); or
            the name of a block or stage, which is included.
        parameter : str, default="depth"
            Name of the caller's parameter, for the message.
        minimum : int, default=1
            The smallest number that makes sense to the caller.

        Returns
        -------
        int
            ``minimum <= k <= len(blocks)``.

        Raises
        ------
        DepthError
            If the network has no such depth.
        """
        return resolve_depth(
            depth,
            self.block_names,
            name=self.name,
            why_whole=self.why_whole,
            parameter=parameter,
            minimum=minimum,
        )

    def resolve_pooling(
        self, pooling: Literal["auto", "mean", "max", "cls", "last"]
    ) -> Literal["mean", "max", "cls", "last", "none"]:
        """Turn a pooling parameter into what is done.

        Parameters
        ----------
        pooling : {"auto", "mean", "max", "cls", "last"}

        Returns
        -------
        {"mean", "max", "cls", "last", "none"}
            "none" if the network pools for itself.

        Raises
        ------
        PoolingError
            If there is no such pooling, or the network pools for itself.
        """
        if pooling not in POOLING_CHOICES:
            raise PoolingError(f"pooling={pooling!r} must be one of {POOLING_CHOICES}.")
        if pooling == "auto":
            return self.pooling  # type: ignore[return-value]
        if self.pooling == "none":
            raise PoolingError(
                f"pooling={pooling!r} cannot be done: {self.name!r} runs as a whole "
                "and pools for itself; use pooling='auto'."
            )
        return pooling

    def batch(
        self,
        rows: list[np.ndarray],
        *,
        n_rows: int | None = None,
        length: int | None = None,
        pin_memory: bool = False,
    ) -> State:
        """Collate rows into a `State`.

        Parameters
        ----------
        rows : list of ndarray
            Rows that ``preprocess`` made, or activations that `unbatch` gave.
        n_rows, length : int, default=None
            Pad to so many rows of zeros and so many tokens.
        pin_memory : bool, default=False
            Collate into pinned memory, from which CUDA copies without waiting.

        Returns
        -------
        State
        """
        is_text = self.modality == "text"
        return collate(rows, is_text, n_rows, length, pin_memory)

    def unbatch(self, state: State) -> list[np.ndarray]:
        """Take a batch apart.

        Parameters
        ----------
        state : State

        Returns
        -------
        list of ndarray
            One array a row, trimmed to its own length.
        """
        return take_apart(state)

    def run(
        self, state: State, start: int | None = 0, stop: int | None = None
    ) -> State:
        """Run a slice of the blocks, in the caller's grad mode.

        Parameters
        ----------
        state : State
            Output of the block before `start`, or a batch.
        start, stop : int or None, default=0, None
            As in a slice.

        Returns
        -------
        State
        """
        if start == 0:
            state = self.preprocess.to_input(state)
        for block in list(self.blocks.values())[start:stop]:
            state = block(state)
        return state

    def pool(self, state: State, pooling: str, depth: int) -> torch.Tensor:
        """Pool activations to vectors, with `post_pool` at full depth.

        Parameters
        ----------
        state : State
            After `depth` blocks.
        pooling : {"mean", "max", "cls", "last", "none"}
            As `resolve_pooling` gives it.
        depth : int

        Returns
        -------
        Tensor of shape (n, n_features)
        """
        vectors = pool(state.hidden, state.mask, pooling, self.n_prefix_tokens)
        if depth == len(self.blocks) and self.post_pool is not None:
            vectors = self.post_pool(in_float32(vectors))
        return vectors

    def _example(self):
        return self.batch([self.preprocess.example()])

    def _probe_widths(self):
        import torch

        widths = []
        with torch.inference_mode():
            state = self._example()
            for k in range(len(self.blocks)):
                state = self.run(state, k, k + 1)
                pooling = "mean" if self.pooling == "none" else self.pooling
                widths.append(self.pool(state, pooling, k + 1).shape[1])
        return tuple(widths)


def n_parameters(modules):
    """Return how many parameters modules have together."""
    return sum(p.numel() for module in modules for p in module.parameters())
