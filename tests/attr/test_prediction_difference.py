import io
import itertools
from contextlib import redirect_stderr
from pathlib import Path

import numpy as np
import pytest
import saliency.core as saliency
import torch
from torch import nn

import captum_ext
import saliency_adapters
from captum_ext.attr import PDA, PredictionDifference
from captum_ext.call_model import call_model_function
from captum_ext.exam import CenterPixelModel
from captum_ext.perturbation import ConditionalGaussian, Empirical, OwnPatches, Uniform

GOLDEN = Path(__file__).parents[1] / "golden" / "center_pda_9.npz"
GIVEN = {"probabilities": "given", "mode": "probability"}


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def images():
    return rand(2, 3, 7, 8)


@pytest.fixture
def model():
    torch.manual_seed(1)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 30, 5), nn.Softmax(dim=1)
    return nn.Sequential(*layers).double().eval()


def linear(weights):
    """A "probability" that is linear in the input."""
    return lambda x: (x * weights).flatten(1).sum(1)


@pytest.mark.parametrize("shortcut", [True, False])
def test_agrees_with_the_record_on_the_center_pixel_model(shortcut):
    case = np.load(GOLDEN)
    settings = {name: int(case[name]) for name in ("size", "alpha", "seed")}
    n_classes = int(case["classes"])
    model = CenterPixelModel(n_classes=n_classes, **settings)
    found = PDA(model).attribute(
        torch.from_numpy(case["image"])[None, None] / 255.0,
        Uniform(np.arange(n_classes) / 255),
        target=int(case["target"]),
        probabilities="given",
        n_train=1000 * n_classes,
        shortcut=shortcut,
    )
    np.testing.assert_allclose(found[0, 0], case["relevance"], atol=1e-6, rtol=0)
    elsewhere = ~model.ground_truth()
    assert found.abs()[elsewhere].max() < 1e-9 and found[model.ground_truth()] > 10


@pytest.mark.parametrize("size", [8, 13])
@pytest.mark.parametrize("output", ["probability", "logit"])
def test_only_the_center_counts_at_any_size_and_from_logits_too(size, output):
    model, x = CenterPixelModel(size=size, output=output), rand(2, 1, size, size)
    how = "given" if output == "probability" else "softmax"
    found = PDA(model).attribute(x, Uniform(256), target=model(x).argmax(1), probabilities=how)
    truth = model.ground_truth().expand_as(x)
    assert found[truth].min() > 5 and found.abs()[~truth].max() < 1e-7


def test_a_linear_model_gives_its_weights_times_the_distance_from_the_mean():
    weights, x, levels = rand(1, 4, 5, seed=1) / 20, rand(2, 1, 4, 5), torch.tensor([0.1, 0.2, 0.9])
    found = PDA(linear(weights)).attribute(x, Uniform(levels), **GIVEN)
    torch.testing.assert_close(found, weights * (x - levels.double().mean()))


def test_levels_of_several_channels_are_enumerated_together():
    weights, x = rand(3, 4, 5, seed=1) / 60, rand(1, 3, 4, 5)
    found = PDA(linear(weights)).attribute(x, Uniform(4), n_samples=1, **GIVEN)
    expected = (weights * (x - 0.5)).sum(1, keepdim=True).expand_as(x)
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    ("window", "stride"), [((3, 3), (2, 2)), ((2, 4), (1, 3)), ((7, 8), (1, 1))]
)
def test_overlapping_windows_average_and_the_border_is_covered(images, window, stride):
    weights, data = rand(3, 7, 8, seed=1) / 100, rand(6, 3, 7, 8, seed=2)
    found = PDA(linear(weights)).attribute(
        images, Empirical(data), sliding_window_shapes=window, strides=stride, n_samples=6, **GIVEN
    )
    gain = (weights * (images - data.mean(0))).sum(1)
    total, count = torch.zeros(2, 7, 8).double(), torch.zeros(7, 8)
    starts = [
        sorted({*range(0, whole - side + 1, step), whole - side})
        for whole, side, step in zip((7, 8), window, stride, strict=True)
    ]
    for row, column in itertools.product(*starts):
        place = (..., slice(row, row + window[0]), slice(column, column + window[1]))
        total[place] += gain[place].sum((1, 2), keepdim=True)
        count[place] += 1
    assert count.min() >= 1
    torch.testing.assert_close(found, (total / count)[:, None].expand_as(images))


