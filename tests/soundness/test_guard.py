"""Models that methods see through a guard, or without their compiler."""

import warnings

import pytest
import torch
from torch import nn

from captum_ext import explain
from captum_ext.soundness import eager, guarded, observe
from captum_ext.soundness.guard import GuardedModel
from tests.soundness.example_models import calls, conv_net, dense_net, is_near, pictures, told

METHODS = ["saliency", "guided_backprop", "deep_lift", "lrp_z", "occlusion", "image_ig"]


def compiled(model):
    return torch.compile(model, backend="eager")


class TestGuard:
    def test_a_sound_model_has_none(self):
        model = conv_net()
        assert guarded(model, observe(model, pictures())) is model

    def test_a_change_in_place_reaches_a_copy(self):
        model = calls(lambda m, x: x.sub_(0.5))
        x = torch.ones(1, 2)
        guard = guarded(model, observe(model, x))
        assert guard(x).tolist() == [[0.5, 0.5]] and x.tolist() == [[1, 1]]

    def test_gradients_pass_a_guard(self):
        model = calls(lambda m, x, y: (x.mul_(3), None))
        x, y = torch.ones(1, 2, requires_grad=True), torch.ones(1, 2, requires_grad=True)
        guard = guarded(model, observe(model, (x, y)))
        of_x, of_y = torch.autograd.grad(guard(x, y).sum(), (x, y))
        assert of_x.tolist() == [[3, 3]] and of_y.tolist() == [[0, 0]]

    def test_arguments_come_back_in_the_order_of_the_model(self):
        guard = GuardedModel(lambda a, b, c, d: torch.cat([a, b, c, d]), order=(2, 0, 1))
        given = [torch.full((1,), value) for value in (2.0, 0.0, 1.0, 3.0)]
        assert guard(*given).tolist() == [0, 1, 2, 3]

    def test_modes_and_modules_are_those_of_the_model(self):
        model = conv_net().train()
        guard = GuardedModel(model)
        assert guard.training and model[0] in set(guard.modules()) and guard.name == "Sequential"
        assert not GuardedModel(conv_net()).training
        assert list(GuardedModel(torch.relu).modules())[1:] == []

    @pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
    def test_inputs_are_given_in_the_dtype_of_a_model_of_half_precision(self, dtype):
        model = dense_net().to(dtype)
        guard = guarded(model, observe(model, pictures()))
        assert guard(pictures()).dtype is dtype
        whole = torch.ones(1, 192).long()
        assert GuardedModel(lambda x: x, dtype=dtype)(whole) is whole


class TestCompiledModels:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("used_before", [False, True])
    def test_a_compiled_model_is_explained_as_the_model(self, method, used_before):
        net, x = dense_net(), pictures()
        model = compiled(net)
        if used_before:
            model(x.clone().requires_grad_())
        want = explain(net, x, 1, method)
        result, said = told(lambda: explain(model, x, 1, method))
        assert said or is_near(result, want)

    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("place", ["body", "ReLU", "method"])
    def test_a_compiled_submodule_is_seen_through(self, method, place):
        def net():
            return nn.Sequential(dense_net(nn.ReLU(), n_classes=8), nn.ReLU(), nn.Linear(8, 3))

        torch.manual_seed(1)
        plain = net().eval()
        model = net().eval()
        model.load_state_dict(plain.state_dict())
        if place == "body":
            model[0] = compiled(model[0])
        elif place == "ReLU":
            model[1] = compiled(model[1])
        else:
            model[0].compile(backend="eager")
        x = pictures()
        model(x.clone().requires_grad_())
        want = explain(plain, x, 1, method)
        result, said = told(lambda: explain(model, x, 1, method))
        assert said or is_near(result, want)

    def test_grad_cam_finds_the_layer_of_a_compiled_model(self):
        net = conv_net(nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
        want = explain(net, pictures(), 1, "grad_cam")
        torch.testing.assert_close(explain(compiled(net), pictures(), 1, "grad_cam"), want)
        inner = nn.Sequential(compiled(net))
        result, said = told(lambda: explain(inner, pictures(), 1, "grad_cam"))
        assert said or is_near(result, want)

    def test_the_compiler_is_as_it_was(self):
        # Dynamo compiles a code object anew only so many times.
        torch._dynamo.reset()
        runs = []

        def backend(module, inputs):
            runs.append(1)
            return module.forward

        model = torch.compile(dense_net(), backend=backend)
        explain(model, pictures(), 1, "guided_backprop")
        seen = len(runs)
        model(pictures())
        assert len(runs) == seen + 1

    def test_the_wrapper_is_taken_off(self):
        net = dense_net()
        assert eager(compiled(net)) is net
        assert eager(net) is net and eager(torch.relu) is torch.relu


class TestScriptedModels:
    @staticmethod
    def scripted(net, way):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if way == "traced":
                return torch.jit.trace(net, pictures())
            if way == "scripted":
                return torch.jit.script(net)
            return nn.Sequential(torch.jit.script(net))

    @pytest.mark.parametrize("way", ["traced", "scripted", "inside"])
    @pytest.mark.parametrize(
        "method", ["guided_backprop", "deconvolution", "deep_lift", "lrp_z", "grad_cam"]
    )
    def test_methods_that_hook_layers_refuse_it(self, way, method):
        model = self.scripted(conv_net(), way)
        with pytest.raises(ValueError, match="scripted, and hooks do not see its layers"):
            explain(model, pictures(), 1, method)

    @pytest.mark.parametrize("way", ["traced", "scripted", "inside"])
    @pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "occlusion", "rise"])
    def test_other_methods_explain_it_as_the_module(self, way, method):
        settings = {"n_samples": 20} if method == "rise" else {}
        want = explain(conv_net(), pictures(), 1, method, **settings)
        model = self.scripted(conv_net(), way)
        torch.testing.assert_close(explain(model, pictures(), 1, method, **settings), want)
