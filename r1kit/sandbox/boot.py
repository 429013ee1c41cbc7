"""Serve programs and their tests inside a box: the first code that runs there.

Each program gets a process, forked from the first one, which compiles it; each test gets a fork of that process. A
test's process has resource limits and a seccomp filter under which it can start no process, and holds no file
descriptor but its own pipes. No code of a program runs in the two processes above it. So when a program's last test
has ended, nothing of the program is left but files, and a box in which there are any is not used again (box.py).

What this defends against: a program that keeps something for the next test or the next program, outlives its time
limit, floods its pipes, or reads a test's expected value. In a test of kind `assert` the test code, which contains
the expected values, comes straight from the judge into a process of its own (remote.py): it is never in the memory of
a process in which the program, or a fork of it, has run or will run. What it does NOT defend against: what the kernel
allows a confined process (confinement.py), and files and time, which the judge watches from outside (box.py).

A reply begins with a nonce, which the judge sends for each test and which no process of a test can know: it lies on a
page of memory that the kernel empties in every fork. So even a program that reached the pipe of the replies, which
confinement.py prevents, could not write a verdict of its own there.

The judge sends this file into the box as compiled code, after the modules that it needs (start.py): the box sees no
file of r1kit, so each of them imports nothing of r1kit but those before it. Most of the time of a test goes into page
faults. Therefore the program is compiled once, before the forks, imports that cost much (ctypes, signal) are avoided,
and the box practises after its first program (`_practise`).

Standard input, which becomes descriptor 9, carries frames from the judge (pipes.py): a program; its tests, each
followed by a nonce; an empty frame; the next program. To 1 go replies, each a head like `A0,1,720,0;` and then bytes:

    R            the box has started
    C1 or C0     the program is Python, or its compiler refuses it
    nonce, D1    after a test: the box's directories are unchanged (or not: D0)
    A            of a test: how it ended, exit code, bytes printed, bytes of the answer; then these bytes
"""

import builtins
import contextlib
import gc
import mmap
import os
import posix
import resource
import select
import sys
import time

from r1kit.sandbox.confinement import (
    SIGKILL,
    allow_inspection,
    apply_seccomp_filter,
    end_with_parent,
    enter_domain,
    forbid_inspection,
    make_own_domain,
    restrict_with_landlock,
    seal_file,
)
from r1kit.sandbox.finder import ModuleFinder
from r1kit.sandbox.leetcode import (
    LEETCODE_MARK,
    NODE_NAMES,
    PACKAGE_NAMES,
    add_prelude,
    are_method_calls,
    build_arguments,
    call_methods,
    changes_in_place,
    plain_result,
)
from r1kit.sandbox.pipes import MAX_OUTPUT_BYTES, NONCE_BYTES, make_frame, read_frame, write_all
from r1kit.sandbox.remote import ANSWER_FD, run_test_code, serve_program
from r1kit.sandbox.script import (
    SCRIPT_NAME,
    SOURCE_MARKS,
    STREAM_MARKS,
    TEMPORARY_DIRECTORY,
    accept_modes,
    lead_temporary_paths,
    name_streams,
)
from r1kit.sandbox.values import encode_value

