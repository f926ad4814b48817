"""Agreement with the published implementation, on recorded cases in float64."""

import numpy as np
import pytest
import torch

from captum_ext.attr import SegmentPerturbation
from captum_ext.metrics import lif, mif, srg
from captum_ext.perturbation import (
    CiuAttributer,
    Fade,
    FixedSampler,
    Grid,
    KernelShapAttributer,
    LinearLimeAttributer,
    OriginalCiuAttributer,
    PdaAttributer,
    RiseAttributer,
    SolidColor,
)

KINDS = ("hard", "bilinear", "fade")
ATTRIBUTERS = {
    "rise": RiseAttributer(),
    "lime": LinearLimeAttributer(),
    "shap": KernelShapAttributer(),
    "pda_probdiff": PdaAttributer("probability", n_classes=5, n_train=1000),
    "pda_infodiff": PdaAttributer("information", n_classes=5, n_train=1000),
    "pda_evidence": PdaAttributer("evidence", n_classes=5, n_train=1000),
}


def segmenter_of(case, kind):
    grid = Grid(case.rows, case.cols, "bilinear" if kind == "bilinear" else "hard")
    return Fade(grid, case.sigma) if kind == "fade" else grid


def assert_close(result, recorded, rtol=1e-6):
    torch.testing.assert_close(result, recorded, rtol=rtol, atol=1e-15)


@pytest.mark.parametrize("kind", KINDS)
def test_masks_and_what_samples_keep(perturbed, kind):
    segments = segmenter_of(perturbed, kind)(perturbed.image[0])
    assert_close(segments.masks.double(), perturbed[f"{kind}.masks"])
    kept = segments.cover(perturbed["Z"].double()[:6])
    assert_close(kept, perturbed[f"{kind}.sample_masks"])


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_and_all_attributers_from_one_set_of_passes(perturbed, kind):
    method = SegmentPerturbation(
        perturbed.model,
        segmenter_of(perturbed, kind),
        FixedSampler(perturbed["Z"]),
        SolidColor(perturbed.color),
        KernelShapAttributer(),
    )
    (result,) = method.attribute_segments(perturbed.image, target=perturbed.target)
    assert_close(result.outputs, perturbed[f"{kind}.Y"])
    for name, attributer in ATTRIBUTERS.items():
        scores = attributer(result.outputs, result.samples)
        assert_close(scores, perturbed[f"{kind}.{name}"], rtol=1e-4 if name == "shap" else 1e-6)
    rise = result.segments.per_pixel(torch.round(perturbed[f"{kind}.rise"], decimals=9))
    assert_close(rise, perturbed[f"{kind}.rise_pixels"])


def test_pda_that_weighs_its_samples_is_finite_where_the_published_one_is_not(perturbed):
    assert perturbed["hard.pda_weighted"].isnan().all()
    outputs, samples = perturbed["hard.Y"], perturbed["Z"]
    scores = PdaAttributer("probability", weighted=True)(outputs, samples)
    informative = ~samples.bool().all(1)
    removed = 1 - samples[informative].double()
    weights = removed / removed.sum(1, keepdim=True)
    expected = outputs[~informative][0] - (outputs[informative] @ weights) / weights.sum(0)
    assert_close(scores, expected)


@pytest.mark.parametrize("name", ["ciu", "inverse_ciu"])
def test_original_ciu(perturbed, name):
    attributer = OriginalCiuAttributer(inverse=name.startswith("inverse"))
    found = attributer.explain(perturbed[f"{name}.Y"], perturbed[f"{name}.Z"])
    for value in ("importance", "utility", "influence"):
        assert_close(getattr(found, value), perturbed[f"{name}.{value}"])


def test_contextual_ciu_of_every_combination(perturbed):
    found = CiuAttributer().explain(perturbed["hard.Y"], perturbed["Z"])
    assert torch.equal(found.combinations, perturbed["contextual.combinations"].bool())
    for value in ("importance", "utility", "influence"):
        assert_close(getattr(found, value), perturbed[f"contextual.{value}"])


def test_occlusion_metrics_of_a_map_without_ties(perturbed):
    recorded = perturbed["fade.curves"], perturbed["fade.lif_mif_srg"]
    attributions = perturbed["fade.rise_pixels"][None, None]
    call = (perturbed.model, perturbed.image, attributions, perturbed.target)
    _, curves = srg(*call, n_steps=8, return_curves=True)
    assert_close(curves[0], recorded[0])
    for metric, expected in zip((lif, mif, srg), recorded[1], strict=True):
        assert_close(metric(*call, n_steps=8)[0], expected)


@pytest.mark.parametrize("kind", ["hard", "bilinear"])
def test_occlusion_curves_of_a_map_with_ties(perturbed, kind):
    attributions = perturbed[f"{kind}.rise_pixels"]
    call = (perturbed.model, perturbed.image, attributions[None, None], perturbed.target)
    _, curves = srg(*call, n_steps=8, return_curves=True, ties="numpy")
    order = np.argsort(attributions.flatten().numpy())
    plain = torch.stack([plain_curve(perturbed, way) for way in (order, order[::-1].copy())])
    assert_close(curves[0], plain)
    recorded = perturbed[f"{kind}.curves"]
    if torch.allclose(plain, recorded, rtol=1e-6, atol=0):
        return
    pytest.skip("NumPy sorts ties in another order on this processor than on the recording one")


def plain_curve(case, order):
    mean = case.image.mean((2, 3), keepdim=True)
    images = []
    for cut in np.linspace(0, len(order), 8):
        keep = torch.ones(len(order), dtype=torch.float64)
        keep[torch.from_numpy(order[: round(cut)])] = 0
        images.append(mean + (case.image - mean) * keep.reshape(case.image.shape[2:]))
    with torch.no_grad():
        return case.model(torch.cat(images))[:, case.target]
