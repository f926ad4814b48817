import io
from contextlib import redirect_stderr

import numpy as np
import pytest
import torch
from torch import nn

import captum_ext
import saliency_adapters
from captum_ext.attr import MeaningfulPerturbation
from captum_ext.call_model import call_model_function
from captum_ext.forward import count_passes
from captum_ext.perturbation.learned_masks.loss import MaskLoss
from captum_ext.perturbation.learned_masks.mask_views import MaskView
from captum_ext.perturbation.learned_masks.references import References

SIDE = 24
PATCH = (..., slice(8, 16), slice(4, 12))
QUICK = {"mask_size": 12, "n_steps": 40}


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def images():
    return rand(2, 3, SIDE, SIDE)


def patch_sum(x):
    """Sees the planted patch only."""
    return x[PATCH].mean((1, 2, 3))


@pytest.fixture
def model():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 22**2, 5)
    return nn.Sequential(*layers).eval()


def inside_and_outside(heat):
    """Means over the patch without its border, and over what lies two pixels away from it."""
    inner = heat[..., 9:15, 5:11].mean()
    outer = torch.ones(SIDE, SIDE, dtype=torch.bool)
    outer[6:18, 2:14] = False
    return float(inner), float(heat[..., outer].mean())


@pytest.mark.parametrize("mode", ["delete", "preserve"])
@pytest.mark.parametrize("reference", ["constant", "noise", "given"])
def test_it_finds_the_planted_patch(images, mode, reference):
    x = images * 0.2
    x[PATCH] += 0.7
    settings = dict(baselines=0) if reference == "given" else dict(reference=reference)
    heat = MeaningfulPerturbation(patch_sum).attribute(x, mode=mode, n_steps=100, **settings)
    inner, outer = inside_and_outside(heat)
    assert inner > 0.7 and outer < 0.05
    assert heat.min() >= 0 and heat.max() <= 1


def test_a_blurred_bright_patch_is_found_in_fine_texture():
    x = torch.zeros(1, 1, SIDE, SIDE)
    x[PATCH] = ((torch.arange(8)[:, None] + torch.arange(8)) % 2).float()  # a chessboard

    def contrast(x):
        return x[PATCH].var((1, 2, 3))

    heat = MeaningfulPerturbation(contrast).attribute(x, n_steps=100)
    inner, outer = inside_and_outside(heat)
    assert inner > 0.5 and outer < 0.05


def test_a_higher_price_of_the_area_chooses_less(images):
    areas = [
        MeaningfulPerturbation(patch_sum).attribute(images, baselines=0, l1=l1, **QUICK).mean()
        for l1 in (0.2, 2, 20)
    ]
    assert areas[0] > areas[1] > areas[2]


def test_total_variation_smooths(images):
    def steepest(tv):
        heat = MeaningfulPerturbation(patch_sum).attribute(
            images, baselines=0, tv=tv, smoothing=0, mask_size=SIDE, n_steps=40
        )
        return max(heat.diff(dim=axis).abs().max() for axis in (2, 3))

    assert steepest(10) < steepest(0) / 2


def test_the_loss_falls_and_comes_for_each_example_and_step(images):
    heat, losses = MeaningfulPerturbation(patch_sum).attribute(
        images, baselines=0, return_history=True, **QUICK
    )
    assert heat.shape == images.shape and losses.shape == (2, 40)
    assert (losses[:, -1] < losses[:, 0] - 0.3).all()


def test_the_scale_of_the_score_does_not_matter(images):
    def mask(scale, shift):
        return MeaningfulPerturbation(lambda x: scale * patch_sum(x) + shift).attribute(
            images.double(), baselines=0, **QUICK
        )

    torch.testing.assert_close(mask(1, 0), mask(100, 7), atol=1e-6, rtol=1e-6)


def test_without_normalization_it_does(images):
    def mask(scale):
        return MeaningfulPerturbation(lambda x: scale * patch_sum(x)).attribute(
            images, baselines=0, normalize=False, **QUICK
        )

    assert mask(0.01).max() < 0.05 and mask(10).max() > 0.5


@pytest.mark.parametrize(("mode", "level"), [("preserve", 0.5**0.25), ("delete", 1 - 0.5**0.25)])
def test_it_begins_where_half_of_the_score_is_lost(images, mode, level):
    heat, losses = MeaningfulPerturbation(lambda x: patch_sum(x) ** 4).attribute(
        images,
        baselines=0,
        mode=mode,
        l1=0.7,
        lr=1e-9,
        n_steps=1,
        jitter=0,
        return_history=True,
    )
    torch.testing.assert_close(heat, torch.full_like(heat, level), atol=1e-3, rtol=0)
    score = 0.5 if mode == "delete" else -0.5
    torch.testing.assert_close(
        losses[:, 0], torch.full((2,), 0.7 * level + score), atol=1e-3, rtol=0
    )


