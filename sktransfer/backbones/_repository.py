"""A repository of the Hugging Face hub as a folder in the local cache.

The records come first, so that one that asks for code is refused before its weights are
downloaded. What is built later is built from the folder and asks nobody.
"""

import re

from ..exceptions import WeightsNotFoundError
from ._hub import from_hub

RECORDS = ["*.json", "*.txt", "*.model"]
WEIGHTS = ["*.safetensors"]
# Beside the weights that are read: other libraries', and copies in half precision.
OTHERS = ["onnx/*", "openvino/*", "original/*", "coreml/*", "*.fp16.*", "*.bf16.*"]


def is_hub_name(name):
    """Whether a name has the form of a hub repository: ``organisation/name``."""
    return re.fullmatch(r"[\w.-]+/[\w.-]+", name) is not None


def fetch_repository(name, revision=None, *, has_weights=True):
    """Return the folder of a hub repository, downloaded where it is not there yet.

    Parameters
    ----------
    name : str
        ``organisation/name``. A gated or private one needs a token: ``HF_TOKEN``, or
        that of ``hf auth login``.
    revision : str, default=None
        Branch, tag or commit; None is the main branch.
    has_weights : bool, default=True
        False fetches the records only.

    Returns
    -------
    str
        Path of the folder.

    Raises
    ------
    WeightsNotFoundError
        If the hub gives nothing, and the local cache has nothing.
    """

    def load():
        from huggingface_hub import snapshot_download

        return snapshot_download(
            name,
            revision=revision,
            allow_patterns=RECORDS + (WEIGHTS if has_weights else []),
            ignore_patterns=OTHERS,
            tqdm_class=_bar_of_bytes(),
        )

    return _ask(load, name, revision)


def fetch_file(name, file, revision=None):
    """Return the path of one file of a repository, or None if it has no such file.

    Parameters
    ----------
    name, file : str
    revision : str, default=None
        As in `fetch_repository`.

    Raises
    ------
    WeightsNotFoundError
        As in `fetch_repository`.
    """

    def load():
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError

        try:
            return hf_hub_download(name, file, revision=revision)
        except EntryNotFoundError:
            return None

    return _ask(load, name, revision)


def _ask(load, name, revision):
    try:
        return from_hub(load, name)
    except WeightsNotFoundError as err:
        hint = _hint(err.__cause__, name, revision)
        if hint is None:
            raise
        raise WeightsNotFoundError(hint) from err.__cause__


def _bar_of_bytes():
    """Return a bar for bytes that come, which counts no files that are there."""
    from huggingface_hub.utils import tqdm

    class Bar(tqdm):
        """A bar of the hub's."""

        def __init__(self, *arguments, **options):
            if options.get("unit") != "B":
                options["disable"] = True
            super().__init__(*arguments, **options)

    return Bar


def _hint(cause, name, revision):
    """Say what to do about an answer of the hub, or return None."""
    from huggingface_hub import constants, errors

    page = f"{constants.ENDPOINT}/{name}"
    token = "set HF_TOKEN to a token of yours, or run: hf auth login"
    if isinstance(cause, errors.GatedRepoError):
        return (
            f"{name!r} is gated: ask for access at {page} and {token}. The hub says: "
            f"{_first_line(cause)}"
        )
    if isinstance(cause, errors.RevisionNotFoundError):
        return (
            f"{name!r} has no revision {revision!r}: give a branch, a tag or a commit "
            f"that {page}/tree/main lists."
        )
    if isinstance(cause, errors.RepositoryNotFoundError):
        return (
            f"The hub has no repository {name!r}, or shows it only to others: check "
            f"the name at {page}; if it is private, {token}."
        )
    if isinstance(cause, errors.HfHubHTTPError):
        code = getattr(cause.response, "status_code", None)
        if code in (401, 403):
            return (
                f"The hub refuses {name!r} (HTTP {code}): {_first_line(cause)}. The "
                f"token may be wrong or expired: {token}."
            )
    return None


def _first_line(err):
    return str(err).strip().splitlines()[0]
