"""What a model's outputs mean is said, and every method explains that."""

import pytest
import torch
from torch import nn

from captum_ext import explain, load_model
from captum_ext.outputs import WithActivation, with_probabilities
from captum_ext.pictures import explain_picture

PROBABILITY_METHODS = ("pda", "segment_pda", "genetic_ipha")
X = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def network(n_outputs=3):
    """A linear model of a small picture, always with the same weights."""
    layer, generator = nn.Linear(3 * 4 * 4, n_outputs), torch.Generator().manual_seed(2)
    with torch.no_grad():
        layer.weight.copy_(torch.randn(layer.weight.shape, generator=generator))
    return nn.Sequential(nn.AvgPool2d(4), nn.Flatten(), layer).eval()


def settings(method):
    """What makes a method quick."""
    return {
        "pda": {"n_samples": 2, "sliding_window_shapes": (3, 8, 8), "strides": (3, 8, 8)},
        "genetic_ipha": {"n_generations": 2, "population_size": 10},
    }.get(method, {})


def classifier(model, **settings):
    return load_model(model, mean=(0,) * 3, std=(1,) * 3, size=16, **settings)


@pytest.mark.parametrize("method", PROBABILITY_METHODS)
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_probabilities_are_made_of_logits(method, kind):
    model, chosen = network(), settings(method)
    ends = nn.Sequential(model, nn.Softmax(1) if kind == "softmax" else nn.Sigmoid()).eval()
    found = explain(model, X, 1, method, outputs=kind, **chosen)
    expected = explain(ends, X, 1, method, outputs="probabilities", **chosen)
    assert found.any() and torch.equal(found, expected)
    said = classifier(model, outputs=kind)
    assert torch.allclose(explain(said, X, 1, method, **chosen), expected, atol=1e-4)
    (answer,) = explain_picture(said, X[0], method, targets=[1], arguments=chosen).answers
    assert torch.allclose(answer.attribution[None], expected, atol=1e-4)


@pytest.mark.parametrize("method", ["occlusion", "segment_lime", *PROBABILITY_METHODS])
def test_an_independent_label_is_explained_as_if_it_were_alone(method):
    model, alone = network(), network(1)
    with torch.no_grad():
        alone[2].weight.copy_(model[2].weight[1:2])
        alone[2].bias.copy_(model[2].bias[1:2])
    ends = nn.Sequential(model, nn.Sigmoid()).eval()
    first, *others = (
        explain_picture(
            classifier(each, outputs=kind),
            X[0],
            method,
            targets=[target],
            arguments=settings(method),
        ).answers[0]
        for each, target, kind in ((model, 1, "sigmoid"), (alone, 0, "sigmoid"), (ends, 1, "auto"))
    )
    assert first.output == "probability" and first.attribution.any()
    for other in others:
        assert torch.allclose(first.attribution, other.attribution, atol=1e-5)


@pytest.mark.parametrize("n_outputs", [1, 3])
def test_scores_are_explained_as_they_are(n_outputs):
    model = classifier(network(n_outputs), outputs="scores")
    explained = explain_picture(model, X[0], ["occlusion", "saliency", "pda"], targets=[0])
    occlusion, saliency, pda = explained.answers
    assert (occlusion.output, saliency.output) == ("score", "score")
    assert torch.equal(occlusion.attribution[None], explain(model, X, 0, "occlusion"))
    assert "outputs='scores' have none" in pda.problem and not pda.answer.applies


@pytest.mark.parametrize("method", PROBABILITY_METHODS)
def test_methods_of_probabilities_refuse_scores_before_the_model_runs(method):
    def model(x):
        raise RuntimeError

    with pytest.raises(ValueError, match=f"{method} needs probabilities; outputs='scores' have"):
        explain(model, X, 0, method, outputs="scores")


@pytest.mark.parametrize("method", ["occlusion", "saliency"])
def test_where_nothing_is_said_the_outputs_are_explained_as_they_are(method):
    model = network()
    attribution = explain(model, X, 1, method)
    for kind in ("auto", "scores", None):
        assert torch.equal(attribution, explain(model, X, 1, method, outputs=kind))
    with pytest.raises(ValueError, match="or say outputs='softmax' or 'sigmoid' to explain"):
        explain(model, X, 1, "segment_pda")


def test_a_kind_that_is_unknown_or_said_twice_is_refused():
    with pytest.raises(ValueError, match="unknown outputs 'logits'"):
        explain(network(), X, 1, "occlusion", outputs="logits")
    with pytest.raises(ValueError, match="outputs='sigmoid' or probabilities must be given, not"):
        explain(network(), X, 1, "pda", outputs="sigmoid", probabilities="softmax")


@pytest.mark.parametrize("model", [network(1), lambda x: network(1)(x)[:, 0]])
def test_one_logit_has_a_sigmoid_and_no_softmax(model):
    attribution = explain(model, X, None, "occlusion", outputs="sigmoid")
    expected = explain(lambda x: model(x).sigmoid(), X, None, "occlusion")
    assert attribution.any() and torch.equal(attribution, expected)
    with pytest.raises(ValueError, match="outputs='softmax' needs a model of"):
        explain(model, X, None, "occlusion", outputs="softmax")


def test_an_activation_leaves_the_mode_and_several_inputs_alone():
    model = network().train()
    assert with_probabilities(model, "sigmoid").training and model[0].training
    both = WithActivation(nn.Bilinear(2, 2, 3), nn.Softmax(dim=1))
    assert both(torch.ones(1, 2), torch.ones(1, 2)).sum().item() == pytest.approx(1)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_probabilities_of_low_precision_get_no_second_softmax(dtype):
    class Low(nn.Module):
        def __init__(self):
            super().__init__()
            self.logits = network(1000)

        def forward(self, x):
            return self.logits(x).to(dtype).softmax(1)

    for network_of_low in (Low(), nn.Sequential(network(1000), nn.Softmax(1)).to(dtype)):
        check_that_probabilities_are_as_they_are(classifier(network_of_low))


def check_that_probabilities_are_as_they_are(model):
    explained = explain_picture(model, X[0], ["occlusion", "segment_pda"], targets=[3])
    assert explained.classes[0].probability == pytest.approx(model(X)[0, 3].item())
    assert not any(answer.problem for answer in explained.answers)
    expected = explain(model, X, 3, "occlusion")
    assert torch.equal(explained.answers[0].attribution[None], expected)