@pytest.mark.parametrize(("beta", "price"), [(1, 2 * 0.5), (3, 2 * 0.5**3)])
def test_a_border_as_long_as_a_side_costs_tv(beta, price):
    masks = torch.zeros(2, 10, 6)
    masks[0, 5:] = 0.5  # a border across
    masks[1, :, 2:] = 0.5  # and one down
    loss = MaskLoss(deletes=False, l1=0, tv=2, tv_beta=beta, normalize=True)
    torch.testing.assert_close(loss.of_masks((masks,)), torch.full((2,), float(price)))


@pytest.mark.parametrize("mode", ["delete", "preserve"])
def test_nothing_is_chosen_in_an_image_that_scores_below_its_reference(images, mode):
    method = MeaningfulPerturbation(lambda x: -patch_sum(x))
    heat = method.attribute(images + 0.2, baselines=0, mode=mode, **QUICK)
    assert heat.max() < 0.05


def test_no_more_is_deleted_than_the_reference_lacks(images):
    x = 0.1 * images + 0.5

    def contrast(x):
        return patch_sum(x) - 0.5 * x[:, :, :4].mean((1, 2, 3))

    heat = MeaningfulPerturbation(contrast).attribute(x, baselines=0, n_steps=100)
    inner, _ = inside_and_outside(heat)
    assert 0.3 < inner < 0.85  # half of the patch is worth all that the image has more


def test_image_and_reference_move_together_and_masks_stay_within_bounds(images):
    rows = []

    def recording(x):
        rows.append(x.detach())
        return patch_sum(x)

    method = MeaningfulPerturbation(recording)
    method.attribute(images, images, n_steps=30, jitter=3)
    moved = [
        torch.nn.functional.pad(images, (3, 3, 3, 3), mode="replicate")[
            :, :, row : row + SIDE, column : column + SIDE
        ]
        for row in range(7)
        for column in range(7)
    ]
    for row in rows:
        assert min(float((row - each).abs().max()) for each in moved) < 1e-6
    rows.clear()
    method.attribute(images, torch.zeros_like(images), l1=30, jitter=0, n_steps=30)
    for row in rows:
        assert (row >= 0).all() and (row <= images + 1e-6).all()


def test_arguments_of_the_model_follow_their_examples(images):
    def model(x, which, factor):
        return factor * torch.where(which, patch_sum(x), x[:, :, 8:16, 14:22].mean((1, 2, 3)))

    heat = MeaningfulPerturbation(model).attribute(
        images,
        baselines=0,
        additional_forward_args=(torch.tensor([True, False]), 2.0),
        internal_batch_size=1,
        **QUICK,
    )
    assert inside_and_outside(heat[:1])[0] > 0.5 and inside_and_outside(heat[1:])[0] < 0.1
    assert heat[1, :, 9:15, 15:21].mean() > 0.5


def test_a_small_part_of_a_score_is_found_in_low_precision(images):
    x = 0.2 * images
    x[PATCH] += 0.7

    def mostly_constant(x):
        return 0.5 + 0.06 * patch_sum(x.float())

    for dtype in (torch.bfloat16, torch.float16, torch.float32):
        method = MeaningfulPerturbation(mostly_constant)
        heat = method.attribute(x.to(dtype), baselines=0, n_steps=60)
        assert inside_and_outside(heat.float())[0] > 0.7


def test_a_score_in_half_precision_may_be_small(images):
    def small(x):
        return (1e-6 * patch_sum(x.float())).half()

    heat = MeaningfulPerturbation(small).attribute(images.half() + 0.5, baselines=0, **QUICK)
    assert torch.isfinite(heat).all()


def test_the_callers_autocast_does_not_reach_the_mask(images):
    with torch.autocast("cpu", torch.bfloat16):
        heat = MeaningfulPerturbation(patch_sum).attribute(images, baselines=0, **QUICK)
    assert heat.dtype == torch.float32 and inside_and_outside(heat)[0] > 0.5


