"""Build the seccomp filter that denies dangerous system calls to a boxed program (classic BPF, see seccomp(2)).

What it defends against: new processes, sockets, signals to other processes, their memory, mounts and namespaces,
kernel interfaces with a history of vulnerabilities (bpf, io_uring, userfaultfd, keyctl, ...), changes of identity,
memory that no resource limit counts (pages held in pipes, large buffers of sockets, files that only a thread has open,
...), waiting for all of the machine's disks (sync), and changes to a file's metadata. Of fcntl, ioctl and prctl the few
commands that programs need are allowed. A denied call fails with EPERM, a denied ioctl with ENOTTY, as on a file that
does not know it. A call newer than this list fails with ENOSYS, as it would on an older kernel, so that the kernel's
next feature is not allowed by accident.

What it does NOT defend against: faults in the calls that it allows (files, memory, threads, time), and which files a
program may open: read-only mounts (bubblewrap) or Landlock decide that (confinement.py).

    filter_bytes = build_seccomp_filter()      None on a machine other than x86_64 and aarch64
"""

import platform
import struct
from dataclasses import dataclass

# Values of C constants, from the kernel's headers.
EPERM, ENOTTY, ENOSYS = 1, 25, 38
# Flags of clone(2) that a thread must have: CLONE_VM, _FS, _FILES, _SIGHAND and _THREAD. A thread with a table of
# descriptors of its own could keep files, pipes and sockets open that no limit counts.
CLONE_FLAGS_OF_THREAD = 0x10F00
AF_UNIX, SOCK_STREAM = 1, 1
# Allowed commands of fcntl(2): F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW, F_GETOWN,
# the three locks F_OFD_*, F_GETLEASE, F_DUPFD_CLOEXEC, F_GETPIPE_SZ, F_GET_SEALS. Among the others are leases, signals
# to any process, and F_SETPIPE_SZ, by which pipes hold memory that no limit counts.
ALLOWED_FCNTL_COMMANDS = (0, 1, 2, 3, 4, 5, 6, 7, 9, 36, 37, 38, 1025, 1030, 1032, 1034)
# Allowed commands of ioctl(2): TCGETS (isatty), TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX. Others list the
# machine's network interfaces, or change attributes of files that were opened only for reading.
ALLOWED_IOCTL_COMMANDS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
ALLOWED_PRCTL_OPTIONS = (15, 16)  # PR_SET_NAME, PR_GET_NAME: what naming a thread needs

PID_PLACEHOLDER = 0x52314B54  # confinement.py puts the process's own id here, which is not known before the fork
NEWEST_KNOWN_CALL = 462  # mseal: calls with a greater number did not exist when this list was written
X32_CALLS_START = 0x40000000  # x86-64 kernels take a second numbering of all calls from here on


def _parse_call_table(text: str) -> dict[str, int]:
    """Return {name: number} from a text of names and numbers in turn."""
    words = text.split()
    names, numbers = words[::2], words[1::2]
    return dict(zip(names, map(int, numbers), strict=True))


