"""Of several sets of weights the meant one is taken, or asked about."""

import logging

import pytest
import torch
from torch import nn

from captum_ext.models.checkpoint import load_checkpoint, read_checkpoint


def network(n_classes=None):
    layers = (nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, n_classes or 10))
    return nn.Sequential(*layers)


def named(prefix, state):
    return {prefix + name: value for name, value in state.items()}


@pytest.fixture
def plain():
    torch.manual_seed(0)
    return network().state_dict()


@pytest.fixture
def average():
    torch.manual_seed(1)
    return network().state_dict()


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Loads a checkpoint of a content; gives the model's state."""
    monkeypatch.chdir(tmp_path)

    def of(content, key=""):
        torch.save(content, "model.pt")
        return load_checkpoint(network, f"model.pt{key}")[0].state_dict()

    return of


def assert_is(found, expected):
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], value) for name, value in expected.items())


@pytest.mark.parametrize("nest", ["state_dict", "model"])
@pytest.mark.parametrize("other", ["state_dict_ema", "model_ema", "ema", "swa-model", "best"])
def test_averages_beside_plain_weights_are_asked_about(load, plain, average, nest, other):
    content = {nest: plain, other: average, "epoch": 3}
    with pytest.raises(ValueError) as caught:
        load(content)
    assert str(caught.value) == (
        f"weights 'model.pt' hold several sets: {nest!r}, {other!r}; choose one, as "
        f"'model.pt#{other}'"
    )
    assert_is(load(content, f"#{other}"), average)
    assert_is(load(content, f"#{nest}"), plain)


def test_averages_may_lie_deeper(load, plain, average):
    content = {"model": plain, "ema": {"module": named("module.", average), "decay": 0.9}}
    with pytest.raises(ValueError, match=r"'model', 'ema\.module'; choose one"):
        load(content)
    for key in ("#ema", "#ema.module"):
        assert_is(load(content, key), average)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("group", ["model_ema", "ema", "teacher"])
def test_averages_in_one_state_dict_are_asked_about(load, plain, average, nested, group):
    flat = named("net.", plain) | named(f"{group}.", average)
    content = {"state_dict": flat} if nested else flat
    with pytest.raises(ValueError, match=rf"several sets: 'net', '{group}'; choose one, as 'model"):
        load(content)
    assert_is(load(content, f"#{group}"), average)
    assert_is(load(content, "#net"), plain)


def test_what_is_no_set_of_weights_is_not_asked_about(load, plain):
    model = network()
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.rand(2, 3, 4, 4)).sum().backward()
    optimizer.step()
    rest = {"optimizer": optimizer.state_dict(), "ema": None, "ema_decay": 0.9, "use_ema": True}
    rest["loss"] = {"weight": torch.ones(10)}
    assert_is(load({"state_dict": plain} | rest), plain)


def test_the_only_set_is_taken_whatever_its_name(load, plain, caplog):
    caplog.set_level(logging.INFO)
    for name in ("state_dict_ema", "weights"):
        assert_is(load({name: plain, "epoch": 2}), plain)
        assert f"the set {name} is taken" in caplog.text


@pytest.mark.parametrize("key", ["#emma", "#ema.module", "#state_dict.0.w"])
def test_a_key_that_is_not_there_is_told_with_those_that_are(load, plain, average, key):
    with pytest.raises(ValueError, match=r"hold no set '.*'; they hold 'state_dict', 'ema'"):
        load({"state_dict": plain, "ema": average}, key)


def test_a_file_with_the_sign_in_its_name_goes_by_its_name(tmp_path, plain):
    path = tmp_path / "model#2.pt"
    torch.save({"state_dict": plain}, path)
    assert_is(read_checkpoint(path), plain)
    assert_is(read_checkpoint(f"{path}#state_dict"), plain)


PREFIXES = ("net.", "module.", "backbone.", "model.", "_orig_mod.", "_orig_mod.module.", "net.net.")


@pytest.mark.parametrize("prefix", PREFIXES)
def test_names_of_wrappers_are_taken_off_with_a_note(load, plain, prefix, caplog):
    caplog.set_level(logging.INFO)
    assert_is(load(named(prefix, plain)), plain)
    assert f"{prefix}0.weight is taken as 0.weight, and 8 more likewise" in caplog.text


def test_wrappers_may_stand_inside_a_name_and_around_some_only(load, plain):
    inside = {name.replace(".", "._orig_mod.", 1): value for name, value in plain.items()}
    assert_is(load(inside), plain)
    some = {name if "0." in name else f"module.{name}": value for name, value in plain.items()}
    assert_is(load(some), plain)
    with pytest.raises(ValueError, match=r"it has also module\.0\.weight"):
        load(plain | named("module.", plain))


def test_counters_may_be_missing_or_too_many(load, plain):
    tracked = "1.num_batches_tracked"
    for prefix in ("", "module."):
        without = {name: value for name, value in plain.items() if name != tracked}
        assert_is(load(named(prefix, without)), plain)
    assert_is(load(plain | {"3.num_batches_tracked": torch.tensor(7)}), plain)
    averaged = torch.optim.swa_utils.AveragedModel(network())
    assert_is(load(averaged.state_dict()), averaged.module.state_dict())


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.to("meta"), "on the device meta, without numbers: 3.weight"),
        (lambda v: v.to_sparse(), "sparse: 3.weight"),
        (lambda v: v.to_sparse_csr(), "sparse: 3.weight"),
        (lambda v: torch.quantize_per_tensor(v, 0.1, 0, torch.qint8), "quantized: 3.weight"),
        (lambda v: (100 * v).to(torch.int8), "it has 3.weight in int8 instead of float32"),
        (lambda v: v > 0, "it has 3.weight in bool instead of float32"),
        (lambda v: v.to(torch.complex64), "it has 3.weight in complex64 instead of float32"),
        (lambda v: v * torch.nan, "numbers that are not finite in 3.weight"),
        (lambda v: v / 0, "numbers that are not finite in 3.weight"),
    ],
)
def test_tensors_that_are_no_weights_are_refused_by_name(load, plain, change, message):
    with pytest.raises(ValueError) as caught:
        load(plain | {"3.weight": change(plain["3.weight"])})
    assert str(caught.value).endswith(message)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_floats_of_any_width_are_taken(load, plain, dtype):
    # Some scripts average the counters, too, which makes them floats.
    found = load({name: value.to(dtype) for name, value in plain.items()})
    torch.testing.assert_close(found, plain, rtol=1e-2, atol=1e-2)


def test_a_mask_of_the_model_may_hold_infinities(tmp_path):
    model = nn.Linear(2, 2)
    model.register_buffer("mask", torch.tensor([0.0, -torch.inf]))
    torch.save(model.state_dict(), tmp_path / "model.pt")
    assert load_checkpoint(lambda _: model, tmp_path / "model.pt")[0] is model
