#!/usr/bin/env bash
# Test on a Slurm cluster, one task a GPU:
#   [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
set -euo pipefail
tools=$(dirname "$0")
source "$tools/launchers.sh"

usage='usage: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]'
partition=${1:?$usage}
job_name=${2:?$usage}
config=${3:?$usage}
checkpoint=${4:?$usage}
launch_srun "$partition" "$job_name" "$tools/test.py" "$config" "$checkpoint" "${@:5}"
