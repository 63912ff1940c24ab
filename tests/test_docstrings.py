"""Docstrings of the public API have the sections that numpydoc asks for."""

import ast
import inspect
import itertools
import re
import sys
import warnings

import pytest
from conftest import REPOSITORY
from sklearn.utils._param_validation import StrOptions

sys.path.insert(0, str(REPOSITORY / "docs" / "_extensions"))

import public_api  # noqa: E402

import sktransfer  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of Sphinx's imports
    from numpydoc.docscrape import FunctionDoc
    from numpydoc.validate import validate

# What numpydoc calls them: no docstring; a parameter that is not documented, or is not
# there; nothing on what is returned or yielded; no summary, or none with a full stop.
REQUIRED = {"GL08", "PR01", "PR02", "RT01", "YD01", "SS01", "SS03"}
FILES = sorted(
    path
    for folder in ("sktransfer", "benchmarks")
    for path in (REPOSITORY / folder).rglob("*.py")
)
NAMES = [name for names in public_api.documented_names().values() for name in names]


def resolve(name):
    return public_api._resolve(f"sktransfer.{name}")


def documented_methods(cls):
    """Public methods of our own, and not those of scikit-learn."""
    for name, member in inspect.getmembers(cls):
        skipped = public_api.is_foreign(None, "class", name, member, False, None)
        if not name.startswith("_") and callable(member) and not skipped:
            yield name


def is_plain_record(obj):
    """Exceptions and named tuples, which people get and do not make."""
    return inspect.isclass(obj) and issubclass(obj, (Exception, tuple))


@pytest.mark.parametrize("name", NAMES)
def test_docstrings_have_their_sections(name):
    obj = resolve(name)
    found = [f"sktransfer.{name}"]
    if inspect.isclass(obj):
        found += [f"sktransfer.{name}.{method}" for method in documented_methods(obj)]
    problems = []
    for full in found:
        required = set(REQUIRED)
        if full == found[0] and is_plain_record(obj):
            required.remove("PR01")  # fields are attributes
        elif full == found[0]:
            required.add("EX01")
        errors = validate(full)["errors"]
        problems += [
            f"{full}: {code} {text}" for code, text in errors if code in required
        ]
    assert not problems, "\n".join(problems)


def test_every_public_name_has_a_page(tmp_path):
    public_api.write_pages(tmp_path)
    text = "".join(path.read_text() for path in tmp_path.glob("sktransfer.*.rst"))
    lines = set(text.split())
    assert set(sktransfer.__all__) <= lines
    for module in public_api.public_modules().values():
        short = module.__name__.removeprefix("sktransfer.")
        for name in module.__all__:
            assert name in lines or f"{short}.{name}" in lines


def test_a_name_of_the_package_alone_is_an_error(monkeypatch):
    monkeypatch.setattr(sktransfer, "__all__", [*sktransfer.__all__, "Orphan"])
    with pytest.raises(ValueError, match="Orphan"):
        public_api.documented_names()


def test_pages_of_modules_that_are_gone_are_deleted(tmp_path):
    (tmp_path / "sktransfer.gone.rst").write_text("")
    public_api.write_pages(tmp_path)
    assert not (tmp_path / "sktransfer.gone.rst").exists()


def parameter_types(cls):
    """Type of each documented parameter, as it is written."""
    for parameter in FunctionDoc(cls)["Parameters"]:
        for name in parameter.name.split(", "):
            yield name, parameter.type


ESTIMATORS = [
    cls for cls in map(resolve, NAMES) if hasattr(cls, "_parameter_constraints")
]


@pytest.mark.parametrize("cls", ESTIMATORS, ids=lambda cls: cls.__name__)
def test_docstrings_name_the_options_that_constraints_allow(cls):
    constraints = cls._parameter_constraints
    for name, written in parameter_types(cls):
        options = [
            option
            for constraint in constraints[name]
            if isinstance(constraint, StrOptions)
            for option in constraint.options
        ]
        listed = re.search(r"\{(.*?)\}", written)
        if listed and options:
            found = re.findall(r'"([^"]+)"', listed[1])
            assert sorted(found) == sorted(options), f"{cls.__name__}: {name}"
        for option in options:
            assert f'"{option}"' in written, f"{cls.__name__}: {name}: {option}"


def test_docstrings_name_every_adapter():
    from sktransfer.domain_adaptation._base_estimator import ADAPTERS

    text = resolve("DomainAdaptationClassifier").__doc__
    for name, cls in ADAPTERS.items():
        assert f'- "{name}": `{cls.__name__}`' in text


NO_NOUN = re.compile(r"(Of|What|When|Where|Whether|Which|Who)\b")
DESCRIBED = {"Parameters", "Attributes", "Returns", "Yields"}


def descriptions(text):
    """Give the first line of each entry in a docstring's sections."""
    lines = inspect.cleandoc(text).split("\n")
    section = None
    for before, line in itertools.pairwise(lines):
        if re.fullmatch("-{3,}", line):
            section = before
        elif section in DESCRIBED and re.match(r" {4}\S", line) and before[:1].strip():
            yield line.strip()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_descriptions_begin_with_a_noun_or_a_verb(path):
    documented = (ast.ClassDef, ast.FunctionDef, ast.Module)
    texts = [
        ast.get_docstring(node, clean=False) or ""
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, documented)
    ]
    found = [line for text in texts for line in descriptions(text)]
    assert [line for line in found if NO_NOUN.match(line)] == []


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_what_rows_have_is_said_per_row(path):
    per_row = r"\b(class|group|label|labels|nats|number|one|vector|weight) a row\b"
    assert re.findall(per_row, path.read_text()) == []


OPENS_WITH_OF = re.compile(r"(?:^|[.:!?] )Of (?=[A-Za-z0-9`\"])")
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])
PAGES += sorted((REPOSITORY / "docs").glob("*/*.md"))


def paragraphs(text):
    """Give each paragraph in one line."""
    return [" ".join(part.split()) for part in re.split(r"\n\s*\n", text)]


@pytest.mark.parametrize("path", [*FILES, *PAGES], ids=lambda path: path.stem)
def test_no_sentence_begins_with_of(path):
    text = path.read_text()
    texts = [text]
    if path.suffix == ".py":
        strings = [n for n in ast.walk(ast.parse(text)) if isinstance(n, ast.Constant)]
        texts = [inspect.cleandoc(n.value) for n in strings if isinstance(n.value, str)]
    found = [part for text in texts for part in paragraphs(text)]
    assert [part for part in found if OPENS_WITH_OF.search(part)] == []


def test_the_rule_for_sentences_finds_what_breaks_it():
    assert OPENS_WITH_OF.search(f"{'Of'} two, one.")
    assert OPENS_WITH_OF.search(f"It ends. {'Of'} `X` it takes one.")
    assert not OPENS_WITH_OF.search("It is one of two. None of these.")


def test_the_rule_for_descriptions_finds_what_breaks_it():
    broken, sound = f"{'Of'} the rows.", "Number of rows."
    text = f"""Do it.

    Parameters
    ----------
    x : int
        {broken}
    y : int
        {sound}
    """
    assert list(descriptions(text)) == [broken, sound]
    assert NO_NOUN.match(broken)
    assert not NO_NOUN.match(sound)
