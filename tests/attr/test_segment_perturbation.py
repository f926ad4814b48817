import pytest
import torch
from captum.attr import KernelShap
from skimage.data import astronaut
from torch import nn

from captum_ext import explain, get_method
from captum_ext.attr import CIU, RISE, SegmentLime, SegmentPda, SegmentPerturbation, SegmentShap
from captum_ext.forward import count_passes
from captum_ext.perturbation import (
    BernoulliSampler,
    ColorHistogram,
    Fade,
    FixedSampler,
    Grid,
    KernelShapAttributer,
    LinearLimeAttributer,
    PdaAttributer,
    RandomColor,
    ReplaceImage,
    RiseAttributer,
    SampleProbabilitySampler,
    Segments,
    ShapSampler,
    SingleFeatureSampler,
    SolidColor,
)
from captum_ext.randomness import global_seed

PRESETS = (RISE, SegmentLime, SegmentShap, CIU, SegmentPda)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    return torch.rand(3, 3, 8, 12, generator=generator, dtype=torch.float64)


@pytest.fixture
def model():
    torch.manual_seed(1)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 60, 5), nn.Softmax(dim=1)
    return nn.Sequential(*layers).double().eval()


def method_of(model, **parts):
    chosen = {
        "segmenter": Grid(2, 3),
        "sampler": BernoulliSampler(),
        "perturber": SolidColor("mean"),
        "attributer": RiseAttributer(),
    }
    return SegmentPerturbation(model, **(chosen | parts))


def linear(weights):
    return lambda x: (x * weights).sum((1, 2, 3))


@pytest.mark.parametrize("sampler", [BernoulliSampler(), ShapSampler(), SampleProbabilitySampler()])
@pytest.mark.parametrize("attributer", [LinearLimeAttributer(), KernelShapAttributer()], ids=repr)
def test_a_linear_model_gives_its_coefficients(images, sampler, attributer):
    weights = torch.randn(3, 8, 12, generator=torch.Generator().manual_seed(2)).double()
    fill = 0.25
    method = method_of(
        linear(weights), sampler=sampler, attributer=attributer, perturber=SolidColor(fill)
    )
    for image, result in zip(images, method.attribute_segments(images, n_samples=60), strict=True):
        pixels = ((image - fill) * weights).sum(0)
        expected = torch.stack([pixels[result.segments.labels == s].sum() for s in range(6)])
        torch.testing.assert_close(result.scores, expected)


def test_faded_segments_of_a_linear_model_give_the_faded_coefficients(images):
    weights = torch.randn(3, 8, 12, generator=torch.Generator().manual_seed(2)).double()
    method = method_of(
        linear(weights),
        segmenter=Fade(Grid(2, 3), 1.5),
        attributer=LinearLimeAttributer(),
        perturber=SolidColor(0.0),
    )
    (result,) = method.attribute_segments(images[:1], n_samples=60)
    pixels = (images[0] * weights).sum(0)
    torch.testing.assert_close(result.scores, (result.segments.masks * pixels).sum((1, 2)))


def test_rise_of_a_single_segment_model_ranks_it_first(images):
    def corner(x):
        return x[:, :, :4, :4].mean((1, 2, 3))

    method = method_of(corner, perturber=SolidColor(0.0))
    for result in method.attribute_segments(images, n_samples=200):
        assert result.scores.argmax() == 0


def test_all_that_is_known_of_the_segments(images, model):
    method = method_of(model, attributer=KernelShapAttributer())
    results = method.attribute_segments(images, target=2, n_samples=30)
    for image, result in zip(images, results, strict=True):
        assert isinstance(result.segments, Segments)
        assert result.samples.shape == (32, 6) and result.outputs.shape == (32,)
        assert result.samples[30].all() and not result.samples[31].any()
        kept = result.segments.cover(result.samples.double())[:, None]
        mean = image.mean((1, 2), keepdim=True)
        with torch.no_grad():
            expected = model(mean + (image - mean) * kept)[:, 2]
        torch.testing.assert_close(result.outputs, expected)
        scores = KernelShapAttributer()(result.outputs, result.samples)
        torch.testing.assert_close(result.scores, scores)