def test_tiny_images_are_moved_less():
    assert MaskView(rand(1, 1, 1, 5), 28, None, None).jitter == 0
    assert MaskView(rand(1, 1, 2, 5), 28, None, None).jitter == 1
    heat = MeaningfulPerturbation(lambda x: x.mean((1, 2, 3))).attribute(
        rand(1, 1, 1, 1), n_steps=2
    )
    assert heat.shape == (1, 1, 1, 1)


def test_a_saturated_softmax_is_no_obstacle(images):
    def sure(x):
        score = 60 * (patch_sum(x) - 0.25)
        return torch.stack([score, -score], dim=1).softmax(1)

    x = images * 0.1
    x[PATCH] += 0.8
    heat = MeaningfulPerturbation(sure).attribute(x, baselines=0, target=0, n_steps=100)
    inner, outer = inside_and_outside(heat)
    assert inner > 0.4 and outer < 0.05


@pytest.mark.parametrize("mode", ["delete", "preserve"])
def test_nothing_is_chosen_where_image_and_reference_score_alike(images, mode):
    heat = MeaningfulPerturbation(patch_sum).attribute(images, images, mode=mode, **QUICK)
    assert heat.max() < 0.05


def test_each_channel_gets_the_same(images):
    heat = MeaningfulPerturbation(patch_sum).attribute(images, baselines=0, **QUICK)
    assert (heat == heat[:, :1]).all()


def test_an_input_of_its_own_has_a_mask_of_its_own(images):
    def model(x, y):
        return patch_sum(x) + y[:, :, :4].mean((1, 2, 3))

    y = rand(2, 1, 12, 10, seed=1)
    first, second = MeaningfulPerturbation(model).attribute((images, y), baselines=(0, 0), **QUICK)
    assert inside_and_outside(first)[0] > 0.5 and second.shape == y.shape
    assert second[:, :, :3].mean() > 0.5 and second[:, :, 7:].mean() < 0.1


def test_examples_learn_alike_alone_and_together(images):
    method, images = MeaningfulPerturbation(patch_sum), images.double()
    together = method.attribute(images, reference="noise", generator=3, **QUICK)
    alone = method.attribute(images[1:], reference="noise", generator=3, **QUICK)
    one_by_one = method.attribute(
        images, reference="noise", generator=3, internal_batch_size=1, **QUICK
    )
    torch.testing.assert_close(together[1:], alone)
    torch.testing.assert_close(together, one_by_one)


def test_a_seed_decides_what_is_drawn(images):
    method = MeaningfulPerturbation(patch_sum)
    first, again, other = (method.attribute(images, generator=s, **QUICK) for s in (1, 1, 2))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_steps_and_the_search_for_the_start_are_all_it_costs(model, images):
    with count_passes(model) as passes:
        MeaningfulPerturbation(model).attribute(images, target=0, n_steps=20)
    assert passes.backward == 2 * 20 and passes.forward == 2 * (20 + 10)


def test_no_gradient_of_a_parameter_is_computed(model, images):
    MeaningfulPerturbation(model).attribute(images, target=0, n_steps=2)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_learns_under_no_grad(images):
    with torch.no_grad():
        heat = MeaningfulPerturbation(patch_sum).attribute(images, baselines=0, **QUICK)
    assert inside_and_outside(heat)[0] > 0.5 and not heat.requires_grad


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_arrives(images, dtype):
    heat = MeaningfulPerturbation(patch_sum).attribute(images.to(dtype), baselines=0, **QUICK)
    assert heat.dtype == dtype and inside_and_outside(heat.float())[0] > 0.5


def test_progress_goes_to_stderr(images):
    with redirect_stderr(io.StringIO()) as stderr:
        MeaningfulPerturbation(patch_sum).attribute(images, n_steps=3, show_progress=True)
    assert "Meaningful Perturbation" in stderr.getvalue() and "3/3" in stderr.getvalue()


def test_the_adapter_goes_through_the_differentiable_bridge(model, images):
    settings = dict(n_steps=10, mask_size=12)
    image = images[0].movedim(0, -1).numpy()
    mask = saliency_adapters.MeaningfulPerturbation(**settings).GetMask(
        image, call_model_function(model, target=3)
    )
    expected = captum_ext.explain(model, images[:1], 3, "meaningful_perturbation", **settings)
    np.testing.assert_allclose(mask, expected[0].movedim(0, -1), atol=1e-4)


