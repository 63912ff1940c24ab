"""Engines: equal vectors, keys of their own, and torch where one goes wrong."""

import dataclasses
import functools
import importlib.util
import inspect
import pickle
import subprocess
import sys

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.utils._param_validation import InvalidParameterError

import sktransfer
from sktransfer import ImageEncoder, TextEncoder, cache_info, load_backbone
from sktransfer.backbones._engines import choose
from sktransfer.backbones._engines.builders import ENGINES
from sktransfer.backbones._engines.lowered import computes_in
from sktransfer.encoders._base import BaseEncoder
from sktransfer.exceptions import MissingDependencyError

pytestmark = pytest.mark.usefixtures("auto_is_cpu")  # all but two engines are its own

TOLERANCE = 1e-3
TOYS = {"image": (ImageEncoder, "tiny-cnn"), "text": (TextEncoder, "tiny-bert")}
REAL = {
    "image": (ImageEncoder, "efficientnet_lite0"),
    "text": (TextEncoder, "all-MiniLM-L6-v2"),
}
WORDS = "one two three four five six seven eight nine ten".split()


def rows_of(modality, n=23, seed=0):
    rng = np.random.default_rng(seed)
    if modality == "image":
        return list(rng.integers(0, 256, size=(n, 33, 41, 3), dtype=np.uint8))
    lengths = rng.integers(1, 40, size=n)
    return [
        " ".join(rng.choice(WORDS, size=k)) + f" {i}" for i, k in enumerate(lengths)
    ]


def installed(engine):
    """Skip where an engine's packages are not here."""
    for package in ENGINES[engine].packages:
        if importlib.util.find_spec(package) is None:
            pytest.skip(f'{package} is missing: pip install "sktransfer[{engine}]"')
    return engine


EXPORTING = ["onnxruntime", "openvino"]
EVERY = [
    "onnxruntime",
    pytest.param("openvino", marks=pytest.mark.slow),
    pytest.param("compile", marks=pytest.mark.slow),
]


def assert_close(got, want):
    assert got.dtype == np.float32
    assert np.abs(got - want).max() <= TOLERANCE * np.abs(want).max()


@pytest.mark.parametrize("modality", TOYS)
@pytest.mark.parametrize("engine", EVERY)
def test_an_engine_computes_what_torch_computes_at_every_depth(engine, modality):
    installed(engine)
    encoder, name = TOYS[modality]
    rows = rows_of(modality)
    backbone = dataclasses.replace(load_backbone(name))
    for depth in ("all", *range(1, len(backbone.blocks))):
        want = encoder(name, depth=depth, pooling="max").fit_transform(rows)
        other = encoder(backbone, depth=depth, pooling="max", engine=engine)
        assert_close(other.fit_transform(rows), want)
    assert cache_info().misses == 2 * len(rows)
    # Rows one by one: a row does not depend on its neighbours.
    whole = other.transform(rows)
    alone = [other.set_params(cache=None).transform([row])[0] for row in rows[:3]]
    np.testing.assert_array_equal(alone, whole[:3])


@pytest.mark.slow
@pytest.mark.parametrize("modality", REAL)
@pytest.mark.parametrize("engine", [*EXPORTING, "compile"])
def test_an_engine_computes_the_bundled_networks(engine, modality, bundled_weights):
    installed(engine)
    encoder, name = REAL[modality]
    rows = rows_of(modality, n=9)
    want = encoder(name, cache=None).fit_transform(rows)
    assert_close(encoder(name, cache=None, engine=engine).fit_transform(rows), want)


def real_rows(modality, folder):
    if modality == "image":
        return [str(p) for p in sorted(folder.glob("clothing10/**/*.jpg"))[:200]]
    import pandas as pd

    return pd.read_csv(folder / "banking77" / "train.csv")["text"].tolist()[:500]


