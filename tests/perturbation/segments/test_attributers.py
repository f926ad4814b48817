import itertools
import math

import pytest
import torch

from captum_ext.perturbation import (
    BernoulliSampler,
    CiuAttributer,
    KernelShapAttributer,
    LinearLimeAttributer,
    OriginalCiuAttributer,
    PdaAttributer,
    RiseAttributer,
    SampleProbabilitySampler,
    ShapSampler,
    SingleFeatureSampler,
)

S = 6


@pytest.fixture
def coefficients():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(S, generator=generator, dtype=torch.float64)


@pytest.fixture
def samples():
    return torch.cat(
        [BernoulliSampler()(S, 60, 0), torch.ones(1, S).bool(), ~torch.ones(1, S).bool()]
    )


@pytest.mark.parametrize("attributer", [LinearLimeAttributer(), KernelShapAttributer()], ids=repr)
def test_a_linear_model_gives_its_coefficients(attributer, coefficients, samples):
    outputs = samples.double() @ coefficients + 0.7
    torch.testing.assert_close(attributer(outputs, samples), coefficients)


def test_kernel_shap_of_all_samples_gives_shapley_values():
    everything = torch.tensor(list(itertools.product([0, 1], repeat=4)))
    weights = 2.0 ** torch.arange(4)
    outputs = ((everything @ weights.long()) ** 2).double().sqrt().log1p()
    value = {tuple(z.tolist()): y.item() for z, y in zip(everything, outputs, strict=True)}

    def shapley(i):
        total = 0.0
        for order in itertools.permutations(range(4)):
            before = set(order[: order.index(i)])
            without = tuple(int(j in before) for j in range(4))
            with_i = tuple(int(j in before or j == i) for j in range(4))
            total += value[with_i] - value[without]
        return total / math.factorial(4)

    expected = torch.tensor([shapley(i) for i in range(4)], dtype=torch.float64)
    torch.testing.assert_close(KernelShapAttributer()(outputs, everything), expected)


def test_kernel_shap_shares_out_the_whole_gain(samples):
    outputs = torch.rand(len(samples), generator=torch.Generator().manual_seed(3)).double()
    gain = outputs[samples.all(1)].mean() - outputs[~samples.any(1)].mean()
    torch.testing.assert_close(KernelShapAttributer()(outputs, samples).sum(), gain)


def test_kernel_shap_of_hundreds_of_segments_stays_finite():
    samples = ShapSampler()(400, 2 + 800)
    coefficients = torch.linspace(-1, 1, 400).double()
    outputs = samples.double() @ coefficients
    torch.testing.assert_close(KernelShapAttributer()(outputs, samples), coefficients)


def test_rise_ranks_the_only_segment_that_counts_first(samples):
    scores = RiseAttributer()(samples[:, 3].double(), samples)
    assert scores.argmax() == 3 and scores[3] == 1


@pytest.mark.parametrize(
    "attributer",
    [
        LinearLimeAttributer(),
        KernelShapAttributer(),
        PdaAttributer("probability"),
        OriginalCiuAttributer(),
        CiuAttributer(),
    ],
    ids=repr,
)
def test_a_blind_segment_gets_zero(attributer):
    samples = ShapSampler()(S, 2**S)
    if not isinstance(attributer, LinearLimeAttributer | KernelShapAttributer):
        samples = SingleFeatureSampler(add_none=True)(S)
    outputs = samples[:, :2].double().sum(1) / 2
    scores = attributer(outputs, samples)
    torch.testing.assert_close(scores[2:], torch.zeros(S - 2).double(), atol=1e-12, rtol=0)
    assert scores[:2].abs().min() > 0.1


def test_several_outputs_at_once(coefficients, samples):
    outputs = torch.stack(
        [samples.double() @ coefficients, samples.double() @ coefficients.flip(0)]
    )
    for attributer in (RiseAttributer(), LinearLimeAttributer(), KernelShapAttributer()):
        together = attributer(outputs[:, None], samples)
        assert together.shape == (2, 1, S)
        for row in range(2):
            torch.testing.assert_close(together[row, 0], attributer(outputs[row], samples))


@pytest.mark.parametrize("mode", ["probability", "information", "evidence"])
def test_pda_is_the_difference_that_its_mode_names(mode):
    p, without = 0.8, 0.3
    samples = SingleFeatureSampler(add_none=True)(2)
    outputs = torch.tensor([without, p, p], dtype=torch.float64)
    n, k = 50, 4

    def measure(value):
        if mode == "probability":
            return value
        value = (value * n + 1) / (n + k)
        return math.log2(value / (1 - value) if mode == "evidence" else value)

    scores = PdaAttributer(mode, n_classes=k, n_train=n)(outputs, samples)
    expected = torch.tensor([measure(p) - measure(without), 0.0], dtype=torch.float64)
    torch.testing.assert_close(scores, expected)


def test_pda_of_a_sure_model_keeps_its_precision_in_float32():
    samples = SingleFeatureSampler(add_none=True)(2)
    outputs = torch.tensor([0.5, 1 - 1e-5, 1.0])
    single = PdaAttributer("evidence")(outputs, samples)
    double = PdaAttributer("evidence")(outputs.double(), samples)
    torch.testing.assert_close(single, double.float())


