import pytest
import torch

from captum_ext.perturbation import (
    Fade,
    Grid,
    RandomColor,
    ReplaceImage,
    Segments,
    SolidColor,
)
from captum_ext.visualize import keep_segments

SCORES = torch.tensor([1.0, -2.0, 4.0, 1.0, 3.0])
SEGMENTS = Segments(torch.arange(5)[None])
# Black is what is removed, so that a one tells a segment that is kept.
IMAGE, BLACK = torch.ones(3, 1, 5), SolidColor(0.0)


def kept(scores=SCORES, **criterion):
    result = keep_segments(IMAGE, SEGMENTS, scores, perturber=BLACK, **criterion)
    return result[0, 0].nonzero().flatten().tolist()


@pytest.mark.parametrize(("top", "expected"), [(1, [2]), (2, [2, 4]), (5, [0, 1, 2, 3, 4])])
def test_top_keeps_as_many(top, expected):
    assert kept(top=top) == expected


def test_of_equal_scores_the_first_is_kept():
    assert kept(top=3) == [0, 2, 4]
    assert kept(torch.zeros(5), top=2) == [0, 1]


@pytest.mark.parametrize(
    ("fraction", "count"), [(1e-9, 1), (0.2, 1), (0.21, 2), (0.6, 3), (0.61, 4), (1.0, 5)]
)
def test_fraction_is_rounded_up(fraction, count):
    assert len(kept(fraction=fraction)) == count


def test_fraction_is_not_rounded_up_for_a_rounding_error():
    segments = Segments(torch.arange(100)[None])
    image = keep_segments(
        torch.ones(1, 1, 100), segments, torch.rand(100), fraction=0.07, perturber=BLACK
    )
    assert image.sum() == 7


@pytest.mark.parametrize(
    ("share", "expected"),
    [(0.01, [2]), (4 / 9, [2]), (0.45, [2, 4]), (7 / 9, [2, 4]), (0.8, [0, 2, 4])],
)
def test_share_keeps_the_fewest_that_hold_it(share, expected):
    assert kept(share=share) == expected


def test_all_of_the_share_is_all_positive_segments():
    assert kept(share=1.0) == [0, 2, 3, 4]


@pytest.mark.parametrize(
    ("threshold", "expected"),
    [(1.0, [0, 2, 3, 4]), (1.1, [2, 4]), (-9.0, [0, 1, 2, 3, 4]), (5, [])],
)
def test_threshold_keeps_what_reaches_it(threshold, expected):
    assert kept(threshold=threshold) == expected


def test_the_rest_is_the_mean_color_unless_told_otherwise():
    image = torch.rand(3, 4, 4, dtype=torch.float64)
    result = keep_segments(image, Grid(2, 2)(image), torch.tensor([1, 0, 0, 0]), top=1)
    torch.testing.assert_close(result[:, :2, :2], image[:, :2, :2])
    mean = image.mean((1, 2))[:, None, None].expand(3, 2, 4)
    torch.testing.assert_close(result[:, 2:], mean)


def test_soft_segments_keep_their_soft_edges():
    image = torch.ones(1, 2, 8)
    segments = Fade(Grid(1, 2), sigma=1)(image)
    result = keep_segments(image, segments, torch.tensor([1.0, 0.0]), top=1, perturber=BLACK)
    torch.testing.assert_close(result[0], segments.masks[0] / segments.masks.sum(0))
    assert ((result > 0.01) & (result < 0.99)).any()


def test_the_generator_decides_what_is_drawn():
    settings = {"top": 1, "perturber": RandomColor(uniform=True)}
    first, again, other = (
        keep_segments(IMAGE, SEGMENTS, SCORES, generator=seed, **settings) for seed in (0, 0, 1)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize(
    "criteria",
    [
        {},
        {"top": 1, "share": 0.5},
        {"top": 0},
        {"top": 6},
        {"fraction": 0},
        {"fraction": 1.1},
        {"share": 0},
        {"share": 1.1},
        {"threshold": float("nan")},
    ],
)
def test_the_criterion_is_one_within_its_range(criteria):
    with pytest.raises(ValueError, match=next(iter(criteria), "exactly one")):
        keep_segments(IMAGE, SEGMENTS, SCORES, **criteria)


def test_no_share_of_scores_that_are_not_positive():
    with pytest.raises(ValueError, match="share"):
        keep_segments(IMAGE, SEGMENTS, -SCORES.abs(), share=0.5)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"scores": SCORES[:4]}, ValueError, "scores must be one for each of the 5"),
        ({"scores": SCORES / 0}, ValueError, "scores must be finite"),
        ({"scores": [1.0, 2.0]}, TypeError, "scores"),
        ({"image": IMAGE[None]}, ValueError, "image must be"),
        ({"image": IMAGE.long()}, TypeError, "image must be of a floating-point"),
        ({"image": torch.ones(3, 2, 5)}, ValueError, "segments must be of the image's size"),
        ({"segments": torch.arange(5)[None]}, TypeError, "segments must be Segments"),
        ({"perturber": "mean"}, TypeError, "perturber"),
        ({"perturber": ReplaceImage(torch.zeros(2, 3, 1, 5))}, ValueError, "one version"),
    ],
)
def test_what_does_not_fit_is_refused(change, error, message):
    arguments = {"image": IMAGE, "segments": SEGMENTS, "scores": SCORES, "top": 1}
    with pytest.raises(error, match=message):
        keep_segments(**arguments | change)


def test_rounding_decides_neither_threshold_nor_share():
    image, segments = torch.rand(1, 2, 10), Grid(1, 10)(torch.rand(1, 2, 10))
    scores = torch.full((10,), 0.7)
    assert torch.equal(keep_segments(image, segments, scores, threshold=0.7), image)
    for share in (0.1, 0.2, 0.3, 0.5, 0.8):
        kept = keep_segments(image, segments, scores.double(), share=share)
        assert int((kept == image).all(1).sum()) == round(10 * share)
