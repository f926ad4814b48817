import torch

from captum_ext import get_method
from captum_ext.exam import CenterPixelModel, answer
from captum_ext.exam.report import figure


def test_a_hit_that_breaks_a_promise_is_a_hit_that_says_so():
    model, image = CenterPixelModel(size=5), torch.full((1, 1, 5, 5), 100 / 255)
    result = answer(model, image, get_method("integrated_gradients"))
    assert result.hit and result.broken == ["completeness"] and not result.blank
    assert "breaks completeness: sums to" in result.detail
    drawn = figure(model, image, [result])
    notes = [axes.get_xlabel() for axes in drawn.axes]
    assert "hit: center has 100.0 %\nbreaks completeness" in notes
