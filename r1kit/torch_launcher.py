"""Run torchrun or `accelerate launch`, and record in the run directory which rank died, in place of torch's report.

    python -m r1kit.torch_launcher RUN torch.distributed.run --standalone --nproc-per-node 2 -m r1kit.launch RUN

torch's own report is a traceback of the launcher and a table of all ranks, most of which died because one had died.
"""

import runpy
import signal
import sys
from pathlib import Path

from r1kit.errors import EXIT_FAILED
from r1kit.runs.exits import RankExit, record_exit
from r1kit.supervisor import describe_exit_code


def main() -> int:
    """Run the launcher's module as `python -m` does, and return its exit code."""
    run_dir, module = Path(sys.argv[1]), sys.argv[2]
    sys.argv[:] = [module, *sys.argv[3:]]
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError

    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except ChildFailedError as error:
        for rank, failure in error.failures.items():
            is_stopped = failure.exitcode == -signal.SIGTERM  # by the launcher, since another rank had failed
            if failure.exitcode < 0 and not is_stopped:
                ending = describe_exit_code(failure.exitcode)
                record_exit(run_dir, RankExit(rank, EXIT_FAILED, ending, is_death=True))
        return EXIT_FAILED
    return 0


if __name__ == "__main__":
    sys.exit(main())
