"""Progress of tests on whole videos."""

from mmengine.dist import get_rank, get_world_size
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvidmae.registry import HOOKS
from mmvidmae.utils.progress import KEY, FrameProgress


@HOOKS.register_module()
class FrameProgressHook(Hook):
    """Logs the progress of a test in frames, with the remaining time, for datasets whose items are whole videos.

    It works with models that count their frames (:func:`count_frames`): :class:`LabelPropagator` and
    :class:`DropSeg`.

    Args:
        interval: Seconds between two lines of the log.
    """

    def __init__(self, interval: float = 10.0) -> None:
        self.interval = interval

    def before_test(self, runner: Runner) -> None:
        """Count the frames of this process and start."""
        dataset = runner.test_dataloader.dataset
        frames = [len(dataset.get_data_info(index).get('frame_paths', ())) for index in range(len(dataset))]
        total = sum(frames[get_rank() :: get_world_size()])
        runner.message_hub.update_info(KEY, FrameProgress(total, self.interval) if total else None, resumed=False)

    def after_test(self, runner: Runner) -> None:
        """Stop."""
        runner.message_hub.update_info(KEY, None, resumed=False)
