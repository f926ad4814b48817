"""The checks of the contract. Each raises an error that says what does not hold."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from captum.attr import NoiseTunnel
from captum.metrics import infidelity, sensitivity_max
from torch import Tensor, nn

from captum_ext.randomness import global_seed
from captum_ext.spec import Need
from captum_ext.testing.bad_input import rejects_bad_target, rejects_misaligned, rejects_non_finite
from captum_ext.testing.contract_subject import BATCH, SIZE, ContractSubject
from captum_ext.testing.expectations import NotApplicable, expect, expect_like, expect_same

BATCH_ARGUMENTS = ("perturbations_per_eval", "internal_batch_size", "nt_samples_batch_size")


def _shape_dtype_device(subject: ContractSubject) -> None:
    for dtype in (torch.float64, torch.float32):
        inputs = subject.inputs().to(dtype)
        expect_like(subject.attribute(inputs, model=subject.model().to(dtype)), inputs)


def _tuple_inputs(subject: ContractSubject) -> None:
    inputs = (subject.inputs(), subject.small_inputs())
    result = subject.attribute(inputs, model=subject.model("two_inputs"))
    expect_like(result, inputs)
    for number, attribution in enumerate(result):
        expect(bool(attribution.any()), f"input {number} of the tuple gets only zeros")


def _target_forms(subject: ContractSubject) -> None:
    inputs, targets = subject.inputs(), [0, 3, 1]
    expected = subject.attribute(inputs, target=2)
    other = subject.attribute(inputs, target=0)
    expect(not torch.equal(expected, other), "gives the same for every target")
    for form in (torch.tensor(2), torch.tensor([2]), [2] * BATCH, torch.full((BATCH,), 2)):
        expect_same(subject.attribute(inputs, target=form), expected, f"target={form!r}")
    each = [
        subject.attribute(inputs, target=target)[index : index + 1]
        for index, target in enumerate(targets)
    ]
    for form in (targets, torch.tensor(targets)):
        expect_same(subject.attribute(inputs, target=form), torch.cat(each), f"target={form!r}")


def _target_tuples(subject: ContractSubject) -> None:
    grid, inputs = subject.model("grid"), subject.inputs()
    expected = subject.attribute(inputs, target=2)
    for form in ((1, 0), [(1, 0)] * BATCH):
        result = subject.attribute(inputs, target=form, model=grid)
        expect_same(result, expected, f"target={form!r}")


def _target_none(subject: ContractSubject) -> None:
    inputs = subject.inputs()
    result = subject.attribute(inputs, target=None, model=subject.model("scalar"))
    expect_same(result, subject.attribute(inputs, target=1), "target=None")


def _baseline_forms(subject: ContractSubject) -> None:
    if not subject.has_argument("baselines"):
        raise NotApplicable("takes no baselines")
    if subject.spec.needs & {Need.REFERENCES, Need.BACKGROUND}:
        raise NotApplicable("its baselines are a set of examples")
    inputs = subject.inputs()
    expected = subject.attribute(inputs, baselines=torch.full_like(inputs, 0.5))
    for form in (0.5, torch.full_like(inputs[:1], 0.5)):
        kind = "tensor of one example" if isinstance(form, Tensor) else "scalar"
        expect_same(subject.attribute(inputs, baselines=form), expected, f"baselines: {kind}")
    two = (inputs, subject.small_inputs())
    result = subject.attribute(two, model=subject.model("two_inputs"), baselines=(0.5, 0.0))
    expect_like(result, two)


def _batch_mates(subject: ContractSubject) -> None:
    inputs = subject.inputs()
    expected = subject.attribute(inputs)
    for index in range(BATCH):
        alone = subject.attribute(inputs[index : index + 1])
        expect_same(alone, expected[index : index + 1], f"example {index} without the others")


def _additional_forward_args(subject: ContractSubject) -> None:
    if not subject.has_argument("additional_forward_args"):
        raise NotApplicable("takes no additional_forward_args")
    inputs, model = subject.inputs(), subject.model("gained")
    gains = torch.linspace(0.5, 2, BATCH, dtype=inputs.dtype, device=inputs.device)

    def run(own: slice, gains: Tensor) -> Tensor:
        arguments = (gains[own], 1.0)
        result: Tensor = subject.attribute(
            inputs[own], model=model, additional_forward_args=arguments
        )
        return result

    result, other = run(slice(None), gains), run(slice(None), -gains.flip(0))
    for index in range(BATCH):
        own = slice(index, index + 1)
        expect_same(result[own], run(own, gains), f"example {index} with its additional argument")
    expect(not torch.equal(result, other), "gives the same for other additional arguments")


def _batch_size(subject: ContractSubject) -> None:
    names = [name for name in BATCH_ARGUMENTS if subject.has_argument(name)]
    if not names:
        raise NotApplicable("has no batch size")
    inputs = subject.inputs()
    for name in names:
        expected = subject.attribute(inputs, **{name: 7})
        for size in (1, BATCH):
            result = subject.attribute(inputs, **{name: size})
            expect_same(result, expected, f"{name}={size} against 7")


def _same_seed(subject: ContractSubject) -> None:
    inputs = subject.inputs()
    expect_same(subject.attribute(inputs), subject.attribute(inputs), "the same seed again")


def _other_seed(subject: ContractSubject) -> None:
    if not subject.spec.stochastic:
        raise NotApplicable("is not stochastic")
    first, second = (subject.attribute(subject.inputs(), seed=seed) for seed in (0, 1))
    expect(not torch.equal(first, second), "another seed gives the same result")


def _random_state(subject: ContractSubject) -> None:
    if subject.built_in and subject.spec.stochastic:
        raise NotApplicable("draws from the global state; captum_ext.explain() puts it back")
    attribution, inputs = subject.attribution(subject.model()), subject.inputs()
    arguments = subject.arguments(attribution, inputs)
    before = _random_states()
    attribution.attribute(inputs, target=1, **arguments)
    for name, state in _random_states().items():
        expect(state == before[name], f"the global random state of {name} changed")


def _random_states() -> dict[str, Any]:
    return {
        "torch": torch.get_rng_state().tolist(),
        "numpy": pickle.dumps(np.random.get_state()),
        "python": random.getstate(),
    }


def _inputs_untouched(subject: ContractSubject) -> None:
    for requires_grad in (False, True):
        inputs = subject.inputs().requires_grad_(requires_grad)
        original = inputs.detach().clone()
        earlier = torch.ones_like(inputs) if requires_grad else None
        inputs.grad = earlier
        subject.attribute(inputs)
        expect(torch.equal(inputs.detach(), original), "the inputs changed")
        expect(inputs.requires_grad == requires_grad, "requires_grad of the inputs changed")
        kept = inputs.grad is earlier and (earlier is None or bool((earlier == 1).all()))
        expect(kept, "the gradient of the inputs changed")
        expect(not inputs._backward_hooks, "a hook was left on the inputs")


def _model_untouched(subject: ContractSubject) -> None:
    model = subject.model()
    first = next(iter(model.modules()))
    first.register_parameter("frozen", nn.Parameter(torch.zeros(1), requires_grad=False))
    first.register_buffer("kept", torch.zeros(1))
    for number, parameter in enumerate(model.parameters()):
        if number % 2:
            parameter.grad = torch.ones_like(parameter)
    next(iter(model.children())).train()
    before = _fingerprint(model)
    subject.attribute(subject.inputs(), model=model)
    after = _fingerprint(model)
    for name, old in before.items():
        expect(old == after[name], f"{name}: {old} became {after[name]}")


def _fingerprint(model: nn.Module) -> dict[str, Any]:
    """Everything about a model that a method must leave alone."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    modules, parameters = dict(model.named_modules()), dict(model.named_parameters())
    return {
        "modes": {name: module.training for name, module in modules.items()},
        "hooks": {
            name: [len(getattr(module, kind)) for kind in hooks] for name, module in modules.items()
        },
        "attributes": {name: sorted(vars(module)) for name, module in modules.items()},
        "values": {name: value.flatten().tolist() for name, value in model.state_dict().items()},
        "requires_grad": {name: p.requires_grad for name, p in parameters.items()},
        "gradients": {
            name: None if p.grad is None else p.grad.flatten().tolist()
            for name, p in parameters.items()
        },
    }


