"""What may be given by name, for the command line, which lists it without torch."""

from __future__ import annotations

#: The method for images where none is given; the README's table has chosen it.
DEFAULT_METHOD = "segment_lime"
#: Photographs that ship inside scikit-image, known by name.
EMBEDDED = ("astronaut", "chelsea", "coffee", "rocket")
#: The keys of :data:`captum_ext.baselines.BASELINES`.
BASELINES = (
    *("black", "white", "noise", "uniform_noise", "gaussian_noise"),
    *("norm_mean", "image_mean", "image_median", "blur", "max_distance"),
)
#: Where a model runs.
DEVICES = ("auto", "cpu", "cuda", "mps")
#: ``"own"``: as the model's weights want it; ``"squash"``: the whole picture, whatever its shape.
FITS = ("own", "squash")
#: Pixels of a side of the images that a model takes.
MAX_SIDE = 4096
#: Which output is explained. ``"auto"``: the logit, where a method uses gradients, as that of a
#: probability near 1 vanishes; the probability, where it only runs the model.
OUTPUTS = ("auto", "logit", "probability")
#: What a model's outputs are, see :mod:`captum_ext.models.output_kind`: logits of classes that
#: compete, logits of independent labels, probabilities, or numbers that are neither.
OUTPUT_KINDS = ("auto", "softmax", "sigmoid", "probabilities", "scores")
#: The keys of :data:`captum_ext.exam.MODELS`.
EXAM_MODELS = ("center_pixel", "additive", "and_or", "saturation")
#: What a model of the exam can return.
EXAM_OUTPUTS = ("probability", "log_probability", "logit")
#: Names that the images of an exam take turns among.
EXAM_IMAGES = ("astronaut", "chelsea", "coffee", "random")
#: Passes that each method may take in an examination, where it needs no more at the least.
TRIAL_PASSES = 200
#: What a table of results can be written as.
FORMATS = ("csv", "parquet")
