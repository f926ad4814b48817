import pytest
import torch
from torch import nn

from captum_ext.baselines import blur
from captum_ext.forward import count_passes
from captum_ext.metrics import deletion, insertion, lif, mif, occlusion_curves, srg
from captum_ext.perturbation import (
    Grid,
    RandomColor,
    ReplaceImage,
    SolidColor,
)

BLACK = SolidColor(0.0)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(4, 3, 6, 8, generator=generator, dtype=torch.float64)


@pytest.fixture
def model():
    torch.manual_seed(1)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 24, 5), nn.Softmax(dim=1)
    return nn.Sequential(*layers).double().eval()


@pytest.fixture
def maps():
    generator = torch.Generator().manual_seed(3)
    return torch.randn(4, 3, 6, 8, generator=generator, dtype=torch.float64)


def brightness(x):
    return x.sum((1, 2, 3))


def plain_curve(model, image, relevance, target, n_steps, descending):
    order = relevance.sum(0).flatten().argsort(stable=True, descending=descending)
    outputs = []
    for step in range(n_steps):
        kept = torch.ones(len(order), dtype=torch.float64)
        kept[order[: round(step * len(order) / (n_steps - 1))]] = 0
        with torch.no_grad():
            outputs.append(model((image * kept.reshape(6, 8))[None])[0, target])
    return torch.stack(outputs)


@pytest.mark.parametrize("perturbations_per_eval", [None, 1, 3])
def test_curves_equal_a_plain_loop(model, images, maps, perturbations_per_eval):
    targets = [0, 3, 1, 4]
    curves = occlusion_curves(
        model,
        images,
        maps,
        targets,
        n_steps=7,
        perturber=BLACK,
        perturbations_per_eval=perturbations_per_eval,
    )
    for row, target in enumerate(targets):
        for curve, descending in ((curves.lif, False), (curves.mif, True)):
            expected = plain_curve(model, images[row], maps[row], target, 7, descending)
            torch.testing.assert_close(curve[row], expected)


def test_scores_are_means_of_the_curves_and_srg_their_difference(model, images, maps):
    call = (model, images, maps, 2)
    gain, curves = srg(*call, n_steps=5, return_curves=True)
    least, most = lif(*call, n_steps=5), mif(*call, n_steps=5)
    assert curves.shape == (4, 2, 5)
    torch.testing.assert_close(least, curves[:, 0].mean(1))
    torch.testing.assert_close(most, curves[:, 1].mean(1))
    torch.testing.assert_close(gain, least - most)


def test_both_curves_share_their_ends(model, images, maps):
    with count_passes(model) as passes:
        curves = occlusion_curves(model, images, maps, 0, n_steps=9)
    assert passes.forward == 4 * (2 * 9 - 2)
    for end in (0, -1):
        assert torch.equal(curves.lif[:, end], curves.mif[:, end])


def test_of_a_linear_model_its_own_contributions_rank_best(images):
    best = srg(brightness, images, images, n_steps=9, perturber=BLACK)
    for seed in range(5):
        noise = torch.rand(4, 1, 6, 8, generator=torch.Generator().manual_seed(seed))
        assert (srg(brightness, images, noise, n_steps=9, perturber=BLACK) < best).all()
    torch.testing.assert_close(srg(brightness, images, -images, n_steps=9, perturber=BLACK), -best)


def test_an_attribution_that_is_the_same_everywhere_is_worth_nothing(model, images, maps):
    maps[1] = 0.5
    with pytest.warns(UserWarning, match=r"examples \[1\] are the same everywhere"):
        gain = srg(model, images, maps, 0)
    assert gain[1] == 0 and gain[0] != 0


def test_ties_do_not_depend_on_the_dtype_the_others_or_the_run(model, images):
    coarse = torch.randint(0, 3, (4, 1, 6, 8), generator=torch.Generator().manual_seed(2))
    expected = srg(model, images, coarse.double(), 0)
    torch.testing.assert_close(srg(model, images, coarse.float(), 0), expected)
    for row in range(4):
        alone = srg(model, images[row : row + 1], coarse[row : row + 1].double(), 0)
        torch.testing.assert_close(alone, expected[row : row + 1])


def test_normalized_curves_go_from_one_to_zero(model, images, maps):
    gain, curves = srg(model, images, maps, 1, normalize=True, return_curves=True)
    _, raw = srg(model, images, maps, 1, return_curves=True)
    assert (curves[..., 0] == 1).all() and (curves[..., -1] == 0).all()
    ends = raw[..., :1], raw[..., -1:]
    torch.testing.assert_close(curves, (raw - ends[1]) / (ends[0] - ends[1]))
    torch.testing.assert_close(gain, curves[:, 0].mean(1) - curves[:, 1].mean(1))
    with pytest.warns(UserWarning, match=r"output of examples \[0, 1, 2, 3\] is the same"):
        assert srg(lambda x: 0 * brightness(x), images, maps, normalize=True).isnan().all()


