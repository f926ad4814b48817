"""A method that breaks its identity on a model says so, with both numbers."""

import re

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from captum_ext import explain, get_method
from captum_ext.asking import Request, ask
from captum_ext.exam import make_model
from captum_ext.registry import exam_models, methods
from captum_ext.soundness import ModelFacts, observe
from captum_ext.soundness.graph import ADDITION
from captum_ext.soundness.identities import (
    Completeness,
    Conservation,
    MethodRun,
    compare,
    expanded_baselines,
    general_checks,
)
from captum_ext.soundness.model_facts import Operation
from tests.soundness.example_models import calls, conv_net, dense_net, is_near, pictures, told

NUMBER = r"-?[\d.]+(e[-+]\d+)?"
LRP = ["lrp_z", "lrp_epsilon", "lrp_alpha1_beta0", "lrp_alpha2_beta1"]


def pooled(pool, first=nn.ReLU):
    """A convolution, an activation, a pooling and a linear head."""
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 8, 3), first(), pool, nn.Flatten())
    return nn.Sequential(body, nn.Linear(body(pictures(1, 3, 12, 12)).shape[1], 3)).eval()


class AlongLines(nn.Module):
    """Runs a one-dimensional pooling on the rows of an image."""

    def __init__(self, pool):
        super().__init__()
        self.pool = pool

    def forward(self, x):
        return self.pool(x.flatten(2))


@pytest.mark.parametrize("method", ["deep_lift", "deep_lift_shap"])
@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(2),
        nn.MaxPool2d(3, 2),
        nn.MaxPool2d(3, 1, 1),
        nn.AvgPool2d(3, 2),
        nn.LPPool2d(2, 3, 2),
        nn.AdaptiveMaxPool2d(4),
        nn.AdaptiveAvgPool2d(3),
        AlongLines(nn.MaxPool1d(2)),
        AlongLines(nn.MaxPool1d(3, 2)),
    ],
    ids=str,
)
def test_deep_lift_over_a_pooling_is_complete_or_says_so(method, pool):
    model, x, start = pooled(pool), pictures(1, 3, 12, 12), pictures(2, 3, 12, 12, seed=1)
    if method == "deep_lift":
        start = start[:1]
    attribution, said = told(lambda: explain(model, x, 1, method, baselines=start))
    change = model(x)[0, 1] - model(start)[:, 1].mean()
    assert said or is_near(attribution.sum(), change)
    assert not said or re.search("completeness|has no rule|pooling", said[0])


def residual(function):
    """Two convolutions whose outputs ``function`` joins."""
    return calls(
        function,
        first=lambda: nn.Conv2d(3, 4, 3, padding=1, bias=False),
        second=lambda: nn.Conv2d(4, 4, 3, padding=1, bias=False),
        r1=nn.ReLU,
        r2=nn.ReLU,
        head=lambda: nn.Linear(4, 3, bias=False),
        wide=lambda: nn.Linear(8, 3, bias=False),
    )


JOINS = {
    "addition": lambda m, x: m.head((m.r1(m.first(x)) + m.r2(m.second(m.first(x)))).mean((2, 3))),
    "skip": lambda m, x: m.head(((y := m.r1(m.first(x))) + m.r2(m.second(y))).mean((2, 3))),
    "in place": lambda m, x: m.head(m.r2(m.second(y := m.r1(m.first(x))).add_(y)).mean((2, 3))),
    "itself": lambda m, x: m.head(((y := m.r1(m.first(x))) + y).mean((2, 3))),
    "difference": lambda m, x: m.head(((y := m.r1(m.first(x))) - m.r2(m.second(y))).mean((2, 3))),
    "stack": lambda m, x: m.head(
        torch.stack([y := m.r1(m.first(x)), m.r2(m.second(y))]).sum(0).mean((2, 3))
    ),
    "concatenation": lambda m, x: m.wide(
        torch.cat([y := m.r1(m.first(x)), m.r2(m.second(y))], 1).mean((2, 3))
    ),
    "constant": lambda m, x: m.head(2 * m.r1(m.first(x)).mean((2, 3))),
    "offset": lambda m, x: m.head((m.r1(m.first(x)) + 0.5).mean((2, 3))),
    "mean": lambda m, x: m.head(m.r1(m.first(x)).mean((2, 3))),
    "sum": lambda m, x: m.head(m.r1(m.first(x)).sum((2, 3))),
    "maximum": lambda m, x: m.head(m.r1(m.first(x)).amax((2, 3))),
    "function": lambda m, x: m.head(F.avg_pool2d(m.r1(m.first(x)), 8).flatten(1)),
    "softplus": lambda m, x: m.head(F.softplus(m.r1(m.first(x))).mean((2, 3))),
    "gate": lambda m, x: m.head(((y := m.r1(m.first(x))) * torch.sigmoid(y)).mean((2, 3))),
    "reused ReLU": lambda m, x: m.head(m.r1(m.second(m.r1(m.first(x)))).mean((2, 3))),
}


