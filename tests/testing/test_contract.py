"""The contract holds for every registered method, and catches methods that break it."""

import dataclasses

import numpy as np
import pytest
import torch
from captum.attr import PerturbationAttribution, Saliency
from captum.log import log_usage

import captum_ext
from captum_ext.checks import check_inputs
from captum_ext.forward import Evaluator
from captum_ext.spec import MethodSpec
from captum_ext.targets import check_target
from captum_ext.testing import check_attribution
from captum_ext.testing.checks import CHECKS


@pytest.mark.parametrize("spec", captum_ext.methods(), ids=lambda spec: spec.name)
def test_every_registered_method_passes_or_is_listed_with_its_reason(spec):
    check_attribution(spec).raise_if_failed()


class Good(PerturbationAttribution):
    """The score itself, at every value that the model looks at: passes the whole contract."""

    @log_usage()
    def attribute(self, inputs, target=None, additional_forward_args=None):
        tensors = check_inputs(inputs)
        check_target(target, tensors[0].shape[0])
        evaluator = Evaluator(self.forward_func, target, additional_forward_args)
        score = evaluator(inputs, lambda examples, _: tuple(x[examples] for x in tensors), 1)
        result = tuple(
            score.reshape(-1, *[1] * (x.dim() - 1)).expand_as(x).to(x.dtype).clone()
            for x in tensors
        )
        return result if isinstance(inputs, tuple) else result[0]


