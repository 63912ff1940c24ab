"""Engines: what computes the vectors, proved against torch before it is used."""

import os
import warnings
from typing import NamedTuple

import numpy as np

from ..._utils.arithmetic import autocast, settled_precision
from ..._utils.devices import resolve_device
from ..._utils.optional import is_installed, require
from ..._utils.threads import is_fork
from ..._utils.turns import turn
from .builders import AUTO, ENGINES, FASTEST, quiet
from .prepare import LOWER_TOLERANCES, prepare_for_inference

# Greatest difference from torch, relative to the greatest value of a depth.
TOLERANCES = {"float32": 1e-3, "tf32": 1e-2} | LOWER_TOLERANCES
MAX_KEPT = 4  # networks of a backbone and process; each holds the weights once more
# What a fork has copied: to free it would be to wait for threads of the parent.
_of_other_processes: list = []
TEXTS = (
    "a text of some more words than the others have, with punctuation!",
    "three words here",
    "zwölf Boxkämpfer jagen Viktor quer über den Sylter Deich",
    "",
    "one",
)


class EngineKey(NamedTuple):
    """Key of a network that is built for an engine.

    Attributes
    ----------
    engine, device, precision, pooling : str
    preprocess_key : str
        With the size of the images.
    depths : tuple of int
        In rising order.
    n_rows : int or None
        Images that it takes at a time.
    pid : int
        Sessions do not survive a fork.
    """

    engine: str
    device: str
    precision: str
    pooling: str
    preprocess_key: str
    depths: tuple
    n_rows: int | None
    pid: int


def engine_device(engine, device, precision):
    """Return the device on which an engine runs, after checking that it can.

    Raises
    ------
    MissingDependencyError
        If its packages are not installed.
    ValueError
        If it does not run on that device or at that precision.
    """
    if engine == AUTO:
        return resolve_device(device)
    entry = ENGINES[engine]
    require(entry.packages, extra=engine, purpose=f"engine={engine!r}")
    if not entry.is_cpu_only:
        return resolve_device(device)
    others = " or ".join(
        f"engine={name!r}" for name, e in ENGINES.items() if not e.is_cpu_only
    )
    resolved = resolve_device("cpu" if device == "auto" else device)
    if settled_precision(precision, resolved) not in entry.precisions:
        raise ValueError(
            f"engine={engine!r} computes in {' or '.join(entry.precisions)}, got "
            f"precision={precision!r}; set precision='float32', or {others}."
        )
    if resolved.type != "cpu":
        raise ValueError(
            f"engine={engine!r} runs on the CPU, got device={device!r}; set "
            f"device='cpu' or 'auto', or {others}."
        )
    return resolved


def candidates(engine, device, precision, modality):
    """Return the engines to try, the first first; where none works, torch computes."""
    if engine != AUTO:
        return [] if engine == "torch" else [engine]
    if device.type != "cpu":
        return []
    return [
        name
        for name in FASTEST.get(modality, ())
        if precision in ENGINES[name].precisions
        and all(map(is_installed, ENGINES[name].packages))
    ]


def known(backbone, key):
    """Return ``(is_chosen, function)``: what an earlier `choose_engine` came to."""
    kept = backbone._prepared
    return key in kept, kept.get(key)


def choose_engine(backbone, preprocess, key, device, *, warns=True):
    """Return what computes: a function of a State, or None where torch has to.

    The function is built and compared with torch once a process; where it differs,
    cannot be built or cannot run, a warning says so, once.

    Parameters
    ----------
    backbone : Backbone
        Keeps the outcome.
    preprocess : ImagePreprocess or TextPreprocess
    key : EngineKey
    device : torch.device
    warns : bool, default=True
        False for an engine that nobody asked for by name.
    """
    with turn(device, key.precision):
        is_chosen, function = known(backbone, key)
        if is_chosen:
            return function
        function, reason = _proved(backbone, preprocess, key, device)
        _keep(backbone, key, function)
    if reason is not None and warns:
        warnings.warn(
            f"engine={key.engine!r} is not used for {backbone.name!r}: {reason}. torch "
            "computes instead, with equal results; set engine='torch' to avoid this "
            "warning.",
            RuntimeWarning,
            stacklevel=2,
        )
    return function


