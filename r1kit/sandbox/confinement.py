"""Take rights from the calling process, for good: a seccomp filter, Landlock rules, all capabilities.

What it defends against: dangerous system calls (`apply_seccomp_filter`, with the filter of seccomp.py), and access to
any file, network or signal beyond a list of paths (`restrict_with_landlock`). Both are inherited by every child process
and cannot be undone. A process for which either fails ends at once, with exit code 120 to 123, and runs no program.
Landlock does not hide the pipes and the memory of a process from others of its domain, which find them in /proc:
therefore the processes of each program enter a domain of their own (`enter_domain`), and those of them that run none
of its code are closed to the one that does (`forbid_inspection`).

What it does NOT defend against: what the process holds already (open files, memory), and faults of the kernel.

Inside a box this file runs before any program (boot.py); outside, it confines a worker that runs other people's code
(r1kit/rewards/gym.py). It calls libc through `_ctypes`, because importing `ctypes` costs a test more than all the rest.
"""

import _ctypes
import os
import sys

PID_PLACEHOLDER = 0x52314B54  # as in seccomp.py, which is not there inside the box
SIGKILL = 9
# Options of prctl(2).
PR_SET_PDEATHSIG, PR_SET_DUMPABLE, PR_SET_SECCOMP, PR_SET_NO_NEW_PRIVS = 1, 4, 22, 38
SECCOMP_MODE_FILTER = 2
F_ADD_SEALS = 1033  # of fcntl(2)
_NO_CHANGES = 0b10111  # no further seals, other length or writes: F_SEAL_SEAL, _SHRINK, _GROW, _FUTURE_WRITE
LANDLOCK_CREATE_RULESET, LANDLOCK_ADD_RULE, LANDLOCK_RESTRICT_SELF = 444, 445, 446  # the same on every machine
LINUX_CAPABILITY_VERSION_3 = 0x20080522
# Rights of Landlock, as bits: execute, write and read a file, read a directory.
_READ_RIGHTS = 0b1101  # execute, read a file, read a directory
_RIGHTS_OF_A_FILE = 0b110  # of those that fit a path which is no directory: write and read
_EXECUTE_RIGHT = 0b1
_MAKE_BLOCK_DEVICE_RIGHT, _MOVE_RIGHT = 1 << 11, 1 << 13  # a move: from one directory to another
_OLDEST_LANDLOCK = 3  # before the third version, a program could truncate any file
_LIBC = _ctypes.dlopen(None, 0)  # type: ignore[arg-type]
# The addresses of the functions, which are the same in every forked process.
_LIBC_FUNCTIONS = {name: _ctypes.dlsym(_LIBC, name) for name in ("prctl", "capset", "fcntl", "syscall")}
# Exit codes of a process that could not be confined.
EXIT_NO_SECCOMP, EXIT_NO_LANDLOCK, EXIT_NO_RULE, EXIT_NOT_RESTRICTED = 120, 121, 122, 123


def end_with_parent(parent_pid=None):
    """Have the kernel kill this process when its parent ends; end it at once if `parent_pid` is its parent no more."""
    _call_libc("prctl", PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0)
    if parent_pid is not None and os.getppid() != parent_pid:
        os._exit(1)


def forbid_inspection():
    """Close this process's memory and descriptors, as they stand in /proc, to all processes without capabilities.

    Processes that it forks are closed as well.
    """
    _call_libc("prctl", PR_SET_DUMPABLE, 0, 0, 0, 0)


def allow_inspection():
    """Undo `forbid_inspection` for this process, so that the judge can count what it writes."""
    _call_libc("prctl", PR_SET_DUMPABLE, 1, 0, 0, 0)


