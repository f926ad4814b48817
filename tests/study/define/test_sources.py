from pathlib import Path

import pytest
import torch

from captum_ext.study import CropImage, study_images
from captum_ext.study.define.sources import MOST_CROPS, crops


def test_crops_are_different_squares():
    images = crops(400)
    assert len({(image.source, image.box) for image in images}) == 400
    assert {image.source for image in images} == {"astronaut", "chelsea", "coffee", "rocket"}
    assert [image.box for image in crops(8)] == [image.box for image in images[:8]]


@pytest.mark.parametrize("count", [0, -3, MOST_CROPS + 1, 10**19])
def test_crops_that_cannot_be_had_are_refused_by_name(count):
    with pytest.raises(ValueError, match="crops must be at"):
        crops(count)


@pytest.mark.parametrize("source", ["crops:", "crops:0", "crops:1.5", "crops:²", f"crops:{10**19}"])
def test_a_source_of_crops_says_what_it_must_be(source):
    with pytest.raises(ValueError, match=f"{source}' must be crops:N with a whole number N from 1"):
        study_images([source], Path())


def test_a_folder_may_be_called_as_crops_are(tmp_path):
    (tmp_path / "crops:x").mkdir()
    (tmp_path / "crops:x" / "cat.png").write_bytes(b"picture")
    assert [image.name for image in study_images(["crops:x"], tmp_path)] == ["cat"]


@pytest.mark.parametrize("box", [(0, 0, 301), (200, 0, 200), (0, 400, 64), (10**19, 0, 1)])
def test_a_crop_beyond_its_photograph_is_refused(box):
    with pytest.raises(ValueError, match="box must lie within chelsea, 300 x 451 pixels; got a sq"):
        CropImage("crop", "chelsea", box)


@pytest.mark.parametrize(
    ("box", "message"),
    [
        ((0, 0, 0), "side of box must be at least 1"),
        ((-1, 0, 5), "top of box must be at least 0"),
        ((0, 0.5, 5), "left of box must be a whole number"),
        ((0, 0), r"box must be \(top, left, side\)"),
    ],
)
def test_a_box_of_another_kind_is_refused(box, message):
    with pytest.raises((TypeError, ValueError), match=message):
        CropImage("crop", "chelsea", box)


def test_a_crop_is_its_own():
    image = CropImage("crop", "coffee", (0, 0, 4))
    image.read().zero_()
    assert torch.count_nonzero(image.read())
