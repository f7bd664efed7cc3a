#!/usr/bin/env bash
# Test with several processes of one machine, or of NNODES machines:
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]
# One process a GPU; without GPUs the processes share the CPU cores (gloo).
set -euo pipefail

usage='usage: dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]'
config=${1:?$usage}
checkpoint=${2:?$usage}
processes=${3:?$usage}

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$processes" \
    "$(dirname "$0")/test.py" "$config" "$checkpoint" --launcher pytorch "${@:4}"
