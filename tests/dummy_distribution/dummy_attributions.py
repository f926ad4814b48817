"""A third party's methods, metric and exam model, to be found by their entry points."""

from captum.attr import PerturbationAttribution, Saliency

from captum_ext import MethodSpec
from captum_ext.exam import AdditiveModel
from captum_ext.registry import ExamModelSpec, MetricSpec


class DummyAttribution(PerturbationAttribution):
    """Ones."""

    def attribute(self, inputs, target=None):
        return inputs * 0 + 1


class DummyModel(AdditiveModel):
    """A sum."""


def dummy_metric(forward_func, inputs, attributions, target=None, *, mask, factor=2.0):
    """The object's part of the map.

    Args:
        factor: that it is multiplied by. Any will do.
    """
    return factor * (attributions * mask).sum((1, 2, 3))


SPEC = MethodSpec(
    "dummy", "Dummy", "perturbation", "nobody", DummyAttribution, origin="dummy-attributions"
)
SPECS = (
    MethodSpec("second_dummy", "Second", "gradient", "-", Saliency, origin="dummy-attributions"),
    MethodSpec("smoothgrad", "Taken too", "gradient", "-", Saliency, origin="dummy-attributions"),
    MethodSpec("saliency", "Taken", "gradient", "-", Saliency, origin="dummy-attributions"),
)
METRICS = (
    MetricSpec(
        "dummy_metric", "Dummy metric", "higher", "what is there", dummy_metric, needs={"mask"}
    ),
    MetricSpec("gini", "Taken", "none", "another", dummy_metric),
)
EXAM_MODEL = ExamModelSpec(
    "dummy_model", "Dummy model", "a sum", DummyModel, origin="dummy-attributions"
)
NOT_A_SPEC = 7
