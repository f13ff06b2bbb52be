"""Base classes of scikit-learn, with types.

scikit-learn has none, so type checkers take its classes for ``Any``, and accept every
keyword of what is derived from them. They see the classes below instead.
"""

from inspect import getattr_static
from typing import TYPE_CHECKING, Any, Literal, Self

from userlogfeat._pages import SITE

if TYPE_CHECKING:
    import numpy as np

    class BaseEstimator:
        """Parameters, and what metadata routing adds while a program runs."""

        n_features_in_: int

        def get_params(self, deep: bool = True) -> dict[str, Any]: ...
        def set_params(self, **params: Any) -> Self: ...
        def __sklearn_tags__(self) -> Any: ...
        def __getattr__(self, name: str) -> Any: ...

    class TransformerMixin:
        """Fit and transform in one call."""

        def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> Any: ...
        def set_output(
            self, *, transform: Literal["default", "pandas", "polars"] | None = None
        ) -> Self: ...

    class ClassNamePrefixFeaturesOutMixin:
        """Names of columns after the class."""

        def get_feature_names_out(
            self, input_features: Any = None
        ) -> np.ndarray[Any, Any]: ...

    class ClassifierMixin:
        """Accuracy as score."""

        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...

    class RegressorMixin:
        """R2 as score."""

        def score(self, X: Any, y: Any, sample_weight: Any = None) -> float: ...

else:
    from sklearn.base import BaseEstimator as _BaseEstimator
    from sklearn.base import (
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        RegressorMixin,
        TransformerMixin,
    )

    class BaseEstimator(_BaseEstimator):
        """scikit-learn's, whose display in notebooks links to our pages.

        Its properties may load a model, or raise an error where there is none: neither
        the display nor the completion of names evaluates them.
        """

        _doc_link_module = "userlogfeat"
        _doc_link_template = f"{SITE}reference/userlogfeat.{{estimator_name}}.html"

        def __dir__(self):
            names = object.__dir__(self)
            return [
                name
                for name in names
                if _is_property(self, name) or hasattr(self, name)
            ]

        def _get_fitted_attr_html(self, doc_link=""):
            learned = _BaseEstimator()
            found = {k: v for k, v in vars(self).items() if k.endswith("_")}
            vars(learned).update(found)
            shown = learned._get_fitted_attr_html(doc_link)
            shown.estimator_class = type(self)
            return shown

    def _is_property(estimator, name):
        return isinstance(getattr_static(type(estimator), name, None), property)


__all__ = [
    "BaseEstimator",
    "ClassNamePrefixFeaturesOutMixin",
    "ClassifierMixin",
    "RegressorMixin",
    "TransformerMixin",
]