@functools.cache
def plain_vectors(modality, folder):
    """Run the network as it is, row by row: neither folded nor packed nor padded."""
    rows, backbone = real_rows(modality, folder), load_backbone(REAL[modality][1])
    if backbone.modality == "image":
        inputs = []
        for path in rows:
            with Image.open(path) as picture:
                inputs.append(backbone.preprocess.prepare(picture.convert("RGB")))
    else:
        inputs = backbone.preprocess.prepare(rows)
    vectors, depth = [], len(backbone.blocks)
    with torch.inference_mode():
        for row in inputs:
            state = backbone.run(backbone.batch([row]))
            vectors.append(backbone.pool(state, backbone.pooling, depth)[0].numpy())
    return np.array(vectors)


@pytest.mark.slow
@pytest.mark.parametrize("modality", REAL)
@pytest.mark.parametrize("engine", ["torch", *EXPORTING])
def test_an_engine_computes_real_rows_as_plain_torch_does(
    engine, modality, bundled_weights, shared_data
):
    installed(engine)
    encoder, name = REAL[modality]
    rows = real_rows(modality, shared_data)
    assert len(rows) == {"image": 200, "text": 500}[modality]
    got = encoder(name, cache=None, engine=engine).fit_transform(rows)
    assert_close(got, plain_vectors(modality, shared_data))


@pytest.mark.slow
def test_compile_takes_half_precision():
    rows = rows_of("text")
    options = {"precision": "bfloat16", "cache": None}
    want = TextEncoder("tiny-bert", **options).fit_transform(rows)
    got = TextEncoder("tiny-bert", engine="compile", **options).fit_transform(rows)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want, atol=0.05 * np.abs(want).max())


def test_a_wrong_name_is_refused():
    with pytest.raises(InvalidParameterError, match="'engine' .*'onnxruntime'"):
        ImageEncoder("tiny-cnn", engine="onnx").fit(rows_of("image", 1))


@pytest.mark.parametrize(
    ("engine", "package"),
    [(name, p) for name, entry in ENGINES.items() for p in entry.packages],
)
def test_a_missing_package_is_named_with_its_pip_line(engine, package, monkeypatch):
    for other in ENGINES[engine].packages:
        monkeypatch.setitem(sys.modules, other, None)
    changed = ENGINES[engine]._replace(packages=("sktransfer", package))
    monkeypatch.setitem(ENGINES, engine, changed)
    line = rf'{package!r}.*pip install "sktransfer\[{engine}\]"'
    encoder = TextEncoder("tiny-bert", engine=engine)
    for method in (encoder.fit, encoder.transform, encoder.fit_transform):
        with pytest.raises(MissingDependencyError, match=line):
            method(["a"])


@pytest.fixture
def fake(monkeypatch):
    """Give ``fake(change)``: onnxruntime becomes torch with changed vectors.

    It returns the list of modules that were built.
    """

    def install(change):
        built = []

        def build(module, example, precision):
            built.append(module)
            return lambda *tensors: change(module(*tensors).numpy(), *tensors)

        changed = ENGINES["onnxruntime"]._replace(build=build, packages=("sktransfer",))
        monkeypatch.setitem(ENGINES, "onnxruntime", changed)
        return built

    return install


@pytest.fixture(params=TOYS)
def case(request):
    """Give ``(encoder class, fresh backbone, rows)``."""
    encoder, name = TOYS[request.param]
    return encoder, dataclasses.replace(load_backbone(name)), rows_of(request.param)


def test_engines_of_the_cpu_refuse_what_they_cannot_do(fake, monkeypatch):
    fake(lambda vectors, *_: vectors)
    encoder = TextEncoder("tiny-bert", engine="onnxruntime", precision="bfloat16")
    with pytest.raises(ValueError, match="computes in float32, got precision='bfloat"):
        encoder.fit(["a"])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    encoder = TextEncoder("tiny-bert", engine="onnxruntime", device="cuda")
    with pytest.raises(ValueError, match="runs on the CPU, got device='cuda'"):
        encoder.fit(["a"])
    assert choose.engine_device("onnxruntime", "auto", "float32").type == "cpu"
    assert choose.engine_device("torch", "cuda", "float32").type == "cuda"


def nan_somewhere(vectors, *tensors):
    vectors[-1, 0] = np.nan
    return vectors


