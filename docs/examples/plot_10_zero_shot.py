"""
Classes by description, without a label
=======================================

A network that puts like texts near each other can say which description a text is
nearest to. The messages are made up for this example. The second half asks how many
labels per class a regression on the same features needs to catch up.
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
# With labels: the mean over 20 draws of so many messages per class. These topics are
# far apart, and the descriptions leave nothing to gain; where they are not, score the
# descriptions on a few labels before trusting them.
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
