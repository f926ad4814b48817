"""RISE (Petsiuk et al., BMVC 2018, arXiv 1806.07421, equation 6, with segments for pixels).

score_s = sum_n Z_ns f_n / sum_n Z_ns
"""


def rise(outputs, samples):
    scores = []
    for segment in range(len(samples[0])):
        told = [f for f, sample in zip(outputs, samples, strict=True) if sample[segment]]
        scores.append(sum(told) / len(told))
    return scores