STACK_BYTES = 256 * 2**20  # deep recursion is honest, and common in solutions
ENDED, TIMEOUT, FLOOD = 0, 1, 2  # how a test ended; box.py has their names
_POLL_SECONDS = 0.001  # between two looks at whether a process has ended
_FIRST_FREE_FD = 10  # above all descriptors that a test's process gets
_JUDGE_FD = 9  # of the frames, once the box has started
_HIGHEST_FD = 4096  # descriptors up to here are closed in a test's process
_COUNT_SECONDS = 0.05  # between two looks at how many files there are
_MFD_NOEXEC_SEAL = 8  # of memfd_create(2): a file that is no program
_MADV_WIPEONFORK = 18  # of madvise(2): a forked process finds zeros on the page
_READ_BYTES = 65536  # of one read or write of a pipe, which is what Linux keeps in one
_PRACTICE_RUNS = 9  # Python 3.11 specialises a function after eight calls
_PRACTICE_PROGRAM = ("def f(x):\n    return x + 1\n", (), (), ())
_PRACTICE_CALL = {
    **{"kind": "call", "function": "f", "args": [1], "types": {}, "seconds": 1.0},
    **{"is_plain": True, "is_one_value": False, "expects_none": False, "sends_args": False},
}
EXIT_MISSING_MODULE = 87  # of a program that ends because a module, or a name of LeetCode's, is not in the box
# Names that annotations of a function that a prompt begins may use, without an import in the program itself.
TYPING_NAMES = frozenset(
    (
        *(
            "Any",
            "Callable",
            "DefaultDict",
            "Deque",
            "Dict",
            "FrozenSet",
            "Generator",
            "Generic",
            "Hashable",
            "Iterable",
        ),
        *("Iterator", "List", "Literal", "Mapping", "NamedTuple", "NoReturn", "Optional", "Sequence", "Set", "Tuple"),
        *("Type", "TypeVar", "Union"),
    )
)


def main(setup):
    """Serve programs until the judge closes the pipe.

    `setup`: the judge's {"folder": the directory to write to, "seccomp": filter or None, "landlock": {"read": paths,
    "write": paths} or None, "limits": {resource: value}, "packages": {name of a module: its file}, "max_files": how
    many files the directory may hold, or None where the judge counts them} (start.py).
    """
    forbid_inspection()
    _replace_stdin()
    setup["own_domain"] = None
    if setup["landlock"]:
        restrict_with_landlock(setup["landlock"])
        setup["own_domain"] = make_own_domain(setup["folder"])
    nonce_page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    nonce_page.madvise(_MADV_WIPEONFORK)
    setup["nonce"] = memoryview(nonce_page)[:NONCE_BYTES]
    if setup["seccomp"] is not None:
        accept_modes(os.path.realpath(setup["folder"]))
    os.dup2(os.open("/dev/null", os.O_WRONLY), 2)  # the judge reads stderr only until the box has started
    write_all(1, _reply_head(b"R"))
    sys.set_int_max_str_digits(0)  # numbers may be as long as they take time
    if setup["packages"]:
        sys.meta_path.append(ModuleFinder(setup["packages"]))
    gc.freeze()  # else the garbage collector of each child would copy the memory that they share
    has_practised = False
    while (program_frame := read_frame(_JUDGE_FD)) is not None:
        main_pid = os.getpid()
        pid = os.fork()
        if not pid:
            end_with_parent(main_pid)
            if setup["own_domain"] is not None:
                enter_domain(setup["own_domain"])
            _serve_tests(setup, *program_frame)
            os._exit(0)
        if os.waitpid(pid, 0)[1]:  # Python's compiler has crashed on the program
            os._exit(1)
        if not has_practised:  # not before the first program: many boxes get no other
            _practise(setup)
            has_practised = True
    os._exit(0)


def _replace_stdin():
    """Move the judge's pipe out of the way, and make a `sys.stdin` of a file, which can be read twice.

    A test's process finds its own input behind this stream, without the cost of making another.
    """
    os.dup2(0, _JUDGE_FD)
    os.dup2(_open_input(b""), 0)
    stream = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)  # noqa: SIM115
    sys.__dict__.update(stdin=stream, __stdin__=stream)


