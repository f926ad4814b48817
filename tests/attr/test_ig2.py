import pytest
import torch
from torch import nn

from captum_ext import explain
from captum_ext.attr import IG2
from captum_ext.forward import count_passes


@pytest.fixture
def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 3)
    ).double()


def images(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, 6, 6, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize("layer", ["found", "output", "input", "function"])
def test_agrees_with_the_published_implementation(golden, layer):
    net = golden.net.net
    methods = {
        "found": IG2(golden.net),
        "output": IG2(golden.net, net[5]),
        "input": IG2(golden.net, net[6], attribute_to_layer_input=True),
        "function": IG2(golden.net.forward, lambda x: net[:6](x / golden.net.scale)),
    }
    mask, path = methods[layer].attribute(
        torch.from_numpy(golden.x).movedim(-1, 0)[None],
        torch.from_numpy(golden.references).movedim(-1, 1),
        target=golden.target,
        n_steps=golden.steps,
        step_size=golden.step_size,
        clip=golden.clip,
        return_path=True,
    )
    golden.assert_agrees(mask[0].movedim(0, -1), path[0].movedim(1, 0).movedim(2, -1))


@pytest.mark.parametrize("method", ["riemann_left", "riemann_right", "riemann_trapezoid"])
def test_on_a_linear_model_it_is_complete(method):
    model = nn.Linear(5, 2).double()
    inputs, references = torch.rand(4, 5).double(), torch.rand(3, 5).double()
    attributions, delta = IG2(model).attribute(
        inputs, references, target=1, n_steps=7, method=method, return_convergence_delta=True
    )
    assert delta.abs().max() < 1e-10
    # Without a hidden layer the representation is the input: the path ends at the reference.
    expected = model(inputs)[:, 1] - model(references)[:, 1].mean()
    torch.testing.assert_close(attributions.sum(1), expected)
    torch.testing.assert_close(attributions, (inputs - references.mean(0)) * model.weight[1])


def test_the_delta_falls_as_the_steps_shrink(network):
    inputs, references = images(2), images(3, seed=1)
    deltas = []
    for n_steps in (5, 40, 320):
        _, delta = IG2(network).attribute(
            inputs,
            references,
            target=1,
            n_steps=n_steps,
            step_size=1 / n_steps,
            return_convergence_delta=True,
        )
        deltas.append(delta.abs().max())
    assert deltas[0] > deltas[1] > deltas[2]
    assert deltas[0] > 4 * deltas[2]


def test_the_delta_is_what_the_sum_misses(network):
    inputs, references = images(2), images(3, seed=1)
    attributions, delta, path = IG2(network).attribute(
        inputs, references, target=1, n_steps=5, return_convergence_delta=True, return_path=True
    )
    assert path.shape == (2, 3, 6, 3, 6, 6)
    with torch.no_grad():
        ends = network(path[:, :, -1].flatten(0, 1))[:, 1].reshape(2, 3).mean(1)
        missed = attributions.sum((1, 2, 3)) - (network(inputs)[:, 1] - ends)
    torch.testing.assert_close(delta, missed)


def test_every_step_has_the_step_size_and_comes_nearer(network):
    _, path = IG2(network).attribute(
        images(1), images(2, seed=1), target=0, n_steps=6, step_size=0.05, return_path=True
    )
    lengths = path.diff(dim=2).flatten(3).norm(dim=3)
    torch.testing.assert_close(lengths, torch.full_like(lengths, 0.05))
    with torch.no_grad():
        represented = network[:5](path[0].flatten(0, 1)).unflatten(0, (2, 7))
        goals = network[:5](images(2, seed=1))
    distances = (represented - goals[:, None]).norm(dim=2)
    assert (distances.diff(dim=1) < 0).all()


def test_by_default_a_path_is_as_long_as_the_straight_line(network):
    inputs, references = images(1), images(2, seed=1)
    _, path = IG2(network).attribute(inputs, references, target=0, n_steps=6, return_path=True)
    lengths = path.diff(dim=2).flatten(3).norm(dim=3).sum(2)[0]
    torch.testing.assert_close(lengths, (references - inputs).flatten(1).norm(dim=1))


def test_clip_keeps_the_paths_inside(network):
    _, path = IG2(network).attribute(
        images(1),
        images(2, seed=1),
        target=0,
        n_steps=6,
        step_size=3,
        clip=(0, 1),
        return_path=True,
    )
    assert path.min() == 0
    assert path.max() == 1


def test_a_reference_that_is_the_input_gives_zero_and_costs_one_look(network):
    for step_size in (None, 0.5):
        with count_passes(network) as passes:
            result = IG2(network, network[4]).attribute(
                images(1), images(1), target=0, step_size=step_size
            )
        assert not result.any()
        assert passes.total <= 4


def test_a_reference_that_the_model_represents_alike_gives_zero():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)).float()
    with torch.no_grad():
        model[0].weight[:, 3] = 0  # blind to the last feature
    inputs = torch.rand(1, 4)
    reference = inputs + torch.tensor([0, 0, 0, 1.0])
    with count_passes(model) as passes:
        assert not IG2(model).attribute(inputs, reference, target=0).any()
    assert passes.total < 10


