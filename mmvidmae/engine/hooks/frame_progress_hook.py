"""Tells how far a test of whole videos has come."""

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvidmae.registry import HOOKS
from mmvidmae.utils.progress import KEY, FrameProgress


@HOOKS.register_module()
class FrameProgressHook(Hook):
    """Shows the progress of a test in frames, with the time left, where an item is a whole video.

    For models that count their frames (:func:`count_frames`): :class:`LabelPropagator` and :class:`DropSeg`, and
    datasets of annotated videos.

    Args:
        interval: Seconds between two lines of the log.
    """

    def __init__(self, interval: float = 10.0) -> None:
        self.interval = interval

    def before_test(self, runner: Runner) -> None:
        """Count the frames of this process, and begin."""
        dataset = runner.test_dataloader.dataset
        frames = [len(dataset.get_data_info(index).get('frame_paths', ())) for index in range(len(dataset))]
        total = sum(frames[get_rank() :: get_world_size()])
        runner.message_hub.update_info(KEY, FrameProgress(total, self.interval) if total else None, resumed=False)

    def after_test(self, runner: Runner) -> None:
        """End."""
        runner.message_hub.update_info(KEY, None, resumed=False)
