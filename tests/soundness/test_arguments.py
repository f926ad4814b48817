import numpy as np
import pytest
import torch

from captum_ext import explain
from captum_ext.soundness.arguments import check_layout, checked_arguments, count_features
from tests.soundness.example_models import conv_net, dense_net, is_near, pictures

X = pictures(2, 3, 4, 4)
LONG = 400


def checked(**settings):
    return checked_arguments(settings, (X,), takes_sets=False)


def net():
    return dense_net(n_features=48)


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    "method",
    [
        "integrated_gradients",
        "occlusion",
        "feature_ablation",
        "deep_lift",
        "kernel_shap",
        "shapley_value_sampling",
        "image_ig",
        "guided_ig",
        "gradient_shap",
        "ig2",
        "deep_lift_shap",
    ],
)
@pytest.mark.parametrize(
    ("value", "form"), [(NAN, "tensor"), (INF, "number"), (NAN, "one value"), (-INF, "one value")]
)
def test_baselines_that_are_not_finite_are_refused(method, value, form):
    baselines = {"tensor": torch.full_like(X, value), "number": value, "one value": X.clone()}[form]
    if form == "one value":
        baselines[0, 0, 0, 0] = value
    with pytest.raises((ValueError, TypeError), match=r"(baselines|references).*finite") as caught:
        explain(net(), X, 0, method, baselines=baselines)
    assert len(str(caught.value)) < LONG


@pytest.mark.parametrize(
    ("baselines", "kind", "message"),
    [
        (torch.zeros(1, 3, 5, 5), ValueError, r"must have the shape \(1, 3, 4, 4\) or \(2, 3"),
        (torch.zeros(3, 3, 4, 4), ValueError, "must have the shape"),
        (torch.zeros(4, 4), ValueError, "must have the shape"),
        (torch.zeros(()), ValueError, "must have the shape"),
        (torch.zeros(0, 3, 4, 4), ValueError, "must have the shape"),
        ((0, 0), ValueError, "must hold one value for each of the 1 inputs; got 2"),
        ("black hole", ValueError, "baseline"),
        (object(), TypeError, "must be tensors or numbers; got object"),
        (True, TypeError, "must be tensors or numbers; got bool"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.complex64), TypeError, "must be of the inputs' dtype"),
        (np.zeros((1, 3, 4, 4)), TypeError, "must be tensors or numbers; got ndarray"),
    ],
)
@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion", "deep_lift"])
def test_baselines_of_another_form_are_refused_before_the_method_runs(
    method, baselines, kind, message
):
    with pytest.raises(kind, match=message) as caught:
        explain(net(), X, 0, method, baselines=baselines)
    assert len(str(caught.value)) < LONG


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.uint8, torch.bool])
@pytest.mark.parametrize("method", ["integrated_gradients", "occlusion", "deep_lift"])
def test_baselines_of_another_dtype_are_converted(method, dtype):
    ones = torch.ones(1, 3, 4, 4)
    torch.testing.assert_close(
        explain(net(), X, 0, method, baselines=ones.to(dtype)),
        explain(net(), X, 0, method, baselines=ones),
    )


MASKED = ["shapley_value_sampling", "feature_ablation", "kernel_shap", "lime"]
IDS = torch.arange(16).reshape(1, 1, 4, 4)


@pytest.mark.parametrize("method", MASKED)
@pytest.mark.parametrize(
    ("mask", "kind", "message"),
    [
        (IDS - 1, ValueError, "must hold numbers from 0; the least is -1"),
        (IDS / 2, TypeError, "must hold whole numbers; got a tensor of torch.float32"),
        (IDS.double(), TypeError, "must hold whole numbers"),
        (torch.zeros(1, 1, 5, 5).long(), ValueError, "must broadcast to the input's shape"),
        (torch.zeros(3, 3, 4, 4).long(), ValueError, "must broadcast to the input's shape"),
        (torch.zeros(1, 1, 1, 4, 4).long(), ValueError, "must broadcast to the input's shape"),
        (torch.zeros(0).long(), ValueError, "must not be empty"),
        ((IDS, IDS), ValueError, "must hold one mask for each of the 1 inputs; got 2"),
        (IDS.numpy(), TypeError, "must be a tensor; got ndarray"),
    ],
)
def test_masks_of_another_form_are_refused(method, mask, kind, message):
    with pytest.raises(kind, match=message) as caught:
        explain(net(), X, 0, method, feature_mask=mask)
    assert len(str(caught.value)) < LONG


