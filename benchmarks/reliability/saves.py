"""Tampered saves: refused with the reason; nothing is executed, nothing leaves them."""

import collections
import contextlib
import hashlib
import importlib
import os
import pickle
import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from ._shared import alone, peak_mib
from .tamperings import MANIFEST, TAMPERINGS, sign

LARGEST_GROWTH_MIB = 512
SLOWEST_S = 30
TEXTS = [f"text {i} {i % 3}" for i in range(18)]
LABELS = [0, 1, 2] * 6


def tampered_saves(folder, *, n_saves=300, seed=2):
    """Change saves in many ways, without their manifest and with it, and load them.

    They predict through a folder of features that the genuine networks share; after
    each save these must still find their own vectors there.
    """
    (outcome, before), peak = alone(_run, folder, n_saves, seed, timeout_s=3600)
    assert peak - before <= LARGEST_GROWTH_MIB, f"memory grew by {peak - before} MiB"
    return {**outcome, "growth, MiB": peak - before}


def _run(folder, n_saves, seed):
    from sktransfer import load, set_cache_dir
    from sktransfer.exceptions import DamagedSaveError, SaveError
    from sktransfer.persistence._trust import TRUSTED

    rng = random.Random(seed)
    folder = Path(folder)
    outside = folder / "outside"
    outside.mkdir()
    private = folder / "private"
    private.mkdir()
    tempfile.tempdir = str(private)  # of this process, which ends with the campaign
    (outside / "precious").write_text("still here")
    names = {"canary": folder / "canary", "outside": outside}
    saves = make_saves(folder / "whole")
    with warnings_as_they_come():
        for save in saves:
            load(save).predict(TEXTS)  # whatever is imported for it is imported now
    for dotted in TRUSTED:  # likewise
        module, _, name = dotted.rpartition(".")
        with contextlib.suppress(ImportError, AttributeError):
            getattr(importlib.import_module(module), name)
    genuine = _genuine(folder / "whole" / "network")
    shared = private / "features"
    set_cache_dir(shared)
    watch = Watch(private)
    watch.test()
    before, slowest = peak_mib(), 0.0
    unsigned = collections.Counter()
    signed = {_name(tamper): collections.Counter() for tamper in TAMPERINGS}
    predicted = collections.Counter()
    n_signed = 0
    for number in range(n_saves):
        tamper = TAMPERINGS[number % len(TAMPERINGS)]
        whole = saves[number // len(TAMPERINGS) % len(saves)]
        save = folder / f"save{number}"
        shutil.copytree(whole, save)
        digest = sha256((save / MANIFEST).read_bytes())
        tamper(save, rng, names)

        def attempt(save=save, **options):
            try:
                with watch.watching(save), warnings_as_they_come():
                    model = load(save, **options)
            except SaveError as err:
                return type(err)
            finally:
                left = list(private.glob("sktransfer-*"))
                assert not left, f"a copy was left behind: {left}"
            # Whoever signs may change what a model says, not what it does.
            with watch.watching(save), warnings_as_they_come():
                predicted[_predict(model)] += 1
            _check_parameters(model)
            return None

        start = time.perf_counter()
        if sha256((save / MANIFEST).read_bytes()) == digest:
            refused = attempt()
            assert refused, f"save {number}: {tamper.__name__} was loaded"
            unsigned[refused.__name__] += 1
            sign(save)
        if sha256((save / MANIFEST).read_bytes()) != digest:
            refused = attempt()
            answer = refused.__name__ if refused else "loaded"
            signed[_name(tamper)][answer] += 1
            assert attempt(sha256=digest) is DamagedSaveError
            n_signed += 1
        slowest = max(slowest, time.perf_counter() - start)
        wrong = _wrong_vectors(genuine, shared)
        assert not wrong, f"save {number}, {tamper.__name__}: {wrong} wrong vectors"
        assert not names["canary"].exists(), f"{tamper.__name__} was executed"
        assert (outside / "precious").read_text() == "still here"
        assert not watch.seen, f"save {number}, {tamper.__name__}: {watch.seen}"
        shutil.rmtree(save)
    assert slowest <= SLOWEST_S, slowest
    outcome = {
        "saves": n_saves,
        "manifest unchanged": dict(unsigned),
        "manifest changed too": signed,
        "predictions of those that loaded": dict(predicted),
        "executed, opened or written outside": 0,
        "wrong vectors of the genuine networks": 0,
        "refused where sha256= pins the manifest": n_signed,
        "slowest, s": round(slowest, 2),
    }
    return outcome, before


def _genuine(network):
    """Return encoders of the networks in the saves, and what they must give."""
    from sktransfer import ImageEncoder, TextEncoder

    encoders = [
        (TextEncoder("tiny-bert"), TEXTS),
        (TextEncoder(str(network / "sentences")), TEXTS),
        (ImageEncoder("tiny-cnn"), _images()),
    ]
    return [
        (encoder, rows, encoder.set_params(cache=None).fit_transform(rows))
        for encoder, rows in encoders
    ]


def _wrong_vectors(genuine, shared):
    """Count what the folder gives the genuine networks, and is not theirs."""
    from sktransfer import FeatureCache

    n_wrong = 0
    for encoder, rows, want in genuine:
        # A cache of its own, as another process has: nothing comes from memory.
        got = encoder.set_params(cache=FeatureCache(shared)).transform(rows)
        n_wrong += int((~np.isclose(got, want, rtol=1e-4, atol=1e-5)).any(axis=1).sum())
    return n_wrong


def _images():
    return np.random.default_rng(0).integers(0, 256, (18, 9, 9, 3), dtype=np.uint8)


def sha256(content):
    return hashlib.sha256(content).hexdigest()


def _predict(model):
    """Say how a prediction with it ends."""
    try:
        answer = model.predict(TEXTS)
    except Exception as err:  # any error will do, a crash or a hang will not
        return type(err).__name__
    return "as before or not, one per row" if len(answer) == len(TEXTS) else "too few"


def _check_parameters(model):
    """See that nothing is kept where a file says, and that the card tells `source`."""
    from sklearn.base import BaseEstimator

    from sktransfer import model_card

    if not isinstance(model, BaseEstimator):
        return
    try:
        parameters, card = model.get_params(), model_card(model)
    except Exception:  # of an estimator whose state was made odd
        return
    for name, value in parameters.items():
        last = name.rpartition("__")[2]
        assert last != "cache" or value in ("auto", None), (name, value)
        assert last != "memory" or value is None, (name, value)
        assert last != "source" or value == "path" or "| strings |" in card, value


def _name(tamper):
    return tamper.__name__.strip("_")


def make_saves(folder):
    """Save a tuned network, trees, neighbours, a folder's network and images."""
    from sklearn.ensemble import HistGradientBoostingClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    from sktransfer import ImageEncoder, TextClassifier, TextEncoder, save

    encoder = TextEncoder("tiny-bert")
    trees = HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=1)
    of_folder = TextEncoder(text_network(folder / "network"))
    models = [
        make_pipeline(of_folder, StandardScaler(), KNeighborsClassifier(3)),
        TextClassifier("tiny-bert", max_epochs=1, random_state=0),
        make_pipeline(encoder, StandardScaler(), trees),
        make_pipeline(encoder, KNeighborsClassifier(algorithm="kd_tree")),
        make_pipeline(ImageEncoder("tiny-cnn", on_error="nan"), trees),
    ]
    rows = [TEXTS] * 4 + [_images()]
    saves = []
    for number, model in enumerate(models):
        saves.append(folder / f"model{number}")
        save(model.fit(rows[number], LABELS), saves[-1], weights="include")
    return saves


