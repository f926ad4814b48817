"""Random calls of ``explain()``: models, inputs, targets and settings, right and wrong ones."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from captum_ext.value_checks import described
from tests.fuzz.fuzz_models import Subject, draw_subject

NAN, INF = float("nan"), float("inf")
#: What fits no argument, or hardly any.
WRONG = (None, -1, 0, 1.5, "x", NAN, INF, -INF, True, (), [], {}, 10**30, b"x", (1, 2), [[1]])
WRONG += (torch.zeros(0), torch.ones(2, 2), np.float64(2), np.zeros(3), object(), 2 + 1j, 1e-300)
#: Values of each setting that are right for most inputs, and cheap.
SETTINGS = {
    "abs": (True, False),
    "algorithm": ("full", "fast"),
    "clip": (None, (0, 1), [-1.0, 2.0]),
    "crossover_probability": (0.5, 0, 1),
    "custom_attribution_func": (None,),
    "draw_baseline_from_distrib": (True, False),
    "fraction": (0.25, 1, 0.01),
    "generator": (0, None, 7),
    "grad_kwargs": (None, {}, {"retain_graph": True}),
    "grad_step": (0.01, 1),
    "internal_batch_size": (None, 1, 4),
    "interpolate_mode": ("nearest", "bilinear", "area"),
    "jitter": (0, 2),
    "l1": (0.01, 0),
    "lr": (0.1,),
    "marginal": (None,),
    "mask_size": (None, 4, (3, 2), 1),
    "max_dist": (0.02, 1),
    "max_sigma": (5, 1, 0.5),
    "method": ("gausslegendre", "riemann_trapezoid", "riemann_left"),
    "min_gain": (0, 0.01),
    "min_pixel_diff": (1, 50),
    "mode": ("preserve", "delete", "probability", "evidence", "information", "weight_of_evidence"),
    "mutation_probability": (0.01, 0, 1),
    "n_classes": (None, 3, 2),
    "n_generations": (2, 1),
    "n_parents": (2, 4),
    "n_samples": (2, 1, 5, 8),
    "n_steps": (3, 1, 2, 5),
    "n_train": (None, 100),
    "normalize": (True, False),
    "nt_samples": (2, 1, 3),
    "nt_samples_batch_size": (None, 1, 2),
    "nt_type": ("smoothgrad", "smoothgrad_sq", "vargrad"),
    "num_alphas": (2, 1),
    "objective": ("maximize", "minimize"),
    "patience": (None, 1, 2),
    "per": ("input", "channel", "pixel"),
    "perturbations_per_eval": (1, 2, 5),
    "population_size": (4, 6),
    "reference": (None, "blur", "noise", "constant"),
    "relu_attributions": (True, False),
    "return_convergence_delta": (True, False),
    "return_history": (True, False),
    "return_path": (True, False),
    "show_progress": (False,),
    "smoothing": (0, 1.0),
    "sparsity": (0, 0.1),
    "sqrt": (True, False),
    "stdevs": (0.1, 0, 1),
    "step_size": (0.1, 1),
    "threshold": (0.5, 0, 1),
    "tolerance": (0, 0.1),
    "tv": (0.1, 0),
    "tv_beta": (2, 3),
    "verbose": (False,),
}
#: What keeps a call cheap: given in each call, where the method takes it.
CHEAP = ("n_steps", "n_samples", "nt_samples", "n_generations", "population_size", "n_parents")
MOST_SETTINGS = 3


@dataclass
class FuzzCall:
    """One call of ``explain()``.

    ``plain``: the call is right as far as the fuzzer knows, and another batch may get it, too.
    """

    method: str
    subject: Subject
    inputs: Any
    target: Any
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    plain: bool = True

    def __str__(self):
        inputs = self.inputs if isinstance(self.inputs, tuple) else (self.inputs,)
        kinds = [f"{tuple(x.shape)} {x.dtype}" for x in inputs if isinstance(x, torch.Tensor)]
        return (
            f"{self.method} on {self.subject.name!r}, inputs {kinds or described(self.inputs)} "
            f"{self.notes}, target {described(self.target)}, {described_all(self.options)}, "
            f"settings {described_all(self.settings)}"
        )


def described_all(values):
    return ", ".join(f"{name}={described(value)}" for name, value in values.items())


def draw_call(spec, accepted, random):
    """A call of a method: ``accepted`` are the arguments of its ``attribute()``."""
    subject = draw_subject(random)
    call = FuzzCall(spec.name, subject, None, None)
    _draw_inputs(call, random)
    tensors = call.inputs if isinstance(call.inputs, tuple) else (call.inputs,)
    call.target = _draw_target(call, len(tensors[0]) if tensors[0].dim() else 1, random)
    for name in CHEAP:
        if name in accepted:
            call.settings[name] = SETTINGS[name][0]
    names = sorted(accepted - {"inputs", "target"})
    for name in random.sample(names, min(len(names), random.randint(0, MOST_SETTINGS))):
        call.settings[name] = _draw_setting(name, call, tensors, random)
    if random.random() < 0.03:
        call.settings["no_such_argument"] = 1
        call.plain = False
    call.options = _draw_options(call, spec, random)
    return call


def _draw_inputs(call, random):
    subject = call.subject
    n_examples = random.choice((1, 2, 3))
    tensors = []
    for number, shape in enumerate(subject.shapes):
        if number in subject.whole_numbers:
            tensors.append(torch.randint(0, 5, (n_examples, *shape)))
        else:
            tensors.append(_draw_values(call, (n_examples, *shape), random))
    flaw = random.choice((*[""] * 24, *FLAWS))
    if flaw:
        call.plain = False
        call.notes += (flaw,)
        tensors[0] = _flawed(tensors[0], flaw)
    several = len(tensors) > 1 or random.random() < 0.1
    call.inputs = tuple(tensors) if several else tensors[0]


FLAWS = ("nan", "infinite", "empty", "no batch", "a side more", "whole numbers", "no examples")
FLAWS += ("other shape", "complex", "bool", "other floats", "no dimension")


def _flawed(x, flaw):
    if flaw in ("nan", "infinite") and x.is_floating_point() and x.numel():
        x = x.clone().detach()
        x[(0,) * x.dim()] = NAN if flaw == "nan" else INF
    return {
        "empty": lambda: x[..., :0],
        "no batch": lambda: x[0],
        "a side more": lambda: x[..., None],
        "whole numbers": (x * 3).long,
        "no examples": lambda: x[:0],
        "other shape": lambda: torch.cat([x, x], -1),
        "complex": lambda: x.detach().to(torch.complex64),
        "bool": lambda: x > 0,
        "other floats": lambda: x.to(torch.float16 if x.dtype != torch.float16 else torch.float32),
        "no dimension": lambda: x.flatten()[0],
    }.get(flaw, lambda: x)()


def _draw_values(call, shape, random):
    dtype = call.subject.dtype
    kind = random.choice(
        (
            *["plain"] * 8,
            "constant",
            "zero",
            "huge",
            "tiny",
            "gradient",
            "strided",
            "last",
            "signed",
        )
    )
    x = torch.rand(shape).to(dtype)
    if kind == "plain":
        return x
    call.notes += (kind,)
    if kind == "gradient":
        return x.requires_grad_()
    if kind == "strided":
        return torch.rand((*shape[:-1], 2 * shape[-1])).to(dtype)[..., ::2]
    if kind == "last":
        return x.to(memory_format=torch.channels_last) if x.dim() == 4 else x
    huge = 6e4 if dtype == torch.float16 else 1e30
    return {
        "constant": lambda: torch.full_like(x, 0.5),
        "zero": lambda: torch.zeros_like(x),
        "huge": lambda: x * huge,
        "tiny": lambda: x * 1e-30,
        "signed": lambda: x * 4 - 2,
    }[kind]()


def _draw_target(call, n_examples, random):
    output = call.subject.output
    if random.random() < 0.7:
        right = 0 if len(output) == 1 else tuple(0 for _ in output)
        target = right if output else None
        return random.choice((target, target, None if len(output) == 1 else target))
    call.plain = False
    return random.choice(
        (
            *(None, 0, 1, -1, 2, 3, 99, -99, 10**20, 1.0, NAN, True, "x", "0", (0,), (0, 0)),
            *((0, 0, 0), (), [], [0] * n_examples, [1] * (n_examples + 1), [(0,)] * n_examples),
            *([(0, 0, 0)] * n_examples, [0.5] * n_examples, [None], [True] * n_examples, {}),
            *(torch.tensor(0), torch.tensor([0]), torch.zeros(n_examples).long(), torch.ones(2, 2)),
            *(torch.tensor(1.0), torch.tensor([99] * n_examples), torch.zeros(0).long()),
            *(np.int64(1), np.array([0] * n_examples), np.float32(0.5), np.array("x"), object()),
            *(
                torch.tensor(True),
                [torch.tensor(0)] * n_examples,
                [(0, "x")] * n_examples,
                range(2),
            ),
            torch.zeros(n_examples, dtype=torch.uint8),
        )
    )


def _draw_setting(name, call, tensors, random):
    if name in ("baselines", "feature_mask", "sliding_window_shapes", "strides", "references"):
        call.plain = False
        if random.random() < 0.2:
            return random.choice(WRONG)
        values = tuple(_draw_like(name, x, random) for x in tensors)
        return values if len(values) > 1 or random.random() < 0.1 else values[0]
    if name == "additional_forward_args":
        call.plain = False
        return random.choice((None, None, (), 1, torch.ones(1), (torch.ones(3), 2), "x"))
    if name not in SETTINGS or random.random() < 0.25:
        call.plain = False
        return random.choice(WRONG)
    value = random.choice(SETTINGS[name])
    call.plain = call.plain and name not in ("return_path", "return_history")
    return value


def _draw_like(name, x, random):
    """Baselines, masks or windows for an input, most of them right."""
    if not x.dim():
        return 0
    size = x[:1].numel()
    if name == "baselines":
        makers = (
            lambda: torch.zeros_like(x[:1]),
            lambda: torch.rand(x.shape),
            lambda: torch.rand((4, *x.shape[1:])),
            lambda: torch.rand((len(x), 2, *x.shape[1:])),
            lambda: torch.rand(x.shape[1:]),
            lambda: torch.full(x.shape, NAN),
            *(lambda: 0, lambda: 0.5, lambda: None, lambda: "black", lambda: "blur"),
            *(lambda: "noise", lambda: "mean", lambda: "x", lambda: NAN, x.long),
        )
    elif name == "feature_mask":
        numbers = torch.arange(size).reshape(x[:1].shape)
        makers = (
            *(lambda: numbers, lambda: numbers % 4, lambda: numbers % 4, lambda: numbers // 3),
            *(lambda: numbers * 0, lambda: numbers * 0 + 7, lambda: -numbers - 1),
            *(
                lambda: numbers[:1].squeeze(0),
                lambda: numbers[:1].squeeze(0) % 2,
                lambda: numbers.float() + 0.5,
            ),
            *(lambda: (numbers % 3).expand(x.shape), lambda: numbers % 2 == 0),
            *(lambda: numbers[..., None], lambda: numbers[:0], (numbers % 3).int),
            *(lambda: (numbers % 3)[:, :1], numbers.squeeze(0).numpy, lambda: numbers + 10**12),
        )
    else:
        sides = tuple(x.shape[1:])
        makers = (
            *(lambda: sides, lambda: tuple(1 for _ in sides), lambda: 1, lambda: 2, lambda: 0),
            *(lambda: tuple(max(1, s // 2) for s in sides), lambda: (*sides, 1), lambda: sides[1:]),
            *(lambda: tuple(s + 1 for s in sides), lambda: tuple(-s for s in sides), lambda: None),
            *(lambda: list(sides), lambda: 1.0, lambda: tuple(float(s) for s in sides)),
        )
    return random.choice(makers)()


def _draw_options(call, spec, random):
    options = {"checks": random.choice((True, False))}
    choices = {
        "resolution": ("pixel", "image", "pixel", "x", None),
        "passes": (200, 50, 1, 0, -3, 1.5, "x"),
        "generator": (1, None, torch.Generator().manual_seed(1), -1, 1.5, "x", 2**70),
        "layer": ("0", "body.0", "conv", "x", 3, None, torch.nn.Linear(1, 1)),
        "references": ("like", "like", torch.zeros(0), torch.zeros(2, 1), 3, ()),
        "outputs": (None, "auto", "logits", "softmax", "sigmoid", "x", 3),
        "output": (None, 0, 1, "logits", "hidden", "x", 9, ()),
    }
    for name in random.sample(sorted(choices), random.choice((0, 0, 1, 1, 2))):
        value = random.choice(choices[name])
        if name == "references" and isinstance(value, str):
            tensors = call.inputs if isinstance(call.inputs, tuple) else (call.inputs,)
            value = tuple(torch.rand((4, *x.shape[1:])) for x in tensors)
            value = value if isinstance(call.inputs, tuple) else value[0]
        options[name] = value
        call.plain = call.plain and name == "resolution"
    return options
