"""Describe an object by what it would compute: its tensors, attributes and code.

Two objects with one description compute the same, on this machine and on others that
have the same versions of the libraries. What is known of a library's code is its name;
all other code, a notebook's or a module's beside the script, is read itself, and so is
what it refers to.
"""

import enum
import functools
import hashlib
import io
import logging
import pickle
import re
import sys
import threading
import types
import uuid
import weakref
from collections import deque
from collections.abc import Mapping
from pathlib import PurePath

import numpy as np

# Where something came from, or what happened to it: the same network has others in
# another folder. Attributes and entries of dicts with these names are left out.
LEFT_OUT = frozenset(
    {
        "__annotate__",
        "__annotate_func__",
        "__annotations__",
        "__annotations_cache__",
        "__dict__",
        "__doc__",
        "__firstlineno__",
        "__module__",
        "__slotnames__",
        "__static_attributes__",
        "__weakref__",
        "_abc_impl",
        "_commit_hash",
        "_identity",
        "_is_hf_initialized",
        "_name_or_path",
        "_prepared",
        "default_cfg",
        "deprecation_warnings",
        "name_or_path",
        "pretrained_cfg",
        "special_tokens_map_file",
        "tokenizer_file",
        "transformers_version",
        "vocab_file",
        "warnings_issued",
    }
)
# Parts of a program, not of a result.
WITHOUT_CONTENT = (
    PurePath,
    io.IOBase,
    logging.Logger,
    threading.Thread,
    threading.Condition,
    threading.Event,
    threading.local,
    type(threading.Lock()),
    type(threading.RLock()),
    weakref.ReferenceType,
    weakref.WeakValueDictionary,
    types.GeneratorType,
)
PLAIN = (type(None), bool, int, float, complex, str, bytes)
INSTALLED = ("site-packages", "dist-packages")


