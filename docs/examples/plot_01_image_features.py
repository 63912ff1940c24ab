"""
Classify images with a frozen network
=====================================

A pretrained network turns each image of a solar cell into numbers. A logistic
regression learns from 300 of these rows to find defective cells. The network itself is
not trained. The first figure compares this model with the same regression on pixels,
and the second one shows the model's most confident answers and its worst mistakes.
"""

# %%
# The table has a column of paths. An expert graded each cell. Here a cell counts as
# defective if its graded probability of a defect is above 0.5.
import matplotlib.pyplot as plt
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import RocCurveDisplay
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline

from sktransfer import ImageEncoder
from sktransfer.datasets import load_elpv

table = load_elpv().sample(300, random_state=0).reset_index(drop=True)
defective = (table["probability"] > 0.5).to_numpy()
print(f"{defective.sum()} of {len(table)} cells are defective.")

# %%
# An encoder is a transformer, so it is a step of a pipeline, and cross-validation works
# as with every pipeline. Each image runs through the network once.
model = make_pipeline(ImageEncoder(), LogisticRegression(C=0.1, max_iter=1000))
folds = StratifiedKFold(5, shuffle=True, random_state=0)
defect = cross_val_predict(
    model, table["photo"], defective, cv=folds, method="predict_proba"
)[:, 1]

# %%
# The baseline is the same regression on the pixels, reduced to 32 x 32. The figure
# compares the predictions for rows that took no part in the fit.
pixels = [
    list(Image.open(path).convert("L").resize((32, 32)).tobytes())
    for path in table["photo"]
]
pixel_model = make_pipeline(LogisticRegression(C=1e-6, max_iter=1000))
by_pixels = cross_val_predict(
    pixel_model, pixels, defective, cv=folds, method="predict_proba"
)[:, 1]

figure, ax = plt.subplots(layout="constrained")
for name, scores in (("pretrained network", defect), ("pixels", by_pixels)):
    RocCurveDisplay.from_predictions(defective, scores, name=name, ax=ax)
ax.plot([0, 1], [0, 1], color="grey", linestyle=":")
ax.set(
    title=f"{len(table)} images, out of fold",
    xlabel="share of sound cells reported",
    ylabel="share of defective cells found",
)
plt.show()

# %%
# The curve of the pretrained network is above that of the pixels: for the same share of
# false alarms it finds more of the defective cells.
#
# The next figure shows the four cells with the highest predicted probability of a
# defect, and then the worst mistakes: two sound cells that the model calls defective,
# and two defective cells that it calls sound.
by_defect = defect.argsort()
sound_first = [row for row in by_defect[::-1] if not defective[row]]
defective_last = [row for row in by_defect if defective[row]]
shown = [*by_defect[-4:], *sound_first[:2], *defective_last[:2]]
figure, axes = plt.subplots(2, 4, figsize=(8, 4.8), layout="constrained")
for ax, row in zip(axes.flat, shown, strict=True):
    ax.imshow(Image.open(table["photo"][row]), cmap="gray")
    truth = "defective" if defective[row] else "sound"
    ax.set_title(f"{defect[row]:.2f}, {truth}", fontsize="medium")
    ax.axis("off")
figure.suptitle("Probability of a defect, and the expert's verdict")
plt.show()

# %%
# Cracks and dark areas get a high probability. The defective cells that the model
# misses show no large dark area.
