"""The folder in which the commands of the documentation are run: a checkout with everything that the pages name.

Models have the size of their recipes and random weights; clips and data sets are tiny and drawn.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import torch
from docs_pages import ROOT
from mmengine.config import Config
from PIL import Image
from samples import encode, make_davis, make_frames, make_sequences
from scipy.io import savemat

from mmvidmae.apis import get_model
from mmvidmae.compat.mmtrack import enable
from mmvidmae.converters import mmvidmae_to_dropmae, mmvidmae_to_droptrack, mmvidmae_to_rsp

DAVIS = (
    'bear',
    'bike-packing',
    'camel',
    'blackswan',
    'car-shadow',
    'dog',
    'dogs-jump',
    'drift-chicane',
    'judo',
    'libby',
    'motocross-jump',
)
RECIPES = dict(
    dropmae='dropmae/dropmae_vit-base-p16_64xb64-amp-coslr-400e_k400',
    siammae='siammae/siammae_vit-small-p16_16xb64-amp-coslr-400e_k400',
    catmae='catmae/catmae_vit-small-p16_8xb128-amp-coslr-300e_k400',
    rsp='rsp/rsp_vit-small-p16_8xb192-amp-coslr-400e_k400',
    tcore='tcore/tcore_vit-small-p16_4xb64-amp-coslr-400e_k400',
    droptrack='droptrack/droptrack_vit-base-p16-384_4xb32-100e_got10k',
    dropseg='dropseg/dropseg_vit-base-p16-384_8xb4-amp-210k_davis2017-youtubevos',
    cosettle='cosettle/cosettle_vit-base-p16-mae_4xb128-amp-coslr-5e_k400',
)


def make_workspace(root: Path) -> None:
    """Makes the folder; :func:`copy_workspace` gives each page its own."""
    root.mkdir(parents=True)
    for name in ('tools', 'mmvidmae', 'requirements', 'tests', 'docs', 'hubconf.py', 'Makefile', 'README.md'):
        (root / name).symlink_to(ROOT / name)
    (root / 'configs').mkdir()
    for path in (ROOT / 'configs').iterdir():
        (root / 'configs' / path.name).symlink_to(path)
    recipe = f'configs/{RECIPES["siammae"]}.py'
    (root / 'my_siammae.py').write_text(f"_base_ = '{recipe}'\n")
    make_pictures(root)
    make_clips(root)
    make_videos_with_masks(root / 'data')
    make_tracking_data(root / 'data')
    make_checkpoints(root)


def copy_workspace(source: Path, root: Path) -> None:
    """A folder of a page's own; checkpoints are shared."""
    shutil.copytree(source, root, symlinks=True, ignore=lambda folder, names: [n for n in names if '.pth' in n])
    for path in source.rglob('*.pth*'):
        (root / path.relative_to(source)).symlink_to(path)


def make_pictures(root: Path) -> None:
    """Videos and pictures in the working folder."""
    frames = make_frames(40)
    encode(root / 'a.mp4', np.concatenate((frames, frames[::-1])))
    shutil.copy(root / 'a.mp4', root / 'clip.mp4')
    encode(root / 'video.mp4', frames[:32])
    encode(root / 'short.mp4', frames[:3])
    for name in ('a.jpg', 'b.jpg', 'image.jpg'):
        Image.new('RGB', (96, 64), 'green').save(root / name)
    for number, name in enumerate(('first_mask.png', 'first_frame.png', 'another_object.png'), 1):
        mask = np.zeros((48, 64), np.uint8)
        mask[16:32, 20:40] = number
        Image.fromarray(mask).save(root / name)


def make_clips(root: Path) -> None:
    """Folders of clips, and Kinetics."""
    for seed in range(2):
        frames = make_frames(40, seed=seed)
        encode(root / f'videos/jump/{seed}.mp4', np.concatenate([frames, frames[::-1]] * 8))  # a small batch of lines
        for folder in ('data/mine/train', 'data/mine/val', 'data/kinetics400/videos_train'):
            encode(root / folder / f'jump/{seed}.mp4', frames)
    kinetics = root / 'data/kinetics400'
    for name in ('videos_val', 'train'):
        (kinetics / name).symlink_to('videos_train')
    for name in ('train', 'val'):
        (kinetics / f'kinetics400_{name}_list_videos.txt').write_text('jump/0.mp4 0\njump/1.mp4 0\n')


def make_videos_with_masks(data: Path) -> None:
    """DAVIS, YouTube-VOS, and masks and joints of JHMDB."""
    davis = make_davis(data / 'DAVIS', dict.fromkeys(DAVIS, 3))
    for year in ('2016', '2017'):
        (davis / 'ImageSets' / year).mkdir(parents=True)
        (davis / 'ImageSets' / year / 'val.txt').write_text('libby\n')
        (davis / 'ImageSets' / year / 'train.txt').write_text('bear\ndog\n')
    for split, length in (('train', 7), ('valid', 3)):
        youtube = make_davis(data / 'YouTubeVOS' / split, dict(dog=length))
        for kind in ('JPEGImages', 'Annotations'):
            (youtube / kind / '480p/dog').rename(youtube / kind / 'dog')
            (youtube / kind / '480p').rmdir()
        objects = {'1': dict(category='dog', frames=[f'{number:05d}' for number in range(length)])}
        (youtube / 'meta.json').write_text(json.dumps(dict(videos=dict(dog=dict(objects=objects)))))
    clip = encode(data / 'jhmdb/clips/jump/jumper.avi', make_frames(8))
    mask = np.zeros((48, 64, 8), np.uint8)
    mask[16:32, 20:40] = 1
    (data / 'jhmdb/puppet_mask/jump').mkdir(parents=True)
    savemat(data / 'jhmdb/puppet_mask/jump' / f'{clip.stem}.mat', dict(part_mask=mask))
    (data / 'jhmdb/joint_positions/jump/jumper').mkdir(parents=True)
    joints = np.random.default_rng(0).uniform(5, 40, (2, 15, 8))
    savemat(data / 'jhmdb/joint_positions/jump/jumper/joint_positions.mat', dict(pos_img=joints))