@pytest.mark.parametrize("join", JOINS)
def test_lrp_conserves_relevance_or_says_so(join):
    model, x = residual(JOINS[join]), pictures()
    attribution, said = told(lambda: explain(model, x, 1, "lrp_z"))
    assert said or is_near(attribution.sum(), model(x)[0, 1])


@pytest.mark.parametrize("method", LRP)
@pytest.mark.parametrize("join", ["itself", "gate"])
def test_every_rule_says_where_relevance_is_doubled_or_lost(method, join):
    _, said = told(lambda: explain(residual(JOINS[join]), pictures(), 1, method))
    assert "breaks conservation" in said[0]


@pytest.mark.parametrize("join", ["itself", "constant", "gate", "concatenation"])
def test_lrp_that_loses_relevance_names_both_numbers(join):
    model, x = residual(JOINS[join]), pictures()
    attribution, said = told(lambda: explain(model, x, 1, "lrp_z"))
    if is_near(attribution.sum(), model(x)[0, 1]):
        assert not said
    else:
        (text,) = said
        assert re.search(f"sums to {NUMBER} where the output.* is {NUMBER}", text), text


@pytest.mark.parametrize("join", JOINS)
def test_deep_lift_adds_up_over_joins_or_says_so(join):
    model, x, start = residual(JOINS[join]), pictures(), pictures(seed=1)
    attribution, said = told(lambda: explain(model, x, 1, "deep_lift", baselines=start))
    assert said or is_near(attribution.sum(), (model(x) - model(start))[0, 1])


RELUS = {
    "F.relu": lambda m, x: m.c(F.relu(m.b(m.r1(m.a(x.flatten(1)))))),
    "torch.relu": lambda m, x: m.c(torch.relu(m.b(m.r1(m.a(x.flatten(1)))))),
    "in place": lambda m, x: m.c(m.b(m.r1(m.a(x.flatten(1)))).relu_()),
    "clamp": lambda m, x: m.c(m.b(m.r1(m.a(x.flatten(1)))).clamp(min=0)),
    "maximum": lambda m, x: m.c(torch.maximum(m.b(m.r1(m.a(x.flatten(1)))), torch.zeros(()))),
    "threshold": lambda m, x: m.c(F.threshold(m.b(m.r1(m.a(x.flatten(1)))), 0, 0)),
    "reused": lambda m, x: m.c(m.r1(m.b(m.r1(m.a(x.flatten(1)))))),
    "two layers": lambda m, x: m.c(m.r2(m.b(m.r1(m.a(x.flatten(1)))))),
    "layer in place": lambda m, x: m.c(m.r3(m.b(m.r1(m.a(x.flatten(1)))))),
}


@pytest.mark.parametrize("method", ["guided_backprop", "deconvolution"])
@pytest.mark.parametrize("kind", RELUS)
def test_every_relu_is_guided_or_it_is_said(method, kind):
    model = calls(
        RELUS[kind],
        a=lambda: nn.Linear(12, 16),
        b=lambda: nn.Linear(16, 16),
        c=lambda: nn.Linear(16, 3),
        r1=nn.ReLU,
        r2=nn.ReLU,
        r3=lambda: nn.ReLU(inplace=True),
    )
    whole = nn.Sequential(nn.Flatten(), model.a, nn.ReLU(), model.b, nn.ReLU(), model.c)
    x = pictures(2, 3, 2, 2)
    want, none = told(lambda: explain(whole, x, 1, method))
    assert not none
    attribution, said = told(lambda: explain(model, x, 1, method))
    assert said or is_near(attribution, want)
    if kind in ("F.relu", "clamp", "maximum", "threshold"):
        assert "1 of the 2 ReLUs run outside of nn.ReLU modules" in said[0]


