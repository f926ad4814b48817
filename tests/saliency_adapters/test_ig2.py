import numpy as np
import pytest
import saliency.core as pair
import torch
from saliency.core.base import INPUT_OUTPUT_GRADIENTS
from torch import nn

from captum_ext.call_model import (
    REP_DISTANCE_GRADIENTS,
    REP_LAYER_VALUES,
    call_model_function,
)
from saliency_adapters import IG2, FromCaptum

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(4, 5, 3))


def numpy_model(x, call_model_args=None, expected_keys=None):
    """f = sum(w x), represented by x itself; one key at a time, as many functions have it."""
    (key,) = expected_keys
    if key == REP_LAYER_VALUES:
        return {key: x.reshape(len(x), -1)}
    if key == REP_DISTANCE_GRADIENTS:
        return {key: call_model_args["layer_baseline"].reshape(x.shape) - x}
    return {key: np.broadcast_to(WEIGHTS, x.shape)}


def published_call(golden):
    """As the authors' example has it: tensors out of the representation, the parameters' gradients
    computed along, the loss among the answers."""
    net = golden.net.net

    def call(images, call_model_args=None, expected_keys=None):
        x = torch.tensor(images).movedim(-1, 1).double().requires_grad_()
        representation = net[:6](x / golden.net.scale)
        if REP_LAYER_VALUES in expected_keys:
            return {REP_LAYER_VALUES: representation}
        if REP_DISTANCE_GRADIENTS in expected_keys:
            loss = -nn.functional.mse_loss(representation, call_model_args["layer_baseline"])
        else:
            loss = net[6](representation)[:, golden.target].sum()
        loss.backward()
        return {expected_keys[0]: x.grad.movedim(1, -1).numpy(), "loss": loss}

    return call


def our_call(golden):
    return call_model_function(golden.net, golden.target)


@pytest.mark.parametrize("function_of", [published_call, our_call])
def test_agrees_with_the_published_implementation(golden, function_of, capsys):
    function, arguments = function_of(golden), {}
    settings = (golden.steps, golden.step_size, golden.clip)
    mask, path = IG2().GetMask(
        golden.x, golden.references, function, arguments, *settings, return_path=True
    )
    golden.assert_agrees(mask, path)
    assert arguments == {}
    alone = IG2().Get_GradPath(golden.x, golden.references, function, None, *settings)
    repeated = np.repeat(golden.x[None], len(golden.references), axis=0)
    as_published = IG2().Get_GradPath(repeated, golden.references, function, None, *settings)
    np.testing.assert_array_equal(alone, path)
    np.testing.assert_array_equal(as_published, path)
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def image():
    return RNG.random((4, 5, 3))


@pytest.fixture
def references():
    return RNG.random((3, 4, 5, 3))


def test_both_orders_of_the_arguments_are_the_same_call(image, references):
    settings = {"steps": 5, "step_size": 0.1, "clip_min_max": [0, 1]}
    published = IG2().GetMask(image, references, numpy_model, **settings)
    calls = [
        IG2().GetMask(image, numpy_model, None, references, **settings),
        IG2().GetMask(image, numpy_model, baselines=references, **settings),
        IG2().GetMask(
            x_value=image, baselines=references, call_model_function=numpy_model, **settings
        ),
        IG2().GetMask(image, references, numpy_model, {}, 5, 0.1, [0, 1]),
        IG2().GetMask(image, references, numpy_model, {}, 5, 0.1, [0, 1], True)[0],
    ]
    for mask in calls:
        np.testing.assert_array_equal(mask, published)


def test_a_numpy_model_with_itself_as_representation_has_a_known_answer(image, references):
    distance = np.sqrt(((image - references) ** 2).sum((1, 2, 3)))
    mask = np.mean(
        [
            IG2().GetMask(image, reference[None], numpy_model, None, 10, length / 10, None)
            for reference, length in zip(references, distance, strict=True)
        ],
        axis=0,
    )
    np.testing.assert_allclose(mask, WEIGHTS * (image - references.mean(0)), atol=1e-12)


def test_the_mask_smooths_and_is_drawn_as_it_is(image, references):
    arguments = {"class": 3}
    smooth = IG2().GetSmoothedMask(
        image, numpy_model, arguments, nsamples=2, baselines=references, steps=4, step_size=0.1
    )
    assert arguments == {"class": 3}
    assert pair.VisualizeImageGrayscale(smooth).shape == (4, 5)
    assert pair.VisualizeImageDiverging(smooth).shape == (4, 5)


def test_a_reference_that_is_the_input_gives_zero(image):
    assert not IG2().GetMask(image, image[None], numpy_model, steps=5).any()


def test_the_function_sees_all_references_as_one_batch_and_the_callers_arguments(image, references):
    seen = []

    def call(x, call_model_args=None, expected_keys=None):
        seen.append((expected_keys, len(x), set(call_model_args)))
        return numpy_model(x, call_model_args, expected_keys)

    IG2().GetMask(image, references, call, {"mine": 1}, steps=1, step_size=0.1)
    # The function may know one key at a time only, so it is asked for one at a time.
    keys = [key for (key,), _, _ in seen]
    assert keys == [REP_LAYER_VALUES, REP_DISTANCE_GRADIENTS, INPUT_OUTPUT_GRADIENTS]
    assert all(count == 3 and "mine" in names for _, count, names in seen)


