"""What editors and type checkers see of the public names."""

import ast
import inspect
import re
from pathlib import Path

import jedi
import pytest
from sklearn.utils._param_validation import StrOptions, make_constraint

import sktransfer

STUB = Path(sktransfer.__file__).with_suffix(".pyi")


def test_the_stub_says_what_the_package_has():
    homes, modules, listed = {}, [], []
    for node in ast.parse(STUB.read_text()).body:
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                assert alias.asname == alias.name  # else it is not re-exported
                if node.module is None:
                    modules.append(alias.name)
                else:
                    homes[alias.name] = f".{node.module}"
        elif isinstance(node, ast.Assign):
            listed = ast.literal_eval(node.value)
    assert homes == sktransfer._HOME
    assert tuple(modules) == sktransfer._MODULES
    assert listed == sktransfer.__all__


def public_classes():
    """Every public class, by name."""
    for module_name in sktransfer._MODULES:
        module = getattr(sktransfer, module_name)
        for name in module.__all__:
            if inspect.isclass(getattr(module, name)):
                yield f"{module_name}.{name}", getattr(module, name)


def public_functions():
    """Every public function, constructor and method of the package's own, by name."""
    for module_name in sktransfer._MODULES:
        module = getattr(sktransfer, module_name)
        for name in module.__all__:
            obj = getattr(module, name)
            if inspect.isfunction(obj):
                yield f"{module_name}.{name}", obj
            elif inspect.isclass(obj):
                yield from methods_of(f"{module_name}.{name}", obj)


def methods_of(name, cls):
    for attribute, member in inspect.getmembers_static(cls):
        function = getattr(member, "__func__", member)
        if isinstance(member, property):
            function = member.fget
        is_public = not attribute.startswith("_") or attribute == "__init__"
        if not inspect.isfunction(function) or not is_public:
            continue
        if function.__module__.startswith("sktransfer"):
            yield f"{name}.{attribute}", function


FUNCTIONS = dict(public_functions())


@pytest.mark.parametrize("name", FUNCTIONS)
def test_public_functions_are_annotated(name):
    function = FUNCTIONS[name]
    if function.__code__.co_filename.startswith("<"):  # made by dataclass
        return
    missing = [
        parameter
        for parameter in inspect.signature(function).parameters
        if parameter not in ("self", "cls")
        and parameter not in function.__annotations__
    ]
    assert not missing
    assert "return" in function.__annotations__


ESTIMATORS = [
    cls
    for cls in (getattr(sktransfer, name) for name in sktransfer.__all__)
    if hasattr(cls, "_parameter_constraints")
]


def strings_in(annotation):
    """The strings that an annotation allows, where it names them."""
    tree = ast.parse(annotation, mode="eval")
    return {
        part.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) == "Literal"
        for part in ast.walk(node.slice)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_annotations_allow_what_constraints_allow(cls):
    annotations = getattr(cls.__init__, "__annotations__", {})  # object's has none
    for name, annotation in annotations.items():
        options = {
            option
            for constraint in cls._parameter_constraints.get(name, ())
            if isinstance(constraint, StrOptions)
            for option in constraint.options
        }
        if "str" not in re.findall(r"\w+", re.sub(r"\[.*?\]", "", annotation)):
            # What "no_validation" leaves to the code is not compared.
            assert not options or strings_in(annotation) == options, name


def test_editors_show_the_parameters():
    source = "from sktransfer import ImageEncoder\nImageEncoder("
    (signature,) = jedi.Script(source).get_signatures(2, 13)
    shown = [parameter.name for parameter in signature.params]
    assert shown == list(inspect.signature(sktransfer.ImageEncoder).parameters)
    names = {c.name for c in jedi.Script(source + "dep").complete(2, 16)}
    assert "depth=" in names
    source = "import sktransfer\nsktransfer.Ima"
    names = {c.name for c in jedi.Script(source).complete(2, 14)}
    assert {"ImageClassifier", "ImageEncoder", "ImageRegressor"} <= names


def test_messages_about_parameters_name_public_classes():
    """A class from a private module helps nobody who misspelt a name."""
    private = {
        f"{name}, {parameter}: {text}"
        for name, cls in public_classes()
        for parameter, constraints in getattr(cls, "_parameter_constraints", {}).items()
        if not isinstance(constraints, str)
        for text in map(str, map(make_constraint, constraints))
        if "._" in text
    }
    assert private == set()
