"""Take an estimator apart into a plain structure, networks and nets; and back."""

import copy
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from .._extraction.estimator import ColumnEstimator
from .._utils.devices import resolve_device
from .._utils.validation import shorten
from ..backbones import Backbone
from ..exceptions import DamagedSaveError, SaveError
from ..finetuning._base import BaseFineTuner
from ..finetuning._saved import describe_net, rebuild_net
from ._networks import read_network, unpack
from ._swap import Token, swap

CALLBACKS = "_skl_callbacks"  # where scikit-learn keeps what watches a fit


def check_can_predict(estimator, caller):
    """Refuse what is no estimator, or has nothing learned in it yet.

    Raises
    ------
    TypeError
        If it is no estimator.
    NotFittedError
        If it has to be fitted first.
    """
    if not isinstance(estimator, BaseEstimator):
        raise TypeError(
            f"{caller}: estimator={shorten(estimator)} must be an estimator, got "
            f"{type(estimator).__name__}."
        )
    try:
        check_is_fitted(estimator)
    except NotFittedError as err:
        raise NotFittedError(
            f"{caller}: this {type(estimator).__name__} is not fitted. Call fit first. "
            "After a search, pass its best_estimator_: the search does not fit the "
            "estimator that it was given."
        ) from err


def take_apart(estimator, networks):
    """Return a copy of an estimator without networks, and what was taken out.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    networks : NetworkWriter

    Returns
    -------
    structure : estimator
        With a `Token` wherever a network or a net was.
    nets : list of (dict, dict of str to Tensor)
        Record and tensors of each trained net.

    Raises
    ------
    SaveError
        If there is a torch object that has no place in a save.
    """
    nets = []

    def replace(obj, path):
        if CALLBACKS in getattr(obj, "__dict__", ()):
            obj = _without_callbacks(obj)
        if isinstance(obj, ColumnEstimator):
            return _estimator(obj, path)
        if isinstance(obj, Backbone):
            return Token("backbone", networks.add(obj, obj.modality))
        if isinstance(obj, torch.device):
            return str(obj)
        if _is_request(obj):
            return _without_owner(obj)
        if isinstance(obj, torch.Tensor):
            raise SaveError(
                f"{path.lstrip('.')} is a tensor on {obj.device}, because scikit-learn "
                "was fitted on tensors; a save holds NumPy arrays. With "
                "array_api_dispatch=True, move the estimator: "
                "sklearn.utils._array_api.move_estimator_to(estimator, numpy, 'cpu'); "
                "its encoders then need set_output(transform='default')."
            )
        if isinstance(obj, (torch.nn.Module, torch.Generator)):
            raise SaveError(
                f"{path.lstrip('.') or 'the estimator'} is a {type(obj).__name__} of "
                "torch's, which cannot be saved: a save can only hold networks that "
                "have a name and nets that sktransfer trained. Use an sktransfer "
                "estimator for that step."
            )
        return obj

    def _estimator(obj, path):
        state = dict(obj.__getstate__())
        state["cache"] = None if obj.cache is None else "auto"
        state["verbose"] = 0
        is_fitted = isinstance(obj, BaseFineTuner) and hasattr(obj, "net_")
        if is_fitted and callable(obj.loss):
            name = "log_loss" if hasattr(obj, "predict_proba") else "squared_error"
            raise SaveError(
                f"{path.lstrip('.') or 'the estimator'}: loss={shorten(obj.loss)} is "
                "code, which a save cannot hold. Predictions do not need it: call "
                f"set_params(loss={name!r}) before saving."
            )
        number = None
        if is_fitted or hasattr(obj, "n_features_in_"):
            number = networks.add(obj.backbone, obj._modality)
            if networks.weights == "include":
                state["backbone"] = Token("backbone", number)
        if is_fitted:
            record, tensors = describe_net(obj)
            nets.append(({**record, "network": number}, tensors))
            state["net_"] = Token("net", len(nets) - 1)
            state["_state"] = obj._state.without_tensors()
        if hasattr(state["backbone"], "__fspath__"):
            state["backbone"] = str(state["backbone"])
        bare: Any = type(obj).__new__(type(obj))  # type: ignore[call-overload]
        bare.__dict__.update(state)
        return bare

    structure = swap(estimator, replace)
    return structure, nets


