"""The system calls that a boxed program may not make, as a seccomp filter (classic BPF, seccomp(2)).

Everything else is allowed: threads, files, time. New system calls that this list cannot know are answered
with ENOSYS, as an older kernel would.
"""

import platform
import struct

EPERM, ENOSYS = 1, 38
CLONE_THREAD, AF_UNIX, SOCK_STREAM = 0x10000, 1, 1
# Commands that send a signal to any process, and leases: of fcntl (F_SETOWN, F_SETSIG, F_SETOWN_EX, F_SETLEASE,
# F_NOTIFY), of ioctl (FIOSETOWN, SIOCSPGRP, TIOCSTI).
FCNTL, IOCTL = (8, 10, 15, 1024, 1026), (0x8901, 0x8902, 0x5412)
PR_NAMES = (15, 16)  # PR_SET_NAME, PR_GET_NAME: what naming a thread needs
SELF = 0x52314B54  # stands for the process's own number until it is known (boot.py)
NEWEST = 462  # mseal: the newest call that is known to be harmless
X32 = 0x40000000  # x86-64 takes a second numbering from here on


def _table(text: str) -> dict[str, int]:
    words = text.split()
    return {name: int(number) for name, number in zip(words[::2], words[1::2], strict=True)}


# Processes, sockets, signals, other processes' memory, mounts and namespaces, kernel interfaces, identities,
# and memory that no limit counts. Numbers of <asm/unistd_64.h> (x86-64) and <asm-generic/unistd.h> (aarch64).
X86_64 = _table("""
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
    mq_unlink 241  migrate_pages 256  set_mempolicy 238  statmount 457  listmount 458
""")
AARCH64 = _table("""
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
""")
# Owners, modes, times, lengths and attributes of files and devices by their path, which no mount and no Landlock
# guards; and space taken without writing.
X86_64_METADATA = _table("""
    truncate 76  fallocate 285  chmod 90  fchmod 91  fchmodat 268  fchmodat2 452  chown 92  fchown 93  lchown 94
    fchownat 260  utime 132  utimes 235  futimesat 261  utimensat 280  setxattr 188  lsetxattr 189  fsetxattr 190
    removexattr 197  lremovexattr 198  fremovexattr 199
""")
AARCH64_METADATA = _table("""
    truncate 45  fallocate 47  fchmod 52  fchmodat 53  fchmodat2 452  fchown 55  fchownat 54  utimensat 88  setxattr 5
    lsetxattr 6  fsetxattr 7  removexattr 14  lremovexattr 15  fremovexattr 16
""")
# For each machine: AUDIT_ARCH, the calls denied, and those that depend on their arguments.
MACHINES = {
    "x86_64": (
        0xC000003E,
        X86_64,
        X86_64_METADATA,
        _table(
            "clone 56  clone3 435  socketpair 53  prctl 157  kill 62  tgkill 234  prlimit64 302  fcntl 72  ioctl 16"
        ),
    ),
    "aarch64": (
        0xC00000B7,
        AARCH64,
        AARCH64_METADATA,
        _table(
            "clone 220  clone3 435  socketpair 199  prctl 167  kill 129  tgkill 131  prlimit64 261  fcntl 25  ioctl 29"
        ),
    ),
}

_LOAD, _EQUAL, _MORE, _SET, _AND, _RETURN = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06  # BPF opcodes, on 32-bit words
_NUMBER, _ARCH, _FIRST, _SECOND = 0, 4, 16, 24  # offsets in struct seccomp_data (low halves of the arguments)
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000


def _op(code: int, value: int, then: int = 0, otherwise: int = 0) -> bytes:
    return struct.pack("=HBBI", code, then, otherwise, value)


def _deny(error: int = EPERM) -> bytes:
    return _op(_RETURN, _ERRNO | error)


def _depends(number: int, *tests: bytes) -> bytes:
    """For call `number`: allow where a test of its first argument holds, else deny."""
    body = _op(_LOAD, _FIRST) + b"".join(test + _op(_RETURN, _ALLOW) for test in tests) + _deny()
    return _op(_EQUAL, number, 0, len(body) // 8) + body


def _commands(number: int, denied: tuple[int, ...]) -> bytes:
    """For call `number`: deny where its second argument is one of `denied`, else allow."""
    body = _op(_LOAD, _SECOND) + b"".join(_op(_EQUAL, value, 0, 1) + _deny() for value in denied)
    body += _op(_RETURN, _ALLOW)
    return _op(_EQUAL, number, 0, len(body) // 8) + body


def _stream_pair(number: int) -> bytes:
    """For socketpair: allow unnamed stream sockets; one of datagrams could be sent anywhere."""
    body = _op(_LOAD, _FIRST) + _op(_EQUAL, AF_UNIX, 1, 0) + _deny()
    body += _op(_LOAD, _SECOND) + _op(_AND, 0xF) + _op(_EQUAL, SOCK_STREAM, 1, 0) + _deny() + _op(_RETURN, _ALLOW)
    return _op(_EQUAL, number, 0, len(body) // 8) + body


def filter_for(machine: str | None = None) -> bytes | None:
    """Return the filter as an array of struct sock_filter for `machine` (this one's), None where it is not known.

    SELF stands in it for the number of the process that it is for.
    """
    known = MACHINES.get(machine or platform.machine())
    if known is None:
        return None
    arch, denied, metadata, special = known
    program = _op(_LOAD, _ARCH) + _op(_EQUAL, arch, 1, 0) + _op(_RETURN, _KILL) + _op(_LOAD, _NUMBER)
    program += _op(_MORE, X32 - 1, 0, 1) + _deny()
    program += _op(_MORE, NEWEST, 0, 1) + _deny(ENOSYS)
    program += _op(_EQUAL, special["clone3"], 0, 1) + _deny(ENOSYS)  # libc then calls clone, whose flags can be read
    program += _depends(special["clone"], _op(_SET, CLONE_THREAD, 0, 1))
    program += _stream_pair(special["socketpair"])
    program += _commands(special["fcntl"], FCNTL) + _commands(special["ioctl"], IOCTL)
    program += _depends(special["prctl"], *(_op(_EQUAL, name, 0, 1) for name in PR_NAMES))
    for name in ("kill", "tgkill"):
        program += _depends(special[name], _op(_EQUAL, SELF, 0, 1))
    program += _depends(special["prlimit64"], _op(_EQUAL, 0, 0, 1), _op(_EQUAL, SELF, 0, 1))
    for number in (denied | metadata).values():
        program += _op(_EQUAL, number, 0, 1) + _deny()
    return program + _op(_RETURN, _ALLOW)