# Processes, sockets, signals, other processes' memory, mounts and namespaces, kernel interfaces, identities,
# and memory that no limit counts. Numbers of <asm/unistd_64.h> (x86-64) and <asm-generic/unistd.h> (aarch64).
X86_64_DENIED_CALLS = _parse_call_table("""
    fork 57  vfork 58  execve 59  execveat 322  socket 41  connect 42  bind 49  listen 50  accept 43  accept4 288
    tkill 200  rt_sigqueueinfo 129  rt_tgsigqueueinfo 297  pidfd_send_signal 424  pidfd_open 434  pidfd_getfd 438
    ptrace 101  process_vm_readv 310  process_vm_writev 311  process_madvise 440  process_mrelease 448  kcmp 312
    mount 165  umount2 166  pivot_root 155  chroot 161  move_mount 429  open_tree 428  fsopen 430  fsconfig 431
    fsmount 432  fspick 433  mount_setattr 442  unshare 272  setns 308  bpf 321  perf_event_open 298  userfaultfd 323
    io_uring_setup 425  io_uring_enter 426  io_uring_register 427  keyctl 250  add_key 248  request_key 249
    init_module 175  finit_module 313  delete_module 176  kexec_load 246  kexec_file_load 320  reboot 169  swapon 167
    swapoff 168  acct 163  quotactl 179  quotactl_fd 443  settimeofday 164  clock_settime 227  adjtimex 159
    clock_adjtime 305  sethostname 170  setdomainname 171  setuid 105  setgid 106  setreuid 113  setregid 114
    setresuid 117  setresgid 119  setgroups 116  setfsuid 122  setfsgid 123  capset 126  personality 135  iopl 172
    ioperm 173  modify_ldt 154  shmget 29  shmat 30  shmctl 31  semget 64  semop 65  msgget 68  mq_open 240
    memfd_create 319  memfd_secret 447  open_by_handle_at 304  name_to_handle_at 303  setpriority 141
    sched_setaffinity 203  sched_setscheduler 144  sched_setparam 142  sched_setattr 314  ioprio_set 251  syslog 103
    vhangup 153  lookup_dcookie 212  fanotify_init 300  mknod 133  mknodat 259  move_pages 279  inotify_init 253
    inotify_add_watch 254  inotify_init1 294  semctl 66  semtimedop 220  msgsnd 69  msgrcv 70  msgctl 71
    mq_unlink 241  migrate_pages 256  set_mempolicy 238  statmount 457  listmount 458  vmsplice 278  tee 276
    splice 275  sendfile 40  sendmsg 46  sendmmsg 307  io_setup 206  io_submit 209  seccomp 317
    landlock_create_ruleset 444  landlock_add_rule 445  landlock_restrict_self 446  setsockopt 54  sync 162
    syncfs 306
""")
AARCH64_DENIED_CALLS = _parse_call_table("""
    execve 221  execveat 281  socket 198  connect 203  bind 200  listen 201  accept 202  accept4 242  tkill 130
    rt_sigqueueinfo 138  rt_tgsigqueueinfo 240  pidfd_send_signal 424  pidfd_open 434  pidfd_getfd 438  ptrace 117
    process_vm_readv 270  process_vm_writev 271  process_madvise 440  process_mrelease 448  kcmp 272  mount 40
    umount2 39  pivot_root 41  chroot 51  move_mount 429  open_tree 428  fsopen 430  fsconfig 431  fsmount 432
    fspick 433  mount_setattr 442  unshare 97  setns 268  bpf 280  perf_event_open 241  userfaultfd 282
    io_uring_setup 425  io_uring_enter 426  io_uring_register 427  keyctl 219  add_key 217  request_key 218
    init_module 105  finit_module 273  delete_module 106  kexec_load 104  kexec_file_load 294  reboot 142  swapon 224
    swapoff 225  acct 89  quotactl 60  quotactl_fd 443  settimeofday 170  clock_settime 112  adjtimex 171
    clock_adjtime 266  sethostname 161  setdomainname 162  setuid 146  setgid 144  setreuid 145  setregid 143
    setresuid 147  setresgid 149  setgroups 159  setfsuid 151  setfsgid 152  capset 91  personality 92  shmget 194
    shmat 196  shmctl 195  semget 190  semop 193  msgget 186  mq_open 180  memfd_create 279  memfd_secret 447
    open_by_handle_at 265  name_to_handle_at 264  syslog 116  vhangup 58  lookup_dcookie 18  fanotify_init 262
    mknodat 33  move_pages 239  setpriority 140  sched_setaffinity 122  sched_setscheduler 119  sched_setparam 118
    sched_setattr 274  ioprio_set 30  inotify_init1 26  inotify_add_watch 27  semctl 191  semtimedop 192  msgctl 187
    msgrcv 188  msgsnd 189  mq_unlink 181  migrate_pages 238  set_mempolicy 237  statmount 457  listmount 458
    vmsplice 75  tee 77  splice 76  sendfile 71  sendmsg 211  sendmmsg 269  io_setup 0  io_submit 2  seccomp 277
    landlock_create_ruleset 444  landlock_add_rule 445  landlock_restrict_self 446  setsockopt 208  sync 81
    syncfs 267
""")
# Calls that change the owner, mode, times, length or attributes of a file or a device by its path, which neither
# read-only mounts nor Landlock prevent; and fallocate, which takes disk space without writing.
X86_64_METADATA_CALLS = _parse_call_table("""
    truncate 76  fallocate 285  chmod 90  fchmod 91  fchmodat 268  fchmodat2 452  chown 92  fchown 93  lchown 94
    fchownat 260  utime 132  utimes 235  futimesat 261  utimensat 280  setxattr 188  lsetxattr 189  fsetxattr 190
    removexattr 197  lremovexattr 198  fremovexattr 199
""")
AARCH64_METADATA_CALLS = _parse_call_table("""
    truncate 45  fallocate 47  fchmod 52  fchmodat 53  fchmodat2 452  fchown 55  fchownat 54  utimensat 88  setxattr 5
    lsetxattr 6  fsetxattr 7  removexattr 14  lremovexattr 15  fremovexattr 16
""")


