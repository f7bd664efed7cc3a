"""Report of unreadable videos."""

from pathlib import Path

from mmengine.dist import all_gather_object, is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmvidmae.datasets.readers import printable
from mmvidmae.registry import HOOKS


@HOOKS.register_module()
class SkippedVideoHook(Hook):
    """Reports the videos that a dataset could not read and replaced (the ``skipped`` of its data samples).

    Each video is logged once per run as a warning with its path and reason. It is also added to
    ``skipped_videos.txt`` in the work dir, if it is not there: one line ``path<TAB>reason``, with the bytes of the path
    as in the file system. The training log shows the number of skipped videos as ``skipped_videos``. Ranks exchange
    their lists every ``interval`` iterations and at the end of an epoch.

    Args:
        interval: Iterations between reports.
    """

    def __init__(self, interval: int = 50) -> None:
        self.interval = interval
        self.known: dict[str, str] = {}
        self.new: dict[str, str] = {}

    def _after_iter(self, runner: Runner, batch_idx: int, data_batch=None, outputs=None, mode: str = 'train') -> None:
        for sample in data_batch['data_samples']:
            for path, reason in sample.get('skipped') or ():
                if path not in self.known:
                    self.new[path] = ' '.join(reason.split())
        if mode == 'train':
            if self.every_n_train_iters(runner, self.interval):
                self._share(runner)
            runner.message_hub.update_scalar('train/skipped_videos', len(self.known))

    def _after_epoch(self, runner: Runner, mode: str = 'train') -> None:
        self._share(runner)

    def _share(self, runner: Runner) -> None:
        new = {path: reason for videos in all_gather_object(self.new) for path, reason in videos.items()}
        self.known.update(new)
        self.new = {}
        if not new or not is_main_process():
            return
        for path, reason in new.items():
            runner.logger.warning(printable(f'Skipped video: {path}: {reason}'))
        report = Path(runner.work_dir, 'skipped_videos.txt')
        as_it_is = dict(encoding='utf-8', errors='surrogateescape')  # names need not be UTF-8
        reported = set(report.read_text(**as_it_is).split('\n')) if report.exists() else set()
        lines = [line for line in map('\t'.join, new.items()) if line not in reported]
        with report.open('a', **as_it_is) as file:
            file.writelines(f'{line}\n' for line in lines)
