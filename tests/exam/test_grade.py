import math

import pytest
import torch
from captum.attr import Saliency

from captum_ext import MethodSpec, get_method, methods
from captum_ext.exam import (
    CenterPixelModel,
    ExamAnswer,
    answer,
    exam_images,
    examine,
    grade,
    make_model,
)
from captum_ext.exam.grade import score
from captum_ext.exam.report import figure, format_table
from captum_ext.registry import exam_models

MODELS = [spec.name for spec in exam_models()]

RIGHT = ("occlusion", "feature_ablation", "shapley_value_sampling", "lime", "kernel_shap")
WRONG = ("saliency", "input_x_gradient", "deep_lift", "lrp_z", "lrp_epsilon", "lrp_alpha1_beta0")


@pytest.fixture(scope="module")
def grades():
    model, images = CenterPixelModel(11), exam_images("astronaut", 4, size=11)
    specs = [get_method(name) for name in (*RIGHT, *WRONG, "grad_cam")]
    return {result.method: result for result in grade(examine(model, images, specs))}


@pytest.mark.parametrize("name", RIGHT)
def test_a_method_that_is_right_hits_on_every_image(grades, name):
    assert (grades[name].hits, grades[name].n_images) == (4, 4)
    assert grades[name].rank == 1


@pytest.mark.parametrize("name", WRONG)
def test_a_method_that_lights_up_elsewhere_misses(grades, name):
    assert grades[name].hits == 0
    assert grades[name].share < 0.5


def test_a_method_that_needs_a_convolution_is_skipped_with_the_reason(grades):
    assert grades["grad_cam"].n_images == 0
    assert "no convolution" in grades["grad_cam"].status


def test_on_the_logit_everything_lights_up():
    model, images = CenterPixelModel(9, output="logit"), exam_images("random", 2, size=9)
    results = grade(examine(model, images, [get_method("occlusion"), get_method("saliency")]))
    assert [result.hits for result in results] == [0, 0]


def test_lrp_explains_the_logit_whatever_is_asked():
    image = exam_images("random", 1, size=5)
    assert answer(CenterPixelModel(5), image, get_method("lrp_z")).output == "logit"
    assert answer(CenterPixelModel(5), image, get_method("saliency")).output == "probability"


def test_answers_count_passes_and_say_which_class():
    image = exam_images("random", 1, size=5, center_value=9)
    result = answer(CenterPixelModel(5), image, get_method("occlusion"))
    assert (result.target, result.passes.forward, result.passes.backward) == (9, 26, 0)
    assert answer(CenterPixelModel(5), image, get_method("saliency"), target=4).target == 4


def test_too_many_features_are_skipped_not_started():
    image = exam_images("random", 1, size=40)
    result = answer(CenterPixelModel(40), image, get_method("kernel_shap"))
    assert result.status == "skipped"
    assert "1600 features" in result.detail
    assert result.passes.total == 0


def test_a_method_that_fails_is_recorded_and_the_rest_goes_on():
    class Broken(Saliency):
        def attribute(self, inputs, target=None):
            raise RuntimeError("out of luck")

    broken = MethodSpec("broken", "Broken", "gradient", "-", Broken)
    model, images = CenterPixelModel(5), exam_images("random", 1, size=5)
    first, second = examine(model, images, [broken, get_method("occlusion")])
    assert (first.status, first.detail) == ("failed", "RuntimeError: out of luck")
    assert second.hit


def test_ties_share_the_mean_of_their_places():
    truth = torch.zeros(1, 1, 3, 3, dtype=torch.bool)
    truth[0, 0, 1, 1] = True
    assert score(torch.zeros(1, 1, 3, 3), truth)[:3] == (5.0, 0.0, False)
    both = torch.zeros(1, 1, 3, 3)
    both[0, 0, 1, 1:] = torch.tensor([-2.0, 2.0])
    assert score(both, truth)[:3] == (1.5, 0.5, False)


def test_a_map_below_the_floor_says_nothing():
    truth = torch.tensor([[[[True, False]]]])
    neat = torch.tensor([[[[1e-30, 0.0]]]])
    assert score(neat, truth)[:3] == (1.0, 1.0, True)
    assert score(neat, truth, floor=1e-16)[:3] == (1.5, 0.0, False)


def test_a_map_that_is_not_finite_is_a_miss():
    truth = torch.tensor([[[[True, False]]]])
    rank, share, hit, _ = score(torch.tensor([[[[float("nan"), 0.0]]]]), truth)
    assert math.isnan(rank) and math.isnan(share) and not hit


def test_several_pixels_are_hit_where_they_are_also_weighed_right():
    truth = torch.tensor([[[[True, True], [False, False]]]])
    exact = torch.tensor([[[[3.0, -4.0], [0.0, 0.0]]]])
    right = score(10 * exact, truth, shapley=exact)
    assert right.rank == 1.5 and right.share == 1 and right.hit
    assert right.agreement == pytest.approx(1)
    magnitudes = score(exact.abs(), truth, shapley=exact)
    assert magnitudes.agreement == pytest.approx((9 - 16) / 25)
    assert not magnitudes.hit
    spread = score(exact + 5 * ~truth, truth, shapley=exact)
    assert spread.share < 0.5 and not spread.hit