def test_what_the_attributer_needs_and_the_sampler_gives_is_not_added(images, model):
    mixed = 1 - torch.eye(6)
    whole = torch.cat([torch.ones(1, 6), torch.zeros(1, 6), mixed])
    for attributer, samples, expected in (
        (RiseAttributer(), mixed, 6),
        (PdaAttributer(), mixed, 7),
        (KernelShapAttributer(), mixed, 8),
        (KernelShapAttributer(), whole, 8),
    ):
        method = method_of(model, sampler=FixedSampler(samples), attributer=attributer)
        with count_passes(model) as passes:
            method.attribute(images[:1], target=0)
        assert passes.forward == expected


def test_attribute_many_pays_once_and_says_what_each_would_say_alone(images, model):
    attributers = [RiseAttributer(), LinearLimeAttributer(), KernelShapAttributer()]
    settings = {"target": [0, 1, 2], "n_samples": 40, "generator": 5}
    for perturber in (SolidColor(), RandomColor(uniform=True, each=True), ColorHistogram(2)):
        with count_passes(model) as passes:
            together = method_of(model, perturber=perturber).attribute_many(
                images, attributers, **settings
            )
        assert passes.forward == 3 * 42
        for attributer, result in zip(attributers, together, strict=True):
            alone = method_of(model, perturber=perturber, attributer=attributer)
            torch.testing.assert_close(result, alone.attribute(images, **settings))


def test_maps_per_pixel_and_per_segment(images, model):
    method = method_of(model, segmenter=Grid(2, 3, "bilinear"))
    (result, *_) = method.attribute_segments(images, target=1, n_samples=50)
    pixels, segments = (
        method.attribute(images, target=1, n_samples=50, per=per)[0] for per in ("pixel", "segment")
    )
    blended = torch.einsum("s,shw->hw", result.scores, result.segments.masks)
    torch.testing.assert_close(pixels, blended.expand(3, -1, -1))
    torch.testing.assert_close(segments, result.scores[result.segments.labels].expand(3, -1, -1))


def test_each_version_of_a_sample_is_told(images, model):
    others = torch.rand(4, 3, 8, 12, generator=torch.Generator().manual_seed(7)).double()
    method = method_of(model, perturber=ReplaceImage(others))
    (result,) = method.attribute_segments(images[:1], target=1, n_samples=10)
    assert result.outputs.shape == (40,) and result.samples.shape == (40, 6)
    assert torch.equal(result.samples[::4], result.samples[3::4])
    kept = result.segments.cover(result.samples.double())[:, None]
    fill = others.repeat(10, 1, 1, 1)
    with torch.no_grad():
        expected = model(fill + (images[:1] - fill) * kept)[:, 1]
    torch.testing.assert_close(result.outputs, expected)


def test_examples_may_have_different_segments(images, model):
    def by_brightness(image):
        columns = 2 + int(image[0, 0, 0] * 4)
        return Grid(1, columns)(image)

    images[:, 0, 0, 0] = torch.tensor([0.0, 0.4, 0.9])
    method = method_of(model, segmenter=by_brightness, sampler=SingleFeatureSampler())
    results = method.attribute_segments(images, target=0)
    assert [len(result.scores) for result in results] == [2, 3, 5]
    assert [len(result.outputs) for result in results] == [2, 3, 5]


def test_samples_do_not_exist_all_at_once(images):
    largest = 0

    def model(x):
        nonlocal largest
        largest = max(largest, len(x))
        return x.sum((1, 2, 3))

    method_of(model).attribute(images, n_samples=500, perturbations_per_eval=4)
    assert largest == 3 * 4


def test_a_tuple_of_inputs_shares_samples_and_may_have_parts_of_its_own(images, model):
    small = images[:, :1, :4, :4].clone()

    def both(x, y):
        return x[:, :, :4, :4].sum((1, 2, 3)) + 3 * y[:, :, 2:, 2:].sum((1, 2, 3))

    method = SegmentPerturbation(
        both,
        (Grid(2, 3), Grid(2, 2)),
        BernoulliSampler(),
        (SolidColor(0.0), SolidColor([0.0])),
        LinearLimeAttributer(),
    )
    results = method.attribute_segments((images, small), n_samples=80)
    expected = torch.zeros(3, 10).double()
    expected[:, 0] = images[:, :, :4, :4].sum((1, 2, 3))
    expected[:, 9] = 3 * small[:, :, 2:, 2:].sum((1, 2, 3))
    torch.testing.assert_close(torch.stack([result.scores for result in results]), expected)
    assert [len(segments) for segments in results[0].segments] == [6, 4]


