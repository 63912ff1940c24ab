"""The two names of a network: its fingerprint and its cache identity.

The fingerprint says which network it is: its weights and its structure. Saves hold it,
and bundled networks have the one of their wheel. The cache identity says what makes the
vectors, and is never read from a file: it is computed from the weights' bytes, the
attributes, the code outside the libraries and the tokenizer that will run.
"""

import hashlib
import importlib.metadata
import re
import sys

from .._utils.description import Description

# Packages that prepare the rows of every network of a modality.
PREPARES = {"image": ("PIL", "timm", "torchvision"), "text": (), "array": ()}
DISTRIBUTIONS = {"PIL": "Pillow", "sklearn": "scikit-learn"}


def fingerprint_of(backbone):
    """Hash the weights and the structure of a backbone.

    Parameters
    ----------
    backbone : Backbone

    Returns
    -------
    str
        sha256, in hexadecimal.
    """
    import torch

    names = [f"{type(m).__name__}" for m in backbone.modules()]
    record: tuple = (backbone.block_names, names, backbone.pooling)
    if backbone.n_prefix_tokens:
        record += (backbone.n_prefix_tokens,)
    digest = hashlib.sha256(repr(record).encode())
    for module in backbone.modules():
        digest.update(repr(module).encode())
        for key, tensor in module.state_dict().items():
            digest.update(f"{key}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
            flat = tensor.detach().cpu().contiguous().flatten()
            digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()


def identify(backbone):
    """Describe what a backbone computes.

    Parameters
    ----------
    backbone : Backbone

    Returns
    -------
    digest : str
        sha256, in hexadecimal.
    packages : tuple of str
        Packages whose code takes part; "python" if the user's own does, because its
        compiled form depends on Python's version.
    """
    preprocess = backbone.preprocess
    description = Description(
        (
            dict(backbone.blocks),
            backbone.post_pool,
            backbone.pooling,
            backbone.n_prefix_tokens,
            # Size and length are the caller's: `preprocess.key` has them.
            type(preprocess),
            getattr(preprocess, "tokenize", None),
        )
    )
    packages = {"torch", "sktransfer", *PREPARES[backbone.modality]}
    packages |= description.libraries
    if description.has_own_code:
        packages.add("python")
    return description.digest, tuple(sorted(packages))


def versions(packages):
    """Return the versions of packages, to the minor.

    Parameters
    ----------
    packages : iterable of str
        Names of import, or "python".

    Returns
    -------
    dict of str to str
        By the name of the distribution.
    """
    return {DISTRIBUTIONS.get(name, name): _minor(name) for name in packages}


def _minor(name):
    """Return the version that is loaded: pip may have installed another meanwhile."""
    if name == "python":
        return f"{sys.version_info.major}.{sys.version_info.minor}"
    version = getattr(sys.modules.get(name), "__version__", None)
    if not isinstance(version, str):
        try:
            version = importlib.metadata.version(DISTRIBUTIONS.get(name, name))
        except importlib.metadata.PackageNotFoundError:
            return "unknown"
    found = re.match(r"\d+(\.\d+)?", version)
    return found[0] if found else version