@pytest.mark.parametrize("method", MASKED)
@pytest.mark.parametrize(
    "change",
    [
        lambda m: m + 5,
        lambda m: 3 * m,
        lambda m: m * 10**9,
        lambda m: m.int(),
        lambda m: m.to(torch.uint8),
    ],
)
def test_gaps_in_a_mask_and_its_dtype_change_nothing(method, change):
    mask = (IDS // 4) + 0
    settings = {} if method == "feature_ablation" else {"n_samples": 20}
    maps = [
        explain(net(), X, 0, method, feature_mask=m, generator=0, **settings)
        for m in (mask, change(mask))
    ]
    torch.testing.assert_close(*maps)


def test_a_mask_of_booleans_has_two_features():
    assert checked(feature_mask=IDS > 7)["feature_mask"].unique().tolist() == [0, 1]
    result = explain(net(), X, 0, "feature_ablation", feature_mask=IDS > 7)
    assert len(result[0].unique()) == 2


@pytest.mark.parametrize("number", [0, 1, 7])
def test_one_feature_has_the_whole_change_or_is_refused(number):
    mask, model = torch.full((1, 1, 4, 4), number), net()
    change = model(X)[:, 0] - model(torch.zeros_like(X))[:, 0]
    for method in ("feature_ablation", "shapley_value_sampling"):
        result = explain(model, X, 0, method, feature_mask=mask)
        assert is_near(result[:, 0, 0, 0], change.detach())
    with pytest.raises(ValueError, match="feature_mask must have at least 2 features"):
        explain(model, X, 0, "kernel_shap", feature_mask=mask)


@pytest.mark.parametrize("method", ["saliency", "occlusion", "lrp_z", "ig2"])
@pytest.mark.parametrize(
    "target",
    [
        3,
        -9,
        10**20,
        [10**20] * 2,
        [0, 7],
        (0, 0),
        torch.tensor([0, 5]),
        (10**20,),
        torch.tensor(99),
    ],
)
def test_targets_out_of_range_are_refused_by_name(method, target):
    with pytest.raises(ValueError, match="target") as caught:
        explain(conv_net(), pictures(2, 3, 8, 8), target, method)
    assert len(str(caught.value)) < LONG


@pytest.mark.parametrize(
    "target",
    [
        1.0,
        "dog",
        {},
        [1.5, 2],
        True,
        torch.tensor([0.0, 1.0]),
        torch.tensor([[1], [0]]),
        [0],
        torch.tensor([0, 1, 2]),
    ],
)
def test_targets_of_another_form_are_refused_by_name(target):
    with pytest.raises((TypeError, ValueError), match="target"):
        explain(conv_net(), pictures(2, 3, 8, 8), target, "saliency")


@pytest.mark.parametrize("method", ["saliency", "occlusion", "kernel_shap"])
@pytest.mark.parametrize(
    "target",
    [
        [1, 2],
        np.array([1, 2]),
        [np.int64(1), np.int64(2)],
        torch.tensor([1, 2]),
        torch.tensor([1, 2], dtype=torch.uint8),
        torch.tensor([1, 2], dtype=torch.int16),
        torch.tensor([1, 2], dtype=torch.int32),
        [(1,), (2,)],
    ],
    ids=str,
)
def test_all_forms_of_a_target_for_each_example_mean_the_same(method, target):
    model, x = dense_net(), pictures(2, 3, 8, 8)
    settings = {"n_samples": 30} if method == "kernel_shap" else {}
    want = explain(model, x, [1, 2], method, generator=0, **settings)
    torch.testing.assert_close(explain(model, x, target, method, generator=0, **settings), want)


@pytest.mark.parametrize(
    "target",
    [
        1,
        np.int64(1),
        (1,),
        torch.tensor(1),
        torch.tensor([1]),
        np.array(1),
        -2,
        torch.tensor([1], dtype=torch.uint8),
        torch.tensor(1, dtype=torch.uint8),
    ],
    ids=str,
)
@pytest.mark.parametrize("method", ["saliency", "occlusion", "lrp_z", "lime", "rise"])
def test_all_forms_of_one_target_mean_the_same(method, target):
    model, x = dense_net(), pictures(2, 3, 8, 8)
    settings = {"n_samples": 30} if method in ("lime", "rise") else {}
    want = explain(model, x, 1, method, generator=0, **settings)
    torch.testing.assert_close(explain(model, x, target, method, generator=0, **settings), want)


@pytest.mark.parametrize("name", ["n_steps", "n_samples", "internal_batch_size"])
@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (0, ValueError),
        (-1, ValueError),
        (1.5, TypeError),
        ("3", TypeError),
        (True, TypeError),
        (10**12, ValueError),
        (10**30, ValueError),
    ],
)
def test_counts_are_whole_numbers_in_a_range(name, value, kind):
    with pytest.raises(kind, match=f"{name} must be"):
        checked(**{name: value})


