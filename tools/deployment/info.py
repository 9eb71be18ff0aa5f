"""Show what a bundle says of its model: networks, parts, training data, scores, licence."""

import argparse
import hashlib
import json

from mmssl.utils.cli import Parser, run


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = Parser(description=__doc__)
    parser.add_argument('bundle', metavar='FILE.mmssl', help='what mmssl publish wrote')
    parser.add_argument('--json', action='store_true', help='the card as it is in the file')
    return parser.parse_args()


def main() -> None:
    """Show the card."""
    args = parse_args()
    from mmssl.bundles import describe, read_card

    card = read_card(args.bundle)
    if args.json:
        print(json.dumps(card, indent=1, ensure_ascii=False))
        return
    with open(args.bundle, 'rb') as file:
        print(describe(card, hashlib.file_digest(file, 'sha256').hexdigest()))


if __name__ == '__main__':
    run(main)
