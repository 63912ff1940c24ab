"""
Which parts of an image, which words
====================================

A classifier says that a solar cell is defective, or that a sentence is praise.
``AttributionDisplay`` shows what it says that by: parts of the image, and words of the
text.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from sktransfer import ImageEncoder, TextEncoder
from sktransfer.datasets import load_elpv
from sktransfer.inspection import AttributionDisplay

table = load_elpv().query("type == 'mono' and probability in (0, 1)")
table = table.sample(200, random_state=0).reset_index(drop=True)
truth = np.where(table["probability"] == 1, "defective", "sound")
model = make_pipeline(
    ImageEncoder(), StandardScaler(), LogisticRegression(C=0.01, max_iter=1000)
).fit(table["photo"][:160], truth[:160])
print(f"{model.score(table['photo'][160:], truth[160:]):.2f} of 40 new cells right")

# %%
# The three new cells that are most surely defective, by the model. Its head is linear,
# so the gradient of its score goes through the network, which takes one pass.
surest = model.decision_function(table["photo"][160:]).argsort()[:3]
rows = 160 + surest  # of the two classes, "defective" is the first
AttributionDisplay.from_estimator(model, table["photo"][rows], truth[rows])
plt.show()

# %%
# Covering one place after the other needs no gradient, and takes 64 passes per image.
# What both methods show is more than an accident of one: the second cell, which is
# sound, is taken for defective because of a corner.
AttributionDisplay.from_estimator(
    model, table["photo"][rows], truth[rows], method="occlusion"
)
plt.show()

# %%
# Words of a text are left out one after the other. The sentences are made up, and six
# of them teach little: the second text is taken for praise, by a single word.
praise = ["works like a charm", "well made and quiet", "arrived early, very good"]
blame = ["broke after a week", "loud and badly made", "arrived late, of no use"]
texts = make_pipeline(TextEncoder(), LogisticRegression(C=10))
texts.fit(praise + blame, ["praise"] * 3 + ["blame"] * 3)
display = AttributionDisplay.from_estimator(
    texts,
    [
        "I was afraid that it would be loud, but it is wonderfully quiet",
        "nice colour, and after two days it does not charge any more",
    ],
)
plt.show()

# %%
# The numbers behind the colours: what the probability loses without each word.
for word, value in zip(display.inputs[1], display.values[1], strict=True):
    print(f"{value:+.2f} {word}")
