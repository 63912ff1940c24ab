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
from ._probe import probe_widths
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

    Encoder depth, freeze depth and activation caches are all bounds of a slice of this
    list. A backbone is never trained: fine-tuning copies the blocks that are to change.

    Parameters
    ----------
    name : str
        Display name.
    modality : {"image", "text", "array"}
        Kind of rows that the network reads.
    blocks : mapping of str to torch.nn.Module
        Blocks, in order. Each maps a `State` to a `State`. Names may have dots; the
        part before a dot is a stage ("blocks.4" means up to the last block of that
        stage).
    preprocess : ImagePreprocess, TextPreprocess or ArrayPreprocess
        Preprocessing that the weights were trained with.
    pooling : {"mean", "max", "cls", "last", "none"}
        Pooling that the weights were trained with; "none" if the blocks pool
        themselves.
    post_pool : torch.nn.Module, default=None
        Module that maps pooled vectors to vectors. It runs at full depth only.
    n_prefix_tokens : int, default=0
        Number of class and register tokens at the start, which "mean" and "max" leave
        out.
    fingerprint : str, default=None
        Hash of the weights and the structure. None computes it.
    widths : tuple of int, default=None
        Number of features of each block's pooled output. None runs one example to find
        out.
    why_whole : str, default=None
        Reason why the network is a single block, for messages. None for a network that
        is cut.

    See Also
    --------
    load_backbone : Loads a backbone by name.
    check_backbone : Proves that a backbone can be cut after each block.

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
            set_field(self, "widths", probe_widths(self))

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
        """Make a backbone of your own network, by the names of its parts.

        The module is copied. Before it is returned, the output of the blocks is
        compared with the module's own forward, and with runs that are cut after every
        block (`check_backbone`).

        Parameters
        ----------
        module : torch.nn.Module
            Network to describe.
        blocks : list of str, or dict of str to str or list of str
            Names of submodules, in the order in which they run; each is a block.
            ``"layers.*"`` makes a block of each child. A dict names the blocks, and may
            put several parts into one. For texts, a part whose forward takes
            ``attention_mask`` (additive) or ``src_key_padding_mask`` gets the mask.
        preprocess : ImagePreprocess, TextPreprocess or ArrayPreprocess
            Preprocessing, which also says what the network reads.
        pooling : {"mean", "max", "cls", "last", "none"}, default="mean"
            Default pooling; "none" if the last block pools itself.
        post_pool : str or list of str, default=None
            Parts that run after pooling.
        head : str, default=None
            Name of the part to cut off, such as the classifier: its input is the
            features. None if the module itself returns the features.
        n_prefix_tokens : int, default=0
            Number of class and register tokens at the start.
        name : str, default=None
            Display name. None uses the class name.

        Returns
        -------
        Backbone

        Raises
        ------
        BackboneCutError
            If a name is no part of the module, or the blocks cannot run one after the
            other, or compute something else than the module.

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
        """Describe the backbone in one line."""
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
        """Hash of everything that determines the vectors, for cache keys.

        The fingerprint names the network and is part of a save. The identity is always
        computed from the loaded network: the bytes of weights and buffers, the
        attributes of the modules, the tokenizer, and the code of classes and functions
        outside installed packages.
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
        """Return the number of blocks of a depth.

        Parameters
        ----------
        depth : int or str
            ``"all"``; an int, as in a slice (``-1`` is all but the last block); or the
            name of a block or stage, which is included.
        parameter : str, default="depth"
            Name of the caller's parameter, for the message.
        minimum : int, default=1
            Smallest number of blocks that the caller accepts.

        Returns
        -------
        int
            Number of blocks, from `minimum` to the number of blocks of the network.

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
        """Return the pooling that a parameter stands for.

        Parameters
        ----------
        pooling : {"auto", "mean", "max", "cls", "last"}

        Returns
        -------
        {"mean", "max", "cls", "last", "none"}
            Pooling to use; "none" if the network pools itself.

        Raises
        ------
        PoolingError
            If the pooling is unknown, or the network pools itself and `pooling` is not
            "auto".
        """
        if pooling not in POOLING_CHOICES:
            raise PoolingError(f"pooling={pooling!r} must be one of {POOLING_CHOICES}.")
        if pooling == "auto":
            return self.pooling  # type: ignore[return-value]
        if self.pooling == "none":
            raise PoolingError(
                f"pooling={pooling!r} is not possible: {self.name!r} runs as a whole "
                "and pools itself; use pooling='auto'."
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
            Rows from ``preprocess``, or activations from `unbatch`.
        n_rows, length : int, default=None
            Number of rows, and of tokens, to pad to. None does not pad beyond the
            longest row.
        pin_memory : bool, default=False
            Collate into pinned memory, from which CUDA copies without waiting.

        Returns
        -------
        State
        """
        is_text = self.modality == "text"
        return collate(rows, is_text, n_rows, length, pin_memory)

    def unbatch(self, state: State) -> list[np.ndarray]:
        """Split a batch into its rows.

        Parameters
        ----------
        state : State

        Returns
        -------
        list of ndarray
            One array per row, trimmed to the row's own length.
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
            Blocks to run, as in a slice.

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
        """Pool activations to vectors; at full depth, `post_pool` follows.

        Parameters
        ----------
        state : State
            Activations after `depth` blocks.
        pooling : {"mean", "max", "cls", "last", "none"}
            Pooling, as `resolve_pooling` returns it.
        depth : int
            Number of blocks that ran.

        Returns
        -------
        Tensor of shape (n, n_features)
        """
        vectors = pool(state.hidden, state.mask, pooling, self.n_prefix_tokens)
        if depth == len(self.blocks) and self.post_pool is not None:
            vectors = self.post_pool(in_float32(vectors))
        return vectors


def n_parameters(modules):
    """Return how many parameters modules have together."""
    return sum(p.numel() for module in modules for p in module.parameters())
