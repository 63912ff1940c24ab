"""The convention of `sample_domain`: >= 0 is source, < 0 is target."""

import numpy as np
from sklearn.utils.metadata_routing import MetadataRequest
from sklearn.utils.validation import column_or_1d

from .._utils.labels import read_labels
from .._utils.validation import (
    SAMPLE_DOMAIN,
    check_sample_domain,
    shorten,
)

HOW_TO_ROUTE = (
    "A search passes it to scorers and splitters only with metadata routing: run "
    "fit(..., sample_domain=...) inside `with "
    "sklearn.config_context(enable_metadata_routing=True):`."
)
SOME_TARGET = np.iinfo(np.int64).min  # a target row of a domain that nobody named


def check_both_domains(sample_domain, n_rows, name):
    """Return the domains, of which some are source and some target.

    Raises
    ------
    ValueError
        If it is missing, malformed, or has rows of one kind only.
    """
    if sample_domain is None:
        raise ValueError(
            f"{name}.fit needs sample_domain: {SAMPLE_DOMAIN}. Inside a Pipeline give "
            "it as <step>__sample_domain."
        )
    domain = check_sample_domain(sample_domain, n_rows, name)
    if (domain < 0).all() or (domain >= 0).all():
        got, lacking = ("source", "target") if domain[0] >= 0 else ("target", "source")
        raise ValueError(
            f"{name}.fit got only {got} rows (sample_domain has the values "
            f"{shorten(np.unique(domain).tolist())}), expected {lacking} rows as well: "
            f"{SAMPLE_DOMAIN}. Add rows of the other kind; with one kind there is "
            "nothing to adapt."
        )
    return domain


def check_routed_domain(sample_domain, n_rows, name):
    """Return the domains of rows to score or split, which routing has to bring.

    Raises
    ------
    ValueError
        If it is missing or malformed.
    """
    if sample_domain is None:
        raise ValueError(f"{name} needs sample_domain: {SAMPLE_DOMAIN}. {HOW_TO_ROUTE}")
    return check_sample_domain(sample_domain, n_rows, name)


def domain_request(owner, method):
    """Return the metadata routing of an object whose one method takes the domains."""
    request = MetadataRequest(owner=owner)
    getattr(request, method).add_request(param="sample_domain", alias=True)
    return request


def resolve_domain(sample_domain, n_rows, name):
    """Return the domains of new rows; without any, all rows are target."""
    if sample_domain is None:
        return np.full(n_rows, SOME_TARGET)
    return check_sample_domain(sample_domain, n_rows, name)


def source_targets(y, domain, name):
    """Return what `y` says of the source rows; the other entries are not read.

    Parameters
    ----------
    y : array-like of shape (n_samples,) or (n_samples, n_outputs)
        Targets. Those of target rows may be anything.
    domain : ndarray of shape (n_samples,)
    name : str
        Class name for messages.

    Returns
    -------
    ndarray with one entry for each source row, in order

    Raises
    ------
    ValueError
        If `y` has another length, or no value for a source row.
    """
    known = read_labels(
        y,
        len(domain),
        name,
        rows=np.flatnonzero(domain >= 0),
        missing="Only target rows may lack it: drop these rows, or give them a "
        "negative sample_domain, which makes them target rows.",
    )
    if known.ndim == 2 and known.shape[1] == 1:
        known = column_or_1d(known, warn=True)
    return np.array(known.tolist()) if known.dtype == object else known


def spread_over_rows(known, domain):
    """Put the source rows' targets at their rows; the others repeat the first."""
    targets = np.repeat(known[:1], len(domain), axis=0)
    targets[domain >= 0] = known
    return targets
