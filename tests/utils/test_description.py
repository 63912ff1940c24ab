"""Descriptions: equal for what computes the same, and for nothing else."""

import copy
import enum
import functools
import pickle
import re
import subprocess
import sys
import threading
import types

import numpy as np
import pytest
import torch
from torch import nn

from sktransfer._utils.description import Description


def digest(value):
    return Description(value).digest


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Slotted:
    __slots__ = ("a", "b")

    def __init__(self, a):
        self.a = a


class Kept:
    """An object that says itself what is worth keeping."""

    def __init__(self, content):
        self.content, self.lock = content, threading.Lock()

    def __getstate__(self):
        return {"content": self.content}


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


def module_of(source, name="own_module"):
    """Return a module that is no library's, made of source code."""
    module = types.ModuleType(name)
    exec(source, module.__dict__)
    return module


def network(**attributes):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.1))
    net.register_buffer("table", torch.arange(3.0), persistent=False)
    for name, value in attributes.items():
        setattr(net, name, value)
    return net


DIFFERENT = {
    "none and false": (None, False),
    "one and true": (1, True),
    "int and float": (1, 1.0),
    "text and bytes": ("a", b"a"),
    "list and tuple": ([1], (1,)),
    "order of a list": ([1, 2], [2, 1]),
    "nesting": ([[1], 2], [[1, 2]]),
    "sets": ({1, 2}, {1, 3}),
    "a value of a dict": ({"a": 1}, {"a": 2}),
    "a key of a dict": ({"a": 1}, {"b": 1}),
    "arrays": (np.arange(3), np.array([0, 1, 3])),
    "types of arrays": (np.arange(3), np.arange(3.0)),
    "shapes": (np.zeros((2, 3)), np.zeros((3, 2))),
    "tensors": (torch.arange(3), torch.tensor([0, 1, 3])),
    "types of tensors": (torch.zeros(2), torch.zeros(2).half()),
    "dtypes": (torch.float32, torch.float16),
    "enums": (Colour.RED, Colour.BLUE),
    "attributes": (Plain(a=1), Plain(a=2)),
    "names of attributes": (Plain(a=1), Plain(b=1)),
    "slots": (Slotted(1), Slotted(2)),
    "states": (Kept(1), Kept(2)),
    "patterns": (re.compile("a"), re.compile("b")),
    "flags of patterns": (re.compile("a"), re.compile("a", re.IGNORECASE)),
    "partials": (functools.partial(int, base=2), functools.partial(int, base=8)),
    "built-in functions": (len, abs),
    "functions of a library": (np.mean, np.median),
    "classes of a library": (nn.ReLU(), nn.GELU()),
    "bound methods": ("a".join, "b".join),
}


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_differs_has_another_digest(case):
    first, second = DIFFERENT[case]
    assert digest(first) != digest(second)
    assert digest([first]) != digest([second])


@pytest.mark.parametrize("case", DIFFERENT)
def test_what_is_equal_has_one_digest(case):
    first, _ = DIFFERENT[case]
    if case == "bound methods":
        assert digest(first) == digest("a".join)
    else:
        assert digest(first) == digest(copy.deepcopy(first))
    # Once or twice in a list, shared or copied: the content is the same.
    assert digest([first, first]) == digest([first, copy.copy(first)])


def test_numbers_of_numpy_are_numbers():
    assert digest([np.int64(3), np.float64(0.5)]) == digest([3, 0.5])


def test_where_something_came_from_is_left_out():
    first = Plain(name_or_path="/home/a", size=3)
    assert digest(first) == digest(Plain(name_or_path="/home/b", size=3))
    assert digest({"_commit_hash": 1, "a": 2}) == digest({"a": 2})


def test_objects_in_a_circle_have_a_digest():
    first, second = Plain(a=1), Plain(a=1)
    for one in (first, second):
        one.me = [one]
    assert digest(first) == digest(second)
    second.a = 2
    assert digest(first) != digest(second)


def test_locks_and_the_like_do_not_count():
    first, second = (Plain(lock=threading.Lock(), log=sys.stderr) for _ in range(2))
    assert digest(first) == digest(second)


def test_an_object_of_which_nothing_is_known_is_like_no_other():
    memory = memoryview(b"a")
    assert digest(memory) != digest(memory)


def test_a_chain_that_is_too_long_is_like_no_other():
    chain = None
    for _ in range(10_000):
        chain = Plain(after=chain)
    assert digest(chain) != digest(chain)


# -- networks --------------------------------------------------------------------------


def hook(module, inputs, output):
    return output * 2


