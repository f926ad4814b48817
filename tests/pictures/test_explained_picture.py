import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from captum_ext import explain, load_model
from captum_ext.pictures import explain_picture, save_explanation


def test_the_top_classes_are_explained_by_each_method(model, picture):
    explained = explain_picture(model, picture, ["saliency", "occlusion"], top=2)
    assert [about.label for about in explained.classes] == ["green", "red, rouge"]
    assert [(a.method.name, a.about.index) for a in explained.answers] == [
        *(("saliency", 1), ("occlusion", 1)),
        *(("saliency", 0), ("occlusion", 0)),
    ]
    logits = model(model.see(picture))[0].detach()
    top = explained.classes[0]
    assert top.logit == pytest.approx(float(logits[1]))
    assert top.probability == pytest.approx(float(logits.softmax(0)[1]))


def test_targets_go_by_name_or_number(model, picture):
    explained = explain_picture(model, picture, "saliency", targets=["Blue", 0])
    assert [about.index for about in explained.classes] == [2, 0]


def test_an_answer_is_what_explain_gives(model, picture):
    explained = explain_picture(model, picture, ["image_ig", "rise"], top=1, generator=3)
    gradients, samples = explained.answers
    seen = model.see(picture)
    torch.testing.assert_close(gradients.attribution[None], explain(model, seen, 1, "image_ig"))
    probability = nn.Sequential(model, nn.Softmax(1)).eval()
    expected = explain(probability, seen, 1, "rise", generator=3)
    torch.testing.assert_close(samples.attribution[None], expected)
    assert (gradients.output, samples.output) == ("logit", "probability")


def test_three_classes_cost_a_perturbation_method_as_much_as_one(model, picture):
    explained = explain_picture(model, picture, ["occlusion", "segment_lime"], top=3)
    by_method = {}
    for answer in explained.answers:
        by_method.setdefault(answer.method.name, []).append(answer.passes.forward)
    for passes in by_method.values():
        assert passes[0] > 0 and passes[1:] == [0, 0]


def test_an_answer_from_memory_is_that_of_the_model(model, picture):
    explained = explain_picture(model, picture, "segment_lime", top=3)
    for about, answer in zip(explained.classes, explained.answers, strict=True):
        (alone,) = explain_picture(model, picture, "segment_lime", targets=[about.index]).answers
        assert torch.equal(alone.attribution, answer.attribution)


def test_the_output_can_be_chosen(model, picture):
    for output in ("logit", "probability"):
        explained = explain_picture(model, picture, ["saliency", "occlusion"], output=output)
        assert {answer.output for answer in explained.answers} == {output}
    explained = explain_picture(model, picture, "pda", output="logit", top=1)
    assert explained.answers[0].output == "probability"


def test_a_model_that_gives_probabilities_has_no_logits(model, picture):
    sure = load_model(nn.Sequential(model, nn.Softmax(1)), mean=(0,) * 3, std=(1,) * 3, size=32)
    explained = explain_picture(sure, picture, ["pda", "saliency"], top=1)
    assert math.isnan(explained.classes[0].logit)
    assert [answer.problem for answer in explained.answers] == ["", ""]
    assert {answer.output for answer in explained.answers} == {"probability"}


def test_a_method_that_does_not_work_is_an_answer_with_a_reason(model, picture):
    explained = explain_picture(model, picture, ["guided_backprop", "saliency"], top=1)
    failed, fine = explained.answers
    assert failed.attribution is None and "it needs ReLU layers" in failed.problem
    assert fine.attribution is not None
    with pytest.raises(ValueError, match="answer must have an attribution"):
        explained.overlay(failed)


def test_a_map_of_zeros_is_remarked_upon(model, picture):
    with torch.no_grad():
        model.model.colors.weight[1] = 0
    explained = explain_picture(model, picture, "occlusion", targets=["green"], output="logit")
    assert explained.answers[0].remark == "zero everywhere"
    others = explain_picture(model, picture, "occlusion", top=1).answers
    assert others[0].remark == "the same everywhere"  # red is, too