def _keep(backbone, key, function):
    kept = backbone._prepared
    # Never one of another process: to free it would be to wait for its threads.
    own = [k for k in list(kept) if isinstance(k, EngineKey) and k.pid == os.getpid()]
    for old in own[: max(0, len(own) - MAX_KEPT + 1)]:
        kept.pop(old, None)
    kept[key] = function


def forget_prepared(backbone):
    """Let a backbone's copies, and the networks of engines, go."""
    kept = backbone._prepared
    for key in list(kept):
        value = kept.pop(key, None)
        if isinstance(key, EngineKey) and key.pid != os.getpid():
            _of_other_processes.append(value)


def _proved(backbone, preprocess, key, device):
    """Return a function and None, or None and the reason why there is none."""
    entry = ENGINES[key.engine]
    if not entry.survives_fork and is_fork():
        return None, "it cannot run in a forked process"
    try:
        import torch

        from .pooled import PooledVectors

        # An exported network is in float32, and its engine turns it to a precision.
        precision = "float32" if entry.is_cpu_only else key.precision
        ready, _ = prepare_for_inference(
            backbone, device, packed=False, precision=precision
        )
        module = PooledVectors(ready, key.depths, key.pooling)
        states = [ready.batch(rows).to(device) for rows in _rows(preprocess, key)]
        with quiet():  # torch.compile does its work at the first calls
            run = entry.build(module, _tensors(states[0]), key.precision)
            function = _on_state(run, key, device)
            for state in states:
                with torch.inference_mode(), autocast(device, precision):
                    want = [vectors.cpu().numpy() for vectors in module.pooled(state)]
                reason = _difference(want, function(state), key)
                if reason is not None:
                    return None, reason
    except Exception as err:  # whatever a compiler or an exporter may raise
        lines = str(err).strip().splitlines()
        return None, f"{type(err).__name__}: {lines[0] if lines else 'no message'}"
    return function, None


def _tensors(state):
    return tuple(t for t in (state.hidden, state.lengths) if t is not None)


def _on_state(run, key, device):
    """Turn a function of tensors into one of a State, of any number of images."""
    import torch

    def function(state):
        with torch.inference_mode(), autocast(device, key.precision):
            if key.n_rows is None or len(state.hidden) == key.n_rows:
                return run(*_tensors(state))
            # An exported network of images takes a fixed number of them.
            parts = []
            for part in state.hidden.split(key.n_rows):
                padded = part.new_zeros((key.n_rows, *part.shape[1:]))
                padded[: len(part)] = part
                parts.append(run(padded)[: len(part)])
            return np.concatenate(parts)

    return function


def _rows(preprocess, key):
    """Return batches of rows with content, seeded: of texts two, of two shapes."""
    if key.n_rows is None:
        rows = preprocess.prepare(list(TEXTS))
        return [rows, rows[1:3]]
    height, width = preprocess.size
    rng = np.random.default_rng(0)
    down, across = np.mgrid[0 : 1 : height * 1j, 0 : 1 : width * 1j]
    rows = []
    for _ in range(key.n_rows):
        waves = rng.uniform(1, 20, size=(3, 2))
        planes = [np.sin(a * down + b * across) for a, b in waves]
        noise = rng.normal(scale=0.2, size=(height, width, 3))
        image = 127 + 90 * (np.stack(planes, axis=-1) + noise)
        rows.append(image.clip(0, 255).astype(np.uint8))
    return [rows]


def _difference(want, got, key):
    """Say how an engine's vectors differ from torch's of each depth, or return None."""
    shape = len(want[0]), sum(vectors.shape[1] for vectors in want)
    if got.shape != shape:
        return f"it gives vectors of shape {got.shape}, and torch {shape}"
    if got.dtype != np.float32:
        return f"it gives {got.dtype}, and torch float32"
    tolerance, end = TOLERANCES[key.precision], 0
    for depth, vectors in zip(key.depths, want, strict=True):
        begin, end = end, end + vectors.shape[1]
        gap = np.abs(got[:, begin:end] - vectors).max()
        gap /= max(np.abs(vectors).max(), 1e-30)
        if not gap <= tolerance:
            return (
                f"after {depth} blocks its vectors differ from torch's by {gap:.2g} of "
                f"the greatest value, expected at most {tolerance:g}"
            )
    return None
