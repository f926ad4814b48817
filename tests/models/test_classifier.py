import math

import pytest
import torch
from torch import nn

from captum_ext.models import Classifier, Framing, Preprocessing

NAMES = ["tiger cat, tiger", "Tiger", "hen of the woods", "hen"]


def classifier(*layers, names=NAMES, mean=(0.0,) * 3, std=(1.0,) * 3):
    preprocessing = Preprocessing(mean, std, Framing((2, 2), 2))
    return Classifier(nn.Sequential(*layers), preprocessing, names, "small").eval()


class Gives(nn.Module):
    """The same outputs for any image."""

    def __init__(self, outputs):
        super().__init__()
        self.outputs = outputs

    def forward(self, x):
        return self.outputs


SEEN = torch.rand(1, 3, 2, 2)


@pytest.mark.parametrize(
    ("target", "index"),
    [
        ("hen", 3),
        ("HEN of the Woods ", 2),
        ("tiger cat, tiger", 0),
        ("tiger cat", 0),
        ("tiger", 1),  # a whole label comes before one of several names
        ("2", 2),
        (2, 2),
    ],
)
def test_a_class_is_found_by_its_number_its_label_or_one_of_its_names(target, index):
    assert classifier().index_of(target) == index


def test_of_two_classes_of_one_name_the_numbers_are_told():
    with pytest.raises(ValueError, match="name of several classes; give a number of 0, 2"):
        classifier(names=["crane", "ox", "crane"]).index_of("crane")


def test_classes_that_differ_in_case_only_are_told_apart():
    names = ["Cardigan", "ox", "cardigan"]
    assert [classifier(names=names).index_of(name) for name in ("Cardigan", "cardigan")] == [0, 2]


def test_an_unknown_label_suggests_the_nearest_ones():
    with pytest.raises(ValueError, match=r"unknown target 'henn'; did you mean 'hen'\?"):
        classifier().index_of("henn")


def test_an_unknown_label_among_a_thousand_does_not_list_them():
    names = [f"kind {index}, other name {index}" for index in range(1000)]
    with pytest.raises(ValueError, match=r"did you mean 'kind 77'") as caught:
        classifier(names=names).index_of("kynd 77")
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("target", [4, "4", 1000])
def test_a_number_that_is_no_class_is_refused(target):
    with pytest.raises(ValueError, match=f"target must be below 4; got {target}"):
        classifier().index_of(target)


def test_without_names_a_class_is_its_number():
    model = classifier(names=None)
    assert model.index_of("12") == 12
    assert model.label_of(12) == "12"
    with pytest.raises(ValueError, match=r"target must be a number: small has no names; got 'hen'"):
        model.index_of("hen")


def test_the_top_classes_of_logits_have_their_softmax():
    model = classifier(Gives(torch.tensor([[0.0, math.log(4), math.log(2), math.log(3)]])))
    top = model.top(SEEN, 3)
    assert [each.index for each in top] == [1, 3, 2]
    assert [each.label for each in top] == ["Tiger", "hen", "hen of the woods"]
    assert [each.probability for each in top] == pytest.approx([0.4, 0.3, 0.2])
    assert [each.logit for each in top] == pytest.approx([math.log(4), math.log(3), math.log(2)])


def test_the_top_classes_of_probabilities_are_as_they_are_and_have_no_logit():
    top = classifier(Gives(torch.tensor([[0.1, 0.2, 0.3, 0.4]]))).top(SEEN, 2)
    assert [each.probability for each in top] == pytest.approx([0.4, 0.3])
    assert all(math.isnan(each.logit) for each in top)


def test_equal_outputs_are_in_order_and_no_more_come_than_there_are():
    top = classifier(Gives(torch.zeros(1, 4))).top(SEEN, 99)
    assert [each.index for each in top] == [0, 1, 2, 3]
    assert [each.probability for each in top] == pytest.approx([0.25] * 4)


def test_given_classes_are_described_in_their_order():
    model = classifier(Gives(torch.tensor([[0.0, 1.0, 2.0, 3.0]])))
    assert [each.logit for each in model.describe(SEEN, [2, 0])] == [2.0, 0.0]
    for index in (4, -1):
        with pytest.raises(ValueError, match=f"target must be from 0 to 3; got {index}"):
            model.describe(SEEN, [index])


@pytest.mark.parametrize(
    ("outputs", "message"),
    [
        (torch.zeros(1, 3), r"class_names must be as many as the 3 outputs of small; got 4"),
        (torch.zeros(1, 4, 1), r"model must give \[B, classes\]; small gives \(1, 4, 1\)"),
        (torch.zeros(2, 4), r"model must give \[B, classes\]; small gives \(2, 4\)"),
        ((torch.zeros(1, 4),), r"model must give \[B, classes\]; small gives tuple"),
        (torch.full((1, 4), math.nan), "finite outputs; those of small are not"),
    ],
)
def test_outputs_that_do_not_do_are_refused(outputs, message):
    with pytest.raises(ValueError, match=message):
        classifier(Gives(outputs)).top(SEEN)


@pytest.mark.parametrize("count", [0, -1])
def test_no_classes_cannot_be_asked_for(count):
    with pytest.raises(ValueError, match="top must be at least 1"):
        classifier(Gives(torch.zeros(1, 4))).top(SEEN, count)


def test_the_model_gets_normalized_images_and_asking_it_leaves_no_graph():
    model = classifier(nn.Flatten(), nn.Linear(12, 4), mean=(0.5, 0.4, 0.3), std=(0.5, 0.25, 0.2))
    logits = [each.logit for each in model.describe(SEEN, range(4))]
    scaled = (SEEN - torch.tensor([0.5, 0.4, 0.3])[:, None, None]) / torch.tensor([0.5, 0.25, 0.2])[
        :, None, None
    ]
    assert logits == pytest.approx(model.model(scaled)[0].tolist())


def test_a_picture_is_seen_at_the_models_size_in_a_batch_of_one():
    assert classifier().see(torch.rand(3, 9, 5)).shape == (1, 3, 2, 2)