@dataclass(frozen=True)
class Machine:
    """What the filter of one processor architecture consists of: {name: number} of the system calls."""

    audit_arch: int  # AUDIT_ARCH_* of <linux/audit.h>
    denied: dict[str, int]
    metadata: dict[str, int]  # denied as well
    conditional: dict[str, int]  # allowed or denied by their arguments


MACHINES = {
    "x86_64": Machine(
        audit_arch=0xC000003E,
        denied=X86_64_DENIED_CALLS,
        metadata=X86_64_METADATA_CALLS,
        conditional=_parse_call_table(
            "clone 56  clone3 435  socketpair 53  prctl 157  kill 62  tgkill 234  prlimit64 302  fcntl 72  ioctl 16"
        ),
    ),
    "aarch64": Machine(
        audit_arch=0xC00000B7,
        denied=AARCH64_DENIED_CALLS,
        metadata=AARCH64_METADATA_CALLS,
        conditional=_parse_call_table(
            "clone 220  clone3 435  socketpair 199  prctl 167  kill 129  tgkill 131  prlimit64 261  fcntl 25  ioctl 29"
        ),
    ),
}

# BPF opcodes on 32-bit words: load from seccomp_data; jump if equal, if greater, always; and; return.
_LOAD, _JUMP_EQUAL, _JUMP_GREATER, _JUMP, _AND, _RETURN = 0x20, 0x15, 0x25, 0x05, 0x54, 0x06
_MAX_JUMP = 255  # instructions
# Offsets in struct seccomp_data; of the 64-bit arguments, their low halves (both machines are little-endian).
_CALL_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT, _SECOND_ARGUMENT = 0, 4, 16, 24
_ALLOW, _KILL_PROCESS, _FAIL_WITH_ERRNO = 0x7FFF0000, 0x80000000, 0x00050000  # SECCOMP_RET_*
_INSTRUCTION_BYTES = 8  # sizeof(struct sock_filter)