def test_a_function_may_write_into_what_it_is_given(image, references):
    def call(x, call_model_args=None, expected_keys=None):
        call_model_args["seen"] = True
        answer = numpy_model(x.copy(), call_model_args, expected_keys)
        x += 1
        return answer

    arguments, before = {}, image.copy()
    settings = {"steps": 3, "step_size": 0.1, "clip_min_max": None}
    mask = IG2().GetMask(image, references, call, arguments, **settings)
    assert arguments == {}
    np.testing.assert_array_equal(image, before)
    expected = IG2().GetMask(image, references, numpy_model, **settings)
    np.testing.assert_allclose(mask, expected)


@pytest.mark.parametrize("key", [REP_LAYER_VALUES, REP_DISTANCE_GRADIENTS, INPUT_OUTPUT_GRADIENTS])
def test_an_answer_that_is_not_finite_is_named(image, references, key):
    def call(x, call_model_args=None, expected_keys=None):
        answer = numpy_model(x, call_model_args, expected_keys)
        return {name: value * np.nan if name == key else value for name, value in answer.items()}

    with pytest.raises(ValueError, match=f"must answer {key} with finite values"):
        IG2().GetMask(image, references, call, steps=2)


def test_a_path_starts_from_one_input(image, references):
    for rows in (np.stack([image] * 4), np.stack([image, image / 2, image])):
        with pytest.raises(ValueError, match="x_value must be one input, or the same one for each"):
            IG2().Get_GradPath(rows, references, numpy_model)


def test_bytes_and_flat_arrays_are_accepted(references):
    def flat(x, call_model_args=None, expected_keys=None):
        return numpy_model(x.reshape(-1, 4, 5, 3), call_model_args, expected_keys) | {
            INPUT_OUTPUT_GRADIENTS: np.broadcast_to(WEIGHTS.reshape(-1), x.shape),
            REP_DISTANCE_GRADIENTS: np.ones_like(x),
        }

    x = RNG.integers(0, 255, 60).astype(np.uint8)
    assert IG2().GetMask(x, references.reshape(3, -1), flat, steps=2).shape == (60,)


def test_captums_class_runs_on_a_function_made_from_a_module(image, references):
    model = nn.Sequential(nn.Flatten(), nn.Linear(60, 6), nn.ReLU(), nn.Linear(6, 2)).double()
    mask = FromCaptum("ig2", baselines=references, n_steps=5, step_size=0.1).GetMask(
        image, call_model_function(model, 1)
    )
    ours = IG2().GetMask(image, references, call_model_function(model, 1), None, 5, 0.1, None)
    np.testing.assert_allclose(mask, ours, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"baselines": np.zeros((2, 4, 5))}, r"references \[R, 4, 5, 3\].*got shape \(2, 4, 5\)"),
        ({"baselines": np.zeros((0, 4, 5, 3))}, "at least one reference"),
        ({"baselines": np.full((1, 4, 5, 3), np.nan)}, "baselines must be finite"),
        ({"baselines": None}, "needs baselines"),
        ({"steps": 0}, "steps must be at least 1; got 0"),
        ({"step_size": -1}, "step_size must be above 0; got -1"),
        ({"clip_min_max": [255, 0]}, "clip_min_max must be .*the lower one first"),
        ({"call_model_args": "airplane"}, "call_model_args must be a dict or None; got str"),
        ({"call_model_function": 3}, "call_model_function must be a function; got int"),
        ({"stepz": 3}, "unexpected keyword argument 'stepz'"),
    ],
)
def test_bad_arguments_are_refused(image, references, change, message):
    def never(*args, **kwargs):
        raise AssertionError("the model ran")

    arguments = {"baselines": references, "call_model_function": never} | change
    with pytest.raises((TypeError, ValueError), match=message):
        IG2().GetMask(image, **arguments)


@pytest.mark.parametrize("key", [REP_LAYER_VALUES, REP_DISTANCE_GRADIENTS, INPUT_OUTPUT_GRADIENTS])
def test_a_key_that_is_not_answered_or_of_a_wrong_shape_is_named(image, references, key):
    def lacking(x, call_model_args=None, expected_keys=None):
        answer = numpy_model(x, call_model_args, expected_keys)
        return {name: value for name, value in answer.items() if name != key}

    def misshapen(x, call_model_args=None, expected_keys=None):
        answer = numpy_model(x, call_model_args, expected_keys)
        return {name: value[:-1] if name == key else value for name, value in answer.items()}

    with pytest.raises(ValueError, match=f"must answer {key}; it answered nothing"):
        IG2().GetMask(image, references, lacking)
    with pytest.raises(ValueError, match=rf"must answer {key} with .*got (shape )?\(2, "):
        IG2().GetMask(image, references, misshapen)
