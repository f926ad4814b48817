from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch import nn

from captum_ext.layers import Tap, gradients_of


def test_what_comes_out_of_a_layer_survives_the_next_layers_work_in_place():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True))
    x = -torch.ones(1, 2)
    with Tap(model[0]) as tap:
        model(x)
    torch.testing.assert_close(tap.values, model[0](x))
    assert not model[0]._forward_hooks


def test_what_goes_into_a_layer_survives_its_own_work_in_place():
    model = nn.Sequential(nn.Identity(), nn.ReLU(inplace=True))
    with Tap(model[1], of_input=True) as tap:
        model(-torch.ones(1, 2))
    assert tap.values.tolist() == [[-1.0, -1.0]]


def test_the_output_has_a_gradient_with_respect_to_what_was_tapped():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(inplace=True))
    with Tap(model[0]) as tap:
        output = model(torch.ones(1, 2))
    (gradient,) = gradients_of(output.sum(), (tap.values,))
    torch.testing.assert_close(gradient, (model[0](torch.ones(1, 2)) > 0).float())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_cotangent_gives_what_torch_gives_for_it(dtype):
    x = torch.rand(2, 3, dtype=dtype).requires_grad_()
    cotangent = 1e4 * torch.rand(2, 3, dtype=dtype)  # in half precision the sum is infinite
    (expected,) = torch.autograd.grad(x.exp(), x, cotangent)
    torch.testing.assert_close(gradients_of(x.exp(), (x,), cotangent)[0], expected)


def test_the_first_tensor_of_a_tuple_is_taken():
    model = nn.LSTM(2, 3, batch_first=True)
    with Tap(model) as tap:
        output, _ = model(torch.ones(1, 4, 2))
    torch.testing.assert_close(tap.values, output)


def test_what_runs_in_another_thread_is_not_caught():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU())
    for tap in (Tap(model[0]), Tap(model[1], of_input=True)):
        with tap:
            output = model(torch.ones(1, 2))
            with ThreadPoolExecutor(1) as other:
                other.submit(model, torch.zeros(1, 2)).result()
        torch.testing.assert_close(tap.values.relu(), output)


def test_a_layer_that_never_runs_is_named():
    with Tap(nn.Linear(7, 5)) as tap:
        pass
    with pytest.raises(ValueError, match=r"never reaches Linear.in_features=7"):
        _ = tap.values


def test_a_layer_that_passes_no_tensor_is_named():
    class Pair(nn.Module):
        def forward(self, x):
            return {"x": x}

    layer = Pair()
    with Tap(layer) as tap:
        layer(torch.ones(1))
    with pytest.raises(TypeError, match=r"layer must return a tensor; Pair\(\) returns dict"):
        _ = tap.values
