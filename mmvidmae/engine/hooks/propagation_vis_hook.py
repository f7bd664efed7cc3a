"""Images of propagated labels."""

from collections.abc import Sequence
from pathlib import Path

from mmengine.dist import master_only
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmpretrain.structures import DataSample

from mmvidmae.registry import HOOKS
from mmvidmae.visualization import PropagationVisualizer, write_video


@HOOKS.register_module()
class PropagationVisHook(Hook):
    """Draws the predicted masks or poses of a frozen evaluation over the frames.

    Each video becomes a contact sheet with frames at equal distances from the first, which is given, to the last. The
    sheet goes to all visualization backends, as ``propagation_<video name>``. Only rank 0 draws, from its share of the
    videos.

    Args:
        max_videos: Number of videos to draw. None draws all.
        num_frames: Number of frames on a sheet.
        side: Longest side of a frame on a sheet, in pixels.
        video: Whether to also write ``<work_dir>/propagation/<video name>.mp4`` with all frames.
        fps: Frames per second of these videos.
    """

    def __init__(
        self,
        max_videos: int | None = None,
        num_frames: int = 8,
        side: int = 320,
        video: bool = False,
        fps: float = 10,
    ) -> None:
        self.max_videos = max_videos
        self.num_frames = num_frames
        self.side = side
        self.video = video
        self.fps = fps

    @master_only
    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict | None = None, outputs: Sequence[DataSample] = ()
    ) -> None:
        """Draw the videos of a batch."""
        if self.max_videos is not None and batch_idx >= self.max_videos:
            return
        visualizer = PropagationVisualizer.sharing_backends(runner.visualizer)
        for sample in outputs:
            name = sample.video_name.replace('/', '_')  # backends write files of this name
            visualizer.add_datasample(f'propagation_{name}', sample, self.num_frames, self.side)
            if self.video:
                frames = range(len(sample.frame_names))
                path = Path(runner.work_dir, 'propagation', f'{sample.video_name}.mp4')
                write_video(path, visualizer.draw_frames(sample, frames), self.fps)
