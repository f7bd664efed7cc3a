"""Packing of pipeline results into model inputs."""

from mmcv.transforms import BaseTransform
from mmpretrain.structures import DataSample

from mmvidmae.registry import TRANSFORMS


@TRANSFORMS.register_module()
class PackPairs(BaseTransform):
    """Pack pairs for ``pair_collate``. All other keys are dropped.

    **Required Keys:**

    - frames
    - frame_ids
    - video_path
    - rng
    - local_crops (optional)
    - skipped (optional)

    **Returned Keys:**

    - inputs (torch.Tensor): uint8 RGB of shape (num_pairs, T, 3, H, W), contiguous. With
      ``local_crops``, a list of num_pairs tuples (frames, local crops) instead.
    - data_samples (list[DataSample]): one for each pair, with the metainfo

        - video_path (str),
        - frame_ids (tuple[int, ...]): the T frame numbers,
        - seed (int): 63 bits, from which the model draws the pair's mask, so that masks are reproducible too,
        - skipped (list[tuple[str, str]]): clips that this one replaced, with reasons. It is set only if there are any,
          and only on the first data sample of the item, so that each replacement counts once.
    """

    def transform(self, results: dict) -> dict:
        data_samples = [
            DataSample(
                metainfo=dict(
                    video_path=results['video_path'],
                    frame_ids=tuple(frame_ids),
                    seed=int(results['rng'].integers(2**63 - 1)),
                )
            )
            for frame_ids in results['frame_ids'].tolist()
        ]
        if results.get('skipped'):
            data_samples[0].set_metainfo(dict(skipped=results['skipped']))
        inputs = results['frames'].contiguous()
        if 'local_crops' in results:
            inputs = list(zip(inputs, results['local_crops'].contiguous(), strict=True))
        return dict(inputs=inputs, data_samples=data_samples)

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'
