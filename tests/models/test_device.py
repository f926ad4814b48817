import pytest
import torch

from captum_ext.models import choose_device


@pytest.fixture
def only_cpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.fixture
def one_gpu(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)


@pytest.mark.parametrize("name", ["auto", None])
def test_auto_is_the_best_there_is(only_cpu, name, request):
    assert choose_device(name) == torch.device("cpu")
    request.getfixturevalue("one_gpu")
    assert choose_device(name) == torch.device("cuda")


@pytest.mark.parametrize("name", ["cuda", "cuda:0", "mps"])
def test_a_device_that_is_not_there_is_refused_with_what_to_do(only_cpu, name):
    with pytest.raises(ValueError, match=f"device '{name}' is not there; take cpu, or auto"):
        choose_device(name)


def test_devices_have_numbers(one_gpu):
    assert choose_device("cuda:0") == torch.device("cuda:0")
    with pytest.raises(ValueError, match=r"device 'cuda:1' is not there; CUDA has 1 here"):
        choose_device("cuda:1")
    with pytest.raises(ValueError, match=r"device must be as 'cuda' or 'cuda:1'; got 'cuda:a'"):
        choose_device("cuda:a")


def test_an_unknown_device_suggests_the_nearest():
    with pytest.raises(ValueError, match=r"unknown device 'cudda'; did you mean 'cuda'"):
        choose_device("cudda")


def test_a_device_of_torch_is_itself():
    device = torch.device("meta")
    assert choose_device(device) is device
