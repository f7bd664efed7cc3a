import numpy as np
import torch
from mmpretrain.structures import DataSample

from mmvidmae.visualization import draw_reconstructions
from mmvidmae.visualization.reconstruction import GAP, LINE


def sample(size, **metainfo):
    """A red past and a green future frame, of which only the latter is hidden, and its reconstruction in blue."""
    frames = torch.zeros(2, 3, *size, dtype=torch.uint8)
    frames[0, 0], frames[1, 1] = 255, 255
    reconstruction = frames.clone()
    reconstruction[1] = torch.tensor([0, 0, 255])[:, None, None]
    result = DataSample(metainfo=metainfo)
    result.set_field(frames, 'frames')
    result.set_field(reconstruction, 'reconstruction')
    result.set_field(torch.stack([torch.zeros(size), torch.ones(size)]).bool(), 'mask')
    return result


def test_columns_show_original_masked_and_reconstruction():
    size = (120, 160)
    image = draw_reconstructions([sample(size), sample(size)])
    assert image.dtype == np.uint8
    red, green, blue, gray = (255, 0, 0), (0, 255, 0), (0, 0, 255), (128, 128, 128)
    for row in range(2):
        center = LINE + row * (size[0] + GAP + LINE) + size[0] // 2
        columns = [tuple(image[center, GAP + i * (size[1] + GAP) + size[1] // 2].tolist()) for i in range(6)]
        assert columns == [red, red, red, green, gray, blue]


def test_small_frames_are_enlarged():
    assert draw_reconstructions([sample((32, 32))]).shape == draw_reconstructions([sample((128, 128))]).shape


def test_caption_changes_with_what_is_known():
    plain, named = sample((120, 120)), sample((120, 120), video_path='a/clip.mp4', frame_ids=(3, 14))
    assert (draw_reconstructions([plain]) != draw_reconstructions([named])).any()