class Float32(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        result = super().attribute.__wrapped__(self, inputs, target)
        return result.float() if isinstance(result, torch.Tensor) else result


class ForgetsTuples(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        result = super().attribute.__wrapped__(self, inputs, target)
        return result[0] if isinstance(result, tuple) else result


class IgnoresTarget(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        return super().attribute.__wrapped__(self, inputs, None if target is None else 1)


class MixesExamples(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        result = super().attribute.__wrapped__(self, inputs, target)
        return result - result.mean(0) if isinstance(result, torch.Tensor) else result


class BatchSizeMatters(Good):
    @log_usage()
    def attribute(self, inputs, target=None, perturbations_per_eval=1):
        result = super().attribute.__wrapped__(self, inputs, target)
        return result * perturbations_per_eval if isinstance(result, torch.Tensor) else result


class DrawsGlobally(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        np.random.rand()
        return super().attribute.__wrapped__(self, inputs, target)


class NeverTheSame(Good):
    calls = 0

    @log_usage()
    def attribute(self, inputs, target=None):
        NeverTheSame.calls += 1
        result = super().attribute.__wrapped__(self, inputs, target)
        return result + NeverTheSame.calls if isinstance(result, torch.Tensor) else result


class WritesInputs(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        result = super().attribute.__wrapped__(self, inputs, target)
        if isinstance(inputs, torch.Tensor):
            inputs.data.clamp_(max=0.5)
        return result


class LeavesGradients(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        if isinstance(inputs, torch.Tensor):
            self.forward_func(inputs).sum().backward()
        return super().attribute.__wrapped__(self, inputs, target)


class ZeroesGradients(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        if isinstance(self.forward_func, torch.nn.Module):
            self.forward_func.zero_grad()
        return super().attribute.__wrapped__(self, inputs, target)


class ForgetsInputGradient(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        if isinstance(inputs, torch.Tensor):
            inputs.grad = None
        return super().attribute.__wrapped__(self, inputs, target)


class WritesBuffers(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        if isinstance(self.forward_func, torch.nn.Module):
            for buffer in self.forward_func.buffers():
                buffer.add_(1)
        return super().attribute.__wrapped__(self, inputs, target)


class IgnoresSecondInput(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        result = super().attribute.__wrapped__(self, inputs, target)
        return (result[0], 0 * result[1]) if isinstance(result, tuple) else result


class WrongOneByOne(Good):
    @log_usage()
    def attribute(self, inputs, target=None, perturbations_per_eval=1):
        result = super().attribute.__wrapped__(self, inputs, target)
        return result + 1 if perturbations_per_eval == 1 else result


class SwitchesMode(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        if isinstance(self.forward_func, torch.nn.Module):
            self.forward_func.eval()
        return super().attribute.__wrapped__(self, inputs, target)


class KeepsGraph(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        result = super().attribute.__wrapped__(self, inputs, target)
        return result + 0 * inputs if isinstance(inputs, torch.Tensor) else result


class AssumesLayout(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        if isinstance(inputs, torch.Tensor):
            inputs.view(-1)
        return super().attribute.__wrapped__(self, inputs, target)


class NeedsModule(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        next(self.forward_func.parameters())
        return super().attribute.__wrapped__(self, inputs, target)


class Undecorated(Good):
    def attribute(self, inputs, target=None):
        return Good.attribute.__wrapped__(self, inputs, target)


class HoldsFunction(Good):
    def __init__(self, forward_func):
        super().__init__(forward_func)
        self.local = lambda: None


class ChecksNothing(Good):
    @log_usage()
    def attribute(self, inputs, target=None):
        first = inputs[0] if isinstance(inputs, tuple) else inputs
        with torch.no_grad():
            args = inputs if isinstance(inputs, tuple) else (inputs,)
            self.forward_func(*(x[: first.shape[0] - 1] for x in args))
        return torch.zeros_like(first)


def spec_of(method, **settings):
    return MethodSpec(
        method.__name__.lower(), method.__name__, "perturbation", "-", method, **settings
    )


def test_a_good_method_passes_every_check():
    report = check_attribution(spec_of(Good))
    assert {result.status for result in report.results} <= {"passed", "skipped"}, str(report)


@pytest.mark.parametrize(
    ("method", "check"),
    [
        (Float32, "shape_dtype_device"),
        (ForgetsTuples, "tuple_inputs"),
        (IgnoresTarget, "target_forms"),
        (MixesExamples, "batch_mates"),
        (BatchSizeMatters, "batch_size"),
        (DrawsGlobally, "random_state"),
        (NeverTheSame, "same_seed"),
        (WritesInputs, "inputs_untouched"),
        (LeavesGradients, "model_untouched"),
        (SwitchesMode, "model_untouched"),
        (ZeroesGradients, "model_untouched"),
        (WritesBuffers, "model_untouched"),
        (ForgetsInputGradient, "inputs_untouched"),
        (IgnoresSecondInput, "tuple_inputs"),
        (WrongOneByOne, "batch_size"),
        (KeepsGraph, "no_graph"),
        (AssumesLayout, "memory_layouts"),
        (NeedsModule, "plain_function"),
        (Undecorated, "noise_tunnel"),
        (HoldsFunction, "copy_and_pickle"),
        (ChecksNothing, "rejects_bad_target"),
        (ChecksNothing, "rejects_misaligned"),
        (ChecksNothing, "rejects_non_finite"),
    ],
)
def test_a_bad_method_is_caught_by_the_check_that_is_meant_for_it(method, check):
    report = check_attribution(spec_of(method))
    assert check in [result.check for result in report.failures], str(report)
    with pytest.raises(AssertionError, match=check):
        report.raise_if_failed()


def test_a_seed_that_changes_nothing_is_caught():
    report = check_attribution(spec_of(Good, stochastic=True))
    assert [result.check for result in report.failures] == ["other_seed"]


def test_a_broken_promise_of_zero_is_caught():
    report = check_attribution(spec_of(Good, promises_dummy=True))
    assert [result.check for result in report.failures] == ["dummy"]


def test_a_stale_deviation_is_a_failure():
    spec = dataclasses.replace(captum_ext.get_method("saliency"), deviations={"no_graph": "once"})
    assert [result.check for result in check_attribution(spec).failures] == ["no_graph"]


@pytest.mark.parametrize("name", ["lrp_z", "lrp_alpha2_beta1", "grad_cam"])
def test_our_classes_behind_built_in_names_pass_as_ours(name):
    spec = dataclasses.replace(captum_ext.get_method(name), origin="captum_ext")
    report = check_attribution(spec)
    report.raise_if_failed()
    assert "recorded" not in {result.status for result in report.results}


def test_what_a_built_in_does_with_bad_input_is_recorded():
    results = {r.check: r for r in check_attribution("saliency").results}
    assert results["rejects_non_finite"].status == "recorded"
    assert "accepts inputs" in results["rejects_non_finite"].detail


def test_a_bare_attribution_class_can_be_checked_and_the_report_is_a_table():
    report = check_attribution(Saliency)
    lines = str(report).splitlines()
    assert lines[0] == "saliency"
    assert [line.split()[0] for line in lines[1:]] == list(CHECKS)