def wrong_first_depth(vectors, *tensors):
    vectors[:, 0] += 0.01 * np.abs(vectors).max()
    return vectors


def raises(vectors, *tensors):
    raise RuntimeError("no such kernel\nand more")


def wrong_when_short(vectors, hidden, *lengths):
    return vectors * (1 + 0.01 * (len(hidden) < 4))


FAULTS = {
    "one percent": (lambda v, *_: v * 1.01, "differ from torch's by 0.01"),
    "nan": (nan_somewhere, "differ from torch's by nan"),
    "one value": (wrong_first_depth, "after 1 blocks .* differ from torch's"),
    "shape": (
        lambda v, *_: v[:, 1:],
        r"gives vectors of shape \(\d+, \d+\), and torch",
    ),
    "dtype": (lambda v, *_: v.astype(np.float64), "gives float64"),
    "error": (raises, "RuntimeError: no such kernel. torch"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_faulty_engine_gives_way_to_torch_with_one_warning(fault, case, fake):
    encoder, backbone, rows = case
    change, reason = FAULTS[fault]
    built = fake(change)
    want = encoder(backbone).fit_transform(rows)
    with pytest.warns(RuntimeWarning, match=reason) as caught:
        got = encoder(backbone, engine="onnxruntime").fit_transform(rows)
        again = encoder(backbone, engine="onnxruntime").fit_transform(rows)
    assert len(caught) == len(built) == 1
    np.testing.assert_array_equal(got, want)
    np.testing.assert_array_equal(again, want)
    # The keys are torch's: nothing ran twice.
    assert cache_info().misses == len(rows)


def test_an_engine_that_is_wrong_at_one_shape_only_is_found_out(fake):
    fake(wrong_when_short)
    backbone = dataclasses.replace(load_backbone("tiny-bert"))
    with pytest.warns(RuntimeWarning, match="differ from torch's"):
        TextEncoder(backbone, engine="onnxruntime").fit_transform(["a"])


def test_without_a_compiler_torch_computes(case, monkeypatch):
    from torch._inductor import exc

    def refuse(*args, **kwargs):
        raise exc.InvalidCxxCompiler

    encoder, backbone, rows = case
    monkeypatch.setattr(torch, "compile", refuse)
    with pytest.warns(RuntimeWarning, match="InvalidCxxCompiler: .*C\\+\\+"):
        got = encoder(backbone, engine="compile").fit_transform(rows)
    np.testing.assert_array_equal(got, encoder(backbone).fit_transform(rows))


def test_engines_do_not_share_rows(case, fake, tmp_path):
    encoder, backbone, rows = case
    fake(lambda vectors, *_: vectors * np.float32(1 + 1e-4))
    for cache in ("auto", tmp_path):
        for _ in range(2):
            plain = encoder(backbone, cache=cache).fit_transform(rows)
            other = encoder(backbone, cache=cache, engine="onnxruntime")
            got = other.fit_transform(rows)
            assert not np.array_equal(got, plain)
            np.testing.assert_allclose(got, plain * (1 + 1e-4), rtol=1e-5, atol=1e-7)


def test_an_engine_is_built_for_missing_rows_only(case, fake):
    encoder, backbone, rows = case
    built = fake(lambda vectors, *_: vectors)
    engine = encoder(backbone, engine="onnxruntime").fit(rows)
    assert not built
    engine.transform(rows)
    assert len(built) == 1
    other = encoder(dataclasses.replace(backbone), engine="onnxruntime")
    other.transform(rows)
    assert len(built) == 1
    other.transform(rows_of(encoder._modality, seed=1))
    assert len(built) == 2


def test_a_network_of_an_engine_is_built_once_for_all_depths(case, fake):
    encoder, backbone, rows = case
    built = fake(lambda vectors, *_: vectors)
    for depth in range(1, len(backbone.blocks) + 1):
        encoder(backbone, depth=depth, engine="onnxruntime").fit_transform(rows)
    assert len(built) == 1


def test_few_networks_are_kept(fake):
    built = fake(lambda vectors, *_: vectors)
    backbone = dataclasses.replace(load_backbone("tiny-cnn"))
    for size in range(20, 27):
        encoder = ImageEncoder(backbone, image_size=size, engine="onnxruntime")
        encoder.fit_transform(rows_of("image", 2))
    keys = [k for k in backbone._prepared if isinstance(k, choose.EngineKey)]
    assert len(built) == 7
    assert len(keys) == choose.MAX_KEPT


def test_clones_and_pickles_keep_the_engine_and_carry_no_network(case, fake):
    encoder, _, rows = case
    fake(lambda vectors, *_: vectors)
    fitted = encoder(TOYS[encoder._modality][1], engine="onnxruntime")
    want = fitted.fit_transform(rows)
    assert clone(fitted).engine == "onnxruntime"
    data = pickle.dumps(fitted)
    assert len(data) < 2000
    restored = pickle.loads(data)
    assert restored.engine == "onnxruntime"
    np.testing.assert_array_equal(restored.transform(rows), want)
    backbone = pickle.loads(pickle.dumps(load_backbone(fitted.backbone)))
    assert not backbone._prepared


def test_threads_build_an_engine_once(case, fake):
    encoder, backbone, rows = case
    built = fake(lambda vectors, *_: vectors)
    want = encoder(backbone, cache=None).fit_transform(rows)
    outs = joblib.Parallel(4, backend="threading")(
        joblib.delayed(encoder(backbone, engine="onnxruntime", cache=None).transform)(
            rows
        )
        for _ in range(8)
    )
    assert len(built) == 1
    for out in outs:
        np.testing.assert_array_equal(out, want)


FORK = """
import multiprocessing, sys, warnings
import numpy as np, torch
torch.set_num_threads(2)
from sktransfer import TextEncoder
texts = [f"text number {{i}}" for i in range(40)]
encoder = TextEncoder("tiny-bert", engine={engine!r}, cache=None)
warnings.simplefilter("error")
want = encoder.fit_transform(texts)

def child():
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        got = encoder.transform(texts)
    assert np.abs(got - want).max() <= 1e-3 * np.abs(want).max()
    said = [str(w.message) for w in caught if "is not used" in str(w.message)]
    assert len(said) == {n_warnings}, said

process = multiprocessing.get_context("fork").Process(target=child)
process.start()
process.join(120)
if process.is_alive():
    process.kill()
    sys.exit("the forked process hangs")
sys.exit(process.exitcode)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks safely on Linux only")
@pytest.mark.parametrize(
    ("engine", "n_warnings"), [("onnxruntime", 0), ("openvino", 1), ("compile", 1)]
)
def test_a_forked_process_has_its_own_engine_or_torch(engine, n_warnings):
    installed(engine)
    code = FORK.format(engine=engine, n_warnings=n_warnings)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=280
    )
    assert done.returncode == 0, done.stderr


# -- "auto" ---------------------------------------------------------------------------


@pytest.fixture
def auto(monkeypatch):
    """Give ``auto(*changes)``: engines that "auto" tries, in this order.

    Each is torch with changed vectors; it returns the names of those that were built.
    """

    def install(*changes):
        built, names = [], ["openvino", "onnxruntime"][: len(changes)]
        for name, change in zip(names, changes, strict=True):

            def build(module, example, precision, name=name, change=change):
                built.append(name)
                return lambda *tensors: change(module(*tensors).numpy(), *tensors)

            entry = ENGINES[name]._replace(build=build, packages=("sktransfer",))
            monkeypatch.setitem(ENGINES, name, entry)
        for modality in TOYS:
            monkeypatch.setitem(choose.FASTEST, modality, tuple(names))
        return built

    return install


@pytest.mark.filterwarnings("error")
def test_auto_takes_the_first_engine_that_works(case, auto):
    encoder, backbone, rows = case
    built = auto(lambda v, *_: v, lambda v, *_: v)
    want = encoder(backbone).fit_transform(rows)
    got = encoder(backbone, engine="auto").fit_transform(rows)
    np.testing.assert_allclose(got, want, atol=1e-5)
    again = encoder(backbone, engine="openvino").fit_transform(rows)
    np.testing.assert_array_equal(again, got)  # it is that engine, with its keys
    assert built == ["openvino"]


@pytest.mark.filterwarnings("error")
def test_auto_goes_on_without_a_word_where_an_engine_is_wrong(case, auto):
    encoder, backbone, rows = case
    built = auto(lambda v, *_: v * 1.1, lambda v, *_: v * np.float32(1 + 1e-4))
    want = encoder(backbone).fit_transform(rows)
    for _ in range(2):
        got = encoder(backbone, engine="auto").fit_transform(rows)
        np.testing.assert_allclose(got, want * (1 + 1e-4), rtol=1e-5, atol=1e-7)
    assert built == ["openvino", "onnxruntime"]


@pytest.mark.filterwarnings("error")
def test_auto_is_torch_where_no_engine_works(case, auto):
    encoder, backbone, rows = case
    built = auto(lambda v, *_: v * 1.1, raises)
    got = encoder(backbone, engine="auto").fit_transform(rows)
    np.testing.assert_array_equal(got, encoder(backbone).fit_transform(rows))
    assert cache_info().misses == len(rows)  # the keys are torch's
    assert built == ["openvino", "onnxruntime"]


def test_auto_is_torch_without_the_packages_and_on_a_gpu(monkeypatch):
    def candidates(device="cpu", precision="float32", modality="image"):
        device = torch.device(device)
        return choose.candidates("auto", device, precision, modality)

    monkeypatch.setattr(choose, "is_installed", lambda name: True)
    assert candidates() == ["openvino", "onnxruntime"]
    assert candidates(precision="bfloat16") == ["openvino"]
    assert candidates(precision="float16") == []
    assert candidates("cuda") == candidates(modality="text") == []
    monkeypatch.setattr(choose, "is_installed", lambda name: name == "openvino")
    assert candidates() == ["openvino"]
    monkeypatch.setattr(choose, "is_installed", lambda name: False)
    assert candidates() == []
    pixels = rows_of("image", 3)
    np.testing.assert_array_equal(
        ImageEncoder("tiny-cnn", engine="auto").fit_transform(pixels),
        ImageEncoder("tiny-cnn").fit_transform(pixels),
    )


def test_an_engine_takes_few_images_at_a_time_whatever_the_batch_size(fake):
    shapes = []

    def change(vectors, hidden):
        shapes.append(len(hidden))
        return vectors

    fake(change)
    backbone = dataclasses.replace(load_backbone("tiny-cnn"))
    rows = rows_of("image", 11)
    want = ImageEncoder(backbone, cache=None).fit_transform(rows)
    for batch_size, size in ((1024, 4), (3, 3)):
        encoder = ImageEncoder(
            backbone, cache=None, engine="onnxruntime", batch_size=batch_size
        )
        shapes.clear()
        np.testing.assert_allclose(encoder.fit_transform(rows), want, atol=1e-5)
        assert set(shapes) == {size}


@pytest.mark.slow
def test_openvino_computes_in_bfloat16(bundled_weights):
    installed("openvino")
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, size=(6, 12, 16, 3), dtype=np.uint8)
    rows = [np.asarray(Image.fromarray(s).resize((320, 240))) for s in small]
    want, got = (
        ImageEncoder(engine="openvino", precision=precision).fit_transform(rows)
        for precision in ("float32", "bfloat16")
    )
    # Without instructions for it OpenVINO computes in float32.
    is_lower = computes_in(torch.device("cpu"), "bfloat16")
    assert np.array_equal(got, want) != is_lower
    norms = np.linalg.norm(got, axis=1) * np.linalg.norm(want, axis=1)
    assert ((got * want).sum(1) / norms).min() > 0.98


def test_only_encoders_have_an_engine():
    for name in sktransfer.__all__:
        value = getattr(sktransfer, name)
        if inspect.isclass(value) and hasattr(value, "get_params"):
            has = "engine" in inspect.signature(value).parameters
            assert has == issubclass(value, BaseEncoder), name
