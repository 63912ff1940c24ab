"""
Show which parts of an image or text a model uses
=================================================

A classifier predicts that a solar cell is defective, or that a sentence is praise.
``AttributionDisplay`` shows the evidence: the parts of an image, or the words of a
text, that raise the score of the predicted class. The figures show images by two
methods, and two texts.
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
# The figure shows the three new cells that the model is most certain are defective. The
# head of the model is linear, so the gradient of its score can be computed, in one pass
# through the network.
surest = model.decision_function(table["photo"][160:]).argsort()[:3]
rows = 160 + surest  # of the two classes, "defective" is the first
AttributionDisplay.from_estimator(model, table["photo"][rows], truth[rows])
plt.show()

# %%
# Bright parts raise the score of "defective". The line surrounds the values above half
# of the greatest one.
#
# The second method covers one position after the other. It needs no gradient, and takes
# 64 passes per image.
AttributionDisplay.from_estimator(
    model, table["photo"][rows], truth[rows], method="occlusion"
)
plt.show()

# %%
# A result that both methods show is more reliable than a result of one. The second cell
# is sound; both methods show that the model calls it defective because of a corner.
#
# In texts, words are left out one after the other. The sentences are made up, and the
# model learned from six of them only.
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
# Orange words speak for praise and blue ones against it. The second text is called
# praise because of a single word. The numbers behind the colours are the loss of
# probability without each word:
for word, value in zip(display.inputs[1], display.values[1], strict=True):
    print(f"{value:+.2f} {word}")

# %%
# Without "nice" the probability of praise falls the most. The complaint hardly counts.
