"""The methods on segments, and the occlusion metrics, against their equations."""

import pytest
import torch

from captum_ext.attr import CIU, RISE, SegmentLime, SegmentPda, SegmentShap
from captum_ext.baselines import blur as fast_blur
from captum_ext.metrics import deletion, insertion, lif, mif, srg
from captum_ext.perturbation import (
    CiuAttributer,
    ColorHistogram,
    FeatureMaskSegments,
    FixedSampler,
    Grid,
    OriginalCiuAttributer,
    PdaAttributer,
    ShapSampler,
    SingleFeatureSampler,
    SolidColor,
    Transformed,
)
from tests.naive import deletion_insertion
from tests.naive import srg as occlusion
from tests.naive.ciu import contextual_ciu, original_ciu
from tests.naive.conftest import assert_equal, of_class, rand
from tests.naive.resampling import blur
from tests.naive.rise import rise
from tests.naive.segment_lime import segment_lime
from tests.naive.segment_pda import segment_pda
from tests.naive.segment_perturbation import blend, outputs_of
from tests.naive.segment_shap import segment_shap, shapley_values

MASK = torch.arange(56).reshape(1, 1, 7, 8) * 6 // 56
GRID = Grid(2, 3, "bilinear")
MEAN = "mean"
VALUES = ("importance", "utility", "influence")


def ciu_of(which, **settings):
    return lambda outputs, samples: [
        each[which] for each in original_ciu(outputs, samples, **settings)
    ]


CASES = {
    "rise": (RISE, {"segmenter": GRID}, 0.0, rise),
    "lime": (SegmentLime, {"segmenter": GRID}, MEAN, segment_lime),
    "shap": (SegmentShap, {"segmenter": GRID}, MEAN, segment_shap),
    "ciu": (CIU, {"segmenter": FeatureMaskSegments(MASK[0])}, 190 / 255, ciu_of(2)),
    **{
        f"inverse_ciu_{value}": (
            CIU,
            {
                "segmenter": GRID,
                "sampler": SingleFeatureSampler(inverse=True, add_none=True),
                "attributer": OriginalCiuAttributer(inverse=True, value=value),
            },
            190 / 255,
            ciu_of(which, inverse=True),
        )
        for which, value in enumerate(VALUES)
    },
}


@pytest.mark.parametrize("case", CASES)
def test_presets(classifier, images, case):
    preset, parts, color, naive = CASES[case]
    method = preset(classifier, **parts)
    settings = {"target": 1, "generator": 4}
    if preset in (RISE, SegmentLime, SegmentShap):
        settings["n_samples"] = 40
    result = method.attribute(images, **settings)
    explained = method.attribute_segments(images, **settings)
    for x, attribution, found in zip(images, result, explained, strict=True):
        samples = found.samples.tolist()
        fill = x.mean((1, 2)) if color == MEAN else torch.full((3,), color, dtype=torch.float64)
        masks = found.segments.masks.double()
        outputs = outputs_of(of_class(classifier, 1), x, masks, samples, [fill[:, None, None]])
        scores = naive(outputs, samples)
        assert_equal(found.outputs, outputs)
        assert_equal(found.scores, scores)
        assert_equal(attribution, blend(scores, masks).expand(3, -1, -1))


class RecordedColors(ColorHistogram):
    def fills(self, image, n_samples, generator):
        self.drawn = super().fills(image, n_samples, generator)
        return self.drawn


@pytest.mark.parametrize("mode", ["evidence", "information", "probability"])
def test_segment_pda(classifier, mode):
    x, perturber = rand(3, 7, 8), RecordedColors(3)
    attributer = PdaAttributer(mode, n_classes=3, n_train=3000)
    method = SegmentPda(classifier, perturber=perturber, attributer=attributer)
    (result,) = method.attribute(x[None], target=2, feature_mask=MASK, generator=1)
    samples = SingleFeatureSampler(add_none=True, repeats=10)(6).tolist()
    masks = torch.stack([(MASK[0, 0] == number).double() for number in range(6)])
    outputs = outputs_of(of_class(classifier, 2), x, masks, samples, perturber.drawn)
    scores = segment_pda(outputs, samples, mode, 3000, 3)
    assert_equal(result, blend(scores, masks).expand(3, -1, -1))


def test_segment_shap_of_all_subsets_is_exact(classifier, images):
    method = SegmentShap(classifier, GRID, ShapSampler(), SolidColor(0.2))
    (found, _) = method.attribute_segments(images, target=0, n_samples=64)
    assert len(found.samples) == 2**6
    masks = found.segments.masks.double()
    fill = torch.full((3, 1, 1), 0.2, dtype=torch.float64)

    def value(kept):
        sample = [segment in kept for segment in range(6)]
        (output,) = outputs_of(of_class(classifier, 0), images[0], masks, [sample], [fill])
        return output

    assert_equal(found.scores, shapley_values(value, 6), atol=1e-8)


