"""A toy path method: integrated gradients from black, on the shared integrator."""

import torch
from captum.attr import GradientAttribution
from captum.log import log_usage

from captum_ext.attribution_mixin import AttributionMixin
from captum_ext.forward import Evaluator
from captum_ext.path import PathView, integrate
from captum_ext.spec import MethodSpec, Need
from captum_ext.targets import check_call


class ToyPath(AttributionMixin, GradientAttribution):
    @log_usage()
    def attribute(self, inputs, target=None, additional_forward_args=None, n_steps=20):
        tensors = check_call(inputs, target, additional_forward_args)
        line = Line(tensors, n_steps, Evaluator(self.forward_func, target, additional_forward_args))
        return integrate(line, tensors, 1, n_steps, batch_size=8).as_returned(inputs)


class Line:
    def __init__(self, inputs, n_steps, evaluator):
        self.inputs, self.n_steps, self.evaluator = inputs, n_steps, evaluator

    def start(self, paths):
        return tuple(torch.zeros_like(x[paths]) for x in self.inputs)

    def look(self, points, paths):
        return PathView(self.evaluator.gradients(points, paths))

    def move(self, points, view, paths, step):
        return tuple((step + 1) / self.n_steps * x[paths] for x in self.inputs)

    def finished(self, still, paths):
        return still


SPEC = MethodSpec("toy_path", "Toy path", "path", "-", ToyPath, frozenset({Need.GRADIENTS}))