def test_guided_grad_cam_beside_a_functional_relu_is_told():
    model = calls(
        lambda m, x: m.c(F.relu(m.b(m.r(m.a(x)))).mean((2, 3))),
        a=lambda: nn.Conv2d(3, 4, 3),
        b=lambda: nn.Conv2d(4, 4, 3),
        r=nn.ReLU,
        c=lambda: nn.Linear(4, 3),
    )
    _, said = told(lambda: explain(model, pictures(), 1, "guided_grad_cam"))
    assert "1 of the 2 ReLUs run outside of nn.ReLU modules" in said[0]


def test_a_map_that_does_not_depend_on_the_class_is_told():
    model = dense_net(nn.ReLU())
    head = model[-1]
    with torch.no_grad():
        head.weight.copy_(head.weight[:1].abs() * torch.tensor([[1.0], [2.0], [3.0]]))
    _, said = told(lambda: explain(model, pictures(), 1, "guided_backprop"))
    assert "does not depend on the class: its maps of two classes have the cosine 1" in said[0]


SOUND = {
    "dense": lambda: (dense_net(), pictures(2, 3, 8, 8)),
    "two convolutions": lambda: (
        conv_net(nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU()),
        pictures(2, 3, 8, 8),
    ),
    "double": lambda: (conv_net(nn.ReLU(), nn.AvgPool2d(2)).double(), pictures().double()),
} | {
    spec.name: lambda name=spec.name: (make_model(name, size=5), pictures(1, 1, 5, 5).double())
    for spec in exam_models()
}
#: Checks that fail with reason.
STEEP = "the output is a steep function of one pixel, and the method's steps jump over it"
CURVED = "its path has few steps, and the output is curved along it"
SOFTMAX = "Captum's rule for a softmax takes away the mean over the classes"
BLURRED = "of its 100 steps to a blur of 50 pixels, few are fine where a small image changes"
FAILURES = {
    ("center_pixel", "integrated_gradients", "completeness"): STEEP,
    ("center_pixel", "guided_ig", "completeness"): STEEP,
    ("center_pixel", "image_ig", "completeness"): STEEP,
    ("center_pixel", "ig2", "completeness"): STEEP,
    ("center_pixel", "deep_lift", "completeness"): SOFTMAX,
    ("center_pixel", "deep_lift_shap", "completeness"): SOFTMAX,
    ("and_or", "ig2", "completeness"): CURVED,
    ("saturation", "ig2", "completeness"): CURVED,
    ("saturation", "guided_ig", "completeness"): CURVED,
} | {
    (name, "blur_ig", "completeness"): BLURRED
    for name in ("dense", "center_pixel", "additive", "and_or", "saturation")
}


@pytest.mark.parametrize("name", SOUND)
def test_right_methods_pass_all_checks(name):
    model, x = SOUND[name]()
    failed = {}
    for spec in methods():
        if spec.promises:
            answer = ask(spec, model, x, Request())
            assert not answer.error or not answer.applies, answer.error
            failed |= {(name, spec.name, check.name): check.text for check in answer.failed}
            assert not [check for check in answer.checks if check.holds is None]
    assert {key: text for key, text in failed.items() if key not in FAILURES} == {}


def run_of(model, x, attribution, **settings):
    return MethodRun(model, observe(model, x), (x,), (attribution,), 0, (), settings)


def test_completeness_compares_the_example_that_misses_most():
    model, x = nn.Linear(2, 1, bias=False), torch.ones(3, 2)
    right = model.weight.detach() * x
    assert Completeness().check(run_of(model, x, right)).holds
    wrong = right * torch.tensor([[1.0], [3.0], [1.5]])
    check = Completeness().check(run_of(model, x, wrong))
    total = float(right[0].sum())
    assert check.holds is False
    assert (check.value, check.expected) == pytest.approx((3 * total, total), rel=1e-5)


