"""The house: layers, circles, file lengths, lazy imports, private and sorted names."""

import ast
import functools
import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import sktransfer

PACKAGE = Path(sktransfer.__file__).parent
FILES = sorted(PACKAGE.rglob("*.py"))
# Each folder or module at the top imports only from layers above its own line.
LAYERS = (
    {"exceptions"},
    {"_utils"},
    {"_untrusted"},
    {"_cells", "cache"},
    {"backbones"},
    {"_extraction"},
    {"encoders", "finetuning", "domain_adaptation"},
)
SIBLINGS = LAYERS[-1]  # they do not know each other
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}
TOP = len(LAYERS)  # every other folder or module; these may import each other
# Private names of other packages, and the only files that may import or touch them.
# "Private" is a name or a part of a path with one leading underscore.
MAY_USE_PRIVATE_NAMES = {
    "sklearn": "_utils/validation.py",
    "torch": "backbones/_engines/packed.py",  # oneDNN's packed linear layer
}
HEAVY = (
    "torch",
    "skorch",
    "timm",
    "transformers",
    "sentence_transformers",
    "PIL",
    "ot",
)
by_file = pytest.mark.parametrize(
    "path", FILES, ids=lambda path: str(path.relative_to(PACKAGE))
)


def room(module):
    """The folder or module at the top that a dotted name belongs to."""
    return module.split(".")[1] if "." in module else "__init__"


def module_of(path):
    parts = ("sktransfer", *path.relative_to(PACKAGE).with_suffix("").parts)
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for path in FILES}


def is_for_checkers_only(node):
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def nodes_of(tree):
    """Every node but those below ``if TYPE_CHECKING``."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        if not is_for_checkers_only(node):
            todo.extend(ast.iter_child_nodes(node))


@functools.cache
def parsed(path):
    return ast.parse(path.read_text())


def imported_modules(path):
    """Modules of the package that a file imports, wherever in the file."""
    here = module_of(path)
    package = here if path.name == "__init__.py" else here.rpartition(".")[0]
    for node in nodes_of(parsed(path)):
        if isinstance(node, ast.ImportFrom) and node.level:
            parts = package.split(".")
            base = ".".join(parts[: len(parts) - node.level + 1])
            base = f"{base}.{node.module}" if node.module else base
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith(
            "sktransfer"
        ):
            base = node.module
        else:
            continue
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in MODULES else base


@by_file
def test_imports_only_point_down(path):
    here = room(module_of(path))
    if here in ("__init__", "__main__"):
        return
    level = LEVEL.get(here, TOP)
    for module in imported_modules(path):
        other = room(module)
        if other == here:
            continue
        assert not (here in SIBLINGS and other in SIBLINGS), f"{here} -> {other}"
        other_level = LEVEL.get(other, TOP)
        assert other_level < level or level == other_level == TOP, (
            f"{here} (layer {level}) imports {other} (layer {other_level})"
        )


def test_every_layer_is_there():
    for name in LEVEL:
        assert (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


def circles(edges):
    """Return the groups of modules that import each other, by Tarjan's algorithm."""
    index, low, stack, found = {}, {}, [], []

    def visit(module):
        index[module] = low[module] = len(index)
        stack.append(module)
        for other in edges.get(module, ()):
            if other not in index:
                visit(other)
                low[module] = min(low[module], low[other])
            elif other in stack:
                low[module] = min(low[module], index[other])
        if low[module] == index[module]:
            group = set()
            while module not in group:
                group.add(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for module in edges:
        if module not in index:
            visit(module)
    return found


def test_no_modules_import_each_other_even_inside_functions():
    edges = {
        module: set(imported_modules(path)) - {module}
        for module, path in MODULES.items()
    }
    assert circles(edges) == []


def test_a_circle_would_be_found():
    edges = {"a": {"b"}, "b": {"c"}, "c": {"b", "d"}, "d": set()}
    assert circles(edges) == [["b", "c"]]


@by_file
def test_no_file_is_above_420_lines(path):
    assert len(path.read_text().splitlines()) <= 420


@by_file
def test_skorch_is_imported_by_the_net_and_what_it_is_made_of(path):
    allowed = ("_net.py", "_make_net.py", "_callbacks.py", "_batches.py")
    if path.parent.name == "finetuning" and path.name in allowed:
        return
    for node in ast.walk(parsed(path)):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        assert not any(name.partition(".")[0] == "skorch" for name in names)


def is_private(name):
    return name.startswith("_") and not name.startswith("__")


def private_names(tree):
    """Yield (package, dotted name) of what is private in another package.

    Imports are looked at by path and by name, and attributes of what was imported.
    """
    local = {}  # local name -> dotted name of a module of another package
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name.partition(".")[0]
                local[alias.asname or top] = alias.name if alias.asname else top
                if any(map(is_private, alias.name.split("."))):
                    yield top, alias.name
        elif isinstance(node, ast.ImportFrom) and not node.level:
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                local[alias.asname or alias.name] = full
                if any(map(is_private, full.split("."))):
                    yield full.partition(".")[0], full
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            name = ast.unparse(node)
            first, _, rest = name.partition(".")
            if first in local and re.fullmatch(r"[\w.]+", name):
                full = f"{local[first]}.{rest}"
                yield full.partition(".")[0], full


@by_file
def test_private_names_of_other_packages_stand_where_the_table_says(path):
    here = path.relative_to(PACKAGE).as_posix()
    wrong = [
        name
        for package, name in private_names(parsed(path))
        if package != "sktransfer" and MAY_USE_PRIVATE_NAMES.get(package) != here
    ]
    assert not wrong, f"{here} uses private names: {wrong}"


@pytest.mark.parametrize(
    "code",
    [
        "from sklearn.utils._tags import get_tags",
        "from sklearn.utils import _safe_indexing",
        "from sklearn.utils import _safe_indexing as take",
        "import torch._dynamo",
        "import torch\ntorch._C._get_tracing_state()",
        "import torch as t\nt.nn.modules._functions",
        "from torch import nn\nnn.Module._load",
    ],
)
def test_a_private_name_of_another_package_would_be_found(code):
    assert list(private_names(ast.parse(code)))


def test_public_names_are_sorted_and_exist():
    for name in MODULES:
        if any(part.startswith("_") for part in name.split(".")):
            continue
        module = importlib.import_module(name)
        assert module.__all__ == sorted(module.__all__), name
        assert all(hasattr(module, public) for public in module.__all__), name
    assert set(sktransfer.__all__) <= set(dir(sktransfer))


def test_public_modules_are_attributes_of_the_package():
    public = sorted(
        name.partition(".")[2]
        for name in MODULES
        if name.count(".") == 1 and not name.partition(".")[2].startswith("_")
    )
    assert list(sktransfer._MODULES) == public
    assert set(public) <= set(dir(sktransfer))
    code = (
        "import sktransfer\n"
        f"for name in {public!r}:\n"
        "    assert getattr(sktransfer, name).__name__ == f'sktransfer.{name}'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_unknown_public_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'ImageEncoda'"):
        _ = sktransfer.ImageEncoda


@pytest.mark.parametrize(
    "statement",
    [
        "import sktransfer",
        "from sktransfer import ImageEncoder, TextEncoder",
        "from sktransfer import DomainAdaptationClassifier",
    ],
)
def test_import_loads_no_heavy_package(statement):
    code = (
        f"{statement}; import json, sys; "
        f"print(json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == []
