"""Policies that say when the online template of a tracker is replaced."""

from mmvidmae.registry import MODELS

from ..layers import require, require_whole


@MODELS.register_module()
class IntervalScorePolicy:
    """Replaces the online template every ``interval`` frames, if the target was found with a score above ``min_score``
    in that frame.

    Another policy is any registered callable of the two arguments of :meth:`__call__`.

    Args:
        interval: Number of frames. STARK has 200 for long videos.
        min_score: Score in [0, 1] that a frame must exceed. STARK's 0.5 is for the output of a classifier; here it is
            the window-weighted score of the box.

    Raises:
        ValueError: If an argument is out of range.

    Source: STARK (arXiv:2103.17154), section 3.2; researchmm/Stark@273769b:lib/test/tracker/stark_st.py:81-89.
    """

    def __init__(self, interval: int = 25, min_score: float = 0.5) -> None:
        require_whole(self, interval=interval)
        require(0 <= min_score <= 1, self, 'min_score', min_score, 'in [0, 1]')
        self.interval = interval
        self.min_score = min_score

    def __call__(self, number: int, score: float) -> bool:
        """Say whether the template is replaced after a frame.

        Args:
            number: Number of the frame, 1 for the first one that was tracked.
            score: Score of the target in [0, 1].
        """
        return number % self.interval == 0 and score > self.min_score
