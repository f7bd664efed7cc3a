#!/usr/bin/env bash
# Train with several processes of one machine, or of NNODES machines:
#   tools/dist_train.sh CONFIG PROCESSES [options of train.py]
# One process a GPU; without GPUs the processes share the CPU cores (gloo).
set -euo pipefail
tools=$(dirname "$0")
source "$tools/launchers.sh"

usage='usage: dist_train.sh CONFIG PROCESSES [options of train.py]'
config=${1:?$usage}
processes=${2:?$usage}
launch_torchrun "$processes" "$tools/train.py" "$config" "${@:3}"