def test_forms_of_a_window_are_alike(model, images):
    def run(shape, stride):
        return PDA(model).attribute(
            images,
            OwnPatches(),
            target=1,
            sliding_window_shapes=shape,
            strides=stride,
            probabilities="given",
        )

    expected = run(3, 2)
    for shape, stride in (((3, 3), (2, 2)), ((3, 3, 3), (3, 2, 2)), ([3, 3], [2, 2])):
        assert torch.equal(run(shape, stride), expected)


def test_channels_can_be_replaced_one_by_one():
    weights, x = rand(3, 4, 5, seed=1) / 60, rand(1, 3, 4, 5)
    found = PDA(linear(weights)).attribute(
        x, Uniform(3), sliding_window_shapes=(1, 1, 1), strides=(1, 1, 1), **GIVEN
    )
    torch.testing.assert_close(found, weights * (x - 0.5))


def test_a_mask_of_rectangles_is_the_windows_side_by_side(model):
    images, data = rand(2, 3, 8, 8)[..., :7, :], rand(4, 3, 7, 8, seed=3)
    mask = (torch.arange(8) // 4).expand(1, 1, 7, 8)
    settings = dict(target=2, probabilities="given", n_samples=4)
    found = PDA(model).attribute(images, Empirical(data), feature_mask=mask, **settings)
    expected = PDA(model).attribute(
        images, Empirical(data), sliding_window_shapes=(7, 4), strides=(7, 4), **settings
    )
    torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("mode", ["probability", "information", "evidence"])
def test_modes_follow_their_formulas(model, images, mode):
    data, k, n = rand(5, 3, 7, 8, seed=4), 5, 700
    mask = (torch.arange(8) // 4).expand(1, 1, 7, 8)
    found = PDA(model).attribute(
        images,
        Empirical(data),
        target=3,
        feature_mask=mask,
        mode=mode,
        n_samples=5,
        n_train=n,
        n_classes=k,
        probabilities="given",
    )
    left = images[:, None].expand(-1, 5, -1, -1, -1).clone()
    left[..., :4] = data[..., :4]
    with torch.no_grad():
        p, q = model(images)[:, 3], model(left.flatten(0, 1))[:, 3].reshape(2, 5).mean(1)
    if mode != "probability":
        p, q = ((each * n + 1) / (n + k) for each in (p, q))
        if mode == "evidence":
            p, q = (each / (1 - each) for each in (p, q))
        p, q = p.log2(), q.log2()
    torch.testing.assert_close(found[:, 0, 0, 0], p - q)


def test_softmax_is_taken_of_logits(images, model):
    settings = dict(target=3, n_samples=3)
    logits = nn.Sequential(*list(model)[:-1])
    expected = PDA(model).attribute(images, OwnPatches(), probabilities="given", **settings)
    for how in ("softmax", "auto", lambda outputs: outputs.softmax(1)):
        found = PDA(logits).attribute(images, OwnPatches(), probabilities=how, **settings)
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(
        PDA(model).attribute(images, OwnPatches(), probabilities="auto", **settings), expected
    )


def test_sampled_levels_come_near_to_all_of_them():
    weights, x = rand(1, 3, 4, seed=1), rand(1, 1, 3, 4)

    def probability(x):
        return (x * weights).flatten(1).sum(1).sigmoid()

    settings = dict(sliding_window_shapes=(1, 2), strides=(1, 2), **GIVEN)
    exact = PDA(probability).attribute(x, Uniform(16), **settings)  # 256 pairs
    pairs = torch.cartesian_prod(*[torch.linspace(0, 1, 16).double()] * 2)
    with torch.no_grad():
        replaced = x.expand(256, -1, -1, -1).clone()
        replaced[:, 0, 0, :2] = pairs
        expected = probability(x) - probability(replaced).mean()
    torch.testing.assert_close(exact[0, 0, 0, :1], expected)
    sampled = PDA(probability).attribute(x, Uniform(256), n_samples=4000, **settings)
    assert (sampled - exact).abs().max() < 0.01 < exact.abs().max()


def test_a_conditional_gaussian_sees_what_the_surroundings_tell():
    # Images of one color: a pixel adds nothing to what its neighbors say.
    x = rand(1, 1, 1, 1, seed=5).expand(1, 1, 6, 6)
    data = rand(40, 1, 1, 1).expand(-1, -1, 6, 6) + 1e-3 * rand(40, 1, 6, 6, seed=1)
    weights = torch.full((1, 6, 6), 0.02).double()
    known = ConditionalGaussian(data, patch=1, padding=1)
    found = PDA(linear(weights)).attribute(x, known, n_samples=50, **GIVEN)
    blind = PDA(linear(weights)).attribute(x, Empirical(data), n_samples=50, **GIVEN)
    assert found.abs().max() < 1e-3 * 0.02 * 2 and blind.abs().min() > 1e-3


def test_a_marginal_for_each_of_two_inputs():
    first, second = rand(2, 1, 2, 3), rand(2, 4, seed=1)
    w, v = rand(1, 2, 3, seed=2) / 20, rand(4, seed=3) / 20

    def model(x, y):
        return (x * w).flatten(1).sum(1) + (y * v).sum(1)

    found = PDA(model).attribute((first, second), (Uniform([0.5]), Uniform([0.1])), **GIVEN)
    torch.testing.assert_close(found[0], w * (first - 0.5))
    torch.testing.assert_close(found[1], v * (second - 0.1))


def test_a_number_in_the_masks_of_two_inputs_is_one_feature():
    first, second = rand(1, 1, 1, 2), rand(1, 2, seed=1)
    masks = torch.tensor([[[[0, 1]]]]), torch.tensor([[1, 2]])

    def product(x, y):
        return x[:, 0, 0, 1] * y[:, 0]

    data = torch.tensor([0.2, 0.8]).double()
    found = PDA(product).attribute(
        (first, second), Uniform(data), feature_mask=masks, n_samples=4000, **GIVEN
    )
    expected = first[0, 0, 0, 1] * second[0, 0] - 0.25  # independent draws: 0.5 times 0.5
    assert found[0][0, 0, 0, 1] == found[1][0, 0]
    assert abs(float(found[1][0, 0] - expected)) < 0.01
    assert found[0][0, 0, 0, 0] == 0 and found[1][0, 1] == 0


@pytest.mark.parametrize("target", [(2, 1, 3), 2, None])
def test_a_unit_or_feature_map_of_a_hidden_layer(model, images, target):
    data = rand(4, 3, 7, 8, seed=6)
    mask = (torch.arange(8) // 4).expand(1, 1, 7, 8)
    found = PDA(model, layer=model[1]).attribute(
        images, Empirical(data), target=target, feature_mask=mask, n_samples=4
    )
    left = images[:, None].expand(-1, 4, -1, -1, -1).clone()
    left[..., :4] = data[..., :4]
    with torch.no_grad():
        whole, without = model[:2](images), model[:2](left.flatten(0, 1))
    select = {
        (2, 1, 3): lambda a: a[:, 2, 1, 3],
        2: lambda a: a[:, 2].mean((1, 2)),
        None: lambda a: a.mean((1, 2, 3)),
    }[target]
    expected = select(whole) - select(without).reshape(2, 4).mean(1)
    torch.testing.assert_close(found[:, 0, 0, 0], expected)
    assert not model[1]._forward_hooks


def test_rows_are_made_batch_by_batch(images):
    sizes = []

    def model(x):
        sizes.append(len(x))
        return x.flatten(1).mean(1)

    PDA(model).attribute(images, Uniform(10), perturbations_per_eval=4, shortcut=False, **GIVEN)
    assert max(sizes) == 8 and sum(sizes) == 2 + 2 * 56 * 1000


def test_classes_are_counted_where_the_model_tells(model, images):
    settings = dict(target=1, probabilities="given", n_samples=2)
    one = PDA(model).attribute(images, OwnPatches(), **settings)
    same = PDA(model).attribute(images, OwnPatches(), n_classes=5, n_train=5000, **settings)
    other = PDA(model).attribute(images, OwnPatches(), n_classes=9, **settings)
    assert torch.equal(one, same) and not torch.allclose(one, other)


def test_float32_and_a_model_that_is_sure_stay_finite():
    def sure(x):
        return torch.stack([torch.ones(len(x)), torch.zeros(len(x))], dim=1)

    for target in (0, 1):
        found = PDA(sure).attribute(
            rand(1, 1, 2, 2).float(), Uniform(3), target=target, probabilities="given"
        )
        assert (found == 0).all() and found.dtype == torch.float32


def test_progress_goes_to_stderr(model, images):
    with redirect_stderr(io.StringIO()) as stderr:
        PDA(model).attribute(
            images, OwnPatches(), target=0, probabilities="given", show_progress=True
        )
    assert "PredictionDifference" in stderr.getvalue()


def test_both_names_are_one_class_everywhere():
    captum_ext.register()
    try:
        import captum.attr  # noqa: PLC0415

        assert captum.attr.PDA is captum.attr.PredictionDifference is PredictionDifference is PDA
        assert saliency.PDA is saliency_adapters.PDA is saliency_adapters.PredictionDifference
    finally:
        captum_ext.unregister()


def test_the_adapter_gives_the_same_map(model, images):
    function = call_model_function(model, target=3)
    image = images[0].movedim(0, -1).numpy()
    settings = dict(
        marginal=Empirical(rand(4, 3, 7, 8, seed=3)),
        sliding_window_shapes=(3, 3, 3),
        strides=(3, 2, 2),
        n_samples=4,
        n_classes=5,
    )
    mask = saliency_adapters.PDA(**settings).GetMask(image, function)
    expected = PDA(model).attribute(images[:1], target=3, probabilities="given", **settings)
    np.testing.assert_allclose(mask, expected[0].movedim(0, -1), rtol=1e-9)


LOGITS = r"outputs must be probabilities in \[0, 1\]; got values from .* take .*'softmax'"


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        (
            {"sliding_window_shapes": (3, 9)},
            ValueError,
            r"must not be larger.*got \(3, 3, 9\).*7, 8",
        ),
        ({"sliding_window_shapes": 2, "strides": 3}, ValueError, "strides must not be larger than"),
        ({"sliding_window_shapes": (1, 2, 3, 4)}, ValueError, "sliding_window_shapes must be one"),
        (
            {"sliding_window_shapes": 0},
            ValueError,
            "sliding_window_shapes must be at least 1; got 0",
        ),
        ({"strides": 0.5}, TypeError, "strides must be a whole number"),
        ({"strides": np.array([3, 3])}, ValueError, r"got \(3, 3, 3\) for a window of \(3, 1, 1\)"),
        ({"n_samples": 0}, ValueError, "n_samples must be at least 1; got 0"),
        ({"mode": "evidenc"}, ValueError, "unknown mode 'evidenc'; did you mean 'evidence'"),
        ({"n_train": 0}, ValueError, "n_train must be at least 1; got 0"),
        ({"n_classes": 1}, ValueError, "n_classes must be at least 2; got 1"),
        ({"probabilities": "sofmax"}, ValueError, "unknown probabilities 'sofmax'; did you mean"),
        ({"marginal": 256}, TypeError, r"marginal must be a Marginal, as Uniform\(256\); got int"),
        ({"marginal": Uniform}, TypeError, "got Uniform"),
        ({"marginal": (Uniform(2),) * 2}, ValueError, "marginal must hold one for each of the 1"),
        (
            {"marginal": Empirical(rand(3, 1, 7, 8))},
            ValueError,
            r"shape \(3, 7, 8\); got \(1, 7, 8",
        ),
        (
            {"marginal": Empirical(rand(3, 3, 5, 5))},
            ValueError,
            r"shape \(3, 7, 8\); got \(3, 5, 5",
        ),
        ({"feature_mask": torch.zeros(1, 1, 3, 3).long()}, ValueError, "feature_mask must have"),
        ({"feature_mask": torch.zeros(1, 1, 7, 8)}, TypeError, "whole numbers; got torch.float32"),
        ({"perturbations_per_eval": 0}, ValueError, "perturbations_per_eval must be at least 1"),
    ],
)
def test_bad_arguments_are_refused_before_the_model_runs(images, settings, error, message):
    def model(x):
        raise RuntimeError("the model ran")

    with pytest.raises(error, match=message):
        PDA(model).attribute(images, **({"marginal": OwnPatches(), "target": 0} | settings))


@pytest.mark.parametrize(
    ("model", "how", "message"),
    [
        (lambda x: x.flatten(1) * 9 - 3, "given", LOGITS),
        (lambda x: x.flatten(1) / 2, "given", "outputs must sum to one .* got sums from .*softmax"),
        (lambda x: x.flatten(1)[:, 0] * 0 + 5, "given", LOGITS),
        (lambda x: x.flatten(1)[:, :1] * torch.nan, "given", "outputs must be finite; got NaN"),
        (lambda x: x.flatten(1) / 2, "auto", "probabilities must be 'softmax' or a function"),
        (
            lambda x: x.flatten(1)[:, 0],
            "softmax",
            r"needs outputs \[B, classes\]; got shape \(2,\)",
        ),
        (
            lambda x: x.flatten(1)[:, :1],
            "softmax",
            r"needs outputs \[B, classes\]; got shape \(2, 1",
        ),
        (lambda x: x.flatten(1), lambda outputs: outputs * 3, "probabilities must be probabil.* 2"),
    ],
)
def test_what_is_no_probability_is_refused_at_the_first_outputs(images, model, how, message):
    calls = []

    def counted(x):
        calls.append(len(x))
        return model(x)

    with pytest.raises(ValueError, match=message):
        PDA(counted).attribute(images, OwnPatches(), target=0, probabilities=how)
    assert calls == [2]


def test_a_second_softmax_is_warned_of(model, images):
    with pytest.warns(UserWarning, match="outputs already sum to one.*probabilities='given'"):
        PDA(model).attribute(images, OwnPatches(), target=0, n_samples=1)


def test_outputs_that_are_not_finite_later_are_refused(images):
    def model(x):
        return torch.where(x.flatten(1)[:, 0] > 0.99, torch.nan, 0.5)

    with pytest.raises(ValueError, match="outputs must be finite"):
        PDA(model).attribute(images, Uniform(2), **GIVEN)


@pytest.mark.parametrize("classes", [1, 2])
def test_logits_that_begin_like_probabilities_are_refused_later(classes):
    def model(x):
        logit = 5 * x.flatten(1)[:, 0]
        return torch.stack([logit, 1 - logit], dim=1)[:, :classes]

    x = torch.full((1, 1, 2, 2), 0.1)
    with pytest.raises(ValueError, match=LOGITS):
        PDA(model).attribute(x, Uniform([-1.0, 1.0]), target=0, probabilities="given")


def test_a_layer_whose_activations_are_not_finite_is_refused(model, images):
    class Root(nn.Module):
        def forward(self, x):
            return (x - 0.5).sqrt()

    with pytest.raises(ValueError, match="layer must have finite activations"):
        root = Root()
        PDA(nn.Sequential(root, nn.Flatten()), layer=root).attribute(images, Uniform(2), target=0)


def test_inputs_without_features_are_refused():
    with pytest.raises(ValueError, match=r"inputs must be \[B, ...\]; got shape \(3,\)"):
        PDA(lambda x: x).attribute(torch.rand(3), Uniform(2), probabilities="given")


def test_a_layer_takes_no_mode_and_must_run(model, images):
    with pytest.raises(ValueError, match=r"mode must be None for a layer.*got 'evidence'"):
        PDA(model, layer=model[0]).attribute(images, OwnPatches(), target=0, mode="evidence")
    with pytest.raises(ValueError, match="layer must be one that the model runs"):
        PDA(model, layer=nn.ReLU()).attribute(images, OwnPatches(), target=0)
    with pytest.raises(TypeError, match=r"layer must be a torch\.nn\.Module; got str"):
        PDA(model, layer="conv")


def test_a_target_that_leaves_several_numbers_is_refused(model, images):
    with pytest.raises(ValueError, match="target must select one output per example"):
        PDA(model).attribute(images, OwnPatches(), probabilities="given")
