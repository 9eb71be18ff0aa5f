"""Draw the curves of a training: losses, confidences, learning rates, scores."""

from mmssl.utils.cli import Parser, run
from mmssl.visualization import plot_training


def main() -> None:
    """Read the arguments and write the PNG."""
    parser = Parser(description=__doc__)
    parser.add_argument('work_dir', help='work folder of the run')
    parser.add_argument('--out', help='PNG to write (default: WORK_DIR/curves.png)')
    args = parser.parse_args()
    print(f'Wrote {plot_training(args.work_dir, args.out)}')


if __name__ == '__main__':
    run(main)