def make_tracking_data(data: Path) -> None:
    """One drawn sequence in the layouts of the tracking data sets; lists of GOT-10k and LaSOT."""
    make_sequences(data / 'sequences/train', 'ab')
    make_sequences(data / 'sequences/test', 'c')
    (data / 'sequences/train/names.txt').write_text('a\nb\n')
    sequence = data / 'sequence'
    sequence.mkdir()
    for number in range(1, 25):  # training takes no video of less than 20 frames
        Image.fromarray(make_frames(1, seed=number)[0]).save(sequence / f'{number:08d}.jpg')

    def put(frames: str, boxes: str, length: int = 3) -> None:
        (data / frames).mkdir(parents=True, exist_ok=True)
        for path in sorted(sequence.iterdir())[:length]:
            (data / frames / path.name).hardlink_to(path)
        write(boxes, '20,16,16,16\n' * length)

    def write(path: str, text: str) -> None:
        (data / path).parent.mkdir(parents=True, exist_ok=True)
        (data / path).write_text(text)

    header = '(video_path,annotation_path,start_frame_id,end_frame_id)\n'
    for split, length in (('Train', 24), ('Val', 3), ('Test', 3)):
        name, folder = f'GOT-10k_{split}_000001', f'GOT10k/{split.lower()}'
        put(f'{folder}/{name}', f'{folder}/{name}/groundtruth.txt', length)
        write(f'{folder}/{name}/absence.label', '0\n' * length)
        write(f'{folder}/{name}/cover.label', '8\n' * length)
        write(f'{folder}/list.txt', f'{name}\n{name}\n')
        line = f'{split.lower()}/{name},{split.lower()}/{name}/groundtruth.txt,1,{length}'
        write(f'GOT10k/annotations/got10k_{split.lower()}_infos.txt', header + line)
    for split in ('train', 'val'):
        write(f'GOT10k/train/got10k_vot_{split}_split.txt', '0\n0\n')
    for video in ('airplane-1', 'airplane-2'):
        folder = f'LaSOT_full/LaSOTBenchmark/airplane/{video}'
        put(f'{folder}/img', f'{folder}/groundtruth.txt')
        for kind in ('full_occlusion', 'out_of_view'):
            write(f'{folder}/{kind}.txt', '0,0,0\n')
    write('LaSOT_full/testing_set.txt', 'airplane-1\n')
    video = 'airplane/airplane-1'
    write('LaSOT_full/annotations/lasot_test_infos.txt', f'{header}{video}/img,{video}/groundtruth.txt,1,3')
    for chunk in ('TEST', *(f'TRAIN_{number}' for number in range(12))):
        put(f'TrackingNet/{chunk}/frames/a', f'TrackingNet/{chunk}/anno/a.txt')
    put('VOT2018/data/ants1/color', 'VOT2018/data/ants1/groundtruth.txt')
    put('OTB100/data/Basketball/img', 'OTB100/data/Basketball/groundtruth_rect.txt')
    put('UAV123/data_seq/UAV123/bike1', 'UAV123/anno/UAV123/bike1.txt')
    write('UAV123/configSeqs.m', "seqUAV123={struct('name','bike1','path','bike1\\','startFrame',1,'endFrame',3)};")


def make_checkpoints(root: Path) -> None:
    """Random weights of the recipes, and files as other code writes them."""
    enable()
    (root / 'checkpoints').mkdir()
    states = {}
    for name, recipe in RECIPES.items():
        cfg = Config.fromfile(ROOT / f'configs/{recipe}.py')
        cfg.model.backbone.pop('init_cfg', None)
        cfg.model.backbone.get('encoder', {}).pop('init_cfg', None)
        torch.manual_seed(0)
        states[name] = get_model(cfg, device='cpu').state_dict()
        torch.save(dict(state_dict=states[name]), root / f'checkpoints/{name}.pth')
    for link, name in (
        ('work_dirs/my_siammae/epoch_400.pth', 'siammae'),
        ('work_dirs/my_dropmae/epoch_400.pth', 'dropmae'),
        ('published/siammae_encoder-01234567.pth', 'siammae'),
        ('epoch_400.pth', 'siammae'),
        ('CHECKPOINT.pth', 'droptrack'),
    ):
        (root / link).parent.mkdir(parents=True, exist_ok=True)
        (root / link).symlink_to(root / f'checkpoints/{name}.pth')
    torch.save(dict(model=mmvidmae_to_rsp(states['rsp'])), root / 'rsp_vits16.pth')
    torch.save(dict(model=mmvidmae_to_dropmae(states['dropmae'])), root / 'DropMAE_k400_1600E.pth')
    torch.save(dict(net=mmvidmae_to_droptrack(states['droptrack'])), root / 'DropTrack_k700_800E_alldata.pth.tar')
