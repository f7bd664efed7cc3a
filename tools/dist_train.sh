#!/usr/bin/env bash
# Train with several processes of one machine, or of NNODES machines:
#   tools/dist_train.sh CONFIG PROCESSES [options of train.py]
# One process a GPU; without GPUs the processes share the CPU cores (gloo).
set -euo pipefail

usage='usage: dist_train.sh CONFIG PROCESSES [options of train.py]'
config=${1:?$usage}
processes=${2:?$usage}

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$(dirname "$0")/train.py" "$config" --launcher pytorch "${@:3}"