def test_a_point_takes_one_forward_and_two_backward_passes(network):
    method = IG2(network, network[4])
    with count_passes(network) as passes:
        method.attribute(images(2), images(3, seed=1), target=0, n_steps=5)
    assert passes.forward == 2 * 3 * (5 + 1)  # each reference is represented once
    assert passes.backward == 2 * 3 * 5 * 2


def test_no_gradient_of_a_parameter_is_computed(network):
    IG2(network).attribute(images(1), images(1, seed=1), target=0, n_steps=2)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_tolerance_stops_paths_that_make_no_progress(network):
    arguments = {"target": 0, "n_steps": 60, "step_size": 0.5}
    with count_passes(network) as without:
        IG2(network).attribute(images(1), images(2, seed=1), **arguments)
    with count_passes(network) as with_tolerance:
        _, path = IG2(network).attribute(
            images(1), images(2, seed=1), tolerance=0.01, patience=4, return_path=True, **arguments
        )
    assert with_tolerance.total < without.total / 2
    assert not path[:, :, -2:].diff(dim=2).any()


def test_references_of_its_own_for_each_example(network):
    inputs, references = images(2), images(6, seed=1).unflatten(0, (2, 3))
    together = IG2(network).attribute(inputs, references, target=0, n_steps=5)
    alone = [
        IG2(network).attribute(inputs[i : i + 1], references[i], target=0, n_steps=5)
        for i in range(2)
    ]
    torch.testing.assert_close(together, torch.cat(alone))
    shared = IG2(network).attribute(inputs, references[0], target=0, n_steps=5)
    same = IG2(network).attribute(inputs, references[:1], target=0, n_steps=5)
    torch.testing.assert_close(shared, same)


def test_series_and_scalars_are_explained_too():
    series = nn.Sequential(nn.Conv1d(2, 3, 3), nn.Flatten(), nn.Linear(18, 2))
    result = IG2(series).attribute(torch.rand(2, 2, 8), torch.rand(3, 2, 8), target=1, n_steps=4)
    assert result.shape == (2, 2, 8)
    squares = IG2(lambda x: x**2, lambda x: x)
    result = squares.attribute(torch.ones(2).double(), torch.zeros(1).double(), n_steps=1000)
    torch.testing.assert_close(result, torch.ones(2).double(), rtol=2e-3, atol=0)


def test_without_the_inputs_it_is_the_mean_gradient():
    model = nn.Linear(5, 2).double()
    result = IG2(model, multiply_by_inputs=False).attribute(
        torch.rand(2, 5).double(), torch.rand(3, 5).double(), target=1, n_steps=4
    )
    torch.testing.assert_close(result, model.weight[1].detach().expand(2, 5))


def test_half_precision_is_accepted(network):
    model = network.bfloat16()
    result = IG2(model).attribute(
        images(1).bfloat16(), images(2, seed=1).bfloat16(), target=0, n_steps=5
    )
    assert result.dtype == torch.bfloat16
    assert result.isfinite().all()


def test_half_precision_goes_the_whole_way_to_a_near_reference(network):
    inputs = images(1)
    near = inputs + 0.02 * images(1, seed=1)
    exact = IG2(network).attribute(inputs, near, target=0, n_steps=20)
    half = IG2(network.half()).attribute(inputs.half(), near.half(), target=0, n_steps=20)
    overlap = torch.cosine_similarity(exact.flatten(), half.double().flatten(), dim=0)
    assert overlap > 0.8


def test_by_name_it_takes_a_layer(network):
    references = images(2, seed=1)
    by_name = explain(
        network, images(1), 0, "ig2", layer=network[1], baselines=references, n_steps=4
    )
    direct = IG2(network, network[1]).attribute(images(1), references, target=0, n_steps=4)
    torch.testing.assert_close(by_name, direct)