def text_network(folder):
    """Save a small random network as sentence-transformers does; return the folder."""
    import transformers
    from sentence_transformers import SentenceTransformer
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", "text", *map(str, range(20))]
    vocabulary = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    )
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_position_embeddings=16,
    )
    transformers.BertModel(config).save_pretrained(folder / "plain")
    tokenizer.save_pretrained(folder / "plain")
    model = SentenceTransformer(str(folder / "plain"), device="cpu")
    model.save(str(folder / "sentences"), create_model_card=False)
    return str(folder / "sentences")


# -- what is watched -------------------------------------------------------------------


class Watch:
    """Notes what Python is about to do that loading a save has no reason for.

    An audit hook cannot be taken away, so there is one for the process, which is silent
    outside `watching`.
    """

    # What transformers tries to import where a tokenizer is damaged.
    of_tokenizers = ("google", "sentencepiece", "tiktoken", "mistral_common", "gguf")
    of_copies = ("os.mkdir", "os.remove", "os.rmdir", "os.chmod", "shutil.rmtree")
    forbidden = (
        "os.system",
        "os.exec",
        "os.posix_spawn",
        "os.spawn",
        "os.fork",
        "os.forkpty",
        "os.remove",
        "os.rename",
        "os.mkdir",
        "os.rmdir",
        "os.link",
        "os.symlink",
        "os.chmod",
        "os.truncate",
        "os.utime",
        "os.putenv",
        "subprocess.Popen",
        "shutil.",
        "socket.",
        "urllib.Request",
        "webbrowser.open",
        "pickle.find_class",
        "ctypes.",
        "exec",
    )

    def __init__(self, private):
        import sktransfer

        self.folder, self.seen = None, []
        self.private = str(Path(private).resolve())  # for copies of what was checked
        self.places = tuple(
            str(Path(place).resolve()) for place in {sys.prefix, sys.base_prefix}
        )
        # What an installation from a checkout says of the package's version.
        checkout = Path(sktransfer.__file__).resolve().parents[1]
        self.places += tuple(map(str, checkout.glob("sktransfer*.*-info")))
        # A transform asks how large it has grown, and transformers what a disk is.
        self.places += ("/proc/self/statm", "/proc/mounts")
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def watching(self, folder):
        """Watch the block, which may read `folder` and nothing else."""
        self.folder = str(Path(folder).resolve())
        try:
            yield
        finally:
            self.folder = None

    def test(self):
        """See that the hook notices what it is there for."""

        class Gadget:
            def __reduce__(self):
                return os.system, ("true",)

        content = pickle.dumps(Gadget())
        with self.watching(os.devnull):
            pickle.loads(content)
            open(__file__).close()
        noticed = {event for event, _ in self.seen}
        assert noticed >= {"pickle.find_class", "os.system", "open"}, noticed
        self.seen.clear()

    def _hook(self, event, arguments):
        if self.folder is None:
            return
        if event == "open":
            self._check_open(*arguments)
        elif event == "import":
            first = arguments[0].partition(".")[0]
            if first not in sys.modules and first not in self.of_tokenizers:
                self.seen.append((event, str(arguments[0])))
        elif event == "exec" and arguments[0].co_filename.startswith(self.places):
            pass  # a module that a trusted type lives in is imported
        elif event == "socket.gethostname":
            pass  # a claim in the folder of features names its owner
        elif event in self.of_copies and self._is_private(arguments[0], arguments[-1]):
            pass
        elif event.startswith(self.forbidden):
            self.seen.append((event, str(arguments)[:200]))

    def _is_private(self, path, dir_fd=-1):
        """Whether a path, perhaps relative to an open folder, is one of the copies."""
        if not isinstance(path, (str, bytes, os.PathLike)):
            return False
        path = os.fsdecode(path)
        if isinstance(dir_fd, int) and dir_fd >= 0:
            path = os.path.join(os.readlink(f"/proc/self/fd/{dir_fd}"), path)
        return path.startswith(self.private)

    def _check_open(self, path, mode, flags):
        if isinstance(path, int):
            return
        writes = flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
        path = os.path.abspath(os.fsdecode(path))
        if path.startswith(self.private) or path == os.devnull:
            return
        if mode is None and not writes and not os.path.exists(path):
            return  # a name inside a copy, relative to its folder, which goes
        if writes or not path.startswith((self.folder, *self.places)):
            self.seen.append(("open", f"{path} {mode}"))


@contextlib.contextmanager
def warnings_as_they_come():
    """Let no warning become an error or a line on the screen."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
