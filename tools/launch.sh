# Sourced by dist_train.sh and dist_test.sh: start GPUS processes of a tool with torchrun.
launch() {
    local tool=$1
    shift
    local nodes=${NNODES:-1}
    export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
    exec "${PYTHON:-python}" -m torch.distributed.run \
        --nnodes="$nodes" --node_rank="${NODE_RANK:-0}" --nproc_per_node="$GPUS" \
        --master_addr="${MASTER_ADDR:-127.0.0.1}" --master_port="${PORT:-29500}" \
        "$(dirname "${BASH_SOURCE[0]}")/$tool" "$@"
}
