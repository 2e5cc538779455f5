"""supervisord with what it lacks here: it ends with the process that started it, and SIGHUP ends it too.

usage: python -m deploy.local.supervise CONFIG     (started by `deploy.local run`, in a session of its own)
"""

from __future__ import annotations

import os
import signal
import sys

from supervisor import supervisord
from supervisor.options import ServerOptions
from supervisor.states import SupervisorStates


class Options(ServerOptions):  # type: ignore[misc]  # the package has no types
    def setsignals(self) -> None:
        """A closing terminal is no wish to reload everything."""
        super().setsignals()
        signal.signal(signal.SIGHUP, lambda _, frame: self.signal_receiver.receive(signal.SIGTERM, frame))


class Supervisor(supervisord.Supervisor):  # type: ignore[misc]
    parent_pid = 0

    def tick(self, now: float | None = None) -> None:
        """Called once per round of the main loop, at least once a second."""
        if os.getppid() != self.parent_pid and self.options.mood > SupervisorStates.SHUTDOWN:
            self.options.logger.warn("the process that started us is gone: ending")
            self.options.mood = SupervisorStates.SHUTDOWN
        super().tick(now)


def main() -> None:
    Supervisor.parent_pid = int(os.environ["MP_RUNNER_PID"])
    os.environ["MARKETPRISM_PARENT_PID"] = str(os.getpid())  # what our services watch
    options = Options()
    options.realize(["-c", sys.argv[1]], doc=supervisord.__doc__)
    options.first = True
    options.test = False
    try:
        Supervisor(options).main()
    except supervisord.asyncore.ExitNow:
        pass
    finally:
        options.close_httpservers()
        options.close_logger()


if __name__ == "__main__":
    main()
