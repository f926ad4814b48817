"""What holds for every method of ours, whatever it does."""

import gc
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import captum_ext
from captum_ext import explain, methods
from captum_ext.forward import Evaluator

OWN = [each.name for each in methods() if each.attribution.__module__.startswith("captum_ext")]
FROM_LAYERS = ("lrp_z", "lrp_epsilon", "lrp_alpha1_beta0", "lrp_alpha2_beta1", "grad_cam")
#: So few passes that each takes milliseconds.
PASSES = {"pda": 800, "segment_pda": 100}


class FlattensByView(nn.Module):
    """Convolutions whose outputs in channels_last have no view."""

    def __init__(self, channels=1, kernel=3):
        super().__init__()
        self.convolution = nn.Conv2d(channels, 2, kernel, padding=kernel // 2)
        self.linear = nn.LazyLinear(3)

    def forward(self, x):
        features = self.convolution(x).relu()
        return self.linear(features.view(len(x), -1)).softmax(1)


def small_model(*shape):
    torch.manual_seed(0)
    model = FlattensByView(shape[1]).eval()
    model(torch.zeros(shape))
    return model


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", [name for name in OWN if not name.startswith("lrp")])
def test_pictures_with_a_side_of_1_go_into_a_model_that_flattens_by_view(name):
    for shape in ((2, 1, 6, 5), (1, 1, 8, 1), (1, 3, 1, 8)):
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        heat = explain(small_model(*shape), x, 0, name, passes=PASSES.get(name, 40))
        assert heat.shape == x.shape
        assert heat.stride() == torch.empty(shape).stride()


@pytest.mark.parametrize("kernel", [1, 3])
def test_the_evaluator_gives_views_to_a_model_that_wants_them(kernel):
    model = FlattensByView(1, kernel).eval()
    gray = torch.rand(2, 6, 6, 1).movedim(-1, 1)
    expected = model(torch.empty(2, 1, 6, 6).copy_(gray))
    torch.testing.assert_close(Evaluator(model).outputs(gray, torch.arange(2)), expected)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_model_sees_the_dtype_of_the_inputs_and_so_do_attributions(dtype):
    model = small_model(1, 3, 6, 6).to(dtype)
    seen = set()
    model.register_forward_pre_hook(lambda module, args: seen.add(args[0].dtype))
    x = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    for name in sorted(set(OWN) - set(FROM_LAYERS)):
        heat = explain(model, x, 0, name, passes=PASSES.get(name, 60))
        assert heat.dtype == dtype and bool(torch.isfinite(heat).all()), name
    assert seen == {dtype}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_given_references_and_baselines_take_the_dtype_of_the_inputs(dtype):
    model = small_model(1, 3, 6, 6).to(dtype)
    x = torch.rand(1, 3, 6, 6, generator=torch.Generator().manual_seed(0)).to(dtype)
    others = torch.rand(2, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    for name in ("ig2", "pda"):
        assert explain(model, x, 0, name, references=others, passes=800).dtype == dtype
    for name in ("guided_ig", "image_ig", "xrai", "genetic_ipha", "meaningful_perturbation"):
        assert explain(model, x, 0, name, baselines=others[:1], passes=60).dtype == dtype


@pytest.fixture
def left():
    """A function that gives the shapes of the large tensors made since, and not collected."""
    gc.collect()
    gc.freeze()
    gc.disable()
    yield lambda: [
        tuple(each.shape)
        for each in gc.get_objects()
        if issubclass(type(each), torch.Tensor) and each.numel() >= 144
    ]
    gc.enable()
    gc.unfreeze()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("layers", [[], [nn.Conv2d(3, 3, 1)]])
def test_nothing_of_a_call_is_left_when_it_ends(layers, left):
    torch.manual_seed(0)
    model = nn.Sequential(*layers, nn.Flatten(), nn.Linear(432, 3), nn.Softmax(1)).eval()
    x = torch.rand(1, 3, 12, 12)
    before = left()
    for name in sorted(set(OWN) - set(FROM_LAYERS)):
        for target in (0, 7):
            try:
                explain(model, x, target, name, passes=PASSES.get(name, 200))
            except ValueError:
                assert target == 7
            assert left() == before, name


def test_nothing_hands_torch_a_cotangent():
    # Torch imports sympy for it, and an interruption in that breaks all later calls.
    sources = Path(captum_ext.__file__).parent.rglob("*.py")
    assert not [path.name for path in sources if "grad_outputs=" in path.read_text("utf-8")]


def test_no_method_has_torch_import_its_compiler():
    program = """
import sys, torch, warnings
from torch import nn
from captum_ext import explain
warnings.simplefilter("ignore")
torch.manual_seed(0)
model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Linear(392, 2)).eval()
for name in ("ig2", "guided_ig", "blur_ig", "image_ig", "xrai", "meaningful_perturbation"):
    explain(model, torch.rand(1, 3, 16, 16), 0, name, passes=50)
print(sorted({"sympy", "torch._dynamo"} & set(sys.modules)))
"""
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.strip() == "[]", run.stdout