EDITS = {
    "a weight": lambda net: net[0].weight.data.add_(1),
    "a buffer that is not saved": lambda net: net.table.add_(1),
    "a number in an attribute": lambda net: setattr(net[1], "p", 0.2),
    "an attribute more": lambda net: setattr(net, "scale", 2.0),
    "a tensor in an attribute": lambda net: setattr(net, "scale", torch.ones(2)),
    "a layer more": lambda net: net.append(nn.ReLU()),
    "a layer replaced": lambda net: net.__setitem__(1, nn.Identity()),
    "a forward of its own": lambda net: setattr(net, "forward", lambda x: x),
    "a hook": lambda net: net[0].register_forward_hook(hook),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_edit_of_a_network_gives_another_digest(edit):
    net = network()
    before = digest(net)
    assert before == digest(network()) == digest(copy.deepcopy(net))
    EDITS[edit](net)
    assert digest(net) != before


def test_a_pickled_network_is_the_same():
    net = network(config={"heads": 2}, sizes=(1, 2))
    assert digest(pickle.loads(pickle.dumps(net))) == digest(net)


def test_what_trained_or_not_is_no_part_of_it():
    net = network()
    before = digest(net)
    net.train().requires_grad_(False)
    assert digest(net) == before


@pytest.mark.filterwarnings("ignore:.*quantize_per_tensor")
def test_odd_tensors_are_described():
    dense = torch.eye(3)
    assert digest(dense.to_sparse()) != digest((2 * dense).to_sparse())
    quantized = torch.quantize_per_tensor(dense, 0.1, 0, torch.qint8)
    assert digest(quantized) != digest(dense)
    assert digest(torch.zeros(2, device="meta")) == digest(
        torch.zeros(2, device="meta")
    )
    assert digest(torch.zeros(2, 3).t()) == digest(torch.zeros(3, 2))


# -- code ------------------------------------------------------------------------------

CODE = """
import helpers, numpy
SCALE = 2
def helper(x):
    return x + 1
class Base:
    offset = 1
    def add(self, x):
        return x + self.offset
class Own(Base):
    @staticmethod
    def double(x):
        return 2 * x
    @property
    def half(self):
        return 0.5
    def forward(self, x, power=2):
        def inner(y):
            return helper(y) * SCALE + numpy.pi
        return self.add(inner(x ** power)) + helpers.extra(x)
"""
CODE_EDITS = {
    "a global number": ("SCALE = 2", "SCALE = 3"),
    "a function that is called": ("return x + 1", "return x + 2"),
    "an attribute of a base class": ("offset = 1", "offset = 2"),
    "a method of a base class": ("x + self.offset", "x - self.offset"),
    "a static method": ("2 * x", "3 * x"),
    "a property": ("return 0.5", "return 0.25"),
    "a default": ("power=2", "power=3"),
    "the function itself": ("inner(x ** power)", "inner(x // power)"),
    "a function inside": ("* SCALE", "/ SCALE"),
    "a name": ("numpy.pi", "numpy.e"),
}


@pytest.fixture
def helpers(monkeypatch):
    module = module_of("def extra(x):\n    return x\n", "helpers")
    monkeypatch.setitem(sys.modules, "helpers", module)
    return module


@pytest.mark.parametrize("edit", CODE_EDITS)
def test_edited_code_gives_another_digest(edit, helpers):
    old, new = CODE_EDITS[edit]
    assert CODE.count(old) == 1
    before, again = (module_of(CODE).Own() for _ in range(2))
    assert digest(before) == digest(again)
    assert digest(before) != digest(module_of(CODE.replace(old, new)).Own())


def test_code_of_a_module_that_is_used_counts(helpers):
    before = digest(module_of(CODE).Own())
    helpers.unused = 3
    assert digest(module_of(CODE).Own()) == before
    helpers.extra = lambda x: 2 * x
    assert digest(module_of(CODE).Own()) != before


def test_what_stands_in_a_closure_counts():
    def make(factor):
        return lambda x: factor * x

    assert digest(make(2)) == digest(make(2)) != digest(make(3))


def test_a_method_put_into_a_librarys_class_counts(monkeypatch):
    before = digest(nn.ReLU())
    monkeypatch.setattr(nn.ReLU, "forward", lambda self, x: x)
    assert digest(nn.ReLU()) != before


def test_packages_and_own_code_are_named(helpers):
    found = Description(module_of(CODE).Own())
    assert found.has_own_code
    assert found.libraries == {"numpy"}
    found = Description(nn.ReLU())
    assert not found.has_own_code
    assert found.libraries == {"torch"}


def test_a_description_is_the_same_in_another_process():
    code = (
        "import numpy as np; from sktransfer._utils.description import Description\n"
        "class Own:\n"
        "    words = {'a', 'b', 'c', 'd', 'e'}\n"
        "    def forward(self, x):\n"
        "        return x in {'f', 'g', 'h'}\n"
        "print(Description([Own(), np.arange(3), {'x', 'y', 'z'}]).digest)"
    )
    command = [sys.executable, "-c", code]
    runs = {subprocess.run(command, capture_output=True).stdout for _ in range(3)}
    assert len(runs) == 1
    assert len(runs.pop().strip()) == 64
