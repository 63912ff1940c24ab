"""
Use a network of your own as an encoder
=======================================

A small network is trained to distinguish three shapes. Then it is reused for another
task: is the shape filled or an outline? ``Backbone.from_module`` turns the trained
module into a backbone, and each of its parts into a depth to choose. The last figure
shows the accuracy of both tasks at every depth. The images are drawn by this example.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image, ImageDraw
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import nn

from sktransfer import Backbone, ImageEncoder
from sktransfer.backbones import ImagePreprocess


def draw(kind, is_filled, rng):
    """Draw a circle, a square or a triangle somewhere on noise."""
    noise = rng.integers(60, 120, (32, 32, 3), dtype=np.uint8)
    image = Image.fromarray(noise)
    pen = ImageDraw.Draw(image)
    radius = rng.integers(6, 10)
    x, y = rng.integers(radius + 1, 31 - radius, 2)
    color = tuple(int(value) for value in rng.integers(150, 256, 3))
    style = {"fill": color} if is_filled else {"outline": color, "width": 2}
    box = (x - radius, y - radius, x + radius, y + radius)
    if kind == "circle":
        pen.ellipse(box, **style)
    elif kind == "square":
        pen.rectangle(box, **style)
    else:
        corners = [(x, y - radius), (x - radius, y + radius), (x + radius, y + radius)]
        pen.polygon(corners, **style)
    return np.asarray(image)


rng = np.random.default_rng(0)
kinds = np.array(["circle", "square", "triangle"])
shape = rng.integers(0, 3, 900)
is_filled = rng.integers(0, 2, 900).astype(bool)
images = np.stack(
    [draw(kinds[k], filled, rng) for k, filled in zip(shape, is_filled, strict=True)]
)
figure, axes = plt.subplots(1, 6, figsize=(8, 1.8), layout="constrained")
for i, ax in enumerate(axes):
    ax.imshow(images[i])
    ax.set_title(kinds[shape[i]])
    ax.axis("off")
plt.show()


# %%
# The network is trained with plain torch on 600 filled or hollow shapes.
class Shapes(nn.Module):
    """Four convolutions and a head."""

    def __init__(self):
        super().__init__()
        widths = [3, 16, 32, 64, 64]
        self.layers = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(before, after, 3, stride=1 + (i < 3), padding=1),
                nn.BatchNorm2d(after),
                nn.ReLU(),
            )
            for i, (before, after) in enumerate(zip(widths, widths[1:], strict=False))
        )
        self.head = nn.Linear(64, 3)

    def forward(self, maps):
        """Run the layers, average over places, classify."""
        for layer in self.layers:
            maps = layer(maps)
        return self.head(maps.mean((2, 3)))


torch.manual_seed(0)
network = Shapes()
pixels = torch.tensor(images[:600]).permute(0, 3, 1, 2) / 255 * 2 - 1
answers = torch.tensor(shape[:600])
optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
for _ in range(12):
    for rows in torch.randperm(600).split(50):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(network(pixels[rows]), answers[rows])
        loss.backward()
        optimizer.step()
print(f"last training loss {loss.item():.3f}")

# %%
# The parts of the network become blocks. Their output is compared with the module's own
# ``forward``.
backbone = Backbone.from_module(
    network.eval(),
    blocks=["layers.*"],
    head="head",
    preprocess=ImagePreprocess(
        size=(32, 32), mean=(0.5,) * 3, std=(0.5,) * 3, crop_pct=1.0
    ),
)
print(backbone.block_names)

# %%
# Both tasks are scored on the 300 images that the network has not seen, at every depth.
new = images[600:]
tasks = {"which shape": kinds[shape[600:]], "filled or not": is_filled[600:]}
depths = ["layers.0", "layers.1", "layers.2", "layers.3"]
figure, ax = plt.subplots(layout="constrained")
for name, y in tasks.items():
    scores = []
    for depth in depths:
        model = make_pipeline(
            ImageEncoder(backbone, depth=depth),
            StandardScaler(),
            LogisticRegression(max_iter=2000),
        )
        scores.append(cross_val_score(model, new, y, cv=5))
    means = [found.mean() for found in scores]
    errors = [found.std() for found in scores]
    ax.errorbar(depths, means, errors, marker="o", capsize=3, label=name)
ax.set(
    xlabel="depth",
    ylabel="accuracy, 5 folds",
    title="The task it was trained on, and one that it was not",
)
ax.legend()
plt.show()

# %%
# The task that the network was trained on needs the later layers. The other task is
# best at an early one, because the last layers drop the difference between filled and
# hollow shapes.
