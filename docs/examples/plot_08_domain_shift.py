"""
Labels from one camera, predictions for another
===============================================

The labels belong to photographs as they came. The photographs to be judged were, so to
speak, taken by another camera: darker, of low contrast, and blurred. That change is
made here by hand, on other cells of the data set, so that we know the truth and can see
what adapting brings.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from PIL import Image, ImageEnhance, ImageFilter
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from sktransfer import DomainAdaptationClassifier, DomainNormalizer, ImageEncoder
from sktransfer.datasets import load_elpv

table = load_elpv().sample(400, random_state=0).reset_index(drop=True)
defective = (table["probability"] > 0.5).to_numpy()


def other_camera(path):
    """Darken, flatten and blur."""
    image = Image.open(path).convert("L")
    image = ImageEnhance.Contrast(image).enhance(0.4)
    image = ImageEnhance.Brightness(image).enhance(0.5)
    return image.filter(ImageFilter.GaussianBlur(2))


is_target = np.arange(len(table)) >= 200
photos = [
    other_camera(path) if new else Image.open(path)
    for path, new in zip(table["photo"], is_target, strict=True)
]
figure, axes = plt.subplots(1, 4, figsize=(8, 2.4), layout="constrained")
for ax, row in zip(axes, (0, 1, 200, 201), strict=True):
    ax.imshow(photos[row], cmap="gray", vmin=0, vmax=255)
    ax.set_title("target, no labels" if is_target[row] else "source, labels")
    ax.axis("off")
plt.show()

# %%
# ``sample_domain`` is at least 0 for source rows and negative for target rows, whose
# labels are never read.
X = ImageEncoder().fit_transform(photos)
sample_domain = np.where(is_target, -1, 0)
y = defective.astype(object)
y[is_target] = None

target = X[is_target], defective[is_target]
scores = {}
for name, adapter in {
    "source only": None,
    "normalize": "normalize",
    "normalize, coral": ["normalize", "coral"],
    "auto": "auto",
}.items():
    model = DomainAdaptationClassifier(
        LogisticRegression(C=0.1, max_iter=2000), adapter=adapter
    )
    model.fit(X, y, sample_domain=sample_domain)
    scores[name] = roc_auc_score(target[1], model.predict_proba(target[0])[:, 1])
    print(f"{name:18}{scores[name]:.3f}, accuracy {model.score(*target):.3f}")

# %%
# The two largest components of the features, before and after each domain is normalised
# by itself. Domains that lie apart come to lie on each other; the classes are not seen
# by it.
adapted = DomainNormalizer().fit_transform(X, sample_domain=sample_domain)
figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained")
for ax, features, title in zip(axes, (X, adapted), ("before", "after"), strict=True):
    places = PCA(2, random_state=0).fit_transform(features)
    for domain, color in ((0, "C0"), (-1, "C1")):
        for is_defect, marker in ((False, "o"), (True, "x")):
            rows = (sample_domain == domain) & (defective == is_defect)
            kind = "source" if domain == 0 else "target"
            truth = "defective" if is_defect else "sound"
            ax.scatter(
                *places[rows].T, c=color, marker=marker, s=18, label=f"{kind}, {truth}"
            )
    ax.set(title=title, xlabel="first component", ylabel="second component")
axes[1].legend(fontsize="small")
plt.show()