def test_by_segments(images):
    segments = [Grid(2, 2)(image) for image in images]
    weights = torch.tensor([3.0, 1.0, 2.0, 4.0]).double()
    masks = torch.stack([weights[segments[0].labels]] * 3)

    def weighed(x):
        return (x * masks).sum((1, 2, 3))

    ones = torch.ones_like(images)
    curves = occlusion_curves(
        weighed, ones, weights.expand(4, -1), n_steps=5, perturber=BLACK, segments=segments
    )
    unit = 3 * 12
    torch.testing.assert_close(
        curves.mif[0], torch.tensor([10, 6, 3, 1, 0]).double() * unit, rtol=1e-12, atol=1e-9
    )
    torch.testing.assert_close(
        curves.lif[0], torch.tensor([10, 9, 7, 4, 0]).double() * unit, rtol=1e-12, atol=1e-9
    )
    same = occlusion_curves(
        weighed, ones, [weights] * 4, n_steps=5, perturber=BLACK, segments=segments[0]
    )
    assert torch.equal(same.mif, curves.mif)


def test_soft_segments_are_removed_softly(images):
    segments = Grid(1, 2, "bilinear")(images[0])
    scores = torch.tensor([[0.0, 1.0]]).double()
    curves = occlusion_curves(
        lambda x: x[:, 0, 0, 3],
        torch.ones_like(images[:1]),
        scores,
        n_steps=3,
        perturber=BLACK,
        segments=segments,
    )
    assert curves.mif[0, 1].item() == pytest.approx(segments.masks[0, 0, 3].item())


def test_several_versions_are_averaged(model, images, maps):
    others = torch.rand(2, 3, 6, 8, generator=torch.Generator().manual_seed(5)).double()
    both = srg(model, images, maps, 0, perturber=ReplaceImage(others))
    each = [srg(model, images, maps, 0, perturber=ReplaceImage(other)) for other in others]
    torch.testing.assert_close(both, torch.stack(each).mean(0))


