# JHMDB: 928 clips of 15 to 40 frames, 320x240, 21 actions; split 1 has 660 training and 268 test clips. Small enough to
# try things on a laptop. The test clips are those of the pose propagation benchmark: do not train on them. Layout of
# the official archives:
#
#   data/jhmdb/
#     jhmdb_train_list_videos.txt           <class>/<clip>.avi, one clip a line, relative to ReCompress_Videos
#     jhmdb_test_list_videos.txt
#     ReCompress_Videos/<class>/<clip>.avi
#     splits/<class>_test_split1.txt        <clip>.avi 1 (training) or 2 (test)
#
# The lists, made with bash:
#
#   cd data/jhmdb && for f in splits/*_test_split1.txt; do
#     c=$(basename "$f" _test_split1.txt)
#     awk -v c="$c" '{print c "/" $1 > ($2 == 1 ? "/dev/stdout" : "/dev/stderr")}' "$f"
#   done > jhmdb_train_list_videos.txt 2> jhmdb_test_list_videos.txt
_base_ = './loaders.py'

train_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/jhmdb',
        ann_file='jhmdb_train_list_videos.txt',
        data_prefix=dict(video='ReCompress_Videos'),
    )
)
val_dataloader = dict(
    dataset=dict(
        type='mmvidmae.VideoPairDataset',
        data_root='data/jhmdb',
        ann_file='jhmdb_test_list_videos.txt',
        data_prefix=dict(video='ReCompress_Videos'),
    )
)
test_dataloader = val_dataloader
