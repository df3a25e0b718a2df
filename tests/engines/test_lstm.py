import numpy as np
import pytest

from mooer.engines.lstm import Lstm

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("both_ways", [False, True])
@pytest.mark.parametrize("num_layers", [1, 3])
def test_it_computes_what_torch_does(num_layers, both_ways):
    torch.manual_seed(num_layers)
    reference = torch.nn.LSTM(5, 7, num_layers, bidirectional=both_ways)
    arrays = {f"net.{name}": value.numpy() for name, value in reference.state_dict().items()}
    x = torch.randn(20, 3, 5) * 3
    with torch.no_grad():
        expected, _ = reference(x)
    lstm = Lstm(arrays, "net", num_layers)
    assert lstm.width == expected.shape[2]
    np.testing.assert_allclose(lstm(x.numpy()), expected.numpy(), atol=2e-6)


def test_a_batch_is_its_rows():
    torch.manual_seed(0)
    arrays = {f"l.{k}": v.numpy() for k, v in torch.nn.LSTM(4, 6).state_dict().items()}
    lstm = Lstm(arrays, "l", 1)
    x = np.random.default_rng(0).normal(size=(9, 5, 4)).astype(np.float32)
    for row in range(5):
        np.testing.assert_allclose(lstm(x)[:, row], lstm(x[:, row : row + 1])[:, 0], atol=1e-6)


def test_weights_that_do_not_fit():
    arrays = {f"l.{k}": v.numpy() for k, v in torch.nn.LSTM(4, 6).state_dict().items()}
    with pytest.raises(KeyError):
        Lstm(arrays, "l", 2)
    with pytest.raises(ValueError, match="layer l0"):
        Lstm({**arrays, "l.weight_hh_l0": np.zeros((24, 5), np.float32)}, "l", 1)