def _practise(setup):
    """Serve a program of the box's own several times.

    In the first calls of a function Python specialises its bytecode and fills its caches. Each forked process would do
    that again, and copy the pages of memory where they lie: a quarter of the page faults of a program.
    """
    frames_fd, practice_fd = os.pipe()
    judge_fd, replies_fd = os.dup(_JUDGE_FD), os.dup(1)
    os.dup2(frames_fd, _JUDGE_FD)
    _discard_prints()
    for _ in range(_PRACTICE_RUNS):
        test_frame = make_frame(_PRACTICE_CALL) + bytes(NONCE_BYTES)
        write_all(practice_fd, make_frame(_PRACTICE_PROGRAM) + test_frame + make_frame({}))
        _serve_tests(setup, *read_frame(_JUDGE_FD))
        _call_program(setup, _PRACTICE_CALL)  # what the test's process does
    del sys.modules["program"]
    os.dup2(judge_fd, _JUDGE_FD)
    os.dup2(replies_fd, 1)
    for fd in (frames_fd, practice_fd, judge_fd, replies_fd):
        os.close(fd)
    gc.freeze()


def _serve_tests(setup, program_text, preamble, modules, special_names):
    """Compile a program and serve its tests, until an empty frame or the end of the pipe.

    `preamble`: statements of the prompt, such as its imports, that run before the program. `modules`: packages that
    program or tests import: they are imported here, once for all tests. `special_names`: those of TYPING_NAMES,
    leetcode.py and script.py that the program uses. The judge has looked for them, because all that runs here costs
    page faults.
    """
    address_space = setup["limits"][resource.RLIMIT_AS]
    resource.setrlimit(resource.RLIMIT_AS, (address_space, address_space))  # the compiler can take gigabytes, too
    try:
        program = compile(program_text.removeprefix("\ufeff"), SCRIPT_NAME, "exec", dont_inherit=True)
    except (SyntaxError, ValueError, MemoryError, RecursionError, OverflowError):
        program = None
    for module_name in modules:
        with contextlib.suppress(Exception):  # the program that imports it finds out itself
            __import__(module_name)
    builtins.exit = builtins.quit = sys.exit  # the module `site`, which the box goes without, gives these
    sys.argv = [SCRIPT_NAME]
    if STREAM_MARKS.intersection(special_names):
        name_streams()
    if TEMPORARY_DIRECTORY in special_names and setup["folder"] != TEMPORARY_DIRECTORY:
        lead_temporary_paths(setup["folder"])
    setup["source"] = program_text.encode() if SOURCE_MARKS.intersection(special_names) else None
    setup["program"] = program
    setup["prelude"] = _make_prelude(special_names) if special_names else {}
    setup["preamble"] = [compile(statement, "prompt", "exec", dont_inherit=True) for statement in preamble]
    write_all(1, _reply_head(b"C", program is not None))
    gc.freeze()
    test_count = 0
    while job := read_frame(_JUDGE_FD):
        test_count += 1
        _read_nonce(setup["nonce"])
        reply, is_unchanged = _run_in_own_directory(setup, job, f"{setup['folder']}/{test_count}")
        write_all(1, bytes(setup["nonce"]) + _reply_head(b"D", is_unchanged) + reply)


def _read_nonce(nonce):
    """Read a test's nonce from the judge, straight to its page: no copy of it is in memory that is inherited."""
    received_bytes = 0
    while received_bytes < len(nonce):
        received_bytes += os.readv(_JUDGE_FD, [nonce[received_bytes:]]) or os._exit(1)


def _make_prelude(names):
    """Return the names that a program has without an import: those of typing that it uses, and LeetCode's."""
    prelude = {}
    typing_names = TYPING_NAMES.intersection(names)
    if typing_names:
        import typing

        prelude.update((name, getattr(typing, name)) for name in typing_names)
    if LEETCODE_MARK in names or NODE_NAMES.intersection(names):
        add_prelude(prelude, PACKAGE_NAMES.intersection(names))
    return prelude