def test_a_feature_mask_takes_the_place_of_the_segmenter(images, model):
    mask = Grid(2, 2)(images[0]).labels[None, None]
    settings = {"target": 1, "n_samples": 40}
    expected = method_of(model, segmenter=Grid(2, 2)).attribute(images, **settings)
    result = method_of(model).attribute(images, feature_mask=mask, **settings)
    torch.testing.assert_close(result, expected)


def test_presets_have_the_settings_of_their_papers():
    rise, lime, shap, ciu, pda = (preset(abs) for preset in PRESETS)
    assert rise.segmenter == Grid(7, 7, "bilinear") and rise.n_samples == 4000
    assert rise.sampler == BernoulliSampler(0.5) and repr(rise.perturber) == "SolidColor([0.0])"
    assert "quickshift" in repr(lime.segmenter) and lime.n_samples == 1000
    assert shap.sampler == ShapSampler() and isinstance(shap.attributer, KernelShapAttributer)
    assert ciu.sampler == SingleFeatureSampler(add_none=True) and "slic" in repr(ciu.segmenter)
    assert pda.attributer.mode == "evidence" and repr(pda.perturber) == "ColorHistogram(8)"
    other = RISE(abs, Grid(3, 3), attributer=LinearLimeAttributer())
    assert other.segmenter == Grid(3, 3) and other.attributer == LinearLimeAttributer()
    assert other.sampler == rise.sampler


@pytest.mark.parametrize("name", ["rise", "segment_lime", "segment_shap", "ciu", "segment_pda"])
def test_presets_run_on_photographs_with_their_own_segments(name):
    photograph = torch.from_numpy(astronaut()[::8, ::8].copy()).movedim(-1, 0)[None] / 255

    def bright(x):
        return x.mean((1, 2, 3))

    chosen = {"n_samples": 300} if name in ("rise", "segment_lime", "segment_shap") else {}
    assert "feature_mask" not in get_method(name).arguments(photograph)
    heat = explain(bright, photograph, method=name, **chosen)
    assert heat.shape == photograph.shape and heat.any()


def test_other_parts_are_named(model):
    for name, value in (
        ("segmenter", 7),
        ("sampler", None),
        ("perturber", "mean"),
        ("attributer", LinearLimeAttributer),
    ):
        with pytest.raises(TypeError, match=f"{name} must be"):
            method_of(model, **{name: value})
    with pytest.raises(TypeError, match="forward_func must be a module or a function"):
        method_of(3)


@pytest.mark.parametrize(
    "parts,arguments,problem",
    [
        ({"sampler": FixedSampler(torch.eye(4))}, {}, "samples must have 6 columns"),
        ({"attributer": LinearLimeAttributer()}, {"n_samples": 5}, "n_samples must be at least 7"),
        ({"attributer": KernelShapAttributer()}, {"n_samples": 2}, "at least 7 for KernelSHAP"),
        ({}, {"n_samples": 0}, "n_samples must be at least 1; got 0"),
        ({}, {"per": "pixels"}, "unknown per 'pixels'; did you mean 'pixel'"),
        ({}, {"perturbations_per_eval": 0}, "perturbations_per_eval must be at least 1"),
        ({"segmenter": Grid(1, 1)}, {}, r"at least 2 segments; Grid.* found one in example 0"),
        ({"segmenter": lambda image: Grid(2, 2)(image[:, :4])}, {}, "segments of the image's size"),
        ({"perturber": SolidColor([0.0, 1.0])}, {}, "color must be one number, or one for each"),
        (
            {"perturber": (SolidColor(),) * 2},
            {},
            "perturber must hold one for each",
        ),
        ({}, {"feature_mask": torch.zeros(1, 1, 8, 12).long()}, "at least 2 features; got 1"),
        ({}, {"feature_mask": torch.eye(8, 12).long()[None, None] - 1}, "not be negative; got -1"),
        ({}, {"feature_mask": torch.eye(8, 12).long()[None, None] * 2}, "without a gap; got 2"),
    ],
)
def test_bad_input_is_named_before_the_model_runs(images, model, parts, arguments, problem):
    with count_passes(model) as passes, pytest.raises(ValueError, match=problem):
        method_of(model, **parts).attribute(images, **({"target": 0, "n_samples": 20} | arguments))
    assert passes.total == 0


