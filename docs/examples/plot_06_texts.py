"""
Classify texts by meaning, not by words
=======================================

A model that counts words fails if the words of the test texts are not those of the
training texts. A network that was trained on a billion sentences knows that a debit
card and plastic are related. The figure compares both models on test texts with few
words of the training texts in them. All sentences were made up for this example.
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
# Both models are the same regression, on word counts (tf-idf) and on the features of a
# network.
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
# The columns are predictions and the rows are true topics, so the diagonal is right.
# The word counts confuse all topics, and the network gets almost every text right. It
# is wrong about this text:
predicted = models["TextEncoder"].predict(new_texts)
for text, topic, said in zip(new_texts, new_topics, predicted, strict=True):
    if topic != said:
        print(f"{text!r} is {topic}, not {said}")
