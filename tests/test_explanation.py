"""explain(): the answer is right on models of any kind, or it is said why not."""

from collections import namedtuple

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from captum_ext import explain
from captum_ext.asking import Answer
from captum_ext.registry import methods
from captum_ext.value_checks import AttributionWarning
from tests.soundness.example_models import calls, conv_net, dense_net, is_near, pictures, told

NAMES = [spec.name for spec in methods()]
#: Settings that keep a method short.
SHORT = {
    "ig2": {"n_steps": 3},
    "guided_ig": {"n_steps": 3},
    "xrai": {"n_steps": 3},
    "smooth_grad": {"nt_samples": 2},
    "meaningful_perturbation": {"n_steps": 3},
    "rise": {"n_samples": 20},
    "lime": {"n_samples": 30},
    "kernel_shap": {"n_samples": 30},
    "shapley_value_sampling": {"n_samples": 2},
}
#: A method of each way to treat a model.
SOME = [
    "saliency",
    "integrated_gradients",
    "guided_backprop",
    "deep_lift",
    "lrp_z",
    "grad_cam",
    "occlusion",
    "feature_ablation",
    "kernel_shap",
    "ig2",
    "segment_shap",
    "pda",
]


def short(method, **settings):
    return SHORT.get(method, {}) | settings


def softmax_net(*layers):
    return nn.Sequential(conv_net(*layers), nn.Softmax(1)).eval()


class TestAnswer:
    def test_full_gives_the_attribution_with_checks_cost_and_remarks(self):
        model, x = conv_net(), pictures()
        answer = explain(model, x, 1, "integrated_gradients", full=True, n_steps=10)
        assert isinstance(answer, Answer)
        torch.testing.assert_close(
            answer.heat, explain(model, x, 1, "integrated_gradients", n_steps=10)
        )
        assert [check.name for check in answer.checks if check.holds] == [
            "shape",
            "finite",
            "not zero",
            "completeness",
        ]
        assert (answer.passes.forward, answer.passes.backward) == (10, 10)
        assert 0 < answer.check_passes.forward <= 3 and answer.check_passes.backward == 0
        assert answer.failed == [] and answer.settings == {"n_steps": 10}

    def test_without_checks_no_check_runs_the_model(self):
        model, runs = conv_net(), []
        explain(model, pictures(), 1, "integrated_gradients", n_steps=10)
        model.register_forward_hook(lambda *_: runs.append(1))
        answer = explain(
            model, pictures(), 1, "integrated_gradients", full=True, checks=False, n_steps=10
        )
        assert answer.check_passes.total == 0 and len(runs) == 1
        assert "completeness" not in [check.name for check in answer.checks]

    def test_a_broken_promise_is_a_warning_with_both_numbers(self):
        model, start = conv_net(nn.ReLU(), nn.MaxPool2d(3, 2)), pictures(seed=1)
        with pytest.warns(AttributionWarning, match="deep_lift: breaks completeness") as caught:
            attribution = explain(model, pictures(), 1, "deep_lift", baselines=start)
        change = (model(pictures()) - model(start))[0, 1].detach()
        (text,) = [str(each.message) for each in caught]
        assert f"sums to {float(attribution.double().sum()):.4g}" in text
        assert f"changes by {float(change):.4g}" in text and "integrated_gradients" in text
        assert caught[0].filename == __file__

    def test_strict_makes_it_an_error(self):
        model, start = conv_net(nn.ReLU(), nn.MaxPool2d(3, 2)), pictures(seed=1)
        with pytest.raises(ValueError, match=r"^deep_lift: breaks completeness: sums to"):
            explain(model, pictures(), 1, "deep_lift", baselines=start, strict=True)
        explain(conv_net(), pictures(), 1, "deep_lift", strict=True)

    def test_checks_leave_a_budget_as_it_is(self):
        for checks in (True, False):
            answer = explain(
                conv_net(), pictures(), 1, "image_ig", passes=20, full=True, checks=checks
            )
            assert answer.passes.total <= 20
            assert (answer.check_passes.total > 0) is False or checks

    def test_an_attribution_that_is_not_finite_is_told(self):
        model = calls(lambda m, x: (x - x).sqrt().flatten(1))
        _, said = told(lambda: explain(model, pictures(), 1, "saliency"))
        assert "is not finite" in said[0]


