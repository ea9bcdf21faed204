"""Limits on the time and memory of a learner's call.

Time: a repeating timer interrupts Python code (measured: Python loops and loops of
small torch operations stop within about a second; one large decomposition runs to its
end, so keep the inputs of a check small). Memory: the address space may grow by a fixed
amount, where the platform has such a limit (Linux).
"""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from types import FrameType

from course_utils.grading.trial import Limits, Stop

SECONDS = 5.0  # of one call
SECONDS_TOGETHER = 20.0  # of all calls of one check
GIBIBYTES = 4.0  # that one call may add to the process
TOO_LONG = (
    f"your function took too long (over {SECONDS:g} s a call, or over "
    f"{SECONDS_TOGETHER:g} s for the whole check) and was stopped: look for a loop "
    "that never ends, or a step repeated far too often."
)


class TimeUp(Stop):
    """The call ran longer than its limit."""


class OutOfMemory(Stop):
    """The call asked for more memory than its limit."""


def can_limit_time() -> bool:
    """Whether a call here can be interrupted: it needs Unix and the main thread."""
    in_main = threading.current_thread() is threading.main_thread()
    return hasattr(signal, "setitimer") and in_main


@contextlib.contextmanager
def time_limit(seconds: float = SECONDS) -> Iterator[None]:
    """Raise `TimeUp` in the enclosed code after some seconds, where that can be done.

    Examples
    --------
    >>> with time_limit(5.0):
    ...     2 + 2
    4
    """
    if not seconds > 0:
        raise ValueError(f"seconds is {seconds}; expected more than 0")
    if not can_limit_time():
        yield
        return
    armed, rang = True, False

    def ring(number: int, frame: FrameType | None) -> None:
        nonlocal rang
        if armed:
            rang = True
            raise TimeUp(TOO_LONG)

    before = signal.signal(signal.SIGALRM, ring)
    try:
        # It rings again every quarter second, in case a bare `except:` swallows one.
        signal.setitimer(signal.ITIMER_REAL, seconds, 0.25)
        yield
    finally:
        armed = False
        signal.setitimer(signal.ITIMER_REAL, 0.0)
        signal.signal(signal.SIGALRM, before)
    if rang:  # a bare `except:` in the enclosed code has swallowed it
        raise TimeUp(TOO_LONG)


@contextlib.contextmanager
def memory_limit(gibibytes: float = GIBIBYTES) -> Iterator[None]:
    """Turn a huge allocation in the enclosed code into `OutOfMemory` (Linux).

    Elsewhere only the allocations that the platform itself refuses are recognised.
    """
    if not gibibytes > 0:
        raise ValueError(f"gibibytes is {gibibytes}; expected more than 0")
    with _address_space(gibibytes):
        try:
            yield
        except MemoryError as error:
            raise _too_much(gibibytes) from error
        except RuntimeError as error:
            if "allocate memory" not in str(error):
                raise
            raise _too_much(gibibytes) from error


def _too_much(gibibytes: float) -> OutOfMemory:
    return OutOfMemory(
        f"MemoryError: your function asks for more than {gibibytes:g} GiB of memory. "
        "The inputs here are small: look for a tensor whose size grows by mistake."
    )


@contextlib.contextmanager
def _address_space(gibibytes: float) -> Iterator[None]:
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = _bytes_in_use() + int(gibibytes * 2**30)
    if soft != resource.RLIM_INFINITY and soft <= wanted:
        yield
        return
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_AS, (wanted, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _bytes_in_use() -> int:
    import resource

    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    return pages * resource.getpagesize()


def within(seconds: float = SECONDS, together: float = SECONDS_TOGETHER) -> Limits:
    """Build the limits of one check: for each call, and for all calls together.

    Parameters
    ----------
    seconds
        Longest time of one call.
    together
        Longest time from now on.

    Returns
    -------
    callable
        To be called around each call: ``with limited(): ...``.

    Examples
    --------
    >>> limited = within(seconds=5.0, together=20.0)
    >>> with limited():
    ...     2 + 2
    4
    """
    end = time.monotonic() + together

    @contextlib.contextmanager
    def limited() -> Iterator[None]:
        left = max(end - time.monotonic(), 0.01)
        with memory_limit(), time_limit(min(seconds, left)):
            yield

    return limited
