"""Path methods against their NumPy versions, and against their bare passes."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.speed.rivals import head_of, ig2_loop, pairs_guided_ig, published_function
from benchmarks.speed.timing import SIZE, Row, ratio, subject
from captum_ext.attr import IG2, GuidedIG
from captum_ext.attr.pair import MendedGuidedIG
from captum_ext.call_model import CallModelFunction, call_model_function

# A path is a loop over points: a few tell what each costs.
PATH_STEPS, REFERENCES, STEP_SIZE, GUIDED_STEPS = 10, 8, 1.0, 20


def bare_products(model: nn.Module, image: Tensor, batch_size: int) -> None:
    """The passes of IG2 and nothing else: one forward and two backward products per point."""
    seen: list[Tensor] = []
    hook = head_of(model).register_forward_hook(lambda m, args, output: seen.append(args[0]))
    batch = image.expand(batch_size, -1, -1, -1).contiguous(memory_format=torch.channels_last)
    for _ in range(PATH_STEPS * REFERENCES // batch_size):
        x = batch.detach().requires_grad_()
        output = model(x)[:, 0].sum()
        torch.autograd.grad(output, x, retain_graph=True)
        torch.autograd.grad(seen.pop().square().sum(), x)
    hook.remove()


class PathRivals:
    """Path methods and their NumPy versions, on the same model and image."""

    def __init__(self, model: nn.Module, image: Tensor) -> None:
        generator = torch.Generator().manual_seed(1)
        self.model, self.image = model, image
        self.references = torch.rand(REFERENCES, 3, SIZE, SIZE, generator=generator).to(image)
        self.arrays = image[0].movedim(0, -1).numpy(), self.references.movedim(1, -1).numpy()
        self.function = call_model_function(model, 0)
        self.published = published_function(model)

    def ig2(self) -> Tensor:
        method = IG2(self.model, head_of(self.model), attribute_to_layer_input=True)
        attribution: Tensor = method.attribute(
            self.image,
            self.references,
            target=0,
            n_steps=PATH_STEPS,
            step_size=STEP_SIZE,
            clip=(0.0, 1.0),
        )
        return attribution

    def ig2_loop(self, function: CallModelFunction) -> np.ndarray:
        return ig2_loop(function, *self.arrays, PATH_STEPS, STEP_SIZE)

    def guided_ig(self) -> Tensor:
        attribution: Tensor = GuidedIG(self.model).attribute(
            self.image, target=0, n_steps=GUIDED_STEPS
        )
        return attribution

    def guided_ig_adapter(self) -> np.ndarray:
        return MendedGuidedIG().GetMask(self.arrays[0], self.function, x_steps=GUIDED_STEPS)

    def pairs_guided_ig(self) -> np.ndarray:
        return pairs_guided_ig(self.function, self.arrays[0], GUIDED_STEPS)

    def check(self) -> None:
        """Speed counts between equal results only."""
        pairs = {
            "IG2": (self.ig2(), self.ig2_loop(self.published)),
            "IG2 on our function": (self.ig2(), self.ig2_loop(self.function)),
            "Guided IG": (self.guided_ig(), self.pairs_guided_ig()),
        }
        for what, (ours, theirs) in pairs.items():
            result = ours[0].movedim(0, -1).numpy()
            worst = float(np.abs(result - theirs).max() / np.abs(theirs).max())
            if worst > 1e-6:
                raise SystemExit(f"{what}: results differ by {worst:.2g} of the largest value")


def path_methods(repeats: int) -> list[Row]:
    """IG2 and Guided IG against their NumPy versions, and IG2 against its bare passes."""
    model, image = subject()
    # In float32 a path amplifies rounding; in float64 it shows that both compute the same.
    PathRivals(model.double(), image.double()).check()
    rivals = PathRivals(model.float(), image)
    return [
        ratio(
            "IG2 against a NumPy loop on the authors' kind of function",
            lambda: rivals.ig2_loop(rivals.published),
            rivals.ig2,
            repeats,
        ),
        ratio(
            "IG2 against that loop on captum_ext's call_model_function",
            lambda: rivals.ig2_loop(rivals.function),
            rivals.ig2,
            repeats,
        ),
        ratio(
            "IG2 against its bare passes (1 is the bound)",
            lambda: bare_products(model, image, REFERENCES // 2),
            rivals.ig2,
            repeats,
        ),
        ratio(
            "Guided IG against PAIR's, its NumPy call mended",
            rivals.pairs_guided_ig,
            rivals.guided_ig,
            repeats,
        ),
        ratio(
            "Guided IG's adapter against PAIR's, its NumPy call mended",
            rivals.pairs_guided_ig,
            rivals.guided_ig_adapter,
            repeats,
        ),
    ]
