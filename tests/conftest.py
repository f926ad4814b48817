"""What several test files share: the recorded cases of IG2's published implementation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn


@pytest.fixture(params=["ig2_unit", "ig2_255"])
def golden(request):
    return Golden(request.param)


class Golden:
    """One recorded case, and the network that it was recorded from."""

    def __init__(self, name):
        with np.load(Path(__file__).parent / "golden" / f"{name}.npz") as file:
            case = {key: file[key] for key in file.files}
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