def test_importance_is_the_reach_and_utility_the_place_in_it():
    samples = SingleFeatureSampler(add_all=True, add_none=True)(3)
    outputs = torch.tensor([0.25, 1.0, 0.5, 0.0, 0.5], dtype=torch.float64)
    for attributer in (OriginalCiuAttributer(), CiuAttributer()):
        found = attributer.explain(outputs, samples)
        if isinstance(attributer, CiuAttributer):
            single = ~torch.eye(3, dtype=torch.bool)
            found = attributer.explain(outputs, samples, single)
        for value, expected in (
            (found.importance, [0.25, 0.5, 0.0]),
            (found.utility, [1.0, 0.0, 0.0]),
            (found.influence, [0.125, -0.25, 0.0]),
        ):
            torch.testing.assert_close(value, torch.tensor(expected, dtype=torch.float64))


def test_a_fit_that_is_left_open_is_warned_about():
    samples = torch.tensor([[1, 1, 0], [0, 0, 1], [1, 1, 1], [0, 0, 0]])
    outputs = samples[:, 0].double()
    with pytest.warns(UserWarning, match="4 coefficients, rank 3"):
        scores = LinearLimeAttributer()(outputs, samples)
    torch.testing.assert_close(scores, torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64))


@pytest.mark.parametrize(
    "attributer,samples,problem",
    [
        (LinearLimeAttributer(), torch.eye(4), "n_samples must be at least 5 for a linear model"),
        (
            KernelShapAttributer(),
            torch.tensor([[1, 1, 1], [0, 0, 0], [1, 0, 0]]),
            "n_samples must be at least 4 for KernelSHAP with 3 segments",
        ),
        (KernelShapAttributer(), torch.eye(3), "keeps all segments"),
        (
            RiseAttributer(),
            torch.tensor([[1, 0, 0], [1, 1, 0]]),
            r"kept in at least one.*; 2 never",
        ),
        (PdaAttributer(), torch.tensor([[1, 1], [0, 1]]), r"perturbed in at least one.*; 1 never"),
        (PdaAttributer(), torch.tensor([[1, 0], [0, 1]]), "keeps all segments"),
        (OriginalCiuAttributer(), torch.tensor([[1, 1, 1], [0, 0, 1]]), "exactly one segment pert"),
        (OriginalCiuAttributer(True), torch.tensor([[1, 1], [0, 1]]), r"at least 2.*1 never are"),
        (CiuAttributer(), torch.tensor([[1, 1], [0, 1]]), "a sample that perturbs it alone"),
    ],
)
def test_samples_that_say_too_little(attributer, samples, problem):
    with pytest.raises(ValueError, match=problem):
        attributer(torch.rand(len(samples)), samples)


@pytest.mark.parametrize("outside", [1.5, -0.5])
def test_pda_refuses_what_is_no_probability(outside):
    samples = SingleFeatureSampler(add_none=True)(2)
    with pytest.raises(ValueError, match=r"probabilities in \[0, 1\] for PDA"):
        PdaAttributer()(torch.tensor([0.5, outside, 0.5]), samples)


def test_outputs_and_samples_must_fit(samples):
    outputs = torch.rand(len(samples))
    with pytest.raises(ValueError, match=r"outputs must be \[..., 62\]"):
        RiseAttributer()(outputs[1:], samples)
    with pytest.raises(ValueError, match="outputs must be finite"):
        RiseAttributer()(outputs / 0, samples)
    with pytest.raises(TypeError, match="floating-point dtype"):
        RiseAttributer()(outputs.long(), samples)
    for wrong in ({"mode": "prob"}, {"n_classes": 1}, {"n_train": 0}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            PdaAttributer(**wrong)
    with pytest.raises(ValueError, match="unknown value 'utilities'"):
        CiuAttributer("utilities")


@pytest.mark.parametrize("n_segments", [200, 400])
def test_kernel_shap_is_exact_where_weights_differ_by_many_orders(n_segments):
    coefficients = torch.linspace(-1, 1, n_segments).double()
    drawn = SampleProbabilitySampler("uniform")(n_segments, 4 * n_segments + 200, 0)
    whole = torch.ones(1, n_segments, dtype=torch.bool)
    samples = torch.cat([drawn, whole, ~whole])
    scores = KernelShapAttributer()(samples.double() @ coefficients, samples)
    torch.testing.assert_close(scores, coefficients, atol=1e-6, rtol=0)


def test_kernel_shap_treats_segments_alike_that_no_sample_tells_apart():
    samples = torch.tensor([[1, 1, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 1, 1], [1, 0, 0, 0]])
    outputs = samples.double() @ torch.tensor([1.0, 2.0, 2.0, 2.0]).double()
    with pytest.warns(UserWarning, match="leave the fit open: 3 coefficients, rank 1"):
        scores = KernelShapAttributer()(outputs, samples)
    torch.testing.assert_close(scores, torch.tensor([1.0, 2.0, 2.0, 2.0]).double())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_outputs_of_low_precision_are_attributed_in_a_higher_one(dtype):
    samples = BernoulliSampler()(4, 4000, 0)
    forty = torch.full((4000,), 40.0, dtype=dtype)
    assert torch.equal(RiseAttributer()(forty, samples), torch.full((4,), 40.0))
    single = SingleFeatureSampler(add_none=True)(3)
    outputs = torch.tensor([0.25, 0.75, 0.75, 0.75])
    expected = OriginalCiuAttributer()(outputs, single)
    assert torch.equal(OriginalCiuAttributer()(outputs.to(dtype), single), expected)
