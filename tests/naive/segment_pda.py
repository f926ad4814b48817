"""Prediction difference of segments (Zintgraf et al., ICLR 2017; Wei et al., ICPR 2018).

p_s     = mean of f_n over the samples n that perturb segment s
score_s = log2 odds(f_all) - log2 odds(p_s),   or another difference of the two
"""

from tests.naive.prediction_difference import difference
from tests.naive.segment_perturbation import whole_image


def segment_pda(outputs, samples, mode, n_train, n_classes):
    whole = whole_image(outputs, samples)
    scores = []
    for segment in range(len(samples[0])):
        without = [f for f, sample in zip(outputs, samples, strict=True) if not sample[segment]]
        p = sum(without) / len(without)
        scores.append(difference(whole, p, mode, n_train, n_classes))
    return scores
