"""Images, arrays, texts and networks for texts, made from a seed."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from .._harness import SEED

SIZE = 640, 480
N_CLASSES = 5
# Width, layers, attention heads, width inside a layer.
SHAPES = {
    "MiniLM": (384, 6, 12, 1536),
    "BERT-base": (768, 12, 12, 3072),
    "tiny": (32, 2, 2, 64),
}
SYLLABLES = [first + second for first in "bdfgklmnprstvz" for second in "aeiou"]
N_WORDS = 30_000
MAX_TOKENS, MAX_WORDS = 256, 160


def jpegs(sizes, n_images):
    """Return the paths of JPEGs of a common size, made where they are missing."""
    folder = Path(sizes.folder) / "images"
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number}.jpg" for number in range(n_images)]
    with ThreadPoolExecutor() as threads:
        list(threads.map(_write_jpeg, range(n_images), paths))
    return [str(path) for path in paths]


def _write_jpeg(number, path):
    """Draw patches of colour with a gradient and grain, about as large as a photo."""
    from PIL import Image

    if path.exists():
        return
    rng = np.random.default_rng((SEED, number))
    patches = rng.uniform(30, 220, (15, 20, 3))
    patches[..., number % 3] += 8 * (number % N_CLASSES)  # a trace of the class
    image = Image.fromarray(patches.clip(0, 255).astype(np.uint8))
    pixels = np.asarray(image.resize(SIZE, Image.Resampling.BILINEAR), np.int16)
    grain = rng.integers(-14, 15, (SIZE[1], SIZE[0], 1), dtype=np.int16)
    pixels = (pixels + grain).clip(0, 255).astype(np.uint8)
    # Under its own name only when it is whole: an interrupted run resumes.
    part = path.with_suffix(".part")
    Image.fromarray(pixels).save(part, "JPEG", quality=90)
    part.replace(path)


def labels(n_rows):
    return np.arange(n_rows) % N_CLASSES


def arrays(n_rows, size=224):
    """Return noise in the shape of images."""
    rng = np.random.default_rng(SEED)
    return rng.integers(0, 256, (n_rows, size, size, 3), dtype=np.uint8)


def texts(n_rows):
    """Return texts of many lengths: about 39 tokens on average, and at most 220."""
    rng = np.random.default_rng(SEED)
    known = np.array(vocabulary()[1])
    n_words = rng.lognormal(3.17, 0.75, n_rows).clip(2, MAX_WORDS).astype(int)
    rows = []
    for n in n_words:
        words = rng.choice(known, n)
        # A fifth of the words are compounds, which a tokenizer takes apart.
        is_compound = rng.random(n) < 0.2
        tails = rng.choice(SYLLABLES, n)
        rows.append(
            " ".join(
                word + tail if both else word
                for word, tail, both in zip(words, tails, is_compound, strict=True)
            )
        )
    return rows


def vocabulary():
    """Return the vocabulary of a WordPiece tokenizer, and the whole words in it."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    rng = np.random.default_rng(SEED)
    # Four syllables, so that a word with another one behind it is no word itself.
    drawn = rng.integers(0, len(SYLLABLES), (2 * N_WORDS, 4))
    words = dict.fromkeys("".join(SYLLABLES[i] for i in row) for row in drawn)
    words = list(words)[:N_WORDS]
    tails = [f"##{syllable}" for syllable in SYLLABLES]
    return special + tails + words, words


def text_network(sizes, shape):
    """Return the folder of a sentence-transformers network with random weights."""
    folder = Path(sizes.folder) / f"network {shape}"
    if not folder.exists():
        _write_network(folder, shape)
    return str(folder)


def _write_network(folder, shape):
    import torch
    from sentence_transformers import SentenceTransformer
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    width, n_layers, n_heads, inner = SHAPES[shape]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_tokenizer(),
        model_max_length=MAX_TOKENS,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **{f"{n}_token": f"[{n.upper()}]" for n in ("pad", "unk", "cls", "sep")},
    )
    torch.manual_seed(SEED)
    network = BertModel(
        BertConfig(
            vocab_size=len(tokenizer),
            hidden_size=width,
            num_hidden_layers=n_layers,
            num_attention_heads=n_heads,
            intermediate_size=inner,
        )
    )
    plain = folder.with_name(f"{folder.name}, plain")
    network.save_pretrained(plain)
    tokenizer.save_pretrained(plain)
    # It adds the mean over the tokens to a network that has no pooling of its own.
    model = SentenceTransformer(str(plain), device="cpu")
    model.max_seq_length = MAX_TOKENS
    part = folder.with_name(f"{folder.name}, part")
    model.save(str(part))
    part.rename(folder)


def _tokenizer():
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

    vocab = {piece: number for number, piece in enumerate(vocabulary()[0])}
    tokenizer = Tokenizer(models.WordPiece(vocab, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocab["[SEP]"]), ("[CLS]", vocab["[CLS]"])
    )
    return tokenizer


def prepare(sizes):
    """Make what several contestants need, in nobody's time."""
    n_images = max(sizes.n_images, sizes.n_trained, sizes.n_grid, sizes.n_memory)
    paths = jpegs(sizes, n_images)
    return {
        "images": n_images,
        "bytes per image": round(sum(Path(p).stat().st_size for p in paths) / n_images),
    }


def prepare_texts(sizes):
    for shape in sizes.text_networks:
        text_network(sizes, shape)
    lengths = [len(one.ids) for one in _tokenizer().encode_batch(texts(sizes.n_texts))]
    return {
        "texts": sizes.n_texts,
        "tokens, mean": round(float(np.mean(lengths)), 1),
        "tokens, greatest": max(lengths),
    }
