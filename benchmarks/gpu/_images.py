"""Stages `images` and `arrays`: files, and pixels in memory, to features."""

from functools import partial
from types import SimpleNamespace

from .._harness import SEED
from .._rivals import PictureFiles
from ._data import arrays, jpegs, prepare
from ._setting import WARM_ROWS, leave, likeness, passes
from ._stage import Claim, Stage, rate, time_over

OURS, LOADER, NETWORK = "ImageEncoder", "DataLoader loop", "network alone"
DECODER = "decoder alone"
BY_HAND = "loop by hand"
OVER_LOADER, OF_BOUND, OVER_HAND = 3, 0.7, 0.9


def contestants(sizes):
    found = {DECODER: decoder}
    for name in sizes.networks:
        found[f"{name}, {OURS}"] = partial(encoder, network=name)
        found[f"{name}, {LOADER}"] = partial(loader_loop, network=name)
        found[f"{name}, {NETWORK}"] = partial(network_alone, network=name)
    return found


def claims(sizes):
    found = []
    for name in sizes.networks:
        ours = f"{name}, {OURS}"
        found += [
            Claim(
                f"images, {name}: time of the {LOADER} over ours",
                time_over(f"{name}, {LOADER}", ours),
                ">=",
                OVER_LOADER,
            ),
            Claim(
                f"images, {name}: our speed over that of the {DECODER} or of the "
                f"{NETWORK}, whichever is slower",
                partial(_of_bound, name=name),
                ">=",
                OF_BOUND,
            ),
        ]
    return found


def _of_bound(found, name):
    bounds = rate(found[DECODER]), rate(found[f"{name}, {NETWORK}"])
    return rate(found[f"{name}, {OURS}"]) / min(bounds)


def our_encoder(sizes, network, **options):
    from sktransfer import BackboneSpec, ImageEncoder

    spec = BackboneSpec(network, pretrained=False, random_state=SEED)
    return ImageEncoder(spec, cache=None, device=sizes.device, **options)


def encoder(sizes, network):
    paths = jpegs(sizes, sizes.n_images)
    ours = our_encoder(sizes, network, precision=sizes.precision)
    ours.fit(paths[:WARM_ROWS]).transform(paths[:WARM_ROWS])
    times, features = passes(sizes, lambda: ours.transform(paths), len(paths))
    leave(sizes, network, features)
    return times


def timm_network(sizes, network):
    """Return the network that our encoder has, lowered, and its configuration."""
    import timm
    import torch
    from timm.data import resolve_data_config

    torch.manual_seed(SEED)
    model = timm.create_model(network, pretrained=False)
    model.reset_classifier(0)
    config = resolve_data_config({}, model=model)
    dtype = getattr(torch, sizes.precision)
    model = model.eval().to(sizes.device, dtype, memory_format=torch.channels_last)
    return model, config


def loader_loop(sizes, network):
    """Run what PyTorch's tutorials show; each pass starts its worker processes."""
    import torch
    from timm.data import create_transform
    from torch.utils.data import DataLoader

    model, config = timm_network(sizes, network)
    transform = create_transform(**config)

    def loop(paths):
        loader = DataLoader(
            PictureFiles(paths, transform),
            batch_size=sizes.loader_batch,
            num_workers=sizes.n_workers,
            pin_memory=sizes.device == "cuda",
        )
        features = []
        with torch.inference_mode():
            for batch in loader:
                batch = batch.to(sizes.device, non_blocking=True)
                batch = batch.to(
                    getattr(torch, sizes.precision), memory_format=torch.channels_last
                )
                features.append(model(batch).float())
        return torch.cat(features).cpu().numpy()

    paths = jpegs(sizes, sizes.n_images)
    loop(paths[:WARM_ROWS])
    times, features = passes(sizes, lambda: loop(paths), len(paths))
    return {**times, "workers": sizes.n_workers, **likeness(sizes, network, features)}


