#!/usr/bin/env bash
# Test with several processes of one machine, or of NNODES machines:
#   tools/dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]
# One process a GPU; without GPUs the processes share the CPU cores (gloo).
set -euo pipefail
tools=$(dirname "$0")
source "$tools/launchers.sh"

usage='usage: dist_test.sh CONFIG CHECKPOINT PROCESSES [options of test.py]'
config=${1:?$usage}
checkpoint=${2:?$usage}
processes=${3:?$usage}
launch_torchrun "$processes" "$tools/test.py" "$config" "$checkpoint" "${@:4}"
