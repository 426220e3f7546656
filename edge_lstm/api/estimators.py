"""scikit-learn's conventions around `fit`: a classifier and a regressor of sequences.

A row of a two-dimensional X is one recording: its columns are the steps of one channel, as in aeon
and sktime. A table whose columns are channels has no time, and a recurrent net nothing to remember.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.utils import assert_all_finite, check_random_state, column_or_1d
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_array, check_is_fitted, check_X_y, validate_data

from ..results.run import Run
from .fit import fit

GAPS = "missing"  # the key of [data] with which a model takes NaN


class _Estimator(BaseEstimator):  # type: ignore[misc]
    """The parameters of both, and how they read X."""

    run_: Run

    def __init__(  # noqa: PLR0913 - scikit-learn finds the parameters here
        self,
        hidden_size: int = 32,
        num_layers: int = 1,
        cell: str = "lstm",
        *,
        epochs: int = 30,
        batch_size: int = 32,
        learning_rate: float = 3e-3,
        held_out: float = 0.1,
        settings: Mapping[str, Any] | None = None,
        random_state: Any = None,
        verbose: bool = False,
    ):
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.cell = cell
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.held_out = held_out
        self.settings = settings
        self.random_state = random_state
        self.verbose = verbose

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = GAPS in (self.settings or {})
        tags.non_deterministic = False
        return tags

    def _fitted(self, recordings: Any, y: NDArray[Any], strata: NDArray[np.int64]) -> None:
        """strata: (N,) whole numbers. Each keeps a recording for training."""
        random = check_random_state(self.random_state)
        parts = held_out(strata, self.held_out, random)
        own = {
            "hidden_size": self.hidden_size,
            "num_layers": self.num_layers,
            "type": self.cell,
            "epochs": self.epochs,
            "batch_size": self.batch_size,
            "learning_rate": self.learning_rate,
            "train.seed": int(random.randint(2**31 - 1)),
            "by": "group",
            "stratify": False,
            **{name: tuple(map(str, chosen)) for name, chosen in parts.items()},
        }
        keys = {**own, **(self.settings or {})}
        self.run_ = fit(recordings, y, quiet=not self.verbose, figures=False, **keys)

    def _read(self, X: Any, *, reset: bool, y: Any = None) -> tuple[Any, Any]:
        """X as recordings (T, C), and y checked. Raises ValueError as scikit-learn does."""
        options: dict[str, Any] = {"reset": reset, "dtype": [np.float64, np.float32]}
        options |= {"allow_nd": True, "ensure_all_finite": True}
        if GAPS in (self.settings or {}):
            options["ensure_all_finite"] = "allow-nan"
        if is_ragged(X):
            found = [np.asarray(x) for x in X]
            if y is None:
                return found, None
            if hasattr(self, "n_features_in_"):  # of a `fit` before
                del self.n_features_in_
            y = column_or_1d(y)
            assert_all_finite(y, input_name="y")
            if len(y) != len(found):
                raise ValueError(f"y has {len(y)} values, and X has {len(found)} recordings")
            return found, y
        deep = (np.ndim(X) if isinstance(X, list | tuple) else getattr(X, "ndim", 2)) == 3
        if deep:  # steps are no features: their number may be another one each time
            del options["reset"]
            for name in ("n_features_in_", "feature_names_in_"):
                if reset and hasattr(self, name):
                    delattr(self, name)
            if y is None:
                return check_array(X, **options), None
            X, y = check_X_y(X, y, **options, **self._of_y)
            return X, y
        if y is None:
            X = validate_data(self, X, **options)
        else:
            X, y = validate_data(self, X, y, **options, **self._of_y)
        if X.ndim > 3:
            raise ValueError(f"X has {X.ndim} dimensions; expected (N, T) or (N, T, C)")
        return (X[:, :, None] if X.ndim == 2 else X), y

    _of_y: Mapping[str, Any] = {}


def is_ragged(X: Any) -> bool:
    """Whether X is recordings (T, C) of several lengths."""
    objects = isinstance(X, np.ndarray) and X.dtype.kind == "O"
    if not isinstance(X, list | tuple) and not objects:
        return False
    shapes = {np.shape(x) for x in X}
    return len(shapes) > 1 and {len(shape) for shape in shapes} == {2}


def held_out(
    strata: NDArray[np.int64], share: float, random: np.random.RandomState
) -> dict[str, list[int]]:
    """The recordings for validation and for the test, a share each and at least one.

    strata: (N,) of each recording. A part takes from the stratum that has the most left of its
    own, and no stratum gives its last one. Raises ValueError if there are too few.
    """
    if not 0 < share < 0.5:
        raise ValueError(f"held_out={share!r}; expected a share above 0 and below 0.5")
    rows = {s: np.flatnonzero(strata == s) for s in np.unique(strata)}
    queues = {s: random.permutation(own).tolist() for s, own in rows.items()}
    sizes = {s: len(queue) for s, queue in queues.items()}
    parts: dict[str, list[int]] = {"val": [], "test": []}
    for part in parts.values():
        for _ in range(max(1, round(share * len(strata)))):
            able = [s for s, queue in queues.items() if len(queue) > 1]
            if not able:
                raise ValueError(
                    f"n_samples={len(strata)} is too few for {len(queues)} classes: training keeps "
                    "one of each, and validation and test need one more each"
                )
            part.append(queues[max(able, key=lambda s: len(queues[s]) / sizes[s])].pop())
    return parts


class LSTMClassifier(ClassifierMixin, _Estimator):  # type: ignore[misc]
    """A class for each recording, as an estimator of scikit-learn.

    X is (N, T, C), or a list of (T, C), or (N, T): a row is then one recording of T steps of one
    channel. y is (N,) of any type that has classes. After `fit`, `classes_` are the classes, and
    `run_` is the `Run`, which can be exported. Its folder is temporary.

    hidden_size, num_layers, cell: the network, `cell` as "lstm", "gru" or "rnn".
    epochs, batch_size, learning_rate: the training.
    held_out: share of the recordings that chooses the best epoch, and the same share again that
    measures `run_.metrics["test"]`, at least one each. Neither is trained on. Each class keeps one
    for training.
    settings: further keywords of `edge_lstm.fit`, such as {"patience": 5}.
    random_state: of the held-out recordings and of the weights.
    verbose: whether progress is printed on standard error.

    >>> import numpy as np, edge_lstm as el
    >>> from sklearn.model_selection import cross_val_score
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 10, 2))  # (N, T, C)
    >>> y = np.where(X[:, -1, 0] > 0, "up", "down")  # (N,)
    >>> net = el.LSTMClassifier(hidden_size=8, epochs=2, random_state=0)
    >>> net.fit(X, y)
    LSTMClassifier(epochs=2, hidden_size=8, random_state=0)
    >>> net.predict(X).shape, net.predict_proba(X).shape
    ((40,), (40, 2))
    >>> cross_val_score(net, X, y, cv=2).shape
    (2,)
    """

    classes_: NDArray[Any]

    def fit(self, X: Any, y: Any) -> LSTMClassifier:
        """Train on X (N, T, C), (N, T) or a list of (T, C), and y (N,). Returns the estimator.

        Raises ValueError for data that can't be used, as scikit-learn does.
        """
        X, y = self._read(X, reset=True, y=y)
        check_classification_targets(y)
        self.classes_, codes = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"y has one class, {str(self.classes_[0])!r}; expected 2 or more")
        self._fitted(X, codes, codes)
        return self

    def predict(self, X: Any) -> NDArray[Any]:
        """X: as of `fit` -> (N,) one of `classes_` each, at the last step."""
        check_is_fitted(self)
        codes = np.asarray(self.run_.predict(self._read(X, reset=False)[0])).astype(int)
        named: NDArray[Any] = self.classes_[codes]
        return named

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """X: as of `fit` -> (N, classes) float64, in the order of `classes_`."""
        check_is_fitted(self)
        return np.asarray(self.run_.predict_proba(self._read(X, reset=False)[0]))


class LSTMRegressor(RegressorMixin, _Estimator):  # type: ignore[misc]
    """A number for each recording, as an estimator of scikit-learn.

    X is (N, T, C), or a list of (T, C), or (N, T): a row is then one recording of T steps of one
    channel. y is (N,) numbers, learned at the last step of each recording. After `fit`, `run_` is
    the `Run`, which can be exported. Its folder is temporary.

    hidden_size, num_layers, cell: the network, `cell` as "lstm", "gru" or "rnn".
    epochs, batch_size, learning_rate: the training.
    held_out: share of the recordings that chooses the best epoch, and the same share again that
    measures `run_.metrics["test"]`, at least one each. Neither is trained on. Each class keeps one
    for training.
    settings: further keywords of `edge_lstm.fit`, such as {"patience": 5}.
    random_state: of the held-out recordings and of the weights.
    verbose: whether progress is printed on standard error.

    >>> import numpy as np, edge_lstm as el
    >>> rng = np.random.default_rng(0)
    >>> X = rng.normal(size=(40, 10, 2))  # (N, T, C)
    >>> net = el.LSTMRegressor(hidden_size=8, epochs=2, random_state=0).fit(X, X[:, -1, 0])
    >>> net.predict(X).shape
    (40,)
    """

    _of_y: Mapping[str, Any] = {"y_numeric": True}

    def fit(self, X: Any, y: Any) -> LSTMRegressor:
        """Train on X (N, T, C), (N, T) or a list of (T, C), and y (N,). Returns the estimator.

        Raises ValueError for data that can't be used, as scikit-learn does.
        """
        if y is None:
            raise ValueError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        X, y = self._read(X, reset=True, y=y)
        y = np.asarray(y, np.float64)
        self._fitted(X, y, np.zeros(len(y), np.int64))
        return self

    def predict(self, X: Any) -> NDArray[np.float64]:
        """X: as of `fit` -> (N,) float64, the answer at the last step of each."""
        check_is_fitted(self)
        answers = self.run_.predict(self._read(X, reset=False)[0])
        return np.array([answer[-1, 0] for answer in answers], np.float64)
