"""What several test files share: the recorded cases of published implementations."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn


def recorded(name):
    with np.load(Path(__file__).parent / "golden" / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


@pytest.fixture(params=["ig2_unit", "ig2_255"])
def golden(request):
    return Golden(request.param)


@pytest.fixture(params=["perturb_4x4", "perturb_3x3"])
def perturbed(request):
    return GoldenPerturbation(recorded(request.param))


class GoldenPerturbation:
    """One recorded case of segment perturbation; ``case[name]`` is an array of it as a tensor."""

    def __init__(self, arrays):
        self.arrays = arrays
        self.target, self.rows, self.cols = (int(arrays[k]) for k in ("target", "rows", "cols"))
        self.sigma, self.color = float(arrays["sigma"]), arrays["color"].tolist()
        self.image = self["image"].movedim(-1, 0)[None]
        net = Scaled(1.0)
        net.load_state_dict({key: self[key] for key in arrays if key.startswith("net.")})
        self.model = nn.Sequential(net, nn.Softmax(dim=1))

    def __getitem__(self, name):
        return torch.from_numpy(self.arrays[name])


class Golden:
    """One recorded case, and the network that it was recorded from."""

    def __init__(self, name):
        case = recorded(name)
        self.x, self.references = case["x"], case["references"]
        self.mask, self.path = case["mask"], case["path"]
        self.target, self.steps = int(case["target"]), int(case["steps"])
        self.step_size, self.clip = float(case["step_size"]), tuple(case["clip"].tolist())
        self.net = Scaled(float(case["scale"]))
        self.net.load_state_dict(
            {key: torch.from_numpy(value) for key, value in case.items() if key.startswith("net.")}
        )

    def assert_agrees(self, mask, path):
        """To 1e-6 of the largest value: the recording itself went through float32."""
        for result, recorded in ((mask, self.mask), (path, self.path)):
            close = 1e-6 * np.abs(recorded).max()
            np.testing.assert_allclose(result, recorded, rtol=1e-6, atol=close)


class Scaled(nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale
        self.net = nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(8, 12, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Linear(48, 5),
        ).double()

    def forward(self, x):
        return self.net(x / self.scale)
