"""Loading a network of transformers': in float32, safely, and all of it."""

import contextlib
import logging
import re

from .._hub import check_safetensors, from_hub, mismatch


def load_model(spec, folder, *, optional=()):
    """Load the network of a folder.

    Parameters
    ----------
    spec : BackboneSpec
        With random weights, only the configuration is read.
    folder : str
    optional : tuple of str, default=()
        Starts of the names of weights that need not be there.

    Returns
    -------
    model : transformers.PreTrainedModel
    missing : set of str
        The `optional` weights that are not there and have random values.

    Raises
    ------
    WeightsNotFoundError
        If there are no safe weights.
    WeightsMismatchError
        If weights are missing.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    if not spec.pretrained:
        config = from_hub(
            lambda: AutoConfig.from_pretrained(
                folder, trust_remote_code=False, local_files_only=True
            ),
            spec.name,
            is_local=True,
        )
        model = AutoModel.from_config(config, trust_remote_code=False)
        return model.float().eval(), set()
    check_safetensors(spec.name, folder)
    # transformers 4 draws random numbers for weights that it then replaces.
    with torch.random.fork_rng(devices=[]), quiet(), load_report() as found:
        model = from_hub(
            lambda: AutoModel.from_pretrained(
                folder,
                use_safetensors=True,
                trust_remote_code=False,
                local_files_only=True,
            ),
            spec.name,
            is_local=True,
        )
    check_complete(spec.name, found, optional)
    return model.float().eval(), found["missing"]


def check_complete(name, found, optional=("pooler.",)):
    """Refuse a network some of whose weights were left random.

    transformers fills in what is missing and only logs it.

    Raises
    ------
    WeightsMismatchError
    """
    lacking = {key for key in found["missing"] if not key.startswith(tuple(optional))}
    if lacking:
        raise mismatch(name, {**found, "missing": lacking})


@contextlib.contextmanager
def load_report():
    """Collect what transformers reports on weights, instead of printing it.

    Yields
    ------
    dict of str to set of str
        Names of the "missing" weights and of the "unexpected" ones.
    """
    from transformers.utils import logging as transformers_logging

    found: dict[str, set[str]] = {"missing": set(), "unexpected": set()}

    class Take(logging.Filter):
        """Keeps the names, and lets no line of them through."""

        def filter(self, record):
            """Say whether the record is about something else."""
            keys = _keys_in(record.getMessage())
            for kind, names in keys.items():
                found[kind].update(names)
            return not any(keys.values())

    take = Take()
    logger = transformers_logging.get_logger("transformers.modeling_utils")
    level = logger.level
    # A quieter user still wants the weights checked. At WARNING itself transformers
    # would also report on a sharding that nobody asked for.
    logger.setLevel(logging.WARNING - 1)
    logger.addFilter(take)
    try:
        yield found
    finally:
        logger.removeFilter(take)
        logger.setLevel(level)


def _keys_in(message):
    """Read the table of transformers 5, or the sentences of 4."""
    rows = re.findall(r"^(.+?)\s*\|\s*\W*(MISSING|UNEXPECTED)", message, re.MULTILINE)
    found = {
        "missing": [key for key, status in rows if status == "MISSING"],
        "unexpected": [key for key, status in rows if status == "UNEXPECTED"],
    }
    unexpected = "not used when initializing .*"
    for kind, start in (("missing", "newly initialized: "), ("unexpected", unexpected)):
        listed = re.search(rf"{start}\[('[^\]]*)\]", message)
        found[kind] += re.findall(r"'([^']+)'", listed[1]) if listed else []
    return found


@contextlib.contextmanager
def quiet():
    """Hide the bar that transformers draws while it reads a file."""
    from transformers.utils import logging as transformers_logging

    was_enabled = transformers_logging.is_progress_bar_enabled()
    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            transformers_logging.enable_progress_bar()
