"""A toy method: the score, everywhere."""

from captum.attr import PerturbationAttribution
from captum.log import log_usage

from captum_ext.checks import check_inputs
from captum_ext.forward import Evaluator
from captum_ext.spec import MethodSpec
from captum_ext.targets import check_target


class ToyScore(PerturbationAttribution):
    """The score itself."""

    @log_usage()
    def attribute(self, inputs, target=None):
        tensors = check_inputs(inputs)
        check_target(target, tensors[0].shape[0])
        score = Evaluator(self.forward_func, target)(
            inputs, lambda examples, _: tuple(x[examples] for x in tensors), 1
        )
        result = tuple(
            score.reshape(-1, *[1] * (x.dim() - 1)).expand_as(x).to(x.dtype).clone()
            for x in tensors
        )
        return result if isinstance(inputs, tuple) else result[0]


SPECS = (
    MethodSpec("toy_score", "Toy score", "perturbation", "-", ToyScore),
    MethodSpec("toy_twin", "Toy twin", "perturbation", "-", ToyScore),
)
