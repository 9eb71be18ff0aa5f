"""Commands: one that a user typed, to be typed again, and values that are safe in one."""

import os
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence

from mmssl.utils.packaged import typed_command

HEAD, TAIL = 'MMSSL_COMMAND_HEAD', 'MMSSL_COMMAND_TAIL'  # set by tools/launch.sh, quoted already


def command_to_go_on(
    argv: Sequence[str] | None = None, environment: Mapping[str, str] | None = None
) -> str:
    """Return the command that goes on with a training, quoted for a shell.

    It is the whole one that was typed, with `--resume` for the newest checkpoint. A launcher script
    says what stood before and after the config, which is the first argument then.

    Args:
        argv: name and arguments of the tool; None takes those of this process.
        environment: None takes that of this process.

    Example:
        >>> command_to_go_on(['tools/train.py', 'a.py', '--amp', '--work-dir', 'my dir'], {})
        "python tools/train.py a.py --amp --work-dir 'my dir' --resume"
    """
    typed = typed_command() if argv is None else []
    tool, *words = sys.argv if argv is None else argv
    environment = os.environ if environment is None else environment
    words = list(_without_resume(words))
    if HEAD not in environment or not words:
        return shlex.join([*(typed or ['python', tool]), *words, '--resume'])
    config, *words = words
    place = words.index('--launcher') if '--launcher' in words else len(words)
    words = [*words[:place], *words[place + 2 :], '--resume']
    parts = [environment[HEAD].strip(), shlex.quote(config), environment.get(TAIL, '').strip()]
    return ' '.join([*filter(None, parts), shlex.join(words)])


def _without_resume(words: Sequence[str]) -> Iterator[str]:
    """Leave out `--resume`, also shortened as argparse allows, and its checkpoint."""
    takes_value = False
    for word in words:
        name, equals, _ = word.partition('=')
        if name.startswith('--r') and '--resume'.startswith(name):
            takes_value = not equals
        elif not (takes_value and not word.startswith('-')):
            takes_value = False
            yield word
        else:
            takes_value = False


def text_option(key: str, text: object) -> str:
    r"""Return `KEY=VALUE` for `--cfg-options` with a text that is taken as it is.

    Without quotes a comma makes a list and `07` a number.

    Raises:
        ValueError: the text has both kinds of quotes.

    Example:
        >>> text_option('data_root', 'my dir, "old"')
        'data_root=\'my dir, "old"\''
    """
    for quote in '"\'':
        if quote not in str(text):
            return f'{key}={quote}{text}{quote}'
    raise ValueError(f'{text} has both kinds of quotes, which no option can hold: rename it')
