import warnings

from mmvidmae.compat.mmcv_lite import ignore_missing_ops


def test_only_the_missing_op_is_ignored():
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter('always')
        ignore_missing_ops()
        warnings.warn('Fail to import ``MultiScaleDeformableAttention`` from ``mmcv.ops``, install mmcv', stacklevel=1)
        warnings.warn('something else', stacklevel=1)
    assert [str(warning.message) for warning in seen] == ['something else']
