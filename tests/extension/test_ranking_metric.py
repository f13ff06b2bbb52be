"""Another metric of recommendations, in every table, is one function."""

import numpy as np
import pytest

from userlogfeat.evaluation.recommendation import evaluate_ranking
from userlogfeat.evaluation.recommendation_metrics import (
    RANKING_METRICS,
    register_ranking_metric,
)


@pytest.fixture
def metrics():
    @register_ranking_metric("spread", "order")
    def spread(ordered, relevant):
        return ordered[-1] - relevant.max()

    @register_ranking_metric("last_hit", "list")
    def last_hit(hits):
        return hits[:, -1].astype(float)

    @register_ranking_metric("oldest", "catalogue")
    def oldest(items, item_counts):
        return item_counts[items].max()

    yield
    for name in ("spread", "last_hit", "oldest"):
        del RANKING_METRICS[name]


@pytest.mark.usefixtures("metrics")
def test_metrics_from_outside():
    relevance = np.array([[0, 1, 0], [1, 0, 0], [0, 0, 0]])
    scores = np.array([[0.9, 0.7, 0.1], [0.2, 0.3, 0.9], [1.0, 2.0, 3.0]])
    result = evaluate_ranking(relevance, scores, k=[1, 2], item_counts=[5, 3, 9])
    np.testing.assert_allclose(result.per_user["spread"], [0.2, 0.7, np.nan])
    np.testing.assert_equal(result.per_user["last_hit@2"], [1, 0, np.nan])
    assert result.overall["oldest@1"] == 9
    assert {"spread", "last_hit@1", "last_hit@2", "oldest@2"} <= set(result.means)
    assert "last_hit@2 0.500" in repr(result)
    without = evaluate_ranking(relevance, scores, k=1)
    assert "oldest@1" not in without.overall  # nothing is known of counts


def test_arguments_that_no_table_has():
    with pytest.raises(
        ValueError, match="argument 'age', expected some of ordered, re"
    ):
        register_ranking_metric("age", "order")(lambda ordered, age: 0)
