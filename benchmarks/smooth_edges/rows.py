"""The rows of :mod:`benchmarks.smooth_edges`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from benchmarks.record import case_of

#: Stands for the number of samples of a sampler that has one of its own.
OWN_NUMBER = 0


@dataclass(frozen=True)
class Case:
    """What identifies a row.

    Attributes:
        image: the photograph's name.
        pixels: fingerprint of the photograph, as the model sees it.
        model: its name.
        weights: fingerprint of its parameters.
        size: pixels of a side.
        segmenter, edge, sampler, perturber: how the model is asked.
        n_samples: as asked for, or :data:`OWN_NUMBER`.
        attributer: what the answers say of each segment.
        per: what the metric removes, ``"segment"`` or ``"pixel"``.
        occlusion: what the metric puts in its place.
        steps: points of the metric's curves.
        seed: of the samples.
        parts: all of these with their settings.
    """

    image: str
    pixels: str
    model: str
    weights: str
    size: int
    segmenter: str
    edge: str
    sampler: str
    perturber: str
    n_samples: int
    attributer: str
    per: str
    occlusion: str
    steps: int
    seed: int
    parts: str


@dataclass(frozen=True)
class Row(Case):
    """A case and what came out.

    Attributes:
        target: index of the explained class.
        n_segments: found in the image; 0 where there was no segmentation.
        lif, mif, srg: of the occlusion curves; NaN where there is none.
        status: ``"ok"``, or why there is none.
    """

    target: int
    n_segments: int
    lif: float
    mif: float
    srg: float
    status: str

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def case(self) -> Case:
        return case_of(self, Case)


def skipped(case: Case, target: int, n_segments: int, error: Exception) -> Row:
    """The row of a case that cannot be, with the reason in one line."""
    nan = float("nan")
    reason = " ".join(str(error).split())
    return Row(
        **asdict(case),
        target=target,
        n_segments=n_segments,
        lif=nan,
        mif=nan,
        srg=nan,
        status=f"skipped: {reason}",
    )
