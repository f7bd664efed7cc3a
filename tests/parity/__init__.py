"""Checks against outputs recorded from the authors' implementations (``tools/analysis_tools/check_parity.py``)."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from .bat import check_bat
from .catmae import check_catmae
from .cosettle import check_cosettle
from .cropmae import check_crop_views
from .evaluation import check_part_segmentation, check_pose, check_video_segmentation
from .history import check_hiptrack
from .pretrain import check_asad, check_cropmae, check_dropmae, check_len_keep, check_rsp_block, check_sincos
from .propagation import check_crw_propagation, check_dino_propagation
from .report import Difference, Report
from .rsp import check_rsp
from .rvm import check_rvm
from .segmentation import check_dropseg
from .tcore import check_tcore
from .tobo import check_tobo
from .tracking import check_droptrack, check_droptrack_geometry, check_droptrack_track
from .tracking_metrics import check_rgbt_metrics, check_sot_metrics, check_vot_supervised

__all__ = ['CHECKERS', 'Difference', 'Report', 'check_file']

# What a kind of file is recognized by: all of these arrays (a name ending in '*' matches by its beginning).
CHECKERS: dict[tuple[str, ...], Callable[[Mapping[str, np.ndarray]], Report]] = {
    ('imgs_x', 'imgs_z', 'asad/P_percent', 'state/*'): check_dropmae,
    ('frame1', 'frame2', 'features_frame1', 'state/*'): check_cropmae,
    ('x', 'kv', 'cotangent', 'state/cattn*'): check_rsp_block,
    ('logits', 'W', 'table_n_drop'): check_asad,
    ('L', 'mask_permille', 'n_keep'): check_len_keep,
    ('dim*',): check_sincos,
    ('sequences', 'object_names', 'J_M_per_object', 'F_M_per_object'): check_video_segmentation,
    ('vip/gt/*', 'vip/pred/*', 'vip/hist_gt_rows_pred_cols'): check_part_segmentation,
    ('pose/labels/pos_img_1based', 'pck/thresholds'): check_pose,
    ('video/first_seg_onehot', 'video/soft_predictions'): check_dino_propagation,
    ('eval_keep1/score_map', 'loss_train/grad_l2', 'state/backbone.*'): check_droptrack,
    ('to_crop/box_in', 'keep_rate/epoch', 'loss/focal_target'): check_droptrack_geometry,
    ('frames_rgb', 'init_box_xywh', 'f1/response'): check_droptrack_track,
    ('seq0/gt_xywh', 'seq0/pred_xywh', 'got10k_val/AO'): check_sot_metrics,
    ('first', 'second', 'eao_curve', 'run0/state'): check_vot_supervised,
    ('lasher/PR', 'rgbt234/MPR', 'thresholds_overlap'): check_rgbt_metrics,
    ('track/memory_frames', 'readout/affinity', 'state/HIP*'): check_hiptrack,
    ('track/frames_rgb_tir', 'eval_ce/ce_template_mask', 'state/backbone.*'): check_bat,
    ('e2e/label0_grid', 'e2e/pred'): check_crw_propagation,
    ('agg_logits', 'infer/out_labels', 'state/stcn_decoder.*'): check_dropseg,
    ('frame1', 'frame2', 'frame3', 'state/decoder_frame_info'): check_catmae,
    ('source', 'target', 'post_index', 'state/to_posterior*'): check_rsp,
    ('picture', 'g2l/views', 'crop/log_ratio', 'state/*'): check_crop_views,
    ('source', 'target', 'query_bottleneck', 'state/decoder_embed_mae*'): check_tobo,
    ('current_global', 'teacher_patch_probs', 'auxiliary/auxiliary_decoder.*'): check_tcore,
    ('shifted_pos_embed', 'transition_12', 'state/adapter.*'): check_cosettle,
    ('core_updates', 'reconstructed', 'state/rnn_core/*'): check_rvm,
}


def check_file(path: str | Path) -> Report:
    """Recognize a reference file by its arrays and compare everything in it.

    Args:
        path: An ``.npz`` file, read without unpickling.

    Raises:
        ValueError: If the file is of no known kind.
    """
    with np.load(path, allow_pickle=False) as archive:
        arrays = dict(archive)
    for signature, checker in CHECKERS.items():
        if all(any(key == name or _starts(key, name) for key in arrays) for name in signature):
            return checker(arrays)
    raise ValueError(f'{path} is of no known kind; its arrays begin with {", ".join(sorted(arrays)[:8])}')


def _starts(key: str, name: str) -> bool:
    return name.endswith('*') and key.startswith(name[:-1])
