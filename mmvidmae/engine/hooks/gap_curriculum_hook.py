"""Longer gaps as training goes on."""

from collections.abc import Sequence

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvidmae.registry import HOOKS


@HOOKS.register_module()
class GapCurriculumHook(Hook):
    """Sets ``max_gap`` of the training's :class:`MaskPairDataset`, or of each in a concatenation, by its progress.

    Args:
        gaps: Largest gaps in frames.
        until: Share of the iterations up to which each holds, increasing; the last holds to the end.

    Raises:
        ValueError: If there are not as many shares as gaps but the last, or they do not increase.

    Source: STCN's training, whose gaps grow to 25 and at last become 5 (its defaults). Whether DropSeg kept them is not
    known (dropmae.md F.3 has the 25).
    """

    def __init__(
        self, gaps: Sequence[int] = (10, 15, 20, 25, 5), until: Sequence[float] = (0.2, 0.3, 0.4, 0.9)
    ) -> None:
        until = list(until)
        if len(until) != len(gaps) - 1 or until != sorted(set(until)):
            raise ValueError(f'expected {len(gaps) - 1} increasing shares for {len(gaps)} gaps, got {until}')
        self.gaps = list(gaps)
        self.until = until

    def gap_at(self, progress: float) -> int:
        """The gap at a share of the iterations, 0 to 1."""
        return self.gaps[sum(progress >= share for share in self.until)]

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: dict | None = None) -> None:
        """Set the gap of what is loaded from now on."""
        dataset = runner.train_dataloader.dataset
        gap = self.gap_at(runner.iter / runner.max_iters)
        for part in getattr(dataset, 'datasets', [dataset]):
            if part.max_gap != max(gap, part.frame_step):
                part.max_gap = gap
