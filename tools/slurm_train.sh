#!/usr/bin/env bash
# Train on a Slurm cluster, one task a GPU:
#   [GPUS=8] [GPUS_PER_NODE=8] [CPUS_PER_TASK=5] [GRACE=120] [SRUN_ARGS=...] tools/slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]
# Training saves and stops GRACE seconds before the time limit, and when Slurm preempts the job. In a batch job
# (sbatch --requeue), the job is then queued again, and resumes when it starts.
set -euo pipefail
tools=$(dirname "$0")
source "$tools/launchers.sh"

usage='usage: slurm_train.sh PARTITION JOB_NAME CONFIG WORK_DIR [options of train.py]'
partition=${1:?$usage}
job_name=${2:?$usage}
config=${3:?$usage}
work_dir=${4:?$usage}
resume=()
((${SLURM_RESTART_COUNT:-0} > 0)) && resume=(--resume)
code=0
SRUN_ARGS="--signal=USR1@${GRACE:-120} ${SRUN_ARGS:-}" \
    launch_srun "$partition" "$job_name" "$tools/train.py" "$config" --work-dir "$work_dir" "${resume[@]}" "${@:5}" || code=$?
if ((code == 75)) && [[ -n ${SLURM_JOB_ID:-} ]]; then # see tools/train.py
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