def _run_in_own_directory(setup, job, directory):
    """Run a test in a new directory; return the reply, and whether the test left the directories as they were."""
    os.mkdir(directory)
    os.chdir(directory)
    if setup["source"] is not None:
        with open(SCRIPT_NAME, "wb") as file:
            file.write(setup["source"])
    before = os.stat(setup["folder"]), os.stat(directory)
    reply = _run_assert_test(setup, job) if job["kind"] == "assert" else _run_program(setup, job)
    try:  # a program may have done anything to the directories
        after = os.stat(setup["folder"]), os.stat(directory)
        is_unchanged = all(old.st_ctime_ns == new.st_ctime_ns for old, new in zip(before, after, strict=True))
        if setup["source"] is not None:
            os.unlink(SCRIPT_NAME)
        os.chdir("/")
        os.rmdir(directory)
    except OSError:
        is_unchanged = False
    return reply, is_unchanged


def _run_program(setup, job):
    """Run the program once: as a script (kind `stdio`) or for one call (kind `call`)."""
    input_fd = _open_input(job.get("stdin", b""))
    output_pipe, answer_pipe = os.pipe(), os.pipe()
    server_pid = os.getpid()
    pid = os.fork()
    if not pid:
        allow_inspection()
        _confine_test_process(setup, server_pid, input_fd, output_pipe[1], answer_pipe[1])
        _run_and_exit(_run_script if job["kind"] == "stdio" else _answer_call, setup, job)
    for fd in (input_fd, output_pipe[1], answer_pipe[1]):
        os.close(fd)
    watch = _Watch(setup, output_pipe[0], answer_pipe[0], job)
    return watch.run([pid])


