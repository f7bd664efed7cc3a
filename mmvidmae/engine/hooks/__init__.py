from .atomic_checkpoint_hook import AtomicCheckpointHook, latest_checkpoint
from .attribute_schedule_hook import AttributeScheduleHook, CandidateEliminationHook
from .frame_progress_hook import FrameProgressHook
from .non_finite_loss_hook import NonFiniteLossHook
from .preemption_hook import Preempted, PreemptionHook
from .propagation_eval_hook import PropagationEvalHook
from .propagation_vis_hook import PropagationVisHook
from .reconstruction_vis_hook import ReconstructionVisHook
from .schedule_hook import CannotResume, ScheduleHook
from .skipped_video_hook import SkippedVideoHook
from .step_seed_hook import StepSeedHook
from .teacher_hook import TeacherHook
from .weights_record_hook import WeightsRecordHook
from .whole_checkpoint_hook import WholeCheckpointHook

__all__ = [
    'AtomicCheckpointHook',
    'AttributeScheduleHook',
    'CandidateEliminationHook',
    'CannotResume',
    'FrameProgressHook',
    'NonFiniteLossHook',
    'Preempted',
    'PreemptionHook',
    'PropagationEvalHook',
    'PropagationVisHook',
    'ReconstructionVisHook',
    'ScheduleHook',
    'SkippedVideoHook',
    'StepSeedHook',
    'TeacherHook',
    'WeightsRecordHook',
    'WholeCheckpointHook',
    'latest_checkpoint',
]
