"""The command `mmssl`; its sub-commands are the files of `tools`."""

import ast
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path

from mmssl import __version__
from mmssl.utils.cli import while_read
from mmssl.utils.errors import did_you_mean
from mmssl.utils.packaged import COMMANDS, TOOLS, start_as

UNKNOWN = 2  # as for a component or an option that does not exist


def main(argv: Sequence[str] | None = None) -> None:
    """Run the tool that the first word names, with the other words.

    Args:
        argv: the words after `mmssl`; None takes those of this process.

    Raises:
        SystemExit: there is no such command, or the tool ended with this status.
    """
    with while_read():
        _run(*((sys.argv[1:] if argv is None else argv) or ['--help']))


def _run(name: str, *words: str) -> None:
    if name in ('-h', '--help', 'help'):
        print(overview())
    elif name == '--version':
        print(f'mmssl {__version__}')
    elif name not in COMMANDS:
        hint = did_you_mean(name, COMMANDS)
        print(f'error: mmssl has no command "{name}"; {hint}', file=sys.stderr)
        raise SystemExit(UNKNOWN)
    else:
        run_tool(name, words)


def run_tool(name: str, words: Sequence[str]) -> None:
    """Run a tool in this process, a script of the shell in its place."""
    tool = TOOLS / COMMANDS[name]
    if tool.suffix == '.sh':
        os.environ['MMSSL_TYPED'] = f'mmssl {name}'
        os.environ.setdefault('PYTHON', sys.executable)
        os.execvp('bash', ['bash', str(tool), *words])
    start_as(name)
    sys.argv = [str(tool), *words]
    runpy.run_path(str(tool), run_name='__main__')


def overview() -> str:
    """Return the help of the whole: what each command does, in the words of its file."""
    width = max(map(len, COMMANDS))
    lines = [f'  {name:<{width}}  {_first_line(TOOLS / file)}' for name, file in COMMANDS.items()]
    return '\n'.join(
        [
            'usage: mmssl COMMAND [options]       (mmssl COMMAND --help says more)',
            '',
            *lines,
            '',
            'example: mmssl train synfoc/lite_phantom.py',
            f'configs: {TOOLS.parent / "configs"}',
        ]
    )


def _first_line(tool: Path) -> str:
    text = tool.read_text(encoding='utf-8')
    if tool.suffix == '.sh':
        return text.splitlines()[1].removeprefix('# ')
    return (ast.get_docstring(ast.parse(text)) or '').partition('\n')[0]


if __name__ == '__main__':
    main()
