"""A third party's methods, to be found by their entry points."""

from captum.attr import PerturbationAttribution, Saliency

from captum_ext import MethodSpec


class DummyAttribution(PerturbationAttribution):
    """Ones."""

    def attribute(self, inputs, target=None):
        return inputs * 0 + 1


SPEC = MethodSpec(
    "dummy", "Dummy", "perturbation", "nobody", DummyAttribution, origin="dummy-attributions"
)
SPECS = (
    MethodSpec("second_dummy", "Second", "gradient", "-", Saliency, origin="dummy-attributions"),
    MethodSpec("smoothgrad", "Taken too", "gradient", "-", Saliency, origin="dummy-attributions"),
    MethodSpec("saliency", "Taken", "gradient", "-", Saliency, origin="dummy-attributions"),
)
NOT_A_SPEC = 7