@pytest.mark.parametrize(
    ("references", "message"),
    [
        (torch.zeros(2, 3, 6, 5), r"references \[R, 3, 6, 6\].*got shape \(2, 3, 6, 5\)"),
        (torch.zeros(3, 2, 3, 6, 6), r"a set for each example \[1, R, 3, 6, 6\]; got shape \(3, 2"),
        (torch.zeros(0, 3, 6, 6), "at least one reference"),
        (torch.full((1, 3, 6, 6), torch.nan), "baselines must be finite"),
        ((torch.zeros(1, 3, 6, 6),) * 2, "for each of the 1 inputs; got 2"),
        (torch.tensor(1.0), r"got shape \(\)"),
        (None, "baselines must be tensors of references; got NoneType"),
        (0, "baselines must be tensors of references; got int"),
    ],
)
def test_references_that_do_not_fit_are_refused_before_the_model_runs(network, references, message):
    with count_passes(network) as passes, pytest.raises((TypeError, ValueError), match=message):
        IG2(network).attribute(images(1), references, target=0)
    assert passes.total == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_steps": 0}, "n_steps must be at least 1"),
        ({"step_size": 0}, "step_size must be above 0; got 0"),
        ({"step_size": float("nan")}, "step_size must be above 0"),
        ({"clip": (1, 0)}, "clip must be .lowest, highest., the lower one first"),
        ({"clip": 1}, "clip must be a pair"),
        ({"method": "gausslegendre"}, "unknown method 'gausslegendre'"),
        ({"internal_batch_size": 0}, "internal_batch_size must be at least 1"),
        ({"tolerance": -1}, "tolerance must be at least 0"),
        ({"patience": 0}, "patience must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused_before_the_model_runs(network, arguments, message):
    with count_passes(network) as passes, pytest.raises((TypeError, ValueError), match=message):
        IG2(network).attribute(images(1), images(1, seed=1), target=0, **arguments)
    assert passes.total == 0


def test_a_layer_that_the_pass_never_reaches_is_named(network):
    with pytest.raises(ValueError, match=r"layer.*never reaches Linear.in_features=9"):
        IG2(network, nn.Linear(9, 9)).attribute(images(1), images(1, seed=1), target=0)


def test_a_layer_that_does_not_depend_on_the_input_is_named(network):
    for blind in (lambda x: torch.ones(len(x), 2), lambda x: network(torch.ones_like(x))):
        with pytest.raises(ValueError, match=r"layer .* must be differentiable"):
            IG2(network, blind).attribute(images(1), images(1, seed=1), target=0)


@pytest.mark.parametrize(
    ("layer", "error", "message"),
    [
        (lambda x: (x, x), TypeError, "layer must return a tensor; got tuple"),
        (lambda x: x.sum(), ValueError, r"layer must represent each example by a row; got shape"),
        (lambda x: x.flatten(1) / 0, ValueError, "layer must have finite values for references"),
        (nn.Identity(), ValueError, "never reaches Identity"),
    ],
)
def test_a_representation_that_is_none_is_named(network, layer, error, message):
    with pytest.raises(error, match=message):
        function = layer if isinstance(layer, nn.Module) else lambda x: layer(x.abs() + 1)
        IG2(network, function).attribute(images(1), images(1, seed=1), target=0)


@pytest.mark.parametrize("factor", [2.0**-100, 2.0**-75, 2.0**60, 2.0**100])
def test_a_factor_of_the_representation_does_not_matter(factor):
    torch.manual_seed(0)
    weights, head = torch.randn(6, 5), torch.randn(5)
    inputs, references = torch.rand(2, 6), torch.rand(3, 6)

    def attribute(scale):
        return IG2(lambda x: (x @ weights).relu() @ head, lambda x: (x @ weights).relu() * scale)

    plain, scaled = (attribute(scale).attribute(inputs, references) for scale in (1.0, factor))
    torch.testing.assert_close(scaled, plain, rtol=1e-3, atol=1e-4)


def test_a_tiny_gradient_makes_a_whole_step():
    x = torch.full((1, 2), -86.0)
    result = IG2(lambda x: x.sum(1), lambda x: x.sigmoid()).attribute(
        x, torch.zeros(1, 2), step_size=256.0, n_steps=1
    )
    torch.testing.assert_close(result, torch.full((1, 2), -256 / 2**0.5))


def test_clip_does_not_move_a_path_that_stays():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))
    x = 3 * torch.ones(1, 3)
    assert not IG2(model).attribute(x, x, target=1, clip=(0, 1)).any()


def test_a_model_in_training_mode_is_explained_too():
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2)).train()
    result = IG2(model).attribute(torch.rand(4, 3), torch.rand(5, 3), target=1, n_steps=3)
    assert result.any()


def test_a_plain_function_needs_a_representation(network):
    with pytest.raises(ValueError, match="must be given where forward_func is not"):
        IG2(network.forward)
    with pytest.raises(TypeError, match="layer must be a module or a function; got str"):
        IG2(network, "last")


def test_a_model_that_gives_no_gradient_is_refused(network):
    def detached(x):
        return network(x).detach()

    with pytest.raises(ValueError, match="forward_func must be differentiable"):
        IG2(detached, network[4]).attribute(images(1), images(1, seed=1), target=0)


def test_integers_are_refused(network):
    with pytest.raises(TypeError, match="inputs must be of a floating-point dtype"):
        IG2(network).attribute(images(1).long(), images(1), target=0)


def test_the_layer_is_found_once(network):
    method = IG2(network)
    costs = []
    for _ in range(2):
        with count_passes(network) as passes:
            method.attribute(images(2), images(3, seed=1), target=0, n_steps=4)
        costs.append(passes.forward)
    assert costs[0] == costs[1]  # the observed run is no pass of the method
    assert method.layer is network[5]


def test_progress_goes_to_stderr_where_wanted(network, capsys):
    for wanted in (False, True):
        IG2(network).attribute(
            images(1), images(1, seed=1), target=0, n_steps=4, show_progress=wanted
        )
        out, err = capsys.readouterr()
        assert out == ""
        assert ("IG2" in err and "4/4" in err) == wanted