def test_a_segmenter_that_gives_labels_is_told_what_to_give(images, model):
    with pytest.raises(TypeError, match="segmenter must return Segments; got Tensor"):
        method_of(model, segmenter=lambda image: image[0].long()).attribute(images, target=0)
    with pytest.raises(ValueError, match="inputs must be images"):
        method_of(model).attribute(images[0], target=0)


def test_outputs_that_do_not_do(images):
    pda = method_of(linear(torch.ones(3, 8, 12)), attributer=PdaAttributer())
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\] for PDA"):
        pda.attribute(images, n_samples=20)
    with pytest.raises(ValueError, match="target must select one output per example; None leaves"):
        method_of(lambda x: x.sum((2, 3))).attribute(images, n_samples=20)
    with pytest.raises(ValueError, match="outputs must be finite"):
        method_of(lambda x: x.sum((1, 2, 3)) / 0).attribute(images, n_samples=20)


def test_attribute_many_wants_attributers(images, model):
    with pytest.raises(TypeError, match="attributers must be a list of at least one"):
        method_of(model).attribute_many(images, [], target=0)
    with pytest.raises(TypeError, match="attributers must be of the class Attributer; got str"):
        method_of(model).attribute_many(images, ["rise"], target=0)


def test_a_preset_takes_samplers_with_a_number_of_their_own(images, model):
    samples = FixedSampler(BernoulliSampler()(6, 25, 0))
    for sampler, expected in ((samples, 25), (SingleFeatureSampler(inverse=True), 6)):
        method = RISE(model, Grid(2, 3), sampler)
        assert len(method.attribute_segments(images[:1], target=0)[0].samples) == expected
    (result,) = CIU(
        model, Grid(2, 3), BernoulliSampler(), attributer=RiseAttributer()
    ).attribute_segments(images[:1], target=0)
    assert len(result.samples) == 1000


def test_a_preset_shares_its_parts_with_no_other():
    first = SegmentShap(abs)
    first.segmenter.kwargs["n_segments"] = 5
    assert SegmentShap(abs).segmenter.kwargs["n_segments"] == 50


def test_equal_segments_and_samples_of_a_batch_exist_once(images, model):
    method = method_of(model, segmenter=Grid(2, 3, "bilinear"))
    first, second, _ = method.attribute_segments(images, target=0, n_samples=20)
    assert first.segments is second.segments and first.samples is second.samples


def test_a_number_in_the_masks_of_two_inputs_is_one_feature(images):
    def product(x, y):
        return x.sum((1, 2, 3)) * y.sum((1, 2, 3))

    mask = Grid(2, 2)(images[0]).labels[None, None]
    pair, masks = (images[:1], images[1:2]), (mask, mask)
    ours = SegmentShap(product, perturber=SolidColor(0.0))
    found = ours.attribute(pair, feature_mask=masks, n_samples=16)
    assert torch.equal(*found)
    with global_seed(0):  # Captum draws, even where there are 16 samples in all
        theirs = KernelShap(product).attribute(pair, feature_mask=masks, n_samples=2000)
    for mine, captums in zip(found, theirs, strict=True):
        torch.testing.assert_close(mine, captums.double(), atol=0, rtol=0.1)


def test_a_run_ends_with_the_first_outputs_that_do_not_do(images, model):
    logits = nn.Sequential(*list(model)[:-1])
    for attributer, net, problem in (
        (PdaAttributer(), lambda x: 5 + logits(x), r"probabilities in \[0, 1\]"),
        (RiseAttributer(), lambda x: logits(x) / 0, "must be finite"),
    ):
        rows = []

        def counted(x, net=net, rows=rows):
            rows.append(len(x))
            return net(x)

        with pytest.raises(ValueError, match=problem):
            method_of(counted, attributer=attributer).attribute(
                images, target=0, n_samples=100, perturbations_per_eval=2, shortcut=False
            )
        assert rows == [6]
