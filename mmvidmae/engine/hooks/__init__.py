from .atomic_checkpoint_hook import AtomicCheckpointHook
from .candidate_elimination_hook import CandidateEliminationHook
from .frame_progress_hook import FrameProgressHook
from .gap_curriculum_hook import GapCurriculumHook
from .non_finite_loss_hook import NonFiniteLossHook
from .propagation_eval_hook import PropagationEvalHook
from .propagation_vis_hook import PropagationVisHook
from .reconstruction_vis_hook import ReconstructionVisHook
from .skipped_video_hook import SkippedVideoHook
from .step_seed_hook import StepSeedHook
from .weights_record_hook import WeightsRecordHook

__all__ = [
    'AtomicCheckpointHook',
    'CandidateEliminationHook',
    'FrameProgressHook',
    'GapCurriculumHook',
    'NonFiniteLossHook',
    'PropagationEvalHook',
    'PropagationVisHook',
    'ReconstructionVisHook',
    'SkippedVideoHook',
    'StepSeedHook',
    'WeightsRecordHook',
]
