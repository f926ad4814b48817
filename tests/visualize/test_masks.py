import pytest
import torch

from captum_ext.attr import GeneticIPHA
from captum_ext.visualize import compare_images


def left_of(x):
    return x[..., :3].mean((1, 2, 3))


@pytest.fixture
def search():
    image = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.5
    (found,) = GeneticIPHA(left_of).search(image, 0, n_generations=40, threshold=None)
    return found


def test_it_shows_the_image_and_both_parts_with_their_scores(search):
    figure = compare_images(search, title="an image")
    images = [axes.images[0].get_array() for axes in figure.axes]
    assert len(images) == 3
    whole = torch.from_numpy(images[0].data)
    mask = search.important[0].movedim(0, -1)
    assert torch.equal(torch.from_numpy(images[1].data), torch.where(mask, whole, 0))
    assert mask[:, :3].all()
    titles = [axes.get_title().split("\n") for axes in figure.axes]
    assert [title[0] for title in titles] == ["original", "important only", "unimportant only"]
    assert titles[0][1] == f"{search.score:.3f}"
    assert titles[2][1] == f"0.000  (impact {search.score:.3f})"
    assert figure.get_suptitle() == "an image"


def test_gray_images_and_one_of_several_inputs():
    x, y = torch.rand(1, 1, 4, 6), torch.rand(1, 5)
    (found,) = GeneticIPHA(lambda x, y: x.mean((1, 2, 3)) / 2 + y.mean(1) / 2).search(
        (x, y), (0, 0), n_generations=2
    )
    assert compare_images(found).axes[0].images[0].get_array().shape == (4, 6)
    with pytest.raises(ValueError, match=r"inputs must be \[3, H, W\] or \[1, H, W\]"):
        compare_images(found, index=1)
    with pytest.raises(ValueError, match="index must be below 2"):
        compare_images(found, index=2)


def test_what_cannot_be_drawn_is_refused(search):
    with pytest.raises(TypeError, match="search must be a MaskSearch; got tuple"):
        compare_images((search,))
    (bright,) = GeneticIPHA(left_of).search(
        torch.full((1, 3, 4, 4), 2.0), 0, probabilities=None, n_generations=2
    )
    with pytest.raises(ValueError, match=r"inputs must be in \[0, 1\]"):
        compare_images(bright)
