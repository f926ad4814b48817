"""The first-layer shortcut: the same scores without making the rows."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from captum_ext import perturbation as p
from captum_ext.attr import CIU, PDA, RISE, SegmentLime, SegmentPda, SegmentPerturbation
from captum_ext.call_model import call_model_function, forward_func
from captum_ext.forward import Evaluator, Example, LazyRows, PatchedRows
from captum_ext.forward.shortcut.first_layer import LazyBatch

SIDE, CHANNELS = 8, 3
SIZE = CHANNELS * SIDE**2
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-10}


def mlp(dtype=torch.float64, bias=True, hidden=24, seed=0):
    torch.manual_seed(seed)
    layers = [nn.Linear(SIZE, hidden, bias=bias), nn.Tanh(), nn.Linear(hidden, 4)]
    return nn.Sequential(nn.Flatten(), *layers, nn.Softmax(1)).to(dtype)


def images(dtype=torch.float64, count=2):
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, CHANNELS, SIDE, SIDE, generator=generator, dtype=dtype)


def some_rows(dtype=torch.float64):
    generator = torch.Generator().manual_seed(2)
    x = images(dtype)[0]
    patches = [
        (torch.tensor([0, 17]), torch.rand(3, 2, generator=generator, dtype=dtype)),
        (torch.tensor([SIZE - 1]), torch.rand(2, 1, generator=generator, dtype=dtype)),
    ]
    return PatchedRows(Example(x), patches)


@pytest.fixture
def never_made(monkeypatch):
    """Fails where rows are made."""

    def make(self):
        raise AssertionError("rows were made")

    def arm():
        for cls in (PatchedRows, p.segments.blend.BlendedRows):
            monkeypatch.setattr(cls, "_make", make)

    return arm


METHODS = {
    "pda pixels": lambda m: (PDA(m), dict(marginal=p.Uniform(5))),
    "pda windows": lambda m: (
        PDA(m),
        dict(marginal=p.OwnPatches(), sliding_window_shapes=3, strides=2),
    ),
    "pda mask": lambda m: (PDA(m), dict(marginal=p.Uniform(9), feature_mask=halves())),
    "rise": lambda m: (RISE(m, p.Grid(2, 2, "bilinear")), dict(n_samples=50)),
    "lime": lambda m: (SegmentLime(m, p.Grid(4, 4)), dict(n_samples=50)),
    "ciu": lambda m: (CIU(m, p.Grid(8, 8)), {}),
    "segment pda": lambda m: (
        SegmentPda(m, p.Grid(4, 4), attributer=p.PdaAttributer("probability")),
        {},
    ),
    "blur": lambda m: (
        SegmentPerturbation(
            m,
            p.Fade(p.Grid(2, 2), 1.0),
            p.BernoulliSampler(),
            p.Transformed(lambda x: x.flip(-1)),
            p.RiseAttributer(),
        ),
        dict(n_samples=50),
    ),
    "few images": lambda m: (
        SegmentPerturbation(
            m,
            p.Grid(4, 4),
            p.BernoulliSampler(),
            p.ReplaceImage(images(torch.float64)[:2]),
            p.RiseAttributer(),
        ),
        dict(n_samples=50),
    ),
    "a color each": lambda m: (
        RISE(m, p.Grid(4, 4), perturber=p.RandomColor(uniform=True, each=True)),
        dict(n_samples=50),
    ),
}


def halves():
    return (torch.arange(SIDE) // 4).expand(1, 1, SIDE, SIDE)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("name", METHODS)
def test_every_perturbation_method_gets_the_same_without_making_a_row(name, dtype, never_made):
    settings = dict(target=2, generator=3)
    if "pda" in name and "segment" not in name:
        settings |= dict(mode="probability", probabilities="given")
    method, own = METHODS[name](mlp(dtype))
    expected = method.attribute(images(dtype), **settings, **own, shortcut=False)
    never_made()
    found = method.attribute(images(dtype), **settings, **own)
    # Relative to the outputs, which are about 1/4: some methods take their differences.
    assert (found - expected).abs().max() <= TOLERANCE[dtype] * max(
        0.25, float(expected.abs().max())
    )
    assert found.abs().max() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_scores_of_random_networks_are_equal_up_to_rounding(seed, dtype, never_made):
    model = mlp(dtype, bias=seed != 1, hidden=100, seed=seed)
    x = images(dtype)

    def perturb(examples, samples):
        return some_rows(dtype)

    expected = Evaluator(model, target=1, shortcut=False)(x[:1], perturb, 5)
    never_made()
    found = Evaluator(model, target=1)(x[:1], perturb, 5)
    assert ((found - expected) / expected).abs().max() <= TOLERANCE[dtype]


def test_it_is_taken_but_where_told_otherwise(monkeypatch):
    calls, through = [], PatchedRows._through
    monkeypatch.setattr(
        PatchedRows,
        "_through",
        lambda self, weight, bias: calls.append(self) or through(self, weight, bias),
    )
    for shortcut in (False, True):
        settings = dict(target=0, probabilities="given", shortcut=shortcut)
        PDA(mlp()).attribute(images(), p.Uniform(2), **settings)
        assert bool(calls) == shortcut


def test_a_model_with_convolutions_or_a_compiled_one_is_not_tried():
    compiled = nn.Sequential(torch.compile(mlp()))
    by_method = mlp()
    by_method.compile()
    for model in (nn.Sequential(nn.Conv2d(3, 1, 1), mlp()), compiled, by_method):
        assert not Evaluator(model).shortcut
    assert Evaluator(mlp()).shortcut


def test_a_narrow_first_layer_does_not_make_huge_batches():
    sizes = []

    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.Sequential(nn.Flatten(), nn.Linear(SIZE, 1), nn.Linear(1, 99))

        def forward(self, x):
            sizes.append(len(x))
            return self.layers(x)

    PDA(Counted().double()).attribute(images()[:1], p.Uniform(256), target=0)
    assert max(sizes) <= 1024


LINEAR = nn.Linear(SIZE, 4).double()


def with_a_skip(x):
    return LINEAR(x.flatten(1)) + x.sum((1, 2, 3))[:, None]


def with_a_gate(x):
    return LINEAR(x.flatten(1)) * (x[:, 0, 0, :1] > 0.5)


def in_place_before(x):
    x.sub_(0.5)
    return LINEAR(x.flatten(1))


def in_place_on_a_view(x):
    x.flatten(1)[:, 0] = 3
    return LINEAR(x.view(len(x), -1))


def in_place_after(x):
    output = LINEAR(x.flatten(1))
    x.zero_()
    return output + x.sum()


def by_numpy(x):
    return LINEAR(torch.from_numpy(x.numpy()).flatten(1))


def by_rows(x):
    return torch.stack([LINEAR(row.flatten()) for row in x])


def across_the_batch(x):
    return LINEAR(x.flatten(1)) + x.flatten().sum()


def not_flat(x):
    return functional.linear(x, LINEAR.weight[:, :SIDE]).sum((1, 2))


def scripted(x):
    return torch.jit.trace(nn.Sequential(nn.Flatten(), LINEAR), x.clone())(x)


def normalized(x):
    return LINEAR(((x - 0.5) / 0.25).flatten(1))


def converted_then_in_place(x):
    y = x.double()
    y.sub_(0.5).div_(0.2)
    return LINEAR(y.flatten(1))


def copied_then_in_place(x):
    y = x.to(torch.float64, copy=True)
    y[:, 0] = 0
    return LINEAR(y.flatten(1)) + LINEAR(x.double().flatten(1))


def source_in_place_after_conversion(x):
    y = x.double()
    x.zero_()
    return LINEAR(y.flatten(1))


def by_data(x):
    x.data = 2 * x.data
    return LINEAR(x.double().flatten(1))


def itself(x):
    x.mul_(3)
    return x


@pytest.mark.parametrize(
    "model",
    [
        with_a_skip,
        with_a_gate,
        in_place_before,
        in_place_on_a_view,
        in_place_after,
        by_numpy,
        by_rows,
        across_the_batch,
        not_flat,
        normalized,
        pytest.param(scripted, marks=pytest.mark.filterwarnings("ignore")),
    ],
)
def test_a_model_that_looks_at_its_input_elsewhere_is_not_fooled(model):
    assert_not_fooled(model, torch.float64)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize(
    "model",
    [
        converted_then_in_place,
        copied_then_in_place,
        source_in_place_after_conversion,
        by_data,
        itself,
    ],
)
def test_a_model_that_converts_its_input_and_changes_one_of_both_is_not_fooled(model, dtype):
    assert_not_fooled(model, dtype)


def assert_not_fooled(model, dtype):
    evaluator = Evaluator(model)
    found = evaluator.outputs(some_rows(dtype), torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(found, model(some_rows(dtype).dense()), rtol=1e-12, atol=1e-12)
    assert not evaluator.shortcut


@pytest.mark.parametrize(
    "model",
    [
        lambda x: LINEAR(x.view(x.size(0), -1)),
        lambda x: LINEAR(x.reshape(x.shape[0], -1)).relu(),
        lambda x: x.flatten(1) @ LINEAR.weight.T + LINEAR.bias,
        lambda x: torch.matmul(torch.flatten(x, 1), LINEAR.weight.T),
        lambda x: nn.Identity()(LINEAR(x.to(torch.float64).contiguous().detach().flatten(1))),
    ],
)
def test_a_plain_function_that_begins_with_a_linear_layer_is_found(model, never_made):
    expected = model(some_rows().dense())
    never_made()
    evaluator = Evaluator(model)
    found = evaluator.outputs(some_rows(), torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    assert evaluator.shortcut


def test_inputs_in_a_narrower_dtype_than_the_layer_are_converted(never_made):
    def model(x):
        return LINEAR(x.double().flatten(1))

    expected = model(some_rows(torch.float32).dense())
    never_made()
    found = Evaluator(model).outputs(some_rows(torch.float32), torch.zeros(5, dtype=torch.long))
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_weights_that_change_between_batches_are_seen():
    layer = nn.Linear(SIZE, 4).double().requires_grad_(False)
    evaluator, numbers = Evaluator(nn.Sequential(nn.Flatten(), layer)), torch.zeros(5).long()
    rows = some_rows()
    evaluator.outputs(rows, numbers)
    layer.weight.mul_(2)
    torch.testing.assert_close(evaluator.outputs(rows, numbers), layer(rows.dense().flatten(1)))


def test_an_error_of_the_model_itself_is_its_own():
    def model(x):
        raise RuntimeError("out of order")

    with pytest.raises(RuntimeError, match="out of order"):
        Evaluator(model).outputs(some_rows(), torch.zeros(5, dtype=torch.long))


def test_a_call_model_function_gets_whole_arrays():
    function = call_model_function(mlp(), target=1)
    settings = dict(probabilities="given", mode="probability")
    found = PDA(forward_func(function)).attribute(images(), p.Uniform(3), **settings)
    expected = PDA(mlp()).attribute(images(), p.Uniform(3), target=1, **settings)
    torch.testing.assert_close(found, expected)


def test_nothing_stays_on_the_model():
    model = mlp()
    before = {name: sorted(vars(module)) for name, module in model.named_modules()}
    PDA(model).attribute(images(), p.Uniform(2), target=0, probabilities="given")
    assert {name: sorted(vars(module)) for name, module in model.named_modules()} == before


def test_lazy_rows_print_like_a_tensor():
    rows = some_rows()
    assert repr(LazyBatch(rows)) == repr(rows.dense())
    assert isinstance(rows, LazyRows)