IN_PLACE = {
    "sub_": lambda x: x.sub_(0.5),
    "clamp_": lambda x: x.clamp_(0.2, 0.8),
    "div_": lambda x: x.div_(0.5),
    "zeroed": lambda x: x.__setitem__((slice(None), 0), 0),
    "part": lambda x: x[:, :, :2].mul_(2),
    "view": lambda x: x.flatten(2).sub_(x.flatten(2).mean(-1, keepdim=True)),
    "relu": lambda x: F.relu(x, inplace=True),
}


class TestModelsThatChangeTheirInputs:
    @pytest.mark.parametrize("change", IN_PLACE)
    def test_every_method_gives_what_it_gives_on_a_model_that_copies(self, change):
        def changing(m, x):
            IN_PLACE[change](x)
            return m.net(x)

        torch.manual_seed(0)
        net = conv_net()
        model = calls(changing, net=lambda: net)
        copying = calls(lambda m, x: changing(m, x.clone()), net=lambda: net)
        for method in (
            "saliency",
            "integrated_gradients",
            "occlusion",
            "guided_backprop",
            "rise",
            "deep_lift",
            "feature_ablation",
            "ig2",
        ):
            x = pictures()
            result, said = told(
                lambda x=x, m=method: explain(model, x, 1, m, **short(m), generator=0)
            )
            want, also = told(
                lambda m=method: explain(copying, pictures(), 1, m, **short(m), generator=0)
            )
            assert torch.equal(x, pictures()) and said == also
            assert result is want is None or is_near(result, want), method


Pair = namedtuple("Pair", ["logits", "hidden"])


class Output:
    def __init__(self, logits):
        self.logits, self.loss = logits, None


WRAPS = {
    "tuple of one": lambda y: (y,),
    "list": lambda y: [y],
    "dict": lambda y: {"logits": y},
    "dict of several": lambda y: {"hidden": y * 0, "logits": y},
    "torchvision": lambda y: {"aux": y * 0, "out": y},
    "named tuple": lambda y: Pair(y, y * 0),
    "object": Output,
    "tensor and none": lambda y: (y, None),
}


def wrapped(wrap):
    net = dense_net()
    return calls(lambda m, x: wrap(m.net(x)), net=lambda: net)


class TestOutputs:
    @pytest.mark.parametrize("method", SOME)
    @pytest.mark.parametrize("wrap", WRAPS)
    def test_the_scores_in_an_output_are_explained(self, wrap, method):
        if method == "pda":
            pytest.skip("needs probabilities")
        run = lambda m: explain(m, pictures(), 1, method, generator=0, **short(method))  # noqa: E731
        want, also = told(lambda: run(calls(lambda m, x: m.net(x), net=dense_net)))
        result, said = told(lambda: run(wrapped(WRAPS[wrap])))
        assert len(said) == len(also)
        assert result is want is None or is_near(result, want)

    def test_a_model_output_of_transformers_is_explained(self):
        outputs = pytest.importorskip("transformers.modeling_outputs")
        wrap = lambda y: outputs.ImageClassifierOutput(logits=y)  # noqa: E731
        for method in ("saliency", "occlusion", "guided_backprop"):
            torch.testing.assert_close(
                explain(wrapped(wrap), pictures(), 1, method),
                explain(dense_net(), pictures(), 1, method),
            )

    def test_several_tensors_are_told_apart_by_output(self):
        model = wrapped(lambda y: (y, 2 * y))
        with pytest.raises(ValueError, match="tensors 0, 1; pass output="):
            explain(model, pictures(), 1, "saliency")
        one, two = (explain(model, pictures(), 1, "saliency", output=n) for n in (0, 1))
        torch.testing.assert_close(2 * one, two)
        with pytest.raises(ValueError, match=r"output must be one of 0, 1.*got 7"):
            explain(model, pictures(), 1, "saliency", output=7)

    def test_the_class_is_predicted_from_the_chosen_output(self):
        model = wrapped(lambda y: {"a": y, "b": -y})
        best = int(dense_net()(pictures()).argmin())
        torch.testing.assert_close(
            explain(model, pictures(), None, "saliency", output="b"),
            explain(dense_net(), pictures(), best, "saliency"),
        )

    @pytest.mark.parametrize("nothing", [lambda y: None, lambda y: {}, lambda y: "text"])
    def test_an_output_without_a_tensor_is_refused(self, nothing):
        with pytest.raises((TypeError, ValueError), match="the model must return a tensor"):
            explain(wrapped(nothing), pictures(), 1, "saliency")

    @pytest.mark.parametrize(
        "method",
        [
            "saliency",
            "occlusion",
            "feature_ablation",
            "shapley_value_sampling",
            "lime",
            "deep_lift",
            "grad_cam",
            "segment_shap",
            "rise",
            "ig2",
        ],
    )
    def test_a_map_of_outputs_needs_a_target_of_one_number(self, method):
        torch.manual_seed(0)
        model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 5, 1)).eval()
        with pytest.raises(ValueError, match="target must select one output per example; 1 leaves"):
            explain(model, pictures(), 1, method)
        result = explain(model, pictures(), (1, 2, 3), method, checks=False, **short(method))
        assert result.shape == (1, 3, 8, 8)