def test_completeness_of_features_counts_each_feature_once():
    model, x = nn.Linear(4, 1, bias=False), torch.ones(1, 4)
    mask = torch.tensor([[0, 0, 1, 2]])
    weight = model.weight.detach()
    share = torch.cat([weight[:, :2].sum(1, keepdim=True).expand(1, 2), weight[:, 2:]], 1)
    assert Completeness(of_features=True).check(run_of(model, x, share, feature_mask=mask)).holds
    assert not Completeness().check(run_of(model, x, share, feature_mask=mask)).holds


@pytest.mark.parametrize("n_baselines", [1, 2, 3])
def test_completeness_over_a_set_takes_the_mean_whatever_its_number(n_baselines):
    model, x = nn.Linear(2, 1), torch.rand(2, 2)
    rows = torch.rand(n_baselines, 2)
    right = model.weight.detach() * (x - rows.mean(0))
    assert Completeness(of_set=True).check(run_of(model, x, right, baselines=rows)).holds


@pytest.mark.parametrize(
    ("baselines", "n_sets"),
    [(None, 1), (0.5, 1), (torch.zeros(1, 3), 1), (torch.zeros(2, 3), 1), (torch.zeros(5, 3), 5)],
)
def test_baselines_of_all_forms_are_sets_of_rows(baselines, n_sets):
    sets = expanded_baselines(baselines, (torch.ones(2, 3),))
    assert [each[0].shape for each in sets] == [(2, 3)] * n_sets
    assert expanded_baselines(torch.zeros(7), (torch.ones(2, 3),)) is None


def test_conservation_names_what_lies_between_the_layers():
    operations = (Operation(ADDITION, "Add", "", None),) * 2
    facts = ModelFacts("Net", True, operations=operations, dtype=torch.float32)
    model, x = nn.Linear(2, 1), torch.ones(1, 2)
    sides = (torch.tensor([4.0]), torch.tensor([1.0]), torch.tensor([5.0]))
    run = MethodRun(model, facts, (x,), (x,), 0, notes={"conservation": [sides]})
    check = Conservation().check(run)
    assert (check.holds, check.value, check.expected) == (False, 4.0, 1.0)
    assert "between its layers the model has 2 additions" in check.text
    assert Conservation().check(MethodRun(model, facts, (x,), (x,), 0)) is None


def test_rounding_is_pardoned_by_the_size_of_the_terms_and_not_beyond():
    run = run_of(nn.Linear(2, 1), torch.ones(1, 2), torch.ones(1, 2))
    zero, one = torch.zeros(1).double(), torch.ones(1).double()

    def check(total, size):
        text = "{} {}".format
        return compare("sum", total, one, size * one, zero, run, text)

    assert check(one + 1e-5, 1).holds
    assert not check(one + 1e-3, 1).holds
    assert check(one + 1e-3, 1e3).holds
    assert check(one * float("nan"), 1).holds is None


IMAGE = torch.rand(1, 3, 4, 4)


@pytest.mark.parametrize(
    ("attribution", "failed"),
    [
        (IMAGE, []),
        (torch.zeros_like(IMAGE), ["not zero"]),
        (torch.ones_like(IMAGE), ["not constant"]),
        (IMAGE / 0, ["finite"]),
        (IMAGE[:, :1], ["shape"]),
        (None, ["shape"]),
    ],
)
def test_every_attribution_is_checked_for_its_values(attribution, failed):
    checks = general_checks((IMAGE,), (attribution,))
    assert [check.name for check in checks if check.holds is False] == failed


def test_a_check_is_plain_values_for_json():
    answer = ask(
        get_method("deep_lift"),
        pooled(nn.MaxPool2d(3, 2)),
        pictures(1, 3, 12, 12),
        Request(target=1, settings={"baselines": pictures(1, 3, 12, 12, seed=1)}),
    )
    (check,) = answer.failed
    plain = check.as_dict()
    assert plain["name"] == "completeness" and plain["holds"] is False
    assert f"{plain['value']:.4g}" in check.text and f"{plain['expected']:.4g}" in check.text