def test_agreement_is_zero_for_a_map_of_zeros_and_unknown_without_an_answer():
    truth = torch.tensor([[[[True, True]]]])
    values = torch.tensor([[[[1.0, 2.0]]]])
    assert score(torch.zeros_like(values), truth, shapley=values).agreement == 0
    assert math.isnan(score(values, truth, shapley=torch.zeros_like(values)).agreement)
    assert math.isnan(score(values, truth).agreement)


def test_every_method_that_is_complete_finds_the_weights_of_a_sum():
    model = make_model("additive", size=9)
    images = exam_images("random", 3, size=9, relevant=model.ground_truth())
    names = ("integrated_gradients", "input_x_gradient", "deep_lift", "lrp_z", "occlusion")
    for result in grade(examine(model, images, [get_method(name) for name in names])):
        assert result.hits == 3, result
        assert result.agreement == pytest.approx(1)


def test_saturation_hides_all_but_one_pixel_from_a_gradient_and_not_from_shapley_sampling():
    model = make_model("saturation", size=9)
    images = exam_images("random", 3, size=9, relevant=model.ground_truth())
    specs = [get_method(name) for name in ("integrated_gradients", "shapley_value_sampling")]
    best, worst = grade(examine(model, images, specs))
    assert (best.method, best.hits) == ("shapley_value_sampling", 3)
    assert worst.agreement < best.agreement - 0.1


def test_the_table_of_one_pixel_keeps_its_columns_and_that_of_several_tells_the_agreement():
    for name, columns in {
        "center_pixel": ["center", "rank", "center", "share", "95", "%", "interval"],
        "additive": ["agreement", "95", "%", "interval", "share", "mean", "rank"],
    }.items():
        model = make_model(name, size=5)
        images = exam_images("random", 1, size=5)
        table = format_table(grade(examine(model, images, [get_method("occlusion")])))
        assert table.split()[2:9] == columns
        assert ("Shapley" in table) == (name == "additive")


def test_the_figure_sets_each_method_beside_the_exact_values_of_what_it_explains():
    model = make_model("saturation", size=7)
    images = exam_images("coffee", 1, size=7)
    specs = [get_method("saliency"), get_method("genetic_ipha")]
    drawn = figure(model, images, list(examine(model, images, specs)))
    bars = [axes for axes in drawn.axes if len(axes.patches) == 8 and axes.collections]
    assert len(bars) == 3
    known, saliency, genetic = (axes.collections[0].get_offsets()[:, 1] for axes in bars)
    assert [bar.get_height() for bar in bars[0].patches] == pytest.approx(list(known))
    assert list(saliency) == list(known) != list(genetic)


def test_where_the_exact_values_are_unknown_the_exam_goes_on():
    model, image = CenterPixelModel(100), exam_images("random", 1, size=100)
    result = answer(model, image, get_method("integrated_gradients"))
    assert result.hit and math.isnan(result.agreement)


def test_intervals_are_those_of_the_textbook():
    shares = [0.2, 0.4, 0.9]
    result = grade(
        [ExamAnswer("saliency", "Saliency", i, 0, "logit", share=s) for i, s in enumerate(shares)]
    )[0]
    half = 4.302652729911275 * 0.36055512754639896 / math.sqrt(3)
    assert result.share == pytest.approx(0.5)
    assert result.share_interval == pytest.approx((0.5 - half, 0.5 + half))
    assert result.hit_interval == pytest.approx((0.0, 0.5615), abs=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_every_registered_method_answers_or_says_why_not(name):
    model, images = make_model(name, size=5), exam_images("random", 1, size=5)
    for result in examine(model, images, methods()):
        assert result.status in ("ok", "skipped"), result
        assert result.status == "ok" or result.detail


@pytest.mark.parametrize("size", [3, 9])
def test_rounding_errors_are_never_a_hit(size):
    model, images = CenterPixelModel(size), exam_images("random", 8, size=size, seed=2)
    specs = [get_method("saliency"), get_method("input_x_gradient")]
    for result in examine(model, images, specs):
        assert not result.hit
        assert result.detail == "rounding error"


def test_a_black_center_is_nothing_to_a_black_baseline():
    image = exam_images("random", 1, size=5, center_value=0)
    result = answer(CenterPixelModel(5), image, get_method("occlusion"))
    assert (result.hit, result.share) == (False, 0)


def test_every_image_gets_draws_of_its_own():
    model = CenterPixelModel(5)
    images = exam_images("random", 1, size=5).repeat(2, 1, 1, 1)
    first, second = examine(model, images, [get_method("smooth_grad")])
    assert not torch.equal(first.attribution, second.attribution)


def test_a_spec_that_is_not_registered_can_be_examined_and_reported():
    mine = MethodSpec("mine", "My method", "gradient", "-", Saliency)
    model, images = CenterPixelModel(5), exam_images("random", 1, size=5)
    answers = list(examine(model, images, [mine]))
    assert "My method" in format_table(grade(answers))
    figure(model, images, answers)