class Description:
    """The description of one object, hashed while it is walked through.

    Parameters
    ----------
    value : object

    Attributes
    ----------
    digest : str
        sha256, in hexadecimal. An object that cannot be described, because a part is of
        an unknown type without content or nested too deeply, is like no other.
    libraries : set of str
        Top-level packages whose code takes part.
    has_own_code : bool
        True if code outside the libraries takes part.
    """

    def __init__(self, value):
        self._hash = hashlib.sha256()
        self._open = {}  # id -> depth, of the objects that this one is inside of
        self._digests = {}  # id -> digest, of those that are done
        self._kept = []  # an id is not given again while its object is alive
        self.libraries = set()
        self.has_own_code = False
        try:
            self.digest = self._digest(value).hex()
        except RecursionError:  # a chain of hundreds of objects
            self.digest = hashlib.sha256(uuid.uuid4().bytes).hexdigest()

    def _say(self, *words):
        self._hash.update(repr(tuple(map(str, words))).encode())

    def _add(self, value):
        self._hash.update(self._digest(value))

    def _digest(self, value):
        """Return a digest of the content, which a copy has, too."""
        if isinstance(value, np.generic) and not isinstance(value, np.void):
            value = value.item()
        if type(value) in PLAIN:
            return _sha256(f"{type(value).__name__} {value!r}")
        if id(value) in self._digests:
            return self._digests[id(value)]
        if id(value) in self._open:
            return _sha256(f"inside {len(self._open) - self._open[id(value)]}")
        self._kept.append(value)
        self._open[id(value)] = len(self._open)
        outer, self._hash = self._hash, hashlib.sha256()
        self._add_content(value)
        digest = self._digests[id(value)] = self._hash.digest()
        self._hash = outer
        del self._open[id(value)]
        return digest

    def _add_content(self, value):
        for kinds, add in _PARTS:
            if isinstance(value, kinds):
                add(self, value)
                return
        self._add_object(value)

    def _add_all(self, values):
        values = list(values)
        self._say(len(values))
        for value in values:
            self._add(value)

    def _add_items(self, mapping):
        for name, value in mapping.items():
            if not (isinstance(name, str) and name in LEFT_OUT):
                self._add(name)
                self._add(value)
        self._say("end")

    def _add_attributes(self, state):
        self._add_items(dict(sorted(state.items())))

    # -- containers --------------------------------------------------------------------

    def _add_sequence(self, value):
        self._say(type(value).__name__)
        self._add_all(value)
        self._add_attributes(getattr(value, "__dict__", {}))

    def _add_mapping(self, value):
        self._say("mapping")
        self._add_items(value)
        self._add_attributes(getattr(value, "__dict__", {}))

    def _add_set(self, value):
        # In an order of its own: Python's differs from process to process.
        self._say("set", *sorted(self._digest(item) for item in value))

    def _add_array(self, value):
        self._say("array", value.dtype, value.shape)
        if value.dtype.hasobject:
            self._add_all(value.ravel().tolist())
        else:
            self._hash.update(np.ascontiguousarray(value).data)

    # -- objects -----------------------------------------------------------------------

    def _add_object(self, value):
        torch = sys.modules.get("torch")
        kind = type(value)
        if torch is not None and isinstance(value, torch.Tensor):
            self._add_tensor(value, torch)
        elif torch is not None and isinstance(value, torch.nn.Module):
            self._add_module(value, torch)
        elif kind.__module__ in ("torch", "torch._ops"):  # dtypes, devices, operators
            self._say(kind.__name__, value)
        elif callable(getattr(kind, "cache_identity", None)):
            self._add(kind)
            self._add(value.cache_identity())
        elif kind.__getstate__ is not object.__getstate__:
            self._add(kind)
            self._add(value.__getstate__())
        elif (state := _state(value)) is not None:
            self._add(kind)
            self._add_attributes(state)
        else:
            self._add_opaque(value)

    def _add_tensor(self, value, torch):
        value = value.detach()
        self._say("tensor", value.dtype, tuple(value.shape))
        if value.is_quantized:
            value = value.dequantize()
        if value.layout is not torch.strided:
            value = value.to_dense()
        if value.device.type != "meta":
            flat = value.resolve_conj().resolve_neg().cpu().contiguous().flatten()
            self._hash.update(flat.view(torch.uint8).numpy().data)

    def _add_module(self, value, torch):
        self._add(type(value))
        if isinstance(value, torch.jit.ScriptModule):
            self._say(value.inlined_graph)
            self._add(dict(value.state_dict()))
            return
        state = vars(value)
        for name in ("_parameters", "_buffers", "_modules"):
            self._add_items(state[name])
        # What torch itself keeps in a module is no attribute of the network's, but for
        # what runs with its forward.
        for name in ("_forward_pre_hooks", "_forward_hooks"):
            self._add_all(state[name].values())
        own = {k: v for k, v in state.items() if k not in _attributes_of_torch(torch)}
        self._add_attributes(own)

    def _add_opaque(self, value):
        """Add an object of compiled code."""
        self._add(type(value))
        try:
            self._hash.update(pickle.dumps(value, protocol=4))
        except Exception:  # whatever an unknown type raises: nobody can say what it is
            self._say(uuid.uuid4())

    # -- code --------------------------------------------------------------------------

    def _add_class(self, value):
        self._say("class", value.__module__, value.__qualname__)
        if issubclass(value, enum.Enum) and _is_library(value.__module__):
            self._add_library(value.__module__)
            return
        for base in value.__mro__:
            if base is object:
                continue
            members = vars(base)
            if _is_library(base.__module__):
                self._add_library(base.__module__)
                # Of a library's class only what somebody else has put there.
                members = {
                    name: member
                    for name, member in members.items()
                    if isinstance(member, types.FunctionType)
                    and not _is_library(member.__globals__.get("__name__", ""))
                }
            else:
                self.has_own_code = True
            if members:
                self._add_attributes(members)

    def _add_function(self, value):
        module = value.__globals__.get("__name__", "")
        if _is_library(module):
            self._add_library(module)
            self._say("function", module, value.__qualname__)
            self._add_all(cell_contents(value))
            return
        self.has_own_code = True
        self._add_code(value.__code__)
        for part in (value.__defaults__, value.__kwdefaults__):
            self._add(part)
        self._add_all(cell_contents(value))
        names = _names(value.__code__)
        for name in sorted(names & value.__globals__.keys()):
            self._add(name)
            self._add_used(value.__globals__[name], names)

    def _add_used(self, value, names):
        """Add a global; of a module of the user's, what is used of it."""
        if isinstance(value, types.ModuleType) and not _is_library(value.__name__):
            for name in sorted(names & vars(value).keys()):
                self._add(name)
                self._add(vars(value)[name])
        else:
            self._add(value)

    def _add_code(self, value):
        self._say(value.co_argcount, value.co_kwonlyargcount, value.co_flags)
        self._hash.update(value.co_code)
        self._say(*value.co_names, *value.co_varnames, *value.co_freevars)
        self._add_all(value.co_consts)

    def _add_library(self, module):
        top = module.partition(".")[0]
        if top not in sys.stdlib_module_names:
            self.libraries.add(top)

    def _add_python_module(self, value):
        self._say("module", value.__name__)
        if _is_library(value.__name__):
            self._add_library(value.__name__)

    def _add_builtin(self, value):
        self._say("builtin", value.__module__, value.__qualname__)
        if value.__module__ is not None:
            self._add_library(value.__module__)
        if not isinstance(value.__self__, (types.ModuleType, type(None), type)):
            self._add(value.__self__)

    def _add_property(self, value):
        self._add_all((value.fget, value.fset, value.fdel))

    def _add_partial(self, value):
        self._say("partial")
        self._add_all((value.func, value.args, value.keywords))

    def _add_enum(self, value):
        self._add(type(value))
        self._say(value.name)
        self._add(value.value)