def test_a_perturber_that_draws_follows_the_seed(model, images, maps):
    perturber = RandomColor(uniform=True, each=True)
    first, again, other = (
        srg(model, images, maps, 0, perturber=perturber, generator=s) for s in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_without_a_target_the_highest_output_is_followed(model, images, maps):
    with torch.no_grad():
        targets = model(images).argmax(1)
    torch.testing.assert_close(srg(model, images, maps), srg(model, images, maps, targets))


def test_deletion_and_insertion_are_areas_under_their_curves(images):
    area, curve = deletion(brightness, images, images, step_size=10, return_curves=True)
    assert curve.shape == (4, 6)  # 48 pixels: 0, 10, ..., 40, 48
    relevance = images.sum(1).flatten(1).sort(descending=True).values
    expected = torch.stack([relevance[:, n:].sum(1) for n in (0, 10, 20, 30, 40, 48)], dim=1)
    torch.testing.assert_close(curve, expected)
    parts = torch.tensor([0, 10, 20, 30, 40, 48]).double() / 48
    torch.testing.assert_close(area, torch.trapezoid(curve, parts, dim=1))
    put_in, inserted = insertion(
        brightness, images, images, step_size=10, perturber=BLACK, return_curves=True
    )
    torch.testing.assert_close(inserted, expected[:, :1] - expected)
    torch.testing.assert_close(put_in, torch.trapezoid(inserted, parts, dim=1))


@pytest.mark.parametrize("step_size", [None, 1, 7, 16, 31, 47, 48, 49, 10**20])
@pytest.mark.parametrize("metric", [deletion, insertion])
def test_of_pixels_that_count_alike_half_is_the_area_whatever_the_steps(metric, step_size, maps):
    ones, order = torch.ones(1, 1, 6, 8), maps[:1, :1].float()
    area = metric(lambda x: x.mean((1, 2, 3)), ones, order, step_size=step_size, perturber=BLACK)
    torch.testing.assert_close(area, torch.tensor([0.5]))


def test_insertion_begins_from_the_blurred_image_and_deletion_steps_by_rows(images, maps):
    def middle(x):
        return x[:, 0, 3, 4]

    _, inserted = insertion(middle, images, maps, return_curves=True)
    assert inserted.shape == (4, 7)
    torch.testing.assert_close(inserted[:, 0], middle(blur(images, sigma=5.0)))
    torch.testing.assert_close(inserted[:, -1], middle(images))


def test_nothing_is_touched(model, images, maps):
    before = images.clone(), maps.clone(), torch.get_rng_state()
    srg(model, images.requires_grad_(), maps, 0)
    assert torch.equal(images, before[0]) and torch.equal(maps, before[1])
    assert torch.equal(torch.get_rng_state(), before[2])
    assert images.grad is None and all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("metric", [lif, mif, srg, deletion, insertion])
def test_bad_input_is_named_before_the_model_runs(metric, model, images, maps):
    wrong = {
        "attributions must have the shape of inputs": (images, maps[:3]),
        "attributions must be finite": (images, maps / 0),
        "inputs must be images": (images[0], maps),
        "inputs must be finite": (images * float("nan"), maps),
    }
    with count_passes(model) as passes:
        for problem, (x, attributions) in wrong.items():
            with pytest.raises(ValueError, match=problem):
                metric(model, x, attributions, 0)
        with pytest.raises(TypeError, match="perturber must be a Perturber; got str"):
            metric(model, images, maps, 0, perturber="mean")
        with pytest.raises(TypeError, match="forward_func must be"):
            metric(None, images, maps, 0)
        with pytest.raises(ValueError, match="target must hold one class per example"):
            metric(model, images, maps, [1, 2])
    assert passes.total == 0


def test_steps_and_segments_must_fit(model, images, maps):
    segments = Grid(2, 2)(images[0])
    with pytest.raises(ValueError, match="n_steps must be at least 2; got 1"):
        srg(model, images, maps, 0, n_steps=1)
    with pytest.raises(ValueError, match="at most 49, one more than there are pixels; got 50"):
        srg(model, images, maps, 0, n_steps=50)
    with pytest.raises(ValueError, match="at most 5, one more than there are segments; got 6"):
        srg(model, images, torch.rand(4, 4), 0, n_steps=6, segments=segments)
    with pytest.raises(ValueError, match=r"one score for each of the 4 segments; got \(5,\)"):
        srg(model, images, torch.rand(4, 5), 0, n_steps=3, segments=segments)
    with pytest.raises(ValueError, match="as many as the 4 images; got 4 and 2"):
        srg(model, images, torch.rand(4, 4), 0, n_steps=3, segments=[segments] * 2)
    with pytest.raises(ValueError, match="unknown ties"):
        srg(model, images, maps, 0, ties="random")
    with pytest.raises(ValueError, match="step_size must be at least 1"):
        deletion(model, images, maps, 0, step_size=0)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_gains_are_not_lost_in_the_models_precision(model, images, maps, dtype):
    half = nn.Sequential(*list(model)[:-1]).to(dtype)
    settings = {"n_steps": 30, "perturber": BLACK, "return_curves": True}
    gain, curves = srg(half, images.to(dtype), maps, 0, **settings)
    expected = curves[:, 0].double().mean(1) - curves[:, 1].double().mean(1)
    assert gain.dtype == torch.float32
    torch.testing.assert_close(gain, expected.float())


def test_a_model_may_say_right_or_wrong(images, maps):
    def right(x):
        return x.mean((1, 2, 3)) > 0.25

    numbers = srg(lambda x: right(x).float(), images, maps, perturber=BLACK)
    torch.testing.assert_close(srg(right, images, maps, perturber=BLACK), numbers)


def test_rounding_errors_are_no_change_that_curves_are_normalized_by(images, maps):
    images = images.float()
    with pytest.warns(UserWarning, match="is the same with all removed"):
        gain = srg(lambda x: 1 + 1e-9 * x.mean((1, 2, 3)), images, maps, normalize=True)
    assert gain.isnan().all()
    with pytest.warns(UserWarning, match="is the same with all removed"):
        mean = srg(lambda x: x.mean((1, 2, 3)), images, maps, normalize=True)
    assert mean.isnan().all()


def test_a_model_that_draws_leaves_the_random_state_alone(images, maps):
    dropping = nn.Sequential(nn.Dropout(), nn.Flatten(), nn.Linear(144, 2)).double()
    state = torch.get_rng_state()
    srg(dropping, images, maps, 0)
    assert torch.equal(torch.get_rng_state(), state)


def test_segments_and_scores_of_a_wrong_kind_are_named(model, images):
    segments = Grid(2, 2)(images[0])
    for scores, own, problem in (
        (None, segments, "attributions must be one for each image; got NoneType"),
        (torch.rand(4, 4), 3, "segments must be one for each image; got int"),
        (torch.tensor(1.0), segments, "attributions must be one for each image; got Tensor"),
        (torch.ones(4, 4, dtype=torch.bool), segments, "attributions must be of a floating-point"),
    ):
        with pytest.raises(TypeError, match=problem):
            srg(model, images, scores, 0, n_steps=3, segments=own)
