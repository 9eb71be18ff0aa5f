# Sourced by slurm_train.sh and slurm_test.sh: start GPUS processes of a tool with srun.
source "$(dirname "${BASH_SOURCE[0]}")/launch.sh"

slurm_launch() {
    local tool=$1 gpus=${GPUS:-8} cpus=${CPUS_PER_TASK:-5} per_node=${GPUS_PER_NODE:-} tasks
    local request=() more=()
    shift
    need_number GPUS "$gpus"
    need_number CPUS_PER_TASK "$cpus"
    if [ -z "$per_node" ]; then
        if [ "$gpus" -lt 8 ]; then per_node=$gpus; else per_node=8; fi
    fi
    need_number GPUS_PER_NODE "$per_node" 0
    tasks=$gpus
    if [ "$per_node" -gt 0 ]; then
        request=(--gres="gpu:$per_node")
        tasks=$per_node
    fi
    if [ -n "${NNODES:-}" ]; then
        need_number NNODES "$NNODES"
        request+=(--nodes="$NNODES")
    fi
    if [ -n "${PORT:-}" ]; then need_number PORT "$PORT"; fi
    share_threads
    read -r -d '' -a more <<<"${SRUN_ARGS:-}" || true # words, not patterns of files
    exec srun -p "$PARTITION" --job-name="$JOB_NAME" ${request[@]+"${request[@]}"} \
        --ntasks="$gpus" --ntasks-per-node="$tasks" --cpus-per-task="$cpus" \
        --kill-on-bad-exit=1 ${more[@]+"${more[@]}"} \
        "${PYTHON:-python}" -u "$(dirname "${BASH_SOURCE[0]}")/$tool" "$@"
}
