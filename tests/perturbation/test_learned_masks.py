import torch

from captum_ext.perturbation.learned_masks.adam import Adam


def test_adam_takes_the_steps_of_torch():
    generator = torch.Generator().manual_seed(0)
    own = [torch.rand(2, 3, generator=generator), torch.rand(4, generator=generator).double()]
    torchs = [value.clone().requires_grad_() for value in own]
    ours, theirs = Adam(own, lr=0.1), torch.optim.Adam(torchs, lr=0.1)
    for _ in range(20):
        gradients = [torch.randn(value.shape, generator=generator).to(value) for value in own]
        for value, gradient in zip(torchs, gradients, strict=True):
            value.grad = gradient.clone()
        ours.step(gradients)
        theirs.step()
    for value, expected in zip(own, torchs, strict=True):
        torch.testing.assert_close(value, expected.detach())
