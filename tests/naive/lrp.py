"""Layer-wise relevance propagation (Bach et al., PLoS ONE 2015, equations 58 and 60).

With the contributions z_ij = x_i w_ij of the inputs i to the outputs j:

    epsilon rule     R_i = sum_j z_ij / (z_j + epsilon sign(z_j)) R_j
    alpha-beta rule  R_i = sum_j (alpha z_ij^+ / z_j^+ - beta z_ij^- / z_j^-) R_j

z_j is their sum over the inputs and the bias b_j; ^+ and ^- take what is positive, or negative.
"""

import torch


def lrp(layers, x, target, share):
    """Of one example ``x [features]``; layers are ``(weights, biases)``, with ReLU between."""
    inputs = [x]
    for weights, biases in layers:
        outputs = weights @ inputs[-1] + biases
        inputs.append(outputs.clamp(min=0))
    relevance = torch.zeros_like(outputs)
    relevance[target] = outputs[target]
    for (weights, biases), values in zip(reversed(layers), reversed(inputs[:-1]), strict=True):
        below = torch.zeros_like(values)
        for j, bias in enumerate(biases):
            below += share(values * weights[j], bias) * relevance[j]
        relevance = below
    return relevance


def epsilon_rule(epsilon):
    def share(z, bias):
        total = z.sum() + bias
        return z / (total + epsilon * (1 if total >= 0 else -1))

    return share


def alpha_beta_rule(alpha, beta):
    def share(z, bias):
        parts = torch.zeros_like(z)
        for sign, factor in ((1, alpha), (-1, -beta)):
            part = z.where(sign * z > 0, 0)
            total = part.sum() + (bias if sign * bias > 0 else 0)
            if total != 0:
                parts += factor * part / total
        return parts

    return share


def dense(conv, channels, height, width):
    """A convolution as ``(weights [outputs, inputs], biases [outputs])``."""
    (stride, _), (padding, _), (size, _) = conv.stride, conv.padding, conv.kernel_size
    rows, biases = [], []
    for kernel, bias in zip(conv.weight.detach(), conv.bias.detach(), strict=True):
        for top in range(-padding, height + padding - size + 1, stride):
            for left in range(-padding, width + padding - size + 1, stride):
                row = torch.zeros(channels, height, width, dtype=kernel.dtype)
                for y in range(max(top, 0), min(top + size, height)):
                    for x in range(max(left, 0), min(left + size, width)):
                        row[:, y, x] = kernel[:, y - top, x - left]
                rows.append(row.flatten())
                biases.append(bias)
    return torch.stack(rows), torch.stack(biases)