def build_seccomp_filter(machine_name: str | None = None) -> bytes | None:
    """Return the filter of a machine (by default this one) as an array of struct sock_filter.

    Returns None for a machine whose system calls are not listed here. The filter contains PID_PLACEHOLDER where the id
    of the process that it confines belongs.
    """
    machine = MACHINES.get(machine_name or platform.machine())
    if machine is None:
        return None
    conditional = machine.conditional
    program = _instruction(_LOAD, _ARCHITECTURE)
    program += _instruction(_JUMP_EQUAL, machine.audit_arch, 1, 0) + _instruction(_RETURN, _KILL_PROCESS)
    program += _instruction(_LOAD, _CALL_NUMBER)
    program += _instruction(_JUMP_GREATER, X32_CALLS_START - 1, 0, 1) + _deny()
    program += _instruction(_JUMP_GREATER, NEWEST_KNOWN_CALL, 0, 1) + _deny(ENOSYS)
    # clone3 has its flags in memory, which a filter cannot read. Without it, libc calls clone.
    program += _instruction(_JUMP_EQUAL, conditional["clone3"], 0, 1) + _deny(ENOSYS)
    has_thread_flags = _instruction(_AND, CLONE_FLAGS_OF_THREAD) + _is_equal(CLONE_FLAGS_OF_THREAD)
    program += _allow_if_first_argument(conditional["clone"], has_thread_flags)
    program += _allow_stream_socketpair(conditional["socketpair"])
    program += _allow_commands(conditional["fcntl"], ALLOWED_FCNTL_COMMANDS)
    program += _allow_commands(conditional["ioctl"], ALLOWED_IOCTL_COMMANDS, ENOTTY)
    program += _allow_if_first_argument(conditional["prctl"], *map(_is_equal, ALLOWED_PRCTL_OPTIONS))
    for name in ("kill", "tgkill"):
        program += _allow_if_first_argument(conditional[name], _is_equal(PID_PLACEHOLDER))
    # The first argument of prlimit64 is a process id, of which 0 means the caller itself.
    program += _allow_if_first_argument(conditional["prlimit64"], _is_equal(0), _is_equal(PID_PLACEHOLDER))
    program += _deny_calls(list((machine.denied | machine.metadata).values()))
    return program + _instruction(_RETURN, _ALLOW)


def _instruction(opcode: int, operand: int, skip_if_true: int = 0, skip_if_false: int = 0) -> bytes:
    """Return one struct sock_filter; a jump skips that many instructions."""
    return struct.pack("=HBBI", opcode, skip_if_true, skip_if_false, operand)


def _is_equal(value: int) -> bytes:
    """Return a test whether the loaded word is `value`; if not, it skips the instruction after it."""
    return _instruction(_JUMP_EQUAL, value, 0, 1)


def _deny(error: int = EPERM) -> bytes:
    return _instruction(_RETURN, _FAIL_WITH_ERRNO | error)


def _deny_calls(call_numbers: list[int]) -> bytes:
    """Return instructions that deny calls. All jump to one denial: the kernel compiles the filter for each test."""
    assert len(call_numbers) < _MAX_JUMP
    program = b""
    for position, call_number in enumerate(call_numbers):
        program += _instruction(_JUMP_EQUAL, call_number, len(call_numbers) - position, 0)
    return program + _instruction(_JUMP, 1) + _deny()


def _for_call(call_number: int, body: bytes) -> bytes:
    """Return instructions that run `body` for one call and skip it for all others."""
    return _instruction(_JUMP_EQUAL, call_number, 0, len(body) // _INSTRUCTION_BYTES) + body


def _allow_if_first_argument(call_number: int, *tests: bytes) -> bytes:
    """Allow a call where one of the tests of its first argument holds, else deny it."""
    body = _instruction(_LOAD, _FIRST_ARGUMENT)
    for test in tests:
        body += test + _instruction(_RETURN, _ALLOW)
    return _for_call(call_number, body + _deny())


def _allow_commands(call_number: int, commands: tuple[int, ...], error: int = EPERM) -> bytes:
    """Return instructions that allow a call whose second argument is one of `commands`, else fail it with `error`."""
    body = _instruction(_LOAD, _SECOND_ARGUMENT)
    for command in commands:
        body += _is_equal(command) + _instruction(_RETURN, _ALLOW)
    return _for_call(call_number, body + _deny(error))


def _allow_stream_socketpair(call_number: int) -> bytes:
    """Allow socketpair for unnamed stream sockets only: a datagram socket could send to any address."""
    body = _instruction(_LOAD, _FIRST_ARGUMENT) + _instruction(_JUMP_EQUAL, AF_UNIX, 1, 0) + _deny()
    body += _instruction(_LOAD, _SECOND_ARGUMENT) + _instruction(_AND, 0xF)  # without SOCK_NONBLOCK and SOCK_CLOEXEC
    body += _instruction(_JUMP_EQUAL, SOCK_STREAM, 1, 0) + _deny() + _instruction(_RETURN, _ALLOW)
    return _for_call(call_number, body)