def test_no_method_that_works_is_an_error(model, picture):
    calls = model.model.calls
    with pytest.raises(ValueError, match="it needs ReLU layers"):
        explain_picture(model, picture, ["guided_backprop", "deconvolution"])
    assert model.model.calls <= calls + 3


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"baseline": "black"}, TypeError, "baseline is not taken by saliency, rise"),
        ({"references": torch.rand(2, 3, 32, 32)}, TypeError, "references is not taken by"),
        ({"layer": "colors"}, TypeError, "layer is not taken by"),
        ({"arguments": {"n_steps": 3}}, TypeError, "n_steps is not taken by"),
        ({"layer": "colours"}, ValueError, "unknown layer 'colours'; did you mean 'colors'"),
        ({"output": "logits"}, ValueError, "unknown output 'logits'; did you mean 'logit'"),
        ({"targets": ["grün"]}, ValueError, "unknown target 'grün'"),
        ({"targets": [7]}, ValueError, "target must be below 3; got 7"),
        ({"top": 0}, ValueError, "top must be at least 1; got 0"),
    ],
)
def test_what_no_method_takes_is_refused(model, picture, settings, error, message):
    with pytest.raises(error, match=message):
        explain_picture(model, picture, ["saliency", "rise"], **settings)


def test_a_baseline_goes_to_the_methods_that_have_one(model, picture):
    explained = explain_picture(
        model, picture, ["saliency", "occlusion", "image_ig"], top=1, baseline="white"
    )
    seen = model.see(picture)
    expected = explain(model, seen, 1, "image_ig", baselines=torch.ones_like(seen))
    torch.testing.assert_close(explained.answers[2].attribution[None], expected)
    assert not any(answer.problem for answer in explained.answers)


def test_references_go_to_the_methods_that_compare_with_them(model, picture):
    references = torch.rand(3, 3, 32, 32)
    explained = explain_picture(
        model, picture, ["gradient_shap", "saliency"], top=1, references=references
    )
    expected = explain(model, model.see(picture), 1, "gradient_shap", references=references)
    torch.testing.assert_close(explained.answers[0].attribution[None], expected)


def test_the_overlay_lights_up_where_the_class_is(model, picture):
    explained = explain_picture(model, picture, "input_x_gradient", targets=["green"])
    painted = explained.overlay(explained.answers[0], alpha=1.0)
    assert painted.shape == picture.shape
    red = painted[0] - painted[2]
    # The view is cut: 64 x 64 of 64 x 96 in the middle; the square lies at its center.
    assert explained.seen == (0, 64, 16, 80)
    assert red[28:36, 44:52].min() > 0.3 and red[:16, 20:30].max() < 0


def test_the_models_mode_and_parameters_are_left_alone(model, picture):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    explain_picture(model, picture, ["image_ig", "rise", "grad_cam"], top=1)
    assert not model.training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module._forward_hooks for module in model.modules())


def test_files_hold_what_was_found(model, picture, tmp_path):
    explained = explain_picture(
        model, picture, ["occlusion", "guided_backprop"], top=2, name="square"
    )
    written = save_explanation(explained, tmp_path / "out", settings={"seed": 5}, alpha=0.4)
    assert sorted(path.name for path in written) == [
        "explanation.json",
        "figure.png",
        "occlusion_0_red.npy",
        "occlusion_0_red.png",
        "occlusion_1_green.npy",
        "occlusion_1_green.png",
    ]
    assert Image.open(tmp_path / "out" / "occlusion_1_green.png").size == (96, 64)
    stored = np.load(tmp_path / "out" / "occlusion_1_green.npy")
    np.testing.assert_array_equal(stored, explained.answers[0].attribution.numpy())
    facts = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert facts["settings"]["seed"] == 5 and facts["settings"]["alpha"] == 0.4
    assert facts["versions"]["captum_ext"]
    assert facts["picture"]["seen"] == {"top": 0, "bottom": 64, "left": 16, "right": 80}
    assert [about["label"] for about in facts["classes"]] == ["green", "red, rouge"]
    first, failed, *_ = facts["answers"]
    assert first["forward"] > 0 and first["files"] == "occlusion_1_green"
    assert failed["files"] is None and "ReLU" in failed["remark"]


def test_only_pictures_and_classifiers_do(model, picture):
    with pytest.raises(TypeError, match="model must be of load_model"):
        explain_picture(nn.Identity(), picture)
    with pytest.raises(ValueError, match=r"'nowhere\.png' does not exist"):
        explain_picture(model, "nowhere.png")


def test_a_setting_named_as_a_part_of_a_request_is_not_taken_either(model, picture):
    with pytest.raises(TypeError, match="seed is not taken by saliency"):
        explain_picture(model, picture, "saliency", arguments={"seed": 3})


def test_a_figure_shows_the_checks_that_fail(model, picture):
    with torch.no_grad():
        model.model.colors.weight[1] = 0
    explained = explain_picture(model, picture, ["occlusion", "saliency"], targets=["green"])
    texts = [[text.get_text() for text in axes.texts] for axes in explained.figure().axes]
    assert ["zero everywhere"] in texts
    strict = explain_picture(model, picture, "saliency", targets=["green"], strict=True)
    assert "zero everywhere" in strict.answers[0].problem
