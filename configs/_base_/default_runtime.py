# What every run shares: hooks, logs, checkpoints, seeds.
default_scope = 'mmssl'
runner_type = 'SemiRunner'
default_hooks = dict(
    runtime_info=dict(type='RuntimeInfoHook'),
    sync_buffers=dict(type='SyncBuffersHook'),
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    loss_guard=dict(type='LossGuardHook', interval=50),
    checkpoint=dict(type='CheckpointHook', interval=1000, by_epoch=False, max_keep_ckpts=1),
    summary=dict(type='SummaryHook'),
    visualization=dict(type='SegVisualizationHook'),
    progress=dict(type='ProgressHook'),
)
env_cfg = dict(
    cudnn_benchmark=True,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    # nccl with CUDA, else gloo; seconds until a rank that is stopped is noticed, and until a rank
    # gives up waiting for one that is alive but hangs
    dist_cfg=dict(heartbeat=60, timeout=600),
)
vis_backends = [dict(type='LocalVisBackend'), dict(type='OptionalTensorboardVisBackend')]
visualizer = dict(type='Visualizer', vis_backends=vis_backends)
log_processor = dict(by_epoch=False, window_size=50)
log_level = 'INFO'
load_from = None
resume = False
randomness = dict(seed=1337, deterministic=False)
