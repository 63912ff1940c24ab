"""A pretended card: torch's device "card", whose numbers the CPU computes.

It is what an accelerator is to the code above it: tensors of the CPU and of the card do
not mix, a card's tensor is no NumPy array, and "auto" takes it. So tests find, on a
machine without a GPU, what would fail on one that has it:
``SKTRANSFER_TEST_CARD=1 python -m pytest ...`` runs them there.

References
----------
``torch.utils.backend_registration``, for devices that are written in Python.
"""

import contextlib
import functools
import sys
from types import ModuleType, SimpleNamespace

import torch
from torch.utils import backend_registration
from torch.utils._python_dispatch import return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

NAME = "card"
COUNT = SimpleNamespace(to_card=0, to_host=0)  # copies between the two memories
aten = torch.ops.aten
# Under autocast these are computed in the lower precision.
LOWERED = "linear matmul bmm addmm mm conv2d scaled_dot_product_attention".split()
_libraries: list = []  # what torch.library registers ends with its object


class CardTensor(torch.Tensor):
    """A tensor on the card; `inner` has its numbers."""

    @staticmethod
    def __new__(cls, inner):
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            layout=inner.layout,
            device=torch.device(NAME, 0),
        )

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"CardTensor({self.inner!r})"

    def tolist(self):
        return self.cpu().tolist()

    def __reduce_ex__(self, protocol):
        return torch.Tensor.to, (self.detach().cpu(), NAME)

    def __copy__(self):
        return self.view_as(self)

    def __deepcopy__(self, memo):
        copied = CardTensor(self.inner.clone()).requires_grad_(self.requires_grad)
        if isinstance(self, torch.nn.Parameter):
            copied = torch.nn.Parameter(copied, requires_grad=self.requires_grad)
        return memo.setdefault(id(self), copied)

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        # Views of other tensors share their count of changes, and so must be made as
        # they were.
        off = torch.autocast("cpu", enabled=False)  # of the CPU's own tensors
        with torch.inference_mode(False), torch.no_grad(), off:
            return _run(func, args, dict(kwargs or {}))


def _run(func, args, kwargs):
    special = SPECIAL.get(func.overloadpacket)
    if special is not None:
        return special(func, *args, **kwargs)
    if func.has_kernel_for_dispatch_key(torch._C.DispatchKey.CompositeImplicitAutograd):
        # In inference mode these come whole.
        return func.decompose(*args, **kwargs)
    for tensor in tree_leaves((args, kwargs)):
        is_other = isinstance(tensor, torch.Tensor) and not isinstance(
            tensor, CardTensor
        )
        if is_other and tensor.dim() > 0:  # a number may be anywhere
            raise RuntimeError(
                "Expected all tensors to be on the same device, but found at least "
                f"two devices, {NAME}:0 and {tensor.device}, in {func}"
            )
    if "device" in kwargs:
        kwargs["device"] = torch.device("cpu")
    found = func(*_inner(args), **_inner(kwargs))
    found = tree_map_only(torch.Tensor, CardTensor, found)
    return return_and_correct_aliasing(func, args, kwargs, found)


def _inner(tree):
    return tree_map_only(CardTensor, lambda tensor: tensor.inner, tree)


def _to_copy(func, tensor, *, device=None, non_blocking=False, **options):
    target = torch.device(NAME if device is None else device)
    copied = func(_inner(tensor), **options, device=torch.device("cpu"))
    if target.type == "cpu":
        COUNT.to_host += 1
        return copied
    return CardTensor(copied)


def _copy(func, target, source, non_blocking=False):
    pair = isinstance(target, CardTensor), isinstance(source, CardTensor)
    COUNT.to_card += pair == (True, False)
    COUNT.to_host += pair == (False, True)
    _inner(target).copy_(_inner(source))
    return target


def _item(func, tensor):
    COUNT.to_host += 1
    return func(tensor.inner)


SPECIAL = {
    aten._to_copy: _to_copy,
    aten.copy_: _copy,
    aten._local_scalar_dense: _item,
    aten._has_compatible_shallow_copy_type: lambda *_: False,
}


def _module():
    """Return what ``torch.card`` is."""
    module = ModuleType(f"torch.{NAME}")
    generator = torch.Generator()
    module.is_available = lambda: True
    module.is_initialized = lambda: True
    module.device_count = lambda: 1
    module.current_device = lambda: 0
    module.device = lambda device: contextlib.nullcontext()
    module.get_amp_supported_dtype = lambda: [torch.bfloat16, torch.float16]
    module.manual_seed = module.manual_seed_all = generator.manual_seed
    module.get_rng_state = lambda device=0: generator.get_state()
    module.set_rng_state = lambda state, device=0: generator.set_state(state)
    module.empty_cache = lambda: None
    module._is_in_bad_fork = lambda: False
    return module


def _empty(size, dtype=None, layout=None, device=None, pin_memory=None, **options):
    return CardTensor(torch.empty(size, dtype=dtype, **options))


def _empty_strided(size, stride, dtype=None, layout=None, device=None, pin_memory=None):
    return CardTensor(torch.empty_strided(size, stride, dtype=dtype))


def _copy_from(source, target, non_blocking=False):
    return _copy(None, target, source)


def _lowered(op, *args, **kwargs):
    dtype = torch.get_autocast_dtype(NAME)

    def cast(tensor):
        return tensor.to(dtype) if tensor.is_floating_point() else tensor

    keys = torch._C.DispatchKeySet(torch._C.DispatchKey.AutocastPrivateUse1)
    with torch._C._ExcludeDispatchKeyGuard(keys):
        args, kwargs = tree_map_only(torch.Tensor, cast, (args, kwargs))
        return op(*args, **kwargs)


def install():
    """Make torch know the device, for the rest of the process."""
    module = _module()
    backend_registration._setup_privateuseone_for_python_backend(NAME, module)
    sys.modules[f"torch.{NAME}"] = module
    library = torch.library.Library("aten", "IMPL")
    library.impl("empty.memory_format", _empty, "PrivateUse1")
    library.impl("empty_strided", _empty_strided, "PrivateUse1")
    library.impl("_copy_from", _copy_from, "PrivateUse1")
    for name in LOWERED:
        function = functools.partial(_lowered, getattr(aten, name))
        library.impl(name, function, "AutocastPrivateUse1")
    others = torch.library.Library("_", "IMPL")
    others.fallback(torch.library.fallthrough_kernel, "AutocastPrivateUse1")
    _libraries.extend([library, others])
