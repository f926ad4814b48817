import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from captum_ext.models import read_checkpoint
from captum_ext.models.checkpoint import load_checkpoint


def network(n_classes=None):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(16, n_classes or 10))


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def error_of(function, *args):
    with pytest.raises(ValueError) as caught:
        function(*args)
    message = str(caught.value)
    assert "\n" not in message
    return message


@pytest.fixture
def state():
    torch.manual_seed(3)
    return network().state_dict()


@pytest.fixture
def saved(tmp_path):
    def save(content, name="model.pt", **settings):
        torch.save(content, tmp_path / name, **settings)
        return tmp_path / name

    return save


@pytest.mark.parametrize("nest", [None, "state_dict", "model_state_dict", "model", "net"])
def test_a_state_dict_is_found_alone_and_where_scripts_put_it(state, saved, nest):
    path = saved(state if nest is None else {"epoch": 3, nest: state, "optimizer": {"lr": 0.1}})
    assert_same(read_checkpoint(path), state)
    assert_same(read_checkpoint(str(path)), state)


def test_the_format_of_old_torch_is_read(state, saved):
    path = saved(state, _use_new_zipfile_serialization=False)
    assert_same(read_checkpoint(path), state)


def test_safetensors_are_read(state, tmp_path):
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(state, tmp_path / "model.safetensors")
    found = read_checkpoint(tmp_path / "model.safetensors")
    assert_same(dict(sorted(found.items())), dict(sorted(state.items())))


def test_without_the_package_safetensors_the_error_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    (tmp_path / "model.safetensors").touch()
    assert "pip install safetensors" in error_of(read_checkpoint, tmp_path / "model.safetensors")


@pytest.mark.parametrize("wrap", [nn.DataParallel, lambda model: nn.ModuleDict({"model": model})])
def test_the_prefix_of_a_wrapper_is_taken_off(saved, wrap):
    torch.manual_seed(3)
    trained = network()
    model, n_classes = load_checkpoint(network, saved(wrap(trained).state_dict()))
    assert n_classes is None
    assert_same(model.state_dict(), trained.state_dict())


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "_orig_mod.module.", "module.model."])
def test_prefixes_are_taken_off_in_any_order(state, saved, prefix):
    path = saved({prefix + name: value for name, value in state.items()})
    assert_same(load_checkpoint(network, path)[0].state_dict(), state)


def test_a_prefix_that_is_the_models_own_stays(saved):
    def wrapped(n_classes):
        return nn.ModuleDict({"model": network(n_classes)})

    path = saved(wrapped(7).state_dict())
    model, n_classes = load_checkpoint(wrapped, path)
    assert (n_classes, model["model"][2].out_features) == (7, 7)


def test_the_number_of_classes_is_the_checkpoints(saved):
    trained = network(7)
    model, n_classes = load_checkpoint(network, saved(trained.state_dict()))
    assert n_classes == 7
    assert_same(model.state_dict(), trained.state_dict())


def test_without_another_number_of_classes_the_model_is_made_once(state, saved):
    asked = []

    def make(n_classes):
        asked.append(n_classes)
        return network(n_classes)

    load_checkpoint(make, saved(state))
    assert asked == [None]


@pytest.mark.parametrize(
    ("change", "messages"),
    [
        (lambda s: s.pop("2.bias"), ["it lacks 2.bias"]),
        (lambda s: s.update(other=torch.ones(1)), ["it has also other"]),
        (
            lambda s: s.update({"0.weight": torch.ones(4, 1, 3, 3)}),
            ["it has 0.weight [4, 1, 3, 3] instead of [4, 3, 3, 3]"],
        ),
        (
            lambda s: (s.pop("0.bias"), s.update({"2.bias": torch.ones(())})),
            ["it lacks 0.bias", "it has 2.bias [] instead of [10]"],
        ),
        (
            lambda s: s.update({f"extra.{i}": torch.ones(1) for i in range(5)}),
            ["it has also extra.0, extra.1, extra.2 and 2 more"],
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(state, saved, change, messages):
    change(state)
    path = saved(state)
    error = error_of(load_checkpoint, network, path)
    assert error == f"weights '{path}' do not fit Sequential: {'; '.join(messages)}"


def test_a_whole_model_is_refused_with_what_to_do(saved):
    path = saved(network())
    error = error_of(read_checkpoint, path)
    assert str(path) in error
    assert "save model.state_dict() instead" in error


class Touch:
    """Creates a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


@pytest.mark.parametrize("write", ["pickle", "torch", "old torch"])
def test_code_in_a_file_is_refused_and_not_run(tmp_path, state, write):
    mark, path = tmp_path / "mark", tmp_path / "model.pt"
    content = {"state_dict": state, "extra": Touch(mark)}
    if write == "pickle":
        path.write_bytes(pickle.dumps(Touch(mark)))
        pickle.loads(path.read_bytes())
    else:
        torch.save(content, path, _use_new_zipfile_serialization=write == "torch")
        torch.load(path, weights_only=False)
    assert mark.exists()  # such a file does run code, where it may
    mark.unlink()
    error = error_of(read_checkpoint, path)
    assert str(path) in error
    assert "would run code" in error
    assert not mark.exists()


def _text(path):
    path.write_text("these are no weights\n" * 20)


def _pickled_rubbish(path):
    path.write_bytes(b"\x80\x04garbage" + bytes(range(256)))


def _truncated(path):
    torch.save(network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:1000])


def _truncated_old(path):
    torch.save(network().state_dict(), path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes()[:1000])


def _numpy(path):
    with path.open("wb") as file:
        np.save(file, np.ones(3))


def _scripted(path):
    torch.jit.save(torch.jit.trace(network(), torch.ones(1, 3, 4, 4)), path)


def _list(path):
    torch.save([torch.ones(2)], path)


def _numbers(path):
    torch.save({"epoch": 3, "state_dict": {}}, path)


@pytest.mark.filterwarnings("ignore:.torch.jit")
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize(
    "write",
    [
        _text,
        Path.touch,
        Path.mkdir,
        lambda path: None,
        _pickled_rubbish,
        _truncated,
        _truncated_old,
        _numpy,
        _scripted,
        _list,
        _numbers,
    ],
)
def test_what_is_no_checkpoint_is_one_line_with_its_path(tmp_path, write, suffix):
    if suffix == ".safetensors":
        pytest.importorskip("safetensors")
    path = tmp_path / f"model{suffix}"
    write(path)
    assert error_of(read_checkpoint, path).startswith(f"weights '{path}' ")


def test_files_cut_or_changed_anywhere_are_one_line(tmp_path, state):
    path = tmp_path / "model.pt"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    for place in range(0, 700, 7):
        path.write_bytes(content[:place])
        error_of(read_checkpoint, path)
        path.write_bytes(content[:place] + b"\xff\x2e" + content[place + 2 :])
        try:
            read_checkpoint(path)
        except ValueError as error:
            assert str(path) in str(error)


def test_a_missing_file_and_a_folder_are_told_apart(tmp_path):
    assert "there is none" in error_of(read_checkpoint, tmp_path / "model.pt")
    assert "is a folder" in error_of(read_checkpoint, tmp_path)
