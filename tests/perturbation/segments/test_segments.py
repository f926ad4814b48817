import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.data import astronaut
from skimage.segmentation import felzenszwalb, quickshift, slic, watershed

from captum_ext.perturbation import Fade, FeatureMaskSegments, Grid, Segments, SkimageSegments


@pytest.fixture(scope="module")
def photograph():
    return torch.from_numpy(astronaut()[::8, ::8].copy()).movedim(-1, 0).double() / 255


@pytest.mark.parametrize("rows,cols", [(2, 5), (5, 2), (1, 3), (7, 7)])
def test_a_grid_has_its_rows_from_top_to_bottom(rows, cols):
    labels = Grid(rows, cols)(torch.rand(3, 14, 20)).labels
    for row in range(rows):
        assert torch.equal(
            labels[row * 14 // rows + 1].unique(), torch.arange(row * cols, row * cols + cols)
        )


@pytest.mark.parametrize("rows,cols", [(2, 5), (5, 2), (1, 3)])
def test_a_bilinear_grid_is_one_in_sum_and_transposes_with_the_image(rows, cols):
    image = torch.rand(3, 12, 20, dtype=torch.float64)
    masks = Grid(rows, cols, "bilinear")(image).masks
    torch.testing.assert_close(masks.sum(0), torch.ones(12, 20, dtype=torch.float64))
    turned = Grid(cols, rows, "bilinear")(image.transpose(1, 2)).masks
    expected = masks.reshape(rows, cols, 12, 20).permute(1, 0, 3, 2).flatten(0, 1)
    torch.testing.assert_close(turned, expected)


def test_a_bilinear_cell_fades_linearly_to_its_neighbors_centers():
    mask = Grid(1, 2, "bilinear")(torch.rand(1, 1, 8, dtype=torch.float64)).masks[0, 0]
    assert mask[2:6].tolist() == [0.875, 0.625, 0.375, 0.125]


@pytest.mark.parametrize("sigma", [0.7, 3.0, 40.0])
def test_a_fade_is_scipys_gaussian_filter(sigma):
    image = torch.rand(3, 16, 11, dtype=torch.float64)
    faded = Fade(Grid(3, 2), sigma)(image)
    expected = gaussian_filter(Grid(3, 2)(image).masks.double().numpy(), sigma, axes=(1, 2))
    np.testing.assert_allclose(faded.masks.numpy(), expected, atol=1e-12)
    assert torch.equal(faded.labels, Grid(3, 2)(image).labels)


@pytest.mark.parametrize(
    "function,settings",
    [
        (slic, {"n_segments": 20}),
        (slic, {"n_segments": 20, "start_label": 0}),
        (felzenszwalb, {"scale": 50}),
        (quickshift, {"kernel_size": 3, "max_dist": 20}),
        (watershed, {"markers": 12}),
    ],
)
def test_segmentations_of_scikit_image(photograph, function, settings):
    segmenter = SkimageSegments(function, **settings)
    segments = segmenter(photograph)
    assert len(segments) > 4
    assert torch.equal(segments.labels.unique(), torch.arange(len(segments)))
    assert function.__name__ in repr(segmenter)


def test_a_segmentation_takes_gray_images(photograph):
    assert len(SkimageSegments(slic, n_segments=9)(photograph.mean(0, keepdim=True))) > 2


def test_a_segmentation_of_scikit_image_sees_the_image_as_it_is(photograph):
    seen = []

    def halves(image, channel_axis=None):
        seen.append((image, channel_axis))
        return np.arange(image.shape[1])[None].repeat(image.shape[0], 0) // 32

    assert len(SkimageSegments(halves)(photograph)) == 2
    np.testing.assert_array_equal(seen[0][0], photograph.movedim(0, -1).numpy())
    assert seen[0][1] == -1


def test_hard_segments_cover_as_their_masks_would():
    segments = Grid(2, 3)(torch.rand(1, 8, 9))
    samples = torch.rand(4, 6)
    expected = torch.einsum("ns,shw->nhw", samples, segments.masks)
    torch.testing.assert_close(segments.cover(samples), expected)


def test_maps_per_pixel_blend_and_maps_per_segment_do_not():
    segments = Grid(1, 2, "bilinear")(torch.rand(1, 1, 8))
    scores = torch.tensor([0.0, 1.0])
    assert segments.per_segment(scores)[0].tolist() == [0, 0, 0, 0, 1, 1, 1, 1]
    assert segments.per_pixel(scores)[0, 3].item() == 0.375


@pytest.mark.parametrize(
    "labels,problem",
    [
        (torch.tensor([[0, 2]]), "without a gap; got 2 labels from 0 to 2"),
        (torch.tensor([[1, 2]]), "without a gap"),
        (torch.tensor([[-1, 0]]), "must not be negative; got -1"),
        (torch.tensor([0, 1]), r"must have the shape \[H, W\]; got \(2,\)"),
    ],
)
def test_labels_that_are_no_segments(labels, problem):
    with pytest.raises(ValueError, match=problem):
        Segments(labels)


def test_masks_that_are_no_segments():
    labels = torch.tensor([[0, 1]])
    good = torch.tensor([[[1.0, 0.0]], [[0.0, 1.0]]])
    Segments(labels, good)
    with pytest.raises(ValueError, match="leave no hole; got 1 pixels"):
        Segments(labels, good * torch.tensor([1.0, 0.0]))
    with pytest.raises(ValueError, match="finite and not negative"):
        Segments(labels, -good)
    with pytest.raises(ValueError, match=r"must have the shape \(2, 1, 2\)"):
        Segments(labels, good[:, :, :1])
    with pytest.raises(TypeError, match=r"floating-point dtype; got torch\.int64"):
        Segments(labels, good.long())
    with pytest.raises(TypeError, match=r"whole numbers; got torch\.float32"):
        Segments(labels.float())


def test_segmenters_refuse_what_they_cannot_do():
    image = torch.rand(3, 4, 4)
    with pytest.raises(ValueError, match="rows must be at most the image's 4 pixels; got 5"):
        Grid(5, 2)(image)
    with pytest.raises(ValueError, match="unknown edges 'soft'"):
        Grid(2, 2, "soft")
    for sigma in (0, -1):
        with pytest.raises(ValueError, match="sigma must be above 0"):
            Fade(Grid(2, 2), sigma)
    with pytest.raises(ValueError, match=r"size \(4, 4\); got \(1, 2\)"):
        FeatureMaskSegments(torch.tensor([[0, 1]]))(image)
    with pytest.raises(ValueError, match=r"image must be a tensor \[C, H, W\]"):
        Grid(2, 2)(image[None])
    with pytest.raises(ValueError, match="channel_axis must not be given"):
        SkimageSegments(slic, channel_axis=0)
    with pytest.raises(ValueError, match="watershed_line must not be given"):
        SkimageSegments(watershed, watershed_line=True)
    with pytest.raises(ValueError, match="none of them negative"):
        SkimageSegments(lambda image: -np.ones(image.shape[:2], dtype=int))(image)
    with pytest.raises(ValueError, match="1 or 3 channels"):
        SkimageSegments(slic)(torch.rand(2, 4, 4))


@pytest.mark.parametrize("edges", ["hard", "bilinear"])
def test_samples_may_be_bool_or_whole_numbers(edges):
    segments = Grid(2, 2, edges)(torch.rand(1, 6, 6))
    samples = torch.tensor([[1, 0, 0, 1], [1, 1, 0, 1]])
    expected = segments.cover(samples.float())
    for kind in (samples, samples.bool()):
        assert torch.equal(segments.cover(kind), expected)
    with pytest.raises(ValueError, match=r"scores must have the shape \(4,\); got \(5,\)"):
        segments.per_segment(torch.rand(5))


def test_segments_do_not_follow_later_changes_of_the_labels():
    labels = torch.tensor([[0, 1]])
    segments = Segments(labels)
    labels[0, 0] = 7
    assert segments.labels.tolist() == [[0, 1]]


def test_a_function_without_channel_axis_sees_the_image_too(photograph):
    shapes = []

    def columns(image):
        shapes.append(image.shape)
        return np.arange(64)[None].repeat(64, 0) // 32

    SkimageSegments(columns)(photograph)
    assert shapes == [(64, 64, 3)]
