#!/usr/bin/env bash
# Train on a Slurm cluster, one task a GPU:
#   [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [SRUN_ARGS=...] tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]
set -euo pipefail
tools=$(dirname "$0")
source "$tools/launchers.sh"

usage='usage: slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]'
partition=${1:?$usage}
job_name=${2:?$usage}
config=${3:?$usage}
work_dir=${4:?$usage}
launch_srun "$partition" "$job_name" "$tools/train.py" "$config" --work-dir "$work_dir" "${@:5}"