class TestInputs:
    def test_whole_numbers_beside_a_picture_get_zeros_and_a_warning(self):
        model = calls(
            lambda m, x, n: m.a(x.flatten(1)) + m.e(n).sum(1),
            a=lambda: nn.Linear(192, 3),
            e=lambda: nn.Embedding(5, 3),
        )
        x, n = pictures(), torch.tensor([[1, 4]])
        for given in ((x, n), (x, n.int())):
            with pytest.warns(AttributionWarning, match="input 1 holds whole numbers"):
                image, none = explain(model, given, 1, "integrated_gradients")
            assert is_near(image.flatten(), model.a.weight[1].detach() * x.flatten())
            assert none.dtype == given[1].dtype and none.shape == n.shape and not none.any()

    def test_whole_numbers_before_a_picture_keep_their_place(self):
        model = calls(lambda m, n, x: m.a(x.flatten(1)) * n.float(), a=lambda: nn.Linear(192, 3))
        x, n = pictures(), torch.tensor([[2]])
        for method in ("saliency", "occlusion", "integrated_gradients"):
            (none, image), _ = told(lambda m=method: explain(model, (n, x), 1, m))
            assert not none.any() and bool(image.any())

    @pytest.mark.parametrize(
        "method", [name for name in SOME if name not in ("pda", "segment_shap", "grad_cam")]
    )
    def test_an_input_that_is_not_used_gets_zeros(self, method):
        model = calls(lambda m, x, t: m.net(x), net=dense_net)
        (image, none), _ = told(
            lambda: explain(model, (pictures(), torch.rand(1, 4)), 1, method, **short(method))
        )
        assert bool(image.any())
        if method not in ("kernel_shap",):
            assert not none.any()

    @pytest.mark.parametrize("shape", [(1, 16, 16, 3), (2, 9, 17, 3), (1, 224, 224, 3)])
    @pytest.mark.parametrize("method", ["rise", "saliency", None])
    def test_pictures_with_their_channels_last_are_refused(self, shape, method):
        model = calls(lambda m, x: x.mean((1, 2)))
        with pytest.raises(ValueError, match=r"inputs must have their channels first.*movedim"):
            explain(model, torch.zeros(shape), 0, method)

    @pytest.mark.parametrize("shape", [(1, 3, 8, 3), (1, 3, 3, 3), (1, 1, 5, 3), (2, 4, 6, 3)])
    def test_narrow_pictures_are_no_channels_last(self, shape):
        assert explain(nn.Flatten(), torch.rand(shape), 0, "saliency").shape == shape


LOW = {torch.bfloat16: 0.2, torch.float16: 0.05}


class TestPrecision:
    @pytest.mark.parametrize("dtype", LOW)
    @pytest.mark.parametrize("method", NAMES)
    @pytest.mark.parametrize("same", [True, False])
    def test_models_of_half_precision_give_finite_maps_or_one_clear_error(
        self, method, dtype, same
    ):
        model, x = softmax_net().to(dtype), pictures(1, 3, 12, 12)
        x = x.to(dtype) if same else x
        result, said = told(lambda: explain(model, x, 1, method, **short(method)))
        if result is None:
            assert len(said) == 1 and method in said[0] and len(said[0]) < 400, said
        else:
            assert result.dtype == x.dtype and bool(torch.isfinite(result).all())