def network_alone(sizes, network):
    """Run noise that lies on the device already, in the best of some batches."""
    import torch

    model, config = timm_network(sizes, network)
    options = {"device": sizes.device, "dtype": getattr(torch, sizes.precision)}
    by_batch = {}
    for size in sizes.batches:
        noise = torch.randn(size, *config["input_size"], **options)
        noise = noise.contiguous(memory_format=torch.channels_last)
        n_batches = -(-sizes.n_images // size)

        def loop(noise=noise, n_batches=n_batches):
            with torch.inference_mode():
                for _ in range(n_batches):
                    model(noise)

        with torch.inference_mode():
            model(noise)
        by_batch[size], _ = passes(sizes, loop, n_batches * size)
    best = max(by_batch, key=lambda size: rate(by_batch[size]))
    return {
        **by_batch[best],
        "batch": best,
        "images_per_s_by_batch": {size: rate(one) for size, one in by_batch.items()},
    }


def decoder(sizes):
    """Read, decode and resize as encoders do, in as many threads, without a network."""
    import torch

    from sktransfer import BackboneSpec, load_backbone

    # Internal, since nothing public reads without a network: it follows the encoder.
    from sktransfer._extraction.batches import GPU_IMAGE_BATCH
    from sktransfer._extraction.readers import ImageReader

    paths = jpegs(sizes, sizes.n_images)
    spec = BackboneSpec(sizes.networks[0], pretrained=False, random_state=SEED)
    record, device = load_backbone(spec).preprocess, torch.device(sizes.device)

    request = SimpleNamespace(preprocess=record, device=device, decoder="host")

    def read(paths):
        reader, n_rows, before = ImageReader("path"), 0, []
        size = max(reader.chunk_size, GPU_IMAGE_BATCH)
        for start in range(0, len(paths), size):
            contents = [
                content for _, content in reader.read(paths[start : start + size])
            ]
            started = reader.prepare(contents, request)
            # The next chunk is read while this one is decoded, as on a GPU.
            n_rows += sum(row.ndim == 3 for row in reader.results(before, device))
            before = started
        n_rows += sum(row.ndim == 3 for row in reader.results(before, device))
        reader.close()
        return n_rows

    read(paths[:WARM_ROWS])
    times, n_rows = passes(sizes, lambda: read(paths), len(paths))
    if n_rows != len(paths):
        raise RuntimeError(f"{n_rows} of {len(paths)} images were decoded.")
    return times


# -- arrays --------------------------------------------------------------------------


def array_contestants(sizes):
    network = sizes.networks[0]
    return {
        f"{network}, {OURS}": partial(encode_arrays, network=network),
        f"{network}, {BY_HAND}": partial(arrays_by_hand, network=network),
    }


def array_claims(sizes):
    name = sizes.networks[0]
    return [
        Claim(
            f"arrays, {name}: time of the {BY_HAND} over ours",
            time_over(f"{name}, {BY_HAND}", f"{name}, {OURS}"),
            ">=",
            OVER_HAND,
        )
    ]


def encode_arrays(sizes, network):
    pixels = arrays(sizes.n_arrays)
    ours = our_encoder(sizes, network, precision=sizes.precision)
    ours.fit(pixels[:WARM_ROWS]).transform(pixels[:WARM_ROWS])
    return passes(sizes, lambda: ours.transform(pixels), len(pixels))[0]


def arrays_by_hand(sizes, network):
    """Copy bytes to the device and normalise them there, as an expert would.

    It takes the pixels as they are. Our encoder resizes and crops them, as the record
    of the weights says, so that features differ and are not compared.
    """
    import torch

    model, config = timm_network(sizes, network)
    options = {"device": sizes.device, "dtype": getattr(torch, sizes.precision)}
    mean, std = (
        255 * torch.tensor(config[name], device=sizes.device).view(1, 3, 1, 1)
        for name in ("mean", "std")
    )

    def loop(pixels):
        features = []
        with torch.inference_mode():
            for start in range(0, len(pixels), sizes.loader_batch):
                batch = torch.from_numpy(pixels[start : start + sizes.loader_batch])
                batch = batch.to(sizes.device, non_blocking=True)
                # Channels stay last in memory; only the order of the axes changes.
                batch = batch.permute(0, 3, 1, 2).float().sub_(mean).div_(std)
                features.append(model(batch.to(**options)).float())
        return torch.cat(features).cpu().numpy()

    pixels = arrays(sizes.n_arrays)
    loop(pixels[:WARM_ROWS])
    return passes(sizes, lambda: loop(pixels), len(pixels))[0]


IMAGES = Stage(contestants, claims, prepare)
ARRAYS = Stage(array_contestants, array_claims)