def put_together(structure, reader, device):
    """Put networks and nets back where they were.

    Parameters
    ----------
    structure : estimator
        Changed in place.
    reader : SaveReader
    device : str or None
        As in `sktransfer.load`.

    Returns
    -------
    estimator
    """
    networks = [read_network(reader, r) for r in reader.records("networks")]
    records = reader.records("nets")

    def pick(items, number):
        if isinstance(number, bool) or not isinstance(number, int):
            number = -1
        if not 0 <= number < len(items):
            raise DamagedSaveError(
                f"{reader.folder}: the structure asks for part {number!r}, and the "
                f"manifest has {len(items)}."
            )
        return items[number]

    tuned = []

    def replace(obj, path):
        if isinstance(obj, Token) and obj.kind == "backbone":
            return pick(networks, obj.number)
        _forget_surroundings(obj)
        if isinstance(obj, ColumnEstimator):
            _set_device(obj, device)
            if isinstance(obj, BaseFineTuner) and hasattr(obj, "net_"):
                tuned.append(obj)
        return obj

    def net(estimator, record):
        try:
            content = reader.read(record["file"])
            return rebuild_net(
                estimator,
                pick(networks, record["network"]),
                record,
                unpack(content, record["file"]),
                resolve_device(estimator.device),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as err:
            if isinstance(err, SaveError):
                raise
            raise DamagedSaveError(
                f"{reader.folder}: a trained net cannot be put together "
                f"({type(err).__name__}: {err})."
            ) from err

    try:
        estimator = swap(structure, replace, in_place=True)
    except (AttributeError, KeyError, RecursionError, TypeError) as err:
        raise DamagedSaveError(
            f"{reader.folder}: the structure makes no sense "
            f"({type(err).__name__}: {err})."
        ) from err
    for model in tuned:
        if not isinstance(model.net_, Token):
            raise DamagedSaveError(f"{reader.folder}: a net stands in the structure.")
        model.net_ = net(model, pick(records, model.net_.number))
    return estimator


def _forget_surroundings(obj):
    """Leave to this program, not to the file, where things are kept and shown."""
    if isinstance(obj, ColumnEstimator):
        obj.cache = None if obj.cache is None else "auto"
        obj.verbose = 0  # a service would draw a bar for every request
    elif isinstance(obj, BaseEstimator) and getattr(obj, "memory", None) is not None:
        obj.memory = None  # joblib would unpickle what it finds there


def _without_callbacks(estimator):
    """Return a shallow copy that nothing watches, as `set_callbacks` without any does.

    Callbacks are of fits, and may hold whatever their authors put there.
    """
    bare: Any = type(estimator).__new__(type(estimator))  # type: ignore[call-overload]
    bare.__dict__.update(estimator.__dict__)
    del bare.__dict__[CALLBACKS]
    return bare


def _is_request(obj):
    """Whether it is a metadata request of scikit-learn's."""
    return type(obj).__module__ == "sklearn.utils._metadata_requests" and hasattr(
        obj, "owner"
    )


def _without_owner(request):
    """Return a request that names its estimator, which holds it, instead of holding it.

    scikit-learn uses the owner's name in messages only.
    """
    request = copy.copy(request)
    if not isinstance(request.owner, (str, type(None))):
        request.owner = type(request.owner).__name__
    return request


def _set_device(estimator, device):
    if device is not None:
        estimator.device = device
    try:
        resolve_device(estimator.device)
    except ValueError:
        if device is not None:
            raise
        estimator.device = "auto"  # trained on a machine that has more
