"""Export a network as ONNX: a file that runs without this package."""

import argparse

from mmssl.utils.cli import Parser, run

EXAMPLES = """examples:
  python tools/deployment/export.py x.mmssl OUT.onnx
  python tools/deployment/export.py configs/synfoc/prostate.py CKPT OUT.onnx --student unet
  python tools/deployment/export.py configs/synfoc/prostate.py CKPT OUT.onnx --teacher --int8
  python tools/deployment/export.py configs/unimatch/acdc.py CKPT OUT.pt2

The file is run and compared with the network on the spot; one that differs is removed (exit
code 1)."""


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    from mmssl.utils.config.options import add_cfg_options

    parser = Parser(
        description=__doc__, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'model',
        nargs='+',
        metavar='MODEL',
        help='a bundle of `mmssl publish`, or a config and a checkpoint ("none": first weights)',
    )
    parser.add_argument('out', metavar='OUT', help='OUT.onnx, or OUT.pt2 for torch.export')
    parser.add_argument(
        '--student', help="network whose prediction it is (default: the model's own prediction)"
    )
    parser.add_argument('--teacher', action='store_true', help="the student's teacher instead")
    parser.add_argument('--opset', type=int, help="of ONNX (default: the exporter's)")
    parser.add_argument(
        '--dynamic',
        choices=('batch', 'size', 'none'),
        default='batch',
        help='what may change from run to run: the number of images, their size as well, or '
        'nothing (default: batch)',
    )
    parser.add_argument('--size', type=int, help='side of the images, where no config states it')
    parser.add_argument(
        '--int8', action='store_true', help='also OUT.int8.onnx, and the Dice that it costs'
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=1e-4,
        help='by how much logits may differ from those of the network (default: 1e-4)',
    )
    add_cfg_options(parser)
    args = parser.parse_args()
    if len(args.model) != 1 + (not args.model[0].endswith('.mmssl')):
        parser.error('MODEL is a bundle (x.mmssl), or a config and a checkpoint')
    return args


def main() -> None:
    """Export as the command line says."""
    args = parse_args()
    from mmssl.apis import init_model
    from mmssl.export import export_model

    config, checkpoint = (*args.model, None)[:2]
    options = {'test_cfg.fp16': False, **(args.cfg_options or {})}  # a file computes in float32
    model = init_model(config, None if checkpoint == 'none' else checkpoint, cfg_options=options)
    export_model(
        model,
        args.out,
        student=args.student,
        teacher=args.teacher,
        opset=args.opset,
        dynamic=args.dynamic,
        size=args.size,
        int8=args.int8,
        tolerance=args.tolerance,
    )


if __name__ == '__main__':
    run(main)
