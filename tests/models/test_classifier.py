import math

import pytest
import torch
from torch import nn

from captum_ext.models import Classifier, Framing, Preprocessing

NAMES = ["tiger cat, tiger", "Tiger", "hen of the woods", "hen"]


def classifier(*layers, names=NAMES, mean=(0.0,) * 3, std=(1.0,) * 3, outputs="auto"):
    preprocessing = Preprocessing(mean, std, Framing((2, 2), 2))
    return Classifier(nn.Sequential(*layers), preprocessing, names, "small", outputs).eval()


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


@pytest.mark.parametrize(
    ("kind", "probabilities"),
    [("softmax", [0.75, 0.25]), ("sigmoid", [0.75, 0.5]), ("scores", [math.nan] * 2)],
)
def test_what_outputs_are_is_said(kind, probabilities):
    model = classifier(Gives(torch.tensor([[0.0, math.log(3)]])), names=["a", "b"], outputs=kind)
    top = model.top(SEEN)
    assert [each.probability for each in top] == pytest.approx(probabilities, nan_ok=True)
    assert [each.score for each in top] == pytest.approx([math.log(3), 0])
    assert {each.outputs for each in top} == {kind}
    assert all(each.has_logit == (kind != "scores") for each in top)


@pytest.mark.parametrize(
    ("kind", "number"),
    [
        ("softmax", "softmax p = 0.622"),
        ("sigmoid", "sigmoid p = 0.622"),
        ("probabilities", "p = 0.5"),
        ("scores", "score = 0.5"),
    ],
)
def test_a_classs_number_says_what_it_is(kind, number):
    model = classifier(Gives(torch.tensor([[0.5, 0.0]])), names=None, outputs=kind)
    assert model.top(SEEN, 1)[0].number == number


@pytest.mark.parametrize("shape", [(1, 1), (1,)])
@pytest.mark.parametrize(("kind", "output"), [("sigmoid", math.log(3)), ("probabilities", 0.75)])
def test_a_binary_models_one_output_is_that_of_the_second_name(shape, kind, output):
    model = classifier(Gives(torch.full(shape, output)), names=["cat", "dog"], outputs=kind)
    (about,) = model.top(SEEN)
    assert (about.index, about.label, about.probability) == (0, "dog", pytest.approx(0.75))
    assert model.index_of("dog") == 0 and model.label_of(0) == "dog"
    with pytest.raises(ValueError, match="target must be 'dog', the one output of small; got 'cat"):
        model.index_of("cat")
    with pytest.raises(ValueError, match="target must be below 1; got 1"):
        model.index_of(1)


def test_two_labels_of_two_outputs_keep_their_names():
    model = classifier(Gives(torch.zeros(1, 2)), names=["cat", "dog"], outputs="sigmoid")
    assert [model.index_of(name) for name in ("cat", "dog")] == [0, 1]


@pytest.mark.parametrize("kind", ["auto", "softmax"])
def test_one_output_must_be_told(kind):
    model = classifier(Gives(torch.zeros(1, 1)), names=None, outputs=kind)
    with pytest.raises(ValueError, match=f"outputs must be 'sigmoid' .*; got '{kind}' for small"):
        model.top(SEEN)


def test_probabilities_outside_their_range_are_refused():
    model = classifier(Gives(torch.tensor([[-1.0, 3.0]])), names=None, outputs="probabilities")
    with pytest.raises(ValueError, match=r"those of small lie from -1 to 3: for logits say"):
        model.top(SEEN)
    with pytest.raises(ValueError, match="unknown outputs 'sigmoids'; did you mean 'sigmoid'"):
        classifier(outputs="sigmoids")


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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_weights_may_be_of_any_precision(dtype):
    network = nn.Sequential(nn.Conv2d(3, 4, 2), nn.Flatten())
    expected = classifier(network).top(SEEN)
    top = classifier(network.to(dtype)).top(SEEN)
    assert [each.logit for each in top] == pytest.approx([e.logit for e in expected], abs=0.02)


def test_a_picture_is_seen_at_the_models_size_in_a_batch_of_one():
    assert classifier().see(torch.rand(3, 9, 5)).shape == (1, 3, 2, 2)