def apply_seccomp_filter(filter_bytes):
    """Put this process under a seccomp filter (see seccomp.py) for good."""
    filter_bytes = filter_bytes.replace(_to_bytes(PID_PLACEHOLDER, 4), _to_bytes(os.getpid(), 4))
    address = id(filter_bytes) + bytes.__basicsize__ - 1  # where CPython keeps the content of a bytes object
    program = _to_bytes(len(filter_bytes) // 8, 8) + _to_bytes(address, 8)  # struct sock_fprog
    _call_libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if _call_libc("prctl", PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0):
        os._exit(EXIT_NO_SECCOMP)


def restrict_with_landlock(paths):
    """Drop all capabilities, and allow this process only `paths` = {"read": [...], "write": [...]}, by Landlock."""
    end_with_parent()
    _call_libc("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    _call_libc("capset", _to_bytes(LINUX_CAPABILITY_VERSION_3, 4) + bytes(4), bytes(24))  # none of any kind
    version = _call_libc("syscall", LANDLOCK_CREATE_RULESET, None, 0, 1)
    if version < _OLDEST_LANDLOCK:
        os._exit(EXIT_NO_LANDLOCK)
    # Every right that this kernel's version of Landlock knows is handled, which means denied unless a rule allows it.
    file_rights = (1 << (13 + (version >= 2) + (version >= 3) + (version >= 5))) - 1
    network_rights = _to_bytes(3, 8) * (version >= 4)
    scopes = _to_bytes(3, 8) * (version >= 6)  # abstract sockets and signals
    ruleset = _create_ruleset(_to_bytes(file_rights, 8) + network_rights + scopes)
    for path in paths["read"]:
        _allow_path(ruleset, path, _READ_RIGHTS)
    for path in paths["write"]:
        _allow_path(ruleset, path, file_rights & ~_EXECUTE_RIGHT)
    enter_domain(ruleset)
    os.close(ruleset)


def make_own_domain(directory):
    """Return a ruleset for `enter_domain` that takes no right from a process which writes to `directory` only.

    Landlock denies every process the memory and the descriptors of processes outside of its domain and the domains
    made in it. One ruleset makes any number of domains.
    """
    ruleset = _create_ruleset(_to_bytes(_MAKE_BLOCK_DEVICE_RIGHT | _MOVE_RIGHT, 8))
    _allow_path(ruleset, directory, _MOVE_RIGHT)  # moving files is denied unless each domain allows it
    return ruleset


def seal_file(fd):
    """Make a file in memory (memfd_create) unchangeable for good, also through the descriptor `fd`."""
    _call_libc("fcntl", fd, F_ADD_SEALS, _NO_CHANGES)


def _create_ruleset(handled):
    """Return a ruleset of Landlock, which denies the `handled` rights (struct landlock_ruleset_attr)."""
    ruleset = _call_libc("syscall", LANDLOCK_CREATE_RULESET, handled, len(handled), 0)
    if ruleset < 0:
        os._exit(EXIT_NO_LANDLOCK)
    return ruleset


def enter_domain(ruleset):
    """Put this process into a new domain, from which it reaches no process above it or beside it."""
    if _call_libc("syscall", LANDLOCK_RESTRICT_SELF, ruleset, 0):
        os._exit(EXIT_NOT_RESTRICTED)


def _allow_path(ruleset, path, rights):
    """Add a Landlock rule: allow `rights` on a file, or on a directory and all below it."""
    fd = os.open(path, os.O_PATH)
    if not os.path.isdir(path):
        rights &= _RIGHTS_OF_A_FILE
    if _call_libc("syscall", LANDLOCK_ADD_RULE, ruleset, 1, _to_bytes(rights, 8) + _to_bytes(fd, 4), 0):
        os._exit(EXIT_NO_RULE)
    os.close(fd)


def _call_libc(function_name, *args):
    """Call a function of libc; a bytes object is passed as a pointer to its content."""
    return _ctypes.call_function(_LIBC_FUNCTIONS[function_name], args)


def _to_bytes(number, size):
    return number.to_bytes(size, sys.byteorder)
