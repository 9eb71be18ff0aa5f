"""torchrun that passes a scheduler's notice on, keeps `nohup`, and ends with the ranks' status."""

import os
import signal
import sys
from collections.abc import Sequence

from mmssl.utils.processes.children import PARENT, die_with_parent
from mmssl.utils.processes.signals import ASKING, GO_ON

PATIENCE = 60  # seconds that ranks which were asked to end have for their checkpoint


def main(argv: Sequence[str] | None = None) -> int:
    """Run torchrun; the ranks have said what happened, so there is no report and no traceback."""
    from torch.distributed import run
    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    parent = os.environ.get(PARENT, '')
    if parent.isdecimal() and int(parent) != os.getpid():  # started by a job runner, by no shell
        die_with_parent(int(parent))
        os.environ[PARENT] = str(os.getpid())
    args = run.parse_args(list(sys.argv[1:] if argv is None else argv))
    if hasattr(args, 'signals_to_handle'):  # newer than torch 2.6
        heard = [n for n in ASKING if signal.getsignal(n) is not signal.SIG_IGN]
        args.signals_to_handle = ','.join(signal.Signals(n).name for n in heard)
    if getattr(args, 'shutdown_timeout', 0) is None:
        args.shutdown_timeout = PATIENCE
    try:
        run.run(args)
    except SignalException as error:
        return 130 if error.sigval == signal.SIGINT else GO_ON
    except ChildFailedError as error:
        return status([failure.exitcode for failure in error.failures.values()])
    return 0


def status(codes: Sequence[int]) -> int:
    """Return one exit status for those of the ranks; the launcher ends the others by SIGTERM.

    Example:
        >>> status([75, -15]), status([-9])
        (75, 137)
    """
    own = [code for code in codes if code > 0]
    if own:
        return max(set(own), key=own.count)
    first = next((code for code in codes if code != -signal.SIGTERM), codes[0])
    print(f'error: a rank was ended by {signal.Signals(-first).name}', file=sys.stderr)
    return 128 - first


if __name__ == '__main__':
    raise SystemExit(main())
