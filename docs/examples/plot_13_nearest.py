"""
Find images that look alike
===========================

Features are useful without labels: images whose vectors are near each other look alike.
An encoder and scikit-learn's ``NearestNeighbors`` make a search by image. The first
figure shows three images and their nearest neighbours, and the second one is a map of
the whole set.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors

from sktransfer import ImageEncoder
from sktransfer.datasets import load_elpv

table = load_elpv().sample(300, random_state=0).reset_index(drop=True)
vectors = ImageEncoder(normalize=True).fit_transform(table["photo"])
print(vectors.shape, vectors.dtype)

# %%
# The first column shows the query, and the other columns its four nearest images.
queries = [
    table.query("type == 'mono' and probability == 0").index[0],
    table.query("type == 'mono' and probability == 1").index[0],
    table.query("type == 'poly' and probability == 1").index[0],
]
nearest = NearestNeighbors(n_neighbors=5, metric="cosine").fit(vectors)
distances, rows = nearest.kneighbors(vectors[queries])
figure, axes = plt.subplots(3, 5, figsize=(8, 5.4), layout="constrained")
for line, ds, rs in zip(axes, distances, rows, strict=True):
    for ax, distance, row in zip(line, ds, rs, strict=True):
        ax.imshow(Image.open(table["photo"][row]), cmap="gray")
        is_query = ax is line[0]
        ax.set_title("query" if is_query else f"{distance:.3f}", fontsize="medium")
        ax.axis("off")
figure.suptitle("Cosine distance to the image on the left")
plt.show()

# %%
# Most neighbours have the same kind of cell, and similar cracks or texture.
#
# The next figure is a map of all images by t-SNE.
places = TSNE(random_state=0, perplexity=25).fit_transform(vectors)
defective = (table["probability"] > 0.5).to_numpy()
kinds = table["type"].to_numpy()
figure, ax = plt.subplots(figsize=(6, 5), layout="constrained")
for kind, color in (("mono", "C0"), ("poly", "C1")):
    for is_defect, marker in ((False, "o"), (True, "x")):
        shown = (kinds == kind) & (defective == is_defect)
        truth = "defective" if is_defect else "sound"
        ax.scatter(
            *places[shown].T, c=color, marker=marker, s=20, label=f"{kind}, {truth}"
        )
ax.set_xticks([])
ax.set_yticks([])
ax.legend(fontsize="small")
ax.set_title(f"t-SNE of {len(vectors)} images")
plt.show()

same = kinds[nearest.kneighbors(vectors)[1][:, 1:]] == kinds[:, None]
print(f"{np.mean(same):.0%} of the neighbours are of the same kind of cell")

# %%
# The map groups the images by the kind of cell first. Defective cells are spread over
# the groups, and are often near each other within a group.
