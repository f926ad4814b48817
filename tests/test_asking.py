"""ask(): one answer for each request, whatever happens."""

import pytest
import torch
from captum.attr import Attribution, Saliency
from torch import nn

from captum_ext import MethodSpec, explain, get_method, load_model
from captum_ext.asking import NOISE, NOT_FINITE, ZERO, Request, ask
from captum_ext.exam import make_model
from captum_ext.forward import Passes, Remembered
from captum_ext.outputs import with_output
from captum_ext.pictures import explain_picture


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(48, 8), nn.ReLU(), nn.Linear(8, 3)).eval()


@pytest.fixture
def image():
    return torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))


def spec_of(result):
    class Fixed(Attribution):
        def attribute(self, inputs, target=None):
            return result(inputs)

    return MethodSpec("fixed", "Fixed", "perturbation", "-", Fixed)


def test_an_answer_is_what_explain_gives(model, image):
    answer = ask(get_method("occlusion"), model, image, Request(target=2))
    torch.testing.assert_close(answer.heat, explain(model, image, 2, "occlusion"))
    assert not answer.error and answer.applies and not answer.remark


def test_what_comes_beside_the_heat_map_stays_beside_it(model, image):
    request = Request(target=1, settings={"return_convergence_delta": True})
    answer = ask(get_method("image_ig"), model, image, request)
    assert answer.heat.shape == image.shape
    (delta,) = answer.beside
    assert float(delta.abs().max()) < 0.1


def test_several_inputs_have_a_heat_map_each(image):
    class Sum(nn.Module):
        def forward(self, x, y):
            return x.flatten(1) + y.flatten(1)

    pair = (image, 2 * image)
    answer = ask(get_method("integrated_gradients"), Sum(), pair, Request(target=0))
    assert [heat.shape for heat in answer.heat] == [image.shape] * 2 and answer.beside == ()
    request = Request(target=0, settings={"return_convergence_delta": True})
    answer = ask(get_method("integrated_gradients"), Sum(), pair, request)
    assert len(answer.heat) == 2 and len(answer.beside) == 1


def test_a_failure_is_an_answer(model, image):
    def fail(inputs):
        raise RuntimeError("out of\nluck")

    answer = ask(spec_of(fail), model, image, Request(target=0))
    assert (answer.heat, answer.error, answer.remark) == (None, "out of luck", "out of luck")
    assert isinstance(answer.exception, RuntimeError) and "fail" in answer.traceback
    assert answer.applies and answer.seconds > 0


def test_a_method_that_does_not_apply_says_why_and_does_not_run(model, image):
    answer = ask(get_method("grad_cam"), model, image, Request(target=0))
    assert not answer.applies and "no convolution" in answer.error
    assert answer.passes == Passes(0, 0)
    large = torch.rand(1, 3, 40, 40)
    request = Request(target=0, resolution="pixel")
    answer = ask(get_method("kernel_shap"), nn.Flatten(), large, request)
    assert not answer.applies and "does not scale to 4800 features" in answer.error


def test_odd_attributions_are_remarked_on_or_refused(model, image):
    zero = ask(spec_of(torch.zeros_like), model, image, Request(target=0))
    assert zero.remarks == [ZERO] and zero.heat is not None
    broken = ask(spec_of(lambda x: x / 0), model, image, Request(target=0))
    assert broken.error == NOT_FINITE and broken.heat is None and broken.exception is None
    noise = ask(get_method("gradient_shap"), model, image, Request(target=0))
    assert NOISE in noise.remarks


def test_lists_are_tuples_and_a_window_may_be_one_number(model, image):
    wanted = explain(
        model, image, 0, "occlusion", sliding_window_shapes=(3, 2, 2), strides=(3, 1, 1)
    )
    for window, stride in (([3, 2, 2], [3, 1, 1]), (2, 1)):
        settings = {"sliding_window_shapes": window, "strides": stride}
        answer = ask(get_method("occlusion"), model, image, Request(target=0, settings=settings))
        torch.testing.assert_close(answer.heat, wanted)
    with pytest.raises(ValueError, match="sliding_window_shapes must be one number, 2"):
        explain(model, image, 0, "occlusion", sliding_window_shapes=[1] * 5)


def test_which_output_is_explained_follows_from_the_method(model):
    assert with_output(get_method("occlusion"), model, "auto")[1] == "probability"
    assert with_output(get_method("saliency"), model, "auto") == (model, "logit")
    assert with_output(get_method("saliency"), model, "auto", outputs="probabilities") == (
        model,
        "probability",
    )
    exam = make_model("center_pixel", size=5)
    assert with_output(get_method("occlusion"), exam, "auto") == (exam, "probability")
    assert with_output(get_method("lrp_z"), exam, "auto")[1] == "logit"


def test_passes_count_what_was_asked_and_what_was_computed(model, image):
    shared = Remembered(model)
    request = Request(target=0, output="probability")
    first = ask(get_method("occlusion"), model, image, request, shared)
    again = ask(get_method("occlusion"), model, image, request, shared)
    assert first.passes == again.passes and first.computed == first.passes
    assert again.computed.forward == 0
    torch.testing.assert_close(first.heat, again.heat, rtol=0, atol=0)


def test_a_method_that_returns_a_tuple_does_not_take_the_others_with_it():
    network = nn.Sequential(nn.Conv2d(3, 4, 8, 8), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    explained = explain_picture(
        load_model(network, size=32),
        "coffee",
        ["saliency", "image_ig"],
        top=1,
        arguments={"return_convergence_delta": True},
    )
    assert [each.problem for each in explained.answers] == ["", ""]
    assert all(each.attribution.shape == (3, 32, 32) for each in explained.answers)


def test_a_class_that_is_not_registered_can_be_asked(model, image):
    spec = MethodSpec("plain", "Plain", "gradient", "-", Saliency)
    assert ask(spec, model, image, Request(target=0)).heat is not None