# The first kind that fits; enums may be ints, and named tuples are tuples.
_PARTS = (
    (enum.Enum, Description._add_enum),
    (WITHOUT_CONTENT, lambda self, value: self._say(type(value).__qualname__)),
    (PLAIN, lambda self, value: self._say(type(value).__qualname__, repr(value))),
    ((tuple, list, deque), Description._add_sequence),
    (Mapping, Description._add_mapping),
    ((set, frozenset), Description._add_set),
    (np.ndarray, Description._add_array),
    (bytearray, lambda self, value: self._add(bytes(value))),
    (type, Description._add_class),
    (types.FunctionType, Description._add_function),
    (types.CodeType, Description._add_code),
    (types.ModuleType, Description._add_python_module),
    (types.BuiltinFunctionType, Description._add_builtin),
    (
        types.MethodType,
        lambda self, value: self._add_all((value.__func__, value.__self__)),
    ),
    ((staticmethod, classmethod), lambda self, value: self._add(value.__func__)),
    (functools.cached_property, lambda self, value: self._add(value.func)),
    (property, Description._add_property),
    (functools.partial, Description._add_partial),
    (
        (
            types.MemberDescriptorType,
            types.GetSetDescriptorType,
            types.WrapperDescriptorType,
            types.MethodDescriptorType,
            types.ClassMethodDescriptorType,
            types.MethodWrapperType,
        ),
        lambda self, value: self._say("descriptor", value.__qualname__),
    ),
    (re.Pattern, lambda self, value: self._say(value.pattern, value.flags)),
    (np.dtype, lambda self, value: self._say("dtype", value)),
)


def cell_contents(function):
    """Return what a function has in its closure; cells without content are left out."""
    contents = []
    for cell in function.__closure__ or ():
        try:
            contents.append(cell.cell_contents)
        except ValueError:
            contents.append(None)
    return contents


def _names(code):
    """Return the names that a function and those inside it look up."""
    names = set(code.co_names)
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            names |= _names(constant)
    return names


def _state(value):
    """Return the attributes of an object, or None if it can have none."""
    kinds = [vars(kind) for kind in type(value).__mro__]
    if not hasattr(value, "__dict__") and not any("__slots__" in k for k in kinds):
        return None
    state = dict(getattr(value, "__dict__", {}))
    for kind in kinds:
        slots = kind.get("__slots__", ())
        for name in (slots,) if isinstance(slots, str) else slots:
            if hasattr(value, name):
                state[name] = getattr(value, name)
    return state


def _sha256(text):
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


@functools.cache
def _attributes_of_torch(torch):
    return frozenset(vars(torch.nn.Module()))


def _is_library(module):
    top = module.partition(".")[0]
    if top == "sktransfer" or top in sys.stdlib_module_names:
        return True
    package = sys.modules.get(top)
    file = getattr(package, "__file__", None)
    places = [file] if file else list(getattr(package, "__path__", ()))
    return any(part in INSTALLED for place in places for part in PurePath(place).parts)
