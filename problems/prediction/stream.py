"""The stream of prediction: cues, outcomes that follow them, and distractors."""

import math

import numpy as np

from minilop import draws
from minilop.backend import Array, to_host, xp
from problems.prediction.settings import Settings


class CueStream:
    """The streams of R runs: features (T, R, 1, n), cumulants (T, R, 1) and returns G (T, R, 1).

    cues, cumulants, returns   (R, T), the whole stream, on the host
    """

    def __init__(self, settings: Settings, seeds: np.ndarray, dtype: str):
        self.settings = settings
        self.seeds = seeds
        self.dtype = dtype
        self.arrays: dict[str, Array] = {}
        # After this many further steps, the discount is negligible.
        future = math.ceil(math.log(1e-9) / math.log(settings.discount)) if settings.discount else 1
        length = settings.num_steps + future
        num_cues = length // (settings.delay + settings.shortest_gap) + 1
        choices = settings.longest_gap - settings.shortest_gap + 1
        gaps = settings.shortest_gap + to_host(draws.integers(seeds, "cue gap", num_cues, choices))  # (R, cues)
        times = (gaps + settings.delay).cumsum(axis=-1)  # of the outcomes
        events = np.zeros((len(seeds), times.max() + 1), bool)
        np.put_along_axis(events, times, True, axis=-1)
        cumulants = events[:, :length].astype(float)
        returns = np.zeros((len(seeds), length))
        for step in range(length - 2, -1, -1):
            returns[:, step] = cumulants[:, step + 1] + settings.discount * returns[:, step + 1]
        self.cues = events[:, settings.delay : settings.delay + settings.num_steps]
        self.cumulants, self.returns = (array[:, : settings.num_steps] for array in (cumulants, returns))

    def examples(self, start: int, stop: int) -> tuple[Array, ...]:
        settings, runs = self.settings, len(self.seeds)
        steps = np.arange(start, stop)[:, None]  # (T, 1)
        since = steps - np.arange(settings.num_taps)  # (T, taps), the step of the cue that each tap shows
        taps = np.where(since >= 0, self.cues[:, since], False).swapaxes(0, 1)  # (T, R, taps)
        uniform = draws.uniform(self.seeds, "distractor", settings.num_distractors, step=steps, dtype=self.dtype)
        distractors = (uniform < settings.distractor_probability).astype(self.dtype)
        bias = xp.ones((stop - start, runs, 1), self.dtype)
        features = xp.concatenate([xp.asarray(taps.astype(self.dtype)), distractors, bias], axis=-1)
        of_future = (
            xp.asarray(array[:, start:stop].T.astype(self.dtype))[..., None] for array in (self.cumulants, self.returns)
        )
        return (features[..., None, :], *of_future)