def _no_graph(subject: ContractSubject) -> None:
    for requires_grad in (False, True):
        inputs = subject.inputs().requires_grad_(requires_grad)
        result = subject.attribute(inputs)
        expect(not result.requires_grad, "the attribution carries an autograd graph")


def _memory_layouts(subject: ContractSubject) -> None:
    inputs = subject.inputs()
    expected = subject.attribute(inputs)
    strided = torch.stack([inputs, inputs], dim=-1)[..., 0]
    expect(not strided.is_contiguous(), "the test's own tensor is contiguous")
    expect_same(subject.attribute(strided), expected, "non-contiguous inputs")
    channels_last = inputs.contiguous(memory_format=torch.channels_last)
    expect_same(subject.attribute(channels_last), expected, "channels_last inputs")


def _plain_function(subject: ContractSubject) -> None:
    if subject.spec.needs_module:
        raise NotApplicable("needs a module")
    model, inputs = subject.model(), subject.inputs()
    result = subject.attribute(inputs, model=model.forward)
    expect_same(result, subject.attribute(inputs), "a function in place of the module")


def _dummy(subject: ContractSubject) -> None:
    if not subject.spec.promises_dummy:
        raise NotApplicable("does not promise it")
    result = subject.attribute(subject.inputs(), model=subject.model("blind"))
    worst = float(result[..., SIZE // 2 :].abs().max())
    expect(worst == 0, f"gives up to {worst:.2g} where the model is blind")


def _noise_tunnel(subject: ContractSubject) -> None:
    attribution, inputs = subject.attribution(subject.model()), subject.inputs()
    if isinstance(attribution, NoiseTunnel):
        raise NotApplicable("is a NoiseTunnel")
    arguments = subject.arguments(attribution, inputs)
    with global_seed(0):
        result = NoiseTunnel(attribution).attribute(
            inputs, nt_samples=2, nt_samples_batch_size=1, stdevs=0.1, target=1, **arguments
        )
    expect(result.shape == inputs.shape, f"NoiseTunnel gives shape {tuple(result.shape)}")


def _infidelity(subject: ContractSubject) -> None:
    model, inputs = subject.model(), subject.inputs()
    result = subject.attribute(inputs, model=model).detach()
    with global_seed(0):
        score = infidelity(
            model, _disturb, inputs, result, target=1, n_perturb_samples=2, normalize=False
        )
    expect(score.shape == (BATCH,), f"infidelity gives shape {tuple(score.shape)}")


def _disturb(inputs: Tensor) -> tuple[Tensor, Tensor]:
    noise = 0.1 * torch.randn_like(inputs)
    return noise, inputs - noise


def _sensitivity_max(subject: ContractSubject) -> None:
    attribution, inputs = subject.attribution(subject.model()), subject.inputs()
    arguments = subject.arguments(attribution, inputs)
    with global_seed(0):
        score = sensitivity_max(
            attribution.attribute, inputs, n_perturb_samples=2, target=1, **arguments
        )
    expect(score.shape == (BATCH,), f"sensitivity_max gives shape {tuple(score.shape)}")


def _copy_and_pickle(subject: ContractSubject) -> None:
    attribution, inputs = subject.attribution(subject.model()), subject.inputs()
    arguments = subject.arguments(attribution, inputs)
    with global_seed(0):
        expected = attribution.attribute(inputs, target=1, **arguments)
    for twin in (copy.deepcopy(attribution), pickle.loads(pickle.dumps(attribution))):
        with global_seed(0):
            result = twin.attribute(inputs, target=1, **arguments)
        expect_same(result, expected, "a copy")


#: The checks by name, in the order in which they run.
CHECKS: dict[str, Callable[[ContractSubject], None]] = {
    function.__name__.removeprefix("_"): function
    for function in (
        _shape_dtype_device,
        _tuple_inputs,
        _target_forms,
        _target_tuples,
        _target_none,
        _baseline_forms,
        _batch_mates,
        _additional_forward_args,
        _batch_size,
        _same_seed,
        _other_seed,
        _random_state,
        _inputs_untouched,
        _model_untouched,
        _no_graph,
        _memory_layouts,
        _plain_function,
        _dummy,
        _noise_tunnel,
        _infidelity,
        _sensitivity_max,
        _copy_and_pickle,
        rejects_bad_target,
        rejects_misaligned,
        rejects_non_finite,
    )
}
