"""
Classify texts by descriptions, without labels
==============================================

A network that places similar texts near each other can find the description that is
nearest to a text. The first figure shows the probabilities of each class for messages
that were made up for this example. The second one shows how many labels per class a
regression on the same features needs for the same accuracy.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedShuffleSplit, cross_val_score
from sklearn.pipeline import make_pipeline

from sktransfer import TextEncoder, ZeroShotClassifier

messages = {
    "weather": [
        "bring an umbrella this afternoon",
        "frost is expected at night",
        "it will be sunny all week",
        "a storm is coming from the sea",
        "the fog clears by noon",
        "temperatures above thirty degrees",
        "snow falls in the mountains",
        "light winds from the north",
    ],
    "sport": [
        "the striker scored twice",
        "she won the final in three sets",
        "the coach was sacked after the defeat",
        "he broke the record over 100 metres",
        "the match ended in a draw",
        "our team was relegated",
        "the goalkeeper saved a penalty",
        "the cyclist attacked on the climb",
    ],
    "money": [
        "interest rates go up again",
        "the company reported a loss",
        "shares fell after the announcement",
        "the bank refuses the loan",
        "prices rose by three per cent",
        "the budget has a deficit",
        "investors sell their bonds",
        "wages do not keep up with inflation",
    ],
    "food": [
        "let the dough rest for an hour",
        "the soup needs more salt",
        "fry the onions until golden",
        "this cheese goes well with pears",
        "she ordered the grilled fish",
        "add garlic and olive oil",
        "the bread is still warm",
        "a restaurant with fresh noodles",
    ],
}
descriptions = {
    "weather": ["the weather forecast", "rain, sun, wind and temperature"],
    "sport": ["a sports report", "a match, a team, a race"],
    "money": ["economic news", "banks, markets and prices"],
    "food": ["cooking and eating", "a recipe or a restaurant"],
}
texts = [text for group in messages.values() for text in group]
topics = np.repeat(list(messages), [len(group) for group in messages.values()])

# %%
# Each class has two descriptions, whose directions are averaged. No message has a
# label.
model = ZeroShotClassifier(descriptions, TextEncoder()).fit()
probabilities = model.predict_proba(texts)
zero_shot = model.score(texts, topics)
print(f"{zero_shot:.0%} of {len(texts)} right, without a label")

figure, ax = plt.subplots(figsize=(5, 6.5), layout="constrained")
image = ax.imshow(probabilities, aspect="auto", cmap="viridis", vmin=0, vmax=1)
ax.set_xticks(range(len(model.classes_)), model.classes_)
ax.set_yticks(range(len(texts)), [text[:34] for text in texts], fontsize=6)
figure.colorbar(image, label="probability, not calibrated")
plt.show()

# %%
# Each message is a row of the figure, and its brightest column is its predicted class.
# The topics are far apart, so the descriptions alone are enough.
#
# For the comparison, a regression is trained on a few labelled messages per class. The
# figure shows its mean over 20 draws.
labelled = make_pipeline(TextEncoder(), LogisticRegression(C=10))
counts = [1, 2, 3, 4, 6]
scores = [
    cross_val_score(
        labelled,
        texts,
        topics,
        cv=StratifiedShuffleSplit(20, train_size=4 * n, test_size=8, random_state=0),
    )
    for n in counts
]
figure, ax = plt.subplots(layout="constrained")
means = np.array([found.mean() for found in scores])
spread = np.array([found.std() for found in scores])
ax.errorbar(counts, means, spread, marker="o", capsize=3, label="labels")
ax.axhline(zero_shot, color="C1", linestyle="--", label="descriptions only")
ax.set_xticks(counts)
ax.set(
    xlabel="labelled messages per class",
    ylabel="accuracy",
    title="Mean and standard deviation over 20 draws",
)
ax.legend(loc="lower right")
plt.show()

# %%
# The regression needs about six labels per class for the same accuracy. On topics that
# are closer to each other the descriptions are less accurate: score them on a few
# labels before you rely on them.
