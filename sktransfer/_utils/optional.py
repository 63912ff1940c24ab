"""Imports of optional packages, with the pip line in the error."""

import importlib
import importlib.util

from ..exceptions import MissingDependencyError


def import_optional(module, *, purpose, extra=None):
    """Import `module`, or say what to install for it.

    Parameters
    ----------
    module : str
        Dotted name of the module.
    purpose : str
        Feature that needs it, as the start of a sentence.
    extra : str, default=None
        The extra in sktransfer's package metadata that installs it. None names the
        package itself, if every extra with it brings more than `purpose` needs.

    Returns
    -------
    module

    Raises
    ------
    MissingDependencyError
        If the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as err:
        top = module.partition(".")[0]
        if err.name is None or err.name.partition(".")[0] != top:
            raise  # the package is there, something inside it is not
        raise _missing(top, extra, purpose) from err


def require(modules, *, extra, purpose):
    """Check that packages are installed, without importing them.

    Parameters
    ----------
    modules : sequence of str
    extra, purpose : str
        As for `import_optional`.

    Raises
    ------
    MissingDependencyError
        If one is not.
    """
    for module in modules:
        if not is_installed(module):
            raise _missing(module, extra, purpose)


def is_installed(module):
    """Whether a package is installed, without importing it."""
    return importlib.util.find_spec(module) is not None


def _missing(package, extra, purpose):
    # No more than what is needed: an extra brings packages for other features too.
    line = package if extra is None else f'"sktransfer[{extra}]"'
    return MissingDependencyError(
        f"{purpose} needs the package {package!r}, which is not installed; "
        f"run: pip install {line}"
    )
