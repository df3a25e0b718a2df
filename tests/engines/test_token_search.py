import numpy as np
import pytest

from mooer.engines.token_search import _best


@pytest.mark.parametrize("shape", [(1, 40_000), (4, 7_001), (3, 300), (2, 5)])
def test_the_best_of_all_rows_are_found(shape):
    scores = np.random.default_rng(0).permutation(np.prod(shape)).astype(np.float32).reshape(shape)
    scores[0, :2] = -np.inf  # ruled out
    found = _best(scores, 12)
    order = np.argsort(-scores, axis=None)[:12]
    wanted = [(*divmod(int(place), shape[1]), scores.ravel()[place]) for place in order]
    assert found == [one for one in wanted if np.isfinite(one[2])]