def test_references():
    x = rand(2, 3, SIDE, SIDE)
    stream = torch.Generator().manual_seed(0)
    (blurred,), (constant,) = (References((x,), kind)(stream) for kind in ("blur", "constant"))
    assert blurred.std((2, 3)).max() < x.std((2, 3)).min() / 2
    torch.testing.assert_close(constant, x.mean((2, 3), keepdim=True).expand_as(x))
    noises = References((x,), "noise")
    (first,), (second,) = noises(stream), noises(stream)
    assert not torch.equal(first, second)
    assert (first.amin((2, 3)) >= x.amin((2, 3))).all()
    assert (first.amax((2, 3)) <= x.amax((2, 3))).all()


def test_views_enlarge_smooth_and_move():
    x = rand(1, 1, 20, 10)
    view = MaskView(x, mask_size=5, smoothing=0, jitter=3)
    assert view.grid == (10, 5)
    mask = torch.zeros(1, 10, 5)
    mask[0, 5, 2] = 1
    whole = view(mask)[0]
    expected = nn.functional.interpolate(mask[None], size=(20, 10), mode="bilinear")[0, 0]
    torch.testing.assert_close(whole, expected)
    smooth = MaskView(x, 5, smoothing=2.0, jitter=0)(mask)[0]
    assert smooth.max() < whole.max() and torch.isclose(smooth.sum(), whole.sum(), rtol=0.05)
    moved, also = view.moved((x, x), torch.Generator().manual_seed(1))
    down, right = torch.randint(-3, 4, (2,), generator=torch.Generator().manual_seed(1)).tolist()
    assert down != right and torch.equal(moved, also)
    padded = nn.functional.pad(x, (3, 3, 3, 3), mode="replicate")
    assert torch.equal(moved, padded[:, :, 3 + down : 23 + down, 3 + right : 13 + right])
    default = MaskView(rand(1, 1, 224, 448), 28, smoothing=None, jitter=None)
    explicit = MaskView(rand(1, 1, 224, 448), 28, smoothing=5.0, jitter=2)
    assert torch.equal(default.rows, explicit.rows) and default.grid == (28, 56)
    assert MaskView(x, (40, 40), smoothing=None, jitter=0).grid == (20, 10)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"mode": "keep"}, ValueError, "unknown mode 'keep'"),
        ({"reference": "blurr"}, ValueError, "unknown reference 'blurr'; did you mean 'blur'"),
        ({"n_steps": 0}, ValueError, "n_steps must be at least 1; got 0"),
        ({"lr": 0}, ValueError, "lr must be above 0; got 0"),
        ({"l1": -1}, ValueError, "l1 must be at least 0; got -1"),
        ({"tv": -1}, ValueError, "tv must be at least 0; got -1"),
        ({"tv_beta": 0.5}, ValueError, r"tv_beta must be at least 1; got 0\.5"),
        ({"mask_size": 0}, ValueError, "mask_size must be at least 1; got 0"),
        ({"mask_size": (1, 2, 3)}, ValueError, "mask_size must be a number or"),
        ({"smoothing": -1}, ValueError, "smoothing must be at least 0 and at most 2000; got -1"),
        ({"jitter": 24}, ValueError, "jitter must be below the shortest side, 24 pixels; got 24"),
        ({"jitter": 1.5}, TypeError, "jitter must be a whole number"),
        ({"baselines": torch.zeros(1, 3, 5, 5)}, ValueError, "baselines must have the shape"),
        ({"internal_batch_size": 0}, ValueError, "internal_batch_size must be at least 1"),
        ({"generator": "seed"}, TypeError, "generator must be"),
    ],
)
def test_bad_arguments_are_refused_before_the_model_runs(images, settings, error, message):
    def model(x):
        raise RuntimeError("the model ran")

    with pytest.raises(error, match=message):
        MeaningfulPerturbation(model).attribute(images, **settings)


def test_inputs_that_are_no_images_are_refused(images):
    with pytest.raises(ValueError, match=r"inputs must be images \[B, C, H, W\]"):
        MeaningfulPerturbation(patch_sum).attribute(images[0])


def test_a_model_without_gradient_is_refused(images):
    with pytest.raises(ValueError, match="forward_func must be differentiable"):
        MeaningfulPerturbation(lambda x: patch_sum(x).detach()).attribute(images)


def test_outputs_that_are_not_finite_are_refused(images):
    with pytest.raises(ValueError, match="forward_func must have finite outputs and gradients"):
        MeaningfulPerturbation(lambda x: patch_sum(x) / 0).attribute(images)

    def steep(x):
        return (patch_sum(x) * 0).sqrt() + patch_sum(x)  # the root's slope at 0 is infinite

    with pytest.raises(ValueError, match="forward_func must have finite outputs and gradients"):
        MeaningfulPerturbation(steep).attribute(images, n_steps=2)
