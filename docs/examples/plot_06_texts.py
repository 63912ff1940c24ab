"""
Texts that say the same in other words
======================================

Counting words fails where the words of the test are not those of the training. A
network that was trained on a billion sentences knows that a debit card and plastic are
related. The sentences here are made up for this example, twice: once to train on, once
to test on, with few words in common.
"""

# %%
import matplotlib.pyplot as plt
import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import ConfusionMatrixDisplay
from sklearn.pipeline import make_pipeline

from sktransfer import TextEncoder

train = {
    "delivery": [
        "my parcel has not arrived",
        "when will the package come",
        "the delivery is late",
        "the courier left it at the wrong address",
        "can I track my order",
    ],
    "payment": [
        "my card was declined",
        "I was charged twice",
        "can I pay by bank transfer",
        "the invoice shows a wrong amount",
        "I need my money back",
    ],
    "account": [
        "I forgot my password",
        "how do I change my email address",
        "please delete my profile",
        "I cannot log in",
        "my username is taken",
    ],
    "fault": [
        "the screen is broken",
        "it does not switch on",
        "the battery is empty after an hour",
        "one part is missing",
        "it makes a strange noise",
    ],
}
test = {
    "delivery": [
        "still waiting for my shipment",
        "nobody rang the doorbell, where are my goods",
        "has it been dispatched yet",
        "the postman never turned up",
        "how long does shipping take",
    ],
    "payment": [
        "the transaction failed at checkout",
        "there are two debits on my statement",
        "do you accept PayPal",
        "the bill is too high",
        "I would like a refund",
    ],
    "account": [
        "reset my login credentials",
        "I want to unsubscribe and close everything",
        "sign-in keeps failing",
        "update my contact details",
        "somebody else is using my user name",
    ],
    "fault": [
        "the display has a crack",
        "it is dead, no light, nothing",
        "it stops running because the charge does not last",
        "a screw was not in the box",
        "there is a rattling sound inside",
    ],
}


def rows(texts):
    """Texts and their topics."""
    pairs = [(text, topic) for topic, group in texts.items() for text in group]
    return [text for text, _ in pairs], [topic for _, topic in pairs]


texts, topics = rows(train)
new_texts, new_topics = rows(test)

# %%
# The same regression on both.
models = {
    "tf-idf": make_pipeline(
        TfidfVectorizer(sublinear_tf=True), LogisticRegression(C=10)
    ),
    "TextEncoder": make_pipeline(TextEncoder(), LogisticRegression(C=10)),
}
figure, axes = plt.subplots(1, 2, figsize=(9, 4), layout="constrained")
for ax, (name, model) in zip(axes, models.items(), strict=True):
    predicted = model.fit(texts, topics).predict(new_texts)
    right = np.mean(predicted == np.array(new_topics))
    ConfusionMatrixDisplay.from_predictions(
        new_topics, predicted, ax=ax, colorbar=False, cmap="Blues"
    )
    ax.set_title(f"{name}: {right:.0%} of {len(new_texts)} right")
plt.show()

# %%
# What the network gets wrong:
predicted = models["TextEncoder"].predict(new_texts)
for text, topic, said in zip(new_texts, new_topics, predicted, strict=True):
    if topic != said:
        print(f"{text!r} is {topic}, not {said}")