def _open_input(data):
    """Return the descriptor of a file with a program's standard input, in memory, which cannot be changed.

    A file and no pipe, because programs ask for its size, map it into memory, or read it twice. In memory, because it
    then takes nothing of what the program may write.
    """
    try:
        fd = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING | _MFD_NOEXEC_SEAL)
    except OSError:  # Linux before 6.3 does not know the last flag
        fd = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    write_all(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    seal_file(fd)
    return fd


def _run_assert_test(setup, job):
    """Run test code in one process (the tester) against the program in another."""
    request_pipe, response_pipe, output_pipe, answer_pipe = os.pipe(), os.pipe(), os.pipe(), os.pipe()
    server_pid = os.getpid()
    program_pid = os.fork()
    if not program_pid:
        nowhere = os.open("/dev/null", os.O_WRONLY)
        allow_inspection()
        _confine_test_process(setup, server_pid, request_pipe[0], nowhere, response_pipe[1])
        _run_and_exit(_answer_tester, setup, job)
    tester_pid = os.fork()
    if not tester_pid:
        test_frame = read_frame(_JUDGE_FD)  # read here only: no other process of the box ever holds the expected values
        os.close(request_pipe[0])
        os.close(response_pipe[1])
        _confine_test_process(setup, server_pid, response_pipe[0], output_pipe[1], answer_pipe[1], request_pipe[1])
        _run_and_exit(run_test_code, test_frame)
    for fd in (*request_pipe, *response_pipe, output_pipe[1], answer_pipe[1]):
        os.close(fd)
    watch = _Watch(setup, output_pipe[0], answer_pipe[0], job)
    return watch.run([tester_pid, program_pid])


class _Watch:
    """The pipes of a test's processes: what is read from them, up to a deadline."""

    def __init__(self, setup, output_fd, answer_fd, job):
        self.directory = setup["folder"]
        self.max_files = setup["max_files"]
        self.output_fd = output_fd
        self.answer_fd = answer_fd
        self.max_bytes = job.get("max_bytes", MAX_OUTPUT_BYTES)
        self.deadline = time.monotonic() + job["seconds"]
        self.chunks = {output_fd: [], answer_fd: []}
        self.byte_counts = {output_fd: 0, answer_fd: 0}
        self.open_fds = {output_fd, answer_fd}
        self.state = ENDED
        self.next_count = time.monotonic() + _COUNT_SECONDS
        self.poll = select.poll()
        self.poll.register(output_fd, select.POLLIN)
        self.poll.register(answer_fd, select.POLLIN)

    def run(self, pids):
        """Read from processes until they end or must be ended; return the reply. The first gives the exit code."""
        while self.open_fds and self.state == ENDED:
            seconds_left = self.deadline - time.monotonic()
            if seconds_left <= 0:
                self.state = TIMEOUT
                break
            for fd, _ in self.poll.poll(1000 * min(seconds_left, _COUNT_SECONDS)):
                self._read(fd)
            self._count_files()
        exit_code = self._end_processes(pids)
        for fd in (self.output_fd, self.answer_fd):
            os.close(fd)
        printed, answer = b"".join(self.chunks[self.output_fd]), b"".join(self.chunks[self.answer_fd])
        return _reply_head(b"A", self.state, exit_code, len(printed), len(answer)) + printed + answer

    def _count_files(self):
        """End a test that makes too many files, which take memory of the kernel even if they are empty."""
        if self.max_files is not None and time.monotonic() > self.next_count:
            file_system = os.statvfs(self.directory)
            if file_system.f_files - file_system.f_ffree > self.max_files:
                self.state = TIMEOUT
            self.next_count = time.monotonic() + _COUNT_SECONDS

    def _read(self, fd):
        data = os.read(fd, _READ_BYTES)
        self.chunks[fd].append(data)
        self.byte_counts[fd] += len(data)
        if not data:
            self.poll.unregister(fd)
            self.open_fds.discard(fd)
        elif self.byte_counts[fd] > self.max_bytes:
            self.state = FLOOD

    def _end_processes(self, pids):
        """Wait for the first process until the deadline, then kill all that run; return its exit code.

        The code is negative for a signal. A closed pipe does not mean that a process has ended.
        """
        exit_code = None
        while self.state == ENDED:
            ended_pid, status = os.waitpid(pids[0], os.WNOHANG)
            if ended_pid:
                exit_code = os.waitstatus_to_exitcode(status)
                break
            if time.monotonic() > self.deadline:
                self.state = TIMEOUT
                break
            self._count_files()
            time.sleep(_POLL_SECONDS)
        for pid in pids if exit_code is None else pids[1:]:
            os.kill(pid, SIGKILL)
            os.waitpid(pid, 0)
        return -SIGKILL if exit_code is None else exit_code


def _confine_test_process(setup, server_pid, input_fd, output_fd, answer_fd, request_fd=None):
    """Give this process its pipes on 0, 1, 3 (and 4), no stderr and no other descriptor; then limits and the filter.

    `server_pid`: the process that has forked this one.
    """
    end_with_parent(server_pid)
    wanted_fds = [input_fd, output_fd, os.open("/dev/null", os.O_WRONLY), answer_fd]
    if request_fd is not None:
        wanted_fds.append(request_fd)
    # First to high numbers, so that none is overwritten before it is moved.
    high_fds = [posix.dup(fd) for fd in wanted_fds]
    while min(high_fds) < _FIRST_FREE_FD:
        high_fds = [posix.dup(fd) if fd < _FIRST_FREE_FD else fd for fd in high_fds]
    for target_fd, fd in enumerate(high_fds):
        os.dup2(fd, target_fd)
    os.closerange(len(wanted_fds), _HIGHEST_FD)
    for name, value in setup["limits"].items():
        resource.setrlimit(name, (value, value))
    hard_limit = resource.getrlimit(resource.RLIMIT_STACK)[1]
    stack_limit = STACK_BYTES if hard_limit == resource.RLIM_INFINITY else min(STACK_BYTES, hard_limit)
    resource.setrlimit(resource.RLIMIT_STACK, (stack_limit, hard_limit))
    if setup["seccomp"] is not None:
        apply_seccomp_filter(setup["seccomp"])


def _run_and_exit(function, *args):
    """Run a test's function, then end the process with the exit code that Python gives a script."""
    exit_code = 1
    try:
        function(*args)
        exit_code = 0
    except SystemExit as error:
        exit_code = _code_of_exit(error)
    except ModuleNotFoundError:
        exit_code = EXIT_MISSING_MODULE
    except NameError as error:
        if error.name in PACKAGE_NAMES:
            exit_code = EXIT_MISSING_MODULE
    except BaseException:
        pass  # the exit code 1 reports it; the message of an untrusted program is not shown
    finally:
        try:
            if threading := sys.modules.get("threading"):
                threading._shutdown()  # wait for the program's threads
            if atexit := sys.modules.get("atexit"):
                atexit._run_exitfuncs()
            sys.stdout.flush()
            sys.__stdout__.flush()
        except BaseException:
            exit_code = exit_code or 1
        os._exit(exit_code & 255)


def _code_of_exit(error):
    """Return the exit code of `sys.exit(...)`: 0 for None, an integer as it is, 1 for anything else."""
    if isinstance(error.code, int):
        return error.code
    return 0 if error.code is None else 1


def _run_module(setup, module_name):
    """Run the program as a module of that name; return its global names."""
    module = type(sys)(module_name)
    sys.modules[module_name] = module
    module.__dict__.update(setup["prelude"], __name__=module_name, __file__=f"{os.getcwd()}/{SCRIPT_NAME}")
    for statement in setup["preamble"]:
        with contextlib.suppress(Exception):  # what the prompt shows may be incomplete
            exec(statement, module.__dict__)
    exec(setup["program"], module.__dict__)
    return module.__dict__


def _run_script(setup, _job):
    """Run the program of a `stdio` test, which prints its answer."""
    os.close(ANSWER_FD)
    _run_module(setup, "__main__")


def _answer_call(setup, job):
    """Run the program of a `call` test, call its function, and send what that returns."""
    _discard_prints()
    write_all(ANSWER_FD, _call_program(setup, job))


def _call_program(setup, job):
    """Run the program, call its function; return the result as bytes."""
    names = _run_module(setup, "program")
    function = _find_function(setup, names, job["function"])
    if isinstance(function, type) and are_method_calls(job["function"], job["args"]):
        return encode_value(call_methods(function, *job["args"]))
    result_type = None
    args = job["args"]
    if not job["is_plain"]:
        args, result_type = build_arguments(function, args, job["types"], names)
    result = function(*args)
    if args and not job["expects_none"] and changes_in_place(function, job["types"], result):
        result = job["args"][0] if args[0] is None else args[0]  # None is an empty list of nodes
    answer = _encode_answer(result, result_type, job)
    if job["sends_args"]:
        answer = b"l2:" + answer + _encode_answer(args, None, job)
    return answer


def _encode_answer(result, node_name, job):
    """Return a result as bytes; linked lists, trees and arrays as plain data first (leetcode.py)."""
    return encode_value(result if job["is_plain"] else plain_result(result, node_name, job["is_one_value"]))


def _find_function(setup, names, function_name):
    """Return a function of the program, or a method of its class Solution, which may be named `Solution().name`."""
    function_name = function_name.rpartition(".")[2]
    if function_name in names and names[function_name] is not setup["prelude"].get(function_name):
        return names[function_name]
    return getattr(names["Solution"](), function_name)


def _answer_tester(setup, _job):
    """Run the program of an `assert` test, and answer the tester's requests."""
    _discard_prints()
    request_pipe = os.dup(0)
    os.dup2(os.open("/dev/null", os.O_RDONLY), 0)  # `input()` must not take the tester's requests
    serve_program(lambda: _run_module(setup, "program"), request_pipe)


def _discard_prints():
    os.dup2(2, 1)  # stderr goes to /dev/null; what a program prints is not its answer


def _reply_head(letter, state=0, exit_code=0, printed_bytes=0, answer_bytes=0):
    return letter + b"%d,%d,%d,%d;" % (state, exit_code, printed_bytes, answer_bytes)
