"""JPEG files to features, decoding included, against embetter and loops in timm."""

from functools import partial

from sktransfer import ImageEncoder

from .._harness import (
    SEED,
    alternate,
    at_least,
    claim,
    clothing10,
    ratios,
    relative_difference,
    spread,
)
from .._rivals import (
    TunedLoop,
    careful_loop,
    embetter_pipeline,
    loader_loop,
    timm_network,
    usual_loop,
)

N_IMAGES = 300
REPEATS = 5
AGREEMENT = 2e-2  # images are resized by other kernels
OURS, AS_IT_COMES, IN_EVAL_MODE = (
    "sktransfer",
    "embetter, as it comes",
    "embetter, eval mode",
)
TUNED, LOADER = "best hand-tuned loop", "timm, DataLoader, 2 workers"
# Time over ours that is to be shown, at least.
TARGETS = {AS_IT_COMES: 3.8, IN_EVAL_MODE: 3.8, TUNED: 0.95, LOADER: 1.8}
VARIANTS = {
    f"{OURS}, engine='onnxruntime'": {"engine": "onnxruntime"},
    f"{OURS}, engine='auto'": {"engine": "auto"},
    f"{OURS}, engine='auto', bfloat16": {"engine": "auto", "precision": "bfloat16"},
}
# Time of embetter in eval mode over that of a variant, at least.
VARIANT_TARGETS = {
    f"{OURS}, engine='auto'": 4.5,
    f"{OURS}, engine='auto', bfloat16": 7,
}
LOSSY = f"{OURS}, engine='auto', bfloat16", AS_IT_COMES
N_TUNING = 64  # images on which the tuned loop chooses its options


def run(full=False):
    frame = clothing10("train").sample(N_IMAGES, random_state=SEED)
    paths = frame["path"].tolist()
    tuned = TunedLoop()
    tuned.tune(paths[:N_TUNING])
    functions = contestants(frame, paths, tuned)
    # Loading, and reading the files into the page cache, are nobody's time.
    for function in contestants(frame, paths[:8], tuned).values():
        function()
    seconds, features = alternate(functions, REPEATS)

    ours = seconds[OURS]
    speeds = {n: spread(N_IMAGES / s for s in times) for n, times in seconds.items()}
    over = ratios(seconds, OURS)
    gaps = {
        n: relative_difference(f, features["timm, usual loop"])
        for n, f in features.items()
    }
    greatest = max(gap for name, gap in gaps.items() if name not in LOSSY)
    claims = [
        at_least(f"time over ours: {name}", over[name]["median"], target)
        for name, target in TARGETS.items()
    ] + [
        at_least(
            f"time over {name}: {IN_EVAL_MODE}",
            ratios(seconds, name)[IN_EVAL_MODE]["median"],
            target,
        )
        for name, target in VARIANT_TARGETS.items()
    ]
    agree = "greatest relative difference of features, eval mode, float32"
    claims.append(claim(agree, greatest, f"<= {AGREEMENT}", greatest <= AGREEMENT))
    return {
        "figures": {
            "images": N_IMAGES,
            "repeats": REPEATS,
            "seconds": {n: spread(times)["median"] for n, times in seconds.items()},
            "images_per_s": {n: speed["median"] for n, speed in speeds.items()},
            "time_over_ours": {n: ratio["median"] for n, ratio in over.items()},
            # What noise of the machine disturbs least: the fastest run of each.
            "fastest_over_our_fastest": {
                n: min(times) / min(ours) for n, times in seconds.items()
            },
            "difference_of_features": gaps,
            "tuned_batch_and_decoding_beside": list(tuned.options),
        },
        "spread": {"images_per_s": speeds, "time_over_ours": over},
        "claims": claims,
    }


def contestants(frame, paths, tuned):
    frame = frame[: len(paths)]
    ours = ImageEncoder(cache=None)
    variants = {n: ImageEncoder(cache=None, **o) for n, o in VARIANTS.items()}
    usual, transform = timm_network()
    careful = timm_network.__wrapped__()[0]  # one of its own: its layout changes
    as_it_comes, in_eval_mode = embetter_pipeline("path"), embetter_pipeline("path")
    # embetter leaves the network in train mode: batch normalisation then takes the
    # statistics of each single image, and the features are not the network's.
    in_eval_mode[-1].model.eval()
    return {
        OURS: lambda: ours.transform(paths),
        **{n: partial(one.transform, paths) for n, one in variants.items()},
        TUNED: lambda: tuned(paths),
        "timm, careful loop": lambda: careful_loop(paths, careful, transform),
        "timm, usual loop": lambda: usual_loop(paths, usual, transform),
        LOADER: lambda: loader_loop(paths, usual, transform),
        IN_EVAL_MODE: lambda: in_eval_mode.fit_transform(frame),
        AS_IT_COMES: lambda: as_it_comes.fit_transform(frame),
    }


def table(result):
    figures, ranges = result["figures"], result["spread"]["images_per_s"]
    rows = [
        ["", "images/s", "least to most", "time over ours", "fastest over our fastest"]
        + ["difference of features"]
    ]
    for name, speed in figures["images_per_s"].items():
        ends = ranges[name]
        rows.append(
            [name, f"{speed:.1f}", f"{ends['min']:.1f} to {ends['max']:.1f}"]
            + [f"{figures['time_over_ours'][name]:.2f}"]
            + [f"{figures['fastest_over_our_fastest'][name]:.2f}"]
            + [f"{figures['difference_of_features'][name]:.0e}"]
        )
    return rows
