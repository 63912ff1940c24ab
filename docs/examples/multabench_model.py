"""Run sktransfer as a model of MulTaBench (``pip install multabench``).

split = load_split("MUL_TEXT_WINE_REVIEW", fold=0, size=Size.TEN_K)
model = SKTransfer(split.task_type, device="cpu")
model.fit(split.x_train, split.y_train)
print(score(split.task_type, split.y_test, model.predict(split.x_test)))
"""

import os

import numpy as np
from multabench.baselines.abstract_model import TabularModel
from multabench.baselines.preprocessing import target
from sklearn import ensemble
from sklearn.pipeline import make_pipeline

from sktransfer import TableEncoder
from sktransfer.tables import Choose


class SKTransfer(TabularModel):
    """Boosted trees behind a table encoder that chooses an encoder for each column."""

    MODEL_NAME, SHORT_NAME = "sktransfer", "sktransfer"
    USE_VAL_SPLIT = USE_MEDIAN_FILLING = USE_CATEGORICAL_ENCODING = False
    USE_TEXT_EMBEDDINGS = NEEDS_GPU = False  # it computes its own, on any device
    USE_TARGET_ENCODER = True
    CANDIDATES = "auto"  # or a list such as ["drop", "ngrams", "frozen", "probe"]

    def initialize_model(self):
        """Make the pipeline."""
        task = "classes" if self.is_cls else "numbers"
        choose = Choose(self.CANDIDATES, estimator="boosting", task=task)
        model = ensemble.HistGradientBoostingRegressor(random_state=0)
        if self.is_cls:
            model = ensemble.HistGradientBoostingClassifier(random_state=0)
        return make_pipeline(TableEncoder(choose=choose), model)

    def fit(self, x, y):
        """Choose the encoders, and fit."""
        self.target_transformer = target.fit_preprocess_y(y, self.is_cls)
        y = np.asarray(target.transform_preprocess_y(y, self.target_transformer))
        self.d_output = len(np.unique(y)) if self.is_cls else 1
        self.model_.fit(self._with_paths(x), y)

    def predict(self, x):
        """Return probabilities, or numbers."""
        return self.predict_from_processed(self._with_paths(x))

    def _with_paths(self, x):
        if not (self.image_column and self.image_folder):
            return x
        names = x[self.image_column].map(
            lambda name: os.path.join(self.image_folder, name), na_action="ignore"
        )
        return x.assign(**{self.image_column: names})