@pytest.mark.parametrize("value", VALUES)
def test_contextual_ciu(classifier, images, value):
    drawn = torch.rand(30, 6, generator=torch.Generator().manual_seed(0)) < 0.6
    alone = ~torch.eye(6, dtype=torch.bool)
    sampler = FixedSampler(torch.cat([drawn, alone, torch.ones(1, 6, dtype=torch.bool)]))
    method = CIU(classifier, GRID, sampler, SolidColor(0.2), CiuAttributer(value))
    for x, found in zip(images, method.attribute_segments(images, target=1), strict=True):
        samples, masks = found.samples.tolist(), found.segments.masks.double()
        fill = torch.full((3, 1, 1), 0.2, dtype=torch.float64)
        outputs = outputs_of(of_class(classifier, 1), x, masks, samples, [fill])
        which = VALUES.index(value)
        expected = [each[which] for each in contextual_ciu(outputs, samples, alone.tolist())]
        assert_equal(found.scores, expected)
        together = method.attributer.explain(found.outputs, found.samples, found.samples)
        combinations = contextual_ciu(outputs, samples, samples)
        assert_equal(getattr(together, value), [each[which] for each in combinations])


@pytest.mark.parametrize("kind", ["hard", "bilinear", "fade"])
def test_naive_references_are_the_published_ones(perturbed, kind):
    samples, masks = perturbed["Z"].bool().tolist(), perturbed[f"{kind}.masks"]
    fill = torch.tensor(perturbed.color, dtype=torch.float64)[:, None, None]
    score = of_class(perturbed.model, perturbed.target)
    outputs = outputs_of(score, perturbed.image[0], masks, samples, [fill])
    # The published KernelSHAP holds its constraint by a weight of 1e5.
    for name, found, rtol in (
        ("Y", outputs, 1e-6),
        ("rise", rise(outputs, samples), 1e-6),
        ("lime", segment_lime(outputs, samples), 1e-6),
        ("shap", segment_shap(outputs, samples), 1e-4),
        ("pda_probdiff", segment_pda(outputs, samples, "probability", 1000, 5), 1e-6),
        ("pda_infodiff", segment_pda(outputs, samples, "information", 1000, 5), 1e-6),
        ("pda_evidence", segment_pda(outputs, samples, "evidence", 1000, 5), 1e-6),
    ):
        recorded = perturbed[f"{kind}.{name}"]
        result = torch.tensor(found, dtype=torch.float64)
        torch.testing.assert_close(result, recorded, rtol=rtol, atol=1e-15)


def test_naive_ciu_is_the_published_one(perturbed):
    for name, results in (
        ("ciu", original_ciu(perturbed["ciu.Y"].tolist(), perturbed["ciu.Z"].tolist())),
        (
            "inverse_ciu",
            original_ciu(
                perturbed["inverse_ciu.Y"].tolist(),
                perturbed["inverse_ciu.Z"].tolist(),
                inverse=True,
            ),
        ),
        (
            "contextual",
            contextual_ciu(
                perturbed["hard.Y"].tolist(),
                perturbed["Z"].tolist(),
                perturbed["contextual.combinations"].tolist(),
            ),
        ),
    ):
        for which, value in enumerate(VALUES):
            found = torch.tensor([each[which] for each in results], dtype=torch.float64)
            expected = perturbed[f"{name}.{value}"]
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-15)


def attributions_with_ties(images):
    return (rand(*images.shape, seed=6) * 2).round()


@pytest.mark.parametrize("attributions", [lambda x: rand(*x.shape, seed=6), attributions_with_ties])
@pytest.mark.parametrize("n_steps", [6, 57])
def test_occlusion_metrics(classifier, images, attributions, n_steps):
    attributed = attributions(images)
    call = (classifier, images, attributed, 1)
    for name, metric in (("lif", lif), ("mif", mif), ("srg", srg)):
        result = metric(*call, n_steps=n_steps)
        naive = getattr(occlusion, name)
        expected = [
            naive(of_class(classifier, 1), x, each, _mean_color(x), n_steps)
            for x, each in zip(images, attributed, strict=True)
        ]
        assert_equal(result, expected)


def test_naive_occlusion_curves_are_the_published_ones(perturbed):
    x, heat = perturbed.image[0], perturbed["fade.rise_pixels"][None]
    settings = (of_class(perturbed.model, perturbed.target), x, heat, _mean_color(x), 8)
    for most_first, recorded in enumerate(perturbed["fade.curves"]):
        curve = torch.tensor(occlusion.removal_curve(*settings, bool(most_first))).double()
        torch.testing.assert_close(curve, recorded, rtol=1e-6, atol=1e-15)
    found = [metric(*settings) for metric in (occlusion.lif, occlusion.mif, occlusion.srg)]
    for value, recorded in zip(found, perturbed["fade.lif_mif_srg"].tolist(), strict=True):
        assert value == pytest.approx(recorded, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize("step_size", [None, 5, 1])
def test_deletion_and_insertion(classifier, images, step_size):
    attributions = rand(*images.shape, seed=6)
    score, steps = of_class(classifier, 2), step_size or 8
    call = (classifier, images, attributions, 2)
    blurred = Transformed(fast_blur, sigma=1.5)
    expected = [
        (
            deletion_insertion.deletion(score, x, each, torch.zeros_like(x), steps),
            deletion_insertion.insertion(score, x, each, blur(x, 1.5, replicate=True), steps),
        )
        for x, each in zip(images, attributions, strict=True)
    ]
    result = (
        deletion(*call, step_size=step_size),
        insertion(*call, step_size=step_size, perturber=blurred),
    )
    assert_equal(torch.stack(result, 1), expected)


def _mean_color(x):
    return x.mean((1, 2), keepdim=True).expand_as(x)
