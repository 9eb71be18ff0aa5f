# Sourced by slurm_train.sh and slurm_test.sh: start GPUS processes of a tool with srun.
slurm_launch() {
    local tool=$1
    shift
    local gpus=${GPUS:-8}
    local per_node=${GPUS_PER_NODE:-$((gpus < 8 ? gpus : 8))}
    local tasks_per_node=$((per_node > 0 ? per_node : gpus))
    local request=()
    if [ "$per_node" -gt 0 ]; then
        request=(--gres="gpu:$per_node")
    fi
    if [ -n "${NNODES:-}" ]; then
        request+=(--nodes="$NNODES")
    fi
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    # shellcheck disable=SC2086
    exec srun -p "$PARTITION" --job-name="$JOB_NAME" "${request[@]}" \
        --ntasks="$gpus" --ntasks-per-node="$tasks_per_node" \
        --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
        "${PYTHON:-python}" -u "$(dirname "${BASH_SOURCE[0]}")/$tool" "$@"
}
