# How dist_{train,test}.sh and slurm_{train,test}.sh start one of our tools; sourced by them.

# One process a GPU on this machine, or on NNODES machines; without GPUs the processes share the CPU cores (gloo).
#   launch_torchrun PROCESSES TOOL ARGS...
launch_torchrun() {
    exec "${PYTHON:-python}" -m torch.distributed.run \
        --nnodes="${NNODES:-1}" \
        --node_rank="${NODE_RANK:-0}" \
        --master_addr="${MASTER_ADDR:-127.0.0.1}" \
        --master_port="${PORT:-29500}" \
        --nproc_per_node="$1" \
        "$2" --launcher pytorch "${@:3}"
}

# One task a GPU on a Slurm cluster. The exit code is the largest of the tasks.
#   launch_srun PARTITION JOB_NAME TOOL ARGS...
launch_srun() {
    local gpus=${GPUS:-8}
    local gpus_per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    # SRUN_ARGS is split at spaces on purpose.
    # shellcheck disable=SC2086
    srun -p "$1" \
        --job-name="$2" \
        --gres=gpu:"$gpus_per_node" \
        --ntasks="$gpus" \
        --ntasks-per-node="$gpus_per_node" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" \
        --kill-on-bad-exit=1 \
        ${SRUN_ARGS:-} \
        "${PYTHON:-python}" -u "$3" --launcher slurm "${@:4}"
}