def test_counts_that_a_method_chooses_may_be_none():
    assert checked(n_samples=None, internal_batch_size=None)["n_samples"] is None
    with pytest.raises(TypeError, match="n_steps must be a whole number; got None"):
        checked(n_steps=None)


@pytest.mark.parametrize(
    "windows", [(3, 0, 2), (3, 5, 5), (3, -1, 2), (1.5, 2, 2), ((3, 2, 2), (3, 2, 2))]
)
def test_windows_that_do_not_fit_are_refused_by_name(windows):
    with pytest.raises((TypeError, ValueError), match="sliding_window_shapes must"):
        explain(net(), X, 0, "occlusion", sliding_window_shapes=windows)
    with pytest.raises((TypeError, ValueError), match="sliding_window_shapes must"):
        checked(sliding_window_shapes=windows)


@pytest.mark.parametrize("value", [NAN, -1.0, "1", INF])
def test_noise_has_a_finite_size(value):
    with pytest.raises((TypeError, ValueError), match="stdevs must be"):
        checked(stdevs=value)


def test_an_unknown_quadrature_is_refused_with_the_nearest_name():
    with pytest.raises(ValueError, match="did you mean 'gausslegendre'"):
        explain(net(), X, 0, "integrated_gradients", arguments={"method": "gauslegendre"})


def test_a_set_of_baselines_is_for_methods_that_take_one():
    rows = torch.rand(5, 3, 4, 4)
    taken = checked_arguments({"baselines": rows}, (X,), takes_sets=True)["baselines"]
    assert taken.shape == rows.shape
    with pytest.raises(ValueError, match="baselines must have the shape"):
        checked(baselines=rows)


def test_what_is_given_stays_as_it_is():
    mask, start = 3 * IDS, torch.ones(1, 3, 4, 4, dtype=torch.float64, requires_grad=True)
    settings = {"feature_mask": mask, "baselines": start}
    result = checked(**settings)
    assert settings == {"feature_mask": mask, "baselines": start}
    assert torch.equal(mask, 3 * IDS)
    assert result["baselines"].dtype == X.dtype and not result["baselines"].requires_grad


def test_masks_of_several_inputs_share_their_numbers():
    masks = torch.tensor([[2, 5]]), torch.tensor([[5, 9]])
    inputs = torch.zeros(1, 2), torch.zeros(1, 2)
    first, second = checked_arguments({"feature_mask": masks}, inputs, False)["feature_mask"]
    assert (first.tolist(), second.tolist()) == ([[0, 1]], [[1, 2]])
    assert count_features({"feature_mask": (first, second)}, inputs) == 3


def test_layout_is_refused_only_where_it_is_sure():
    for shape in ((1, 8, 8, 3), (4, 5, 5, 3)):
        with pytest.raises(ValueError, match="channels first"):
            check_layout((torch.zeros(1, 3, 8, 8), torch.zeros(shape)))
    check_layout((torch.zeros(1, 8, 3), torch.zeros(1, 3, 9, 3), torch.zeros(1, 8, 8, 4)))
