"""The command line that all generators share."""

import argparse


def parse(description: str) -> argparse.Namespace:
    """Return the path of the checkout, and whether to compare without writing."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkout', help="folder of the authors' code at the commit named above")
    parser.add_argument(
        '--check',
        action='store_true',
        help='write nothing; fail if a reference is not what the code computes',
    )
    return parser.parse_args()
