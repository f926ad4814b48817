"""What a metric may use of one attribution of a study, and how the metric is called.

A metric is called with what a cell knows: the model, the image, the attribution, the class, and
what else its spec needs, as the mask or the method.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from numbers import Real
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from captum_ext.asking import Request, run_method
from captum_ext.checks import check_choice
from captum_ext.coerce import layer_of
from captum_ext.exam import KnownModel, rounding_error
from captum_ext.forward import count_passes
from captum_ext.metric_spec import METRIC_OUTPUTS, MetricNeed, MetricSpec
from captum_ext.signatures import settable
from captum_ext.spec import MethodSpec
from captum_ext.study.define.images import mask_of
from captum_ext.study.define.models import Aim, StudyModel


@dataclass
class Spared:
    """What a metric did not have to ask again, or asked a copy of the model."""

    forward: int = 0
    seconds: float = 0.0


@dataclass
class MetricContext:
    """What a metric may know of an attribution.

    Attributes:
        subject, aim: the model, the image and the class.
        spec, request: the method, and what it was asked.
        asked: the model as the method saw it.
        attribution: ``[1, C, h, w]``.
        mask_file: shows where the object is; None where there is none.
        seed: of what is drawn.
        beside: what the method returned beside the attribution, as a convergence delta.
        memory: what metrics of the same attribution share.
        spared: passes and seconds that are the metric's, too, but were not its model's.
    """

    subject: StudyModel
    aim: Aim
    spec: MethodSpec
    request: Request
    asked: nn.Module
    attribution: Tensor
    mask_file: Path | None
    seed: int
    beside: Sequence[Any] = ()
    memory: dict[str, Any] = field(default_factory=dict)
    spared: Spared = field(default_factory=Spared)

    @property
    def mask(self) -> Tensor | None:
        """Where the object is, ``[1, 1, h, w]``; None where that is not known.

        Raises:
            ValueError: a file that cannot be read.
        """
        if self.mask_file is None:
            return self.subject.truth()
        if "mask" not in self.memory:
            self.memory["mask"] = self.subject.see_mask(mask_of(self.mask_file))
        found: Tensor = self.memory["mask"]
        return found

    def measure(self, metric: MetricSpec, settings: Mapping[str, Any]) -> Any:
        """What a metric says of the attribution.

        Raises:
            ValueError: what it needs is not known of this model or image.
        """
        chosen = {**metric.defaults, **settings}
        if MetricNeed.CONTEXT in metric.needs:
            return metric.function(self, **chosen)
        chosen |= {
            name: word(chosen[name]) for name, word in metric.words.items() if name in chosen
        }
        output = METRIC_OUTPUTS[0]
        if MetricNeed.OUTPUT in metric.needs:
            output = check_choice(chosen.pop("output", output), "output", METRIC_OUTPUTS)
        if MetricNeed.METHOD in metric.needs:
            model = self.asked
        else:
            model = self.subject.scored(self.aim, output)
        call = (model, self.aim.seen, self.attribution, self.aim.target)
        chosen |= self._supplied(metric)
        if metric.inner is None or metric.summary is None:
            return metric.function(*call, **chosen)
        own = {name: chosen.pop(name) for name in settable(metric.summary) if name in chosen}
        key = json.dumps([metric.inner.__qualname__, output, chosen], sort_keys=True, default=repr)
        if key in self.memory:
            result, cost = self.memory[key]
            self.spared.forward += cost.forward
            self.spared.seconds += cost.seconds
        else:
            start = time.perf_counter()
            with count_passes(self.subject.counted) as passes:
                result = metric.inner(*call, **chosen)
            cost = Spared(passes.forward, time.perf_counter() - start)
            self.memory[key] = result, cost
        return metric.summary(result, **own)

    def _supplied(self, metric: MetricSpec) -> dict[str, Any]:
        """What a metric needs beside its settings."""
        supplied: dict[str, Any] = {"generator": self.seed} if metric.takes_seed else {}
        if MetricNeed.MASK in metric.needs:
            supplied["mask"] = self.mask
            if supplied["mask"] is None:
                raise ValueError("there is no mask of this image")
        if MetricNeed.KNOWN_ANSWER in metric.needs:
            exact = self.subject.shapley_values(self.aim, self.asked)
            if exact is None or not isinstance(self.asked, KnownModel):
                raise ValueError("the exact Shapley values of this model are not known")
            floor = rounding_error(self.asked, self.aim.seen, self.aim.target)
            supplied |= {"shapley_values": exact, "floor": floor}
        if MetricNeed.METHOD in metric.needs:
            # Some ask about other images only, others about other models, too.
            supplied["method"] = lambda *call: self.explain(*(self.asked, *call)[-3:])
        return supplied

    def explain(self, model: nn.Module, image: Tensor, target: Any) -> Tensor:
        """The same method about a changed image or model."""
        layer = layer_of(self.asked, self.request.layer)
        if layer is not None and model is not self.asked:
            # The same layer of a copy.
            names = {id(module): name for name, module in self.asked.named_modules()}
            layer = model.get_submodule(names[id(layer)])
        request = replace(self.request, target=target, layer=layer, seed=self.seed, checks=False)
        with count_passes(model) as passes:
            attribution = run_method(self.spec, model, image, request).heat
        if self.subject.counted not in model.modules():
            self.spared.forward += passes.forward
        return attribution


def number_of(result: Any) -> float:
    """The one number that a metric gave.

    Raises:
        ValueError: something else.

    Example:
        >>> number_of(Tensor([0.5]))
        0.5
    """
    if isinstance(result, Tensor) and result.numel() == 1:
        return float(result.detach())
    if isinstance(result, Real):
        return float(result)
    what = tuple(result.shape) if isinstance(result, Tensor) else type(result).__name__
    raise ValueError(f"a metric must give one number; got {what}")
