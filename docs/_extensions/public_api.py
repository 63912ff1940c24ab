"""Write the pages of the API reference from ``__all__``.

One page for each public module, with a line for each of its names; autosummary makes
the pages of the names. A name that the package itself exports is documented as
``sktransfer.Name``, once.
"""

import importlib
import inspect
import pkgutil
import re
from pathlib import Path

import sktransfer

FOLDER = "api"


def public_modules():
    """Public modules of the package, by name.

    Returns
    -------
    dict of str to module
        Those whose name has no leading underscore, sorted.
    """
    names = sorted(
        info.name
        for info in pkgutil.iter_modules(sktransfer.__path__)
        if not info.name.startswith("_")
    )
    return {
        f"sktransfer.{name}": importlib.import_module(f"sktransfer.{name}")
        for name in names
    }


def documented_names():
    """Names to document, by the module on whose page they stand.

    Returns
    -------
    dict of str to list of str
        Names relative to the package: ``Backbone``, ``backbones.State``.
    """
    pages = {}
    seen = set()
    for module_name, module in public_modules().items():
        short = module_name.removeprefix("sktransfer.")
        pages[module_name] = [
            name if name in sktransfer.__all__ else f"{short}.{name}"
            for name in module.__all__
        ]
        seen.update(pages[module_name])
    lost = set(sktransfer.__all__) - seen
    if lost:
        raise ValueError(
            f"sktransfer.__all__ has {sorted(lost)}, which no public module has in its "
            "own __all__; add them there, so that they get a page."
        )
    return pages


def summary(module):
    """First line of a module's docstring, without the full stop."""
    return inspect.getdoc(module).splitlines()[0].rstrip(".")


def write_pages(folder):
    """Write the index and one page for each module.

    Parameters
    ----------
    folder : Path
        Made if needed; pages of modules that are gone are deleted.
    """
    folder.mkdir(exist_ok=True)
    modules = public_modules()
    pages = {"index": _index(modules)}
    for name, names in documented_names().items():
        pages[name] = _page(name, modules[name], names)
    for old in folder.glob("*.rst"):
        if old.stem not in pages:
            old.unlink()
    for name, text in pages.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text() != text:
            path.write_text(text)


def _index(modules):
    lines = [
        "API reference",
        "=============",
        "",
        "Names that are written ``sktransfer.Name`` can be imported from the package "
        "itself. Names with a leading underscore are not public.",
        "",
        ".. toctree::",
        "   :hidden:",
        "",
        # Without the package, which is the same for all, they fit the sidebar.
        *[f"   {name.partition('.')[2]} <{name}>" for name in modules],
        "",
    ]
    for name, names in documented_names().items():
        lines += [
            f":doc:`{name}`",
            f"    {summary(modules[name])}: "
            + ", ".join(f"`{n.split('.')[-1]} <sktransfer.{n}>`" for n in names),
            "",
        ]
    return "\n".join(lines)


def _page(name, module, names):
    title, *rest = inspect.getdoc(module).split("\n", 1)
    lines = [
        name,
        "=" * len(name),
        "",
        title,
        *rest,
        "",
        ".. currentmodule:: sktransfer",
        "",
        ".. autosummary::",
        "   :toctree: generated/",
        "",
        *[f"   {public}" for public in names],
        "",
    ]
    return "\n".join(lines)


def from_sklearn(full_name, members):
    """Methods that a class has from scikit-learn, for the template.

    Parameters
    ----------
    full_name : str
        ``sktransfer.ImageEncoder``.
    members : list of str

    Returns
    -------
    list of str
        Public ones, sorted.
    """
    cls = _resolve(full_name)
    return sorted(
        name
        for name in members
        if not name.startswith("_")
        and _module_of(inspect.getattr_static(cls, name)).startswith("sklearn")
    )


def is_foreign(app, what, name, obj, skip, options):
    """Leave members that other libraries document off the pages of classes."""
    if what not in ("class", "exception") or not callable(obj):
        return None
    home = _module_of(obj)
    is_request = re.fullmatch(r"set_\w+_request", name) is not None
    return True if is_request or not home.startswith("sktransfer") else None


def _module_of(obj):
    obj = getattr(obj, "__func__", obj)
    return getattr(obj, "__module__", None) or ""


def _resolve(full_name):
    parts = full_name.split(".")
    obj = importlib.import_module(parts[0])
    for part in parts[1:]:
        obj = getattr(obj, part)
    return obj


def _before_reading(app, config):
    config.autosummary_context = {"from_sklearn": from_sklearn}
    write_pages(Path(app.srcdir) / FOLDER)


def setup(app):
    """Register with Sphinx."""
    app.connect("config-inited", _before_reading)
    app.connect("autodoc-skip-member", is_foreign)
    return {"parallel_read_safe": True}
