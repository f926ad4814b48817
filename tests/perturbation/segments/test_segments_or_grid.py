import warnings

import pytest
import torch
from skimage.data import astronaut
from skimage.segmentation import slic
from torch import nn

from captum_ext import explain
from captum_ext.attr import CIU, RISE, SegmentLime, SegmentPda, SegmentShap
from captum_ext.checks import AttributionWarning
from captum_ext.perturbation import Grid, SkimageSegments
from captum_ext.perturbation.segments.segments_or_grid import suitable_grid

PRESETS = (RISE, SegmentLime, SegmentShap, CIU, SegmentPda)
SHAPES = [(1, 28, 28), (3, 33, 40), (4, 36, 36), (2, 8, 8), (3, 40, 1), (1, 1, 9), (3, 2, 2)]


def model(x):
    return torch.stack([x.mean((1, 2, 3)), 1 - x.mean((1, 2, 3))], 1).softmax(1)


def pictures(shape):
    """Noise, a flat picture, and one of two halves."""
    noise, half = torch.rand(shape, generator=torch.Generator().manual_seed(0)), torch.zeros(shape)
    half[..., shape[2] // 2 :] = 1
    return torch.stack([noise, torch.full(shape, 0.5), half])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("preset", PRESETS)
def test_presets_serve_pictures_that_their_segmenters_do_not(preset, shape):
    images = pictures(shape)
    settings = {} if preset in (CIU, SegmentPda) else {"n_samples": 60}
    heat = preset(model).attribute(images, target=0, **settings)
    assert heat.shape == images.shape and bool(torch.isfinite(heat).all())


def test_the_default_method_serves_small_pictures_and_says_how():
    images = pictures((3, 34, 34))
    with pytest.warns(AttributionWarning, match=r"found 1, \d, \d segments .* grid of 7x7 is used"):
        explain(model, images, 0, n_samples=100)


def test_other_examples_of_a_batch_keep_their_segments():
    photograph = torch.from_numpy(astronaut()[::8, ::8]).movedim(-1, 0) / 255
    noise = torch.rand(photograph.shape, generator=torch.Generator().manual_seed(0))
    (alone,) = CIU(model).attribute_segments(photograph[None], target=0)
    with pytest.warns(AttributionWarning, match="found 1 segments in example 1, "):
        first, second = CIU(model).attribute_segments(torch.stack([photograph, noise]), target=0)
    assert torch.equal(first.segments.labels, alone.segments.labels)
    torch.testing.assert_close(first.scores, alone.scores)
    assert len(second.segments) == 49


def test_a_segmenter_that_was_chosen_is_taken_at_its_word():
    with pytest.raises(ValueError, match="segmenter must find at least 2 segments"):
        SegmentLime(model, SkimageSegments(slic, n_segments=1)).attribute(pictures((3, 8, 8)))
    method = RISE(model)
    method.segmenter = Grid(9, 9)
    with pytest.raises(ValueError, match="rows must be at most the image's 8 pixels"):
        method.attribute(pictures((3, 8, 8)))


def test_photographs_get_no_grid():
    image = torch.from_numpy(astronaut()).movedim(-1, 0)[None, :, ::4, ::4] / 255
    with warnings.catch_warnings():
        warnings.simplefilter("error", AttributionWarning)
        for preset in (SegmentShap, CIU, SegmentPda):
            preset(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Softmax(1))).attribute(
                image, target=0
            )


def test_a_grid_has_cells_for_few_samples():
    with pytest.warns(AttributionWarning, match="grid of 4x5 is used"):
        SegmentLime(model).attribute(pictures((3, 40, 40)), target=0, n_samples=40)


@pytest.mark.parametrize("sides", [(1, 1), (1, 50), (300, 2), (7, 7), (8, 30), (224, 224)])
@pytest.mark.parametrize("most", [8, 20, 49])
def test_a_grid_has_no_more_cells_than_allowed_nor_than_pixels(sides, most):
    rows, cols = suitable_grid(*sides, most)
    assert 1 <= rows <= sides[0] and 1 <= cols <= sides[1]
    assert min(most, sides[0] * sides[1]) / 2 <= rows * cols <= most
