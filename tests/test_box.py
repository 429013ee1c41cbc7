"""What a box keeps in and out, beyond the programs of tests/hostile: the barriers one by one, and what it leaves."""

import dataclasses
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest

from r1kit.sandbox import isolation as isolations
from r1kit.sandbox import python_files, seccomp, start, usage
from r1kit.sandbox.judge import judge_program

ROOT = Path(__file__).parent.parent
ISOLATIONS = ("bubblewrap", "landlock")


def stdio(program, expected_output, stdin="", **settings):
    """Judge `program` by what it prints."""
    return judge_program(program, [{"kind": "stdio", "input": stdin, "output": expected_output}], **settings)


@pytest.fixture(params=ISOLATIONS)
def isolation(request):
    """Return an isolation that works on this machine."""
    reason = isolations.self_test(request.param)
    if reason is not None:
        pytest.skip(f"{request.param} does not work here: {reason}")
    return request.param


@pytest.fixture
def change_box_code(monkeypatch):
    """Return a function that takes texts out of a module that runs in the boxes started from here on."""

    def change(module_name, **texts):
        source = Path(start.__file__).with_name(f"{module_name}.py").read_text()
        for old, new in texts.values():
            assert old in source
            source = source.replace(old, new)
        full_name = f"r1kit.sandbox.{module_name}"
        modules = [
            (name, compile(source, name, "exec") if name == full_name else code)
            for name, code in start._compile_modules()
        ]
        monkeypatch.setattr(start, "_compile_modules", lambda: tuple(modules))

    return change


# The pipes between the judge and the box


ENTER_DOMAIN = (
    '            if setup["own_domain"] is not None:\n                enter_domain(setup["own_domain"])\n',
    "",
)
OPEN_PARENT = {"inspection": ("    forbid_inspection()\n", "")}
FORGE = r"""
import os
reply = b"D1,0,0,0;A0,0,4,0;720\n"
print(os.write(os.open(f"/proc/{os.getppid()}/fd/1", os.O_WRONLY), reply) == len(reply))
"""


def test_a_self_test_refuses_a_box_whose_parent_a_program_can_open(change_box_code):
    if isolations.self_test("landlock"):
        pytest.skip("landlock does not work here")
    change_box_code("boot", **OPEN_PARENT)
    reason = isolations.self_test("landlock")
    assert "write a verdict" in reason
    assert "read other tests" in reason


FIND_OPEN_PROCESSES = r"""
import os
for pid in range(max(1, os.getppid() - 2000), os.getpid()):
    try:
        os.close(os.open(f"/proc/{pid}/fd/1", os.O_WRONLY))
    except OSError:
        continue
    print("parent" if pid == os.getppid() else "other")
"""


def open_processes():
    """Return the processes whose output a program in a box can open."""
    box = start.start_box("landlock")
    try:
        box.load_program(FIND_OPEN_PROCESSES)
        return set(box.run_test({"kind": "stdio", "stdin": b""}, 5.0).printed.decode().split())
    finally:
        box.end()


def test_a_domain_closes_all_processes_but_those_of_the_program(change_box_code):
    if isolations.self_test("landlock"):
        pytest.skip("landlock does not work here")
    assert open_processes() == set()
    change_box_code("boot", **OPEN_PARENT)
    assert open_processes() == {"parent"}
    change_box_code("boot", **OPEN_PARENT, domain=ENTER_DOMAIN)
    assert "other" in open_processes()


def test_a_forged_reply_is_refused_even_where_a_program_can_write_it(change_box_code):
    if isolations.self_test("landlock"):
        pytest.skip("landlock does not work here")
    change_box_code("boot", **OPEN_PARENT)
    box = start.start_box("landlock")
    try:
        box.load_program(FORGE)
        with pytest.raises(isolations.BoxDied, match="has not written"):
            box.run_test({"kind": "stdio", "stdin": b""}, 5.0)
        assert not box.is_alive
    finally:
        box.end()


def test_no_process_of_a_test_has_a_nonce_in_its_memory(isolation):
    """A program that walks up its frames finds the page of the nonce, which the kernel has emptied."""
    box = start.start_box(isolation)
    program = """
import sys
frame, nonces = sys._getframe(), []
while frame:
    nonces += [value["nonce"] for value in frame.f_locals.values() if type(value) is dict and "nonce" in value]
    frame = frame.f_back
print(set(map(bytes, nonces)) == {bytes(16)})
"""
    try:
        box.load_program(program)
        reply = box.run_test({"kind": "stdio", "stdin": b""}, 5.0)
    finally:
        box.end()
    assert reply.printed == b"True\n"


# What a box sees


def copy_python(prefix):
    """Make a Python with this prefix: its files are those of this one, by hard links. Return its interpreter."""
    library = Path(os.__file__).parent
    target = prefix / library.relative_to(Path(sys.base_prefix).resolve())
    target.parent.mkdir(parents=True)
    (prefix / "bin").mkdir()
    ignored = shutil.ignore_patterns(
        "site-packages", "test", "__pycache__", "config-*", "idlelib", "ensurepip", "lib2to3"
    )
    shutil.copytree(library, target, ignore=ignored, copy_function=link_file)
    interpreter = prefix / "bin" / Path(python_files.PYTHON).name
    link_file(python_files.PYTHON, interpreter)
    return interpreter, target


def link_file(source, target):
    """Link a file, or copy it where the file system is another one."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


PREFIX_READER = """
import os, sys
files = [sys.prefix + "/.cache/huggingface/token", sys.prefix + "/lib/notes.txt", os.__file__ + "/../notes.txt"]
files += [os.path.dirname(os.__file__) + "/notes.txt", os.path.dirname(os.__file__) + "/site-packages/solutions.py"]
for path in files:
    try:
        print(open(path).read())
    except OSError:
        pass
sys.path.append(os.path.dirname(os.__file__) + "/site-packages")
try:
    import solutions
    print("solutions")
except ImportError:
    pass
import decimal, email.mime.text, json.decoder, sqlite3, ssl, sysconfig, xml.dom.minidom, zoneinfo
print("sees nothing", sys.prefix)
"""


@pytest.mark.parametrize("name", ["python", "link"])
def test_a_python_below_tmp_has_both_boxes_and_its_prefix_is_hidden(name):
    """Anything may lie below a prefix; and /tmp is where a box of bubblewrap has its own directory."""
    with tempfile.TemporaryDirectory(dir="/tmp") as directory:
        prefix = Path(directory).resolve() / "python"
        interpreter, library = copy_python(prefix)
        (prefix.parent / "link").symlink_to("python")
        for path in (prefix / ".cache/huggingface/token", prefix / "lib/notes.txt", library / "notes.txt"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("secret")
        (library / "site-packages").mkdir()
        (library / "site-packages/solutions.py").write_text("answer = 42\n")
        code = f"""
from r1kit.sandbox.isolation import require_isolation, self_test
from r1kit.sandbox.judge import judge_program
for isolation in {ISOLATIONS!r}:
    if self_test(isolation) is None:
        test = {{"kind": "stdio", "input": "", "output": "sees nothing {prefix}"}}
        print(isolation, judge_program({PREFIX_READER!r}, [test], isolation=isolation).ok)
print(require_isolation("auto"))
"""
        environment = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"}
        done = subprocess.run(
            [prefix.parent / name / interpreter.relative_to(prefix), "-c", code],
            capture_output=True,
            text=True,
            env=environment,
            cwd="/",
        )
    assert done.returncode == 0, done.stderr
    *verdicts, chosen = done.stdout.splitlines()
    working = [isolation for isolation in ISOLATIONS if isolations.self_test(isolation) is None]
    assert verdicts == [f"{isolation} True" for isolation in working]
    assert chosen == working[0]
    assert done.stderr == ""


@pytest.mark.parametrize("visible", ["prefix", "packages"])
def test_a_self_test_refuses_a_box_in_which_the_prefix_is_visible(isolation, visible, monkeypatch):
    files = python_files.find_python_files()
    if visible == "prefix":
        seen = dataclasses.replace(files, data=(*files.data, os.path.realpath(sys.base_prefix)))
    else:
        seen = dataclasses.replace(files, hidden=(), paths=(*files.paths, *files.hidden))
    monkeypatch.setattr(start, "find_python_files", lambda *_: seen)
    assert "could read /" in isolations.self_test(isolation)


def test_if_bubblewrap_is_installed_and_does_not_work_a_warning_says_why(monkeypatch, caplog):
    reasons = {"bubblewrap": "No permissions to create a new namespace", "landlock": None}
    monkeypatch.setattr(isolations, "self_test", reasons.get)
    monkeypatch.setattr(isolations.shutil, "which", lambda name: "/usr/bin/bwrap")
    monkeypatch.setattr(isolations.logger, "propagate", True)
    isolations._find_working_isolation.cache_clear()
    try:
        assert isolations.require_isolation("auto") == "landlock"
        assert "No permissions to create a new namespace" in caplog.text
    finally:
        isolations._find_working_isolation.cache_clear()


def test_the_reason_of_a_box_that_does_not_start_is_bubblewraps_own(monkeypatch):
    if isolations.self_test("bubblewrap"):
        pytest.skip("bubblewrap does not work here")
    monkeypatch.setattr(start, "_bubblewrap_command", lambda *_: ["bwrap", "--no-such-option"])
    assert "bwrap: Unknown option --no-such-option" in isolations.self_test("bubblewrap")


# What a box leaves


LIVE = """
import sys, time
from r1kit.sandbox import start
box = start.start_box("landlock")
box.load_program("open('file', 'w').write('x'); open('../file', 'w').write('x')")
box.run_test({"kind": "stdio", "stdin": b""}, 5.0)
print(box._watched_directory, flush=True)
time.sleep(60)
"""


def test_the_directories_of_a_killed_process_are_removed_at_the_next_start_and_no_others(tmp_path):
    if isolations.self_test("landlock"):
        pytest.skip("landlock does not work here")
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    processes = [
        subprocess.Popen([sys.executable, "-c", LIVE], env=environment, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        left, kept = (Path(process.stdout.readline().strip()) for process in processes)
        (left / "closed").mkdir(mode=0o300)
        (left / "closed/file").write_text("x")
        (tmp_path / "r1kit-box-link").symlink_to(ROOT)
        boxes = psutil.Process(processes[0].pid).children(recursive=True)
        assert boxes
        processes[0].kill()
        processes[0].wait()
        assert psutil.wait_procs(boxes, timeout=10)[1] == []  # the kernel has ended them
        assert left.exists()
        start_one = "from r1kit.sandbox import start; start.start_box('landlock').end()"
        subprocess.run([sys.executable, "-c", start_one], env=environment, cwd=ROOT, check=True)
        assert not left.exists()
        assert (kept / "file").exists()
        assert ROOT.exists()
        assert sorted(tmp_path.iterdir()) == sorted([kept, tmp_path / "r1kit-box-link"])
    finally:
        for process in processes:
            process.kill()
            process.wait()
            process.stdout.close()


# What a box takes


def test_a_directory_that_cannot_be_listed_counts_as_too_large(tmp_path, monkeypatch):
    """Root can list any directory; for other users the system's refusal stands for it."""
    (tmp_path / "closed").mkdir()
    real = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(path)
        return real(path)

    assert usage.directory_bytes(str(tmp_path), 10_000) <= 10_000
    monkeypatch.setattr(usage.os, "scandir", scandir)
    assert usage.directory_bytes(str(tmp_path), 10_000) > 10_000


def test_many_long_inputs_do_not_count_as_written(isolation):
    """What the box's own processes pass on is not what the program writes."""
    tests = [{"kind": "stdio", "input": f"{number} " + "x" * (8 << 20), "output": str(number)} for number in range(10)]
    program = "import sys, time\nprint(sys.stdin.read().split()[0], flush=True)\ntime.sleep(0.12)\n"
    assert judge_program(program, tests, 10.0, isolation=isolation).passed == 10


def test_after_the_judge_has_read_a_file_a_program_does_not_change_its_time_of_access(tmp_path):
    """On a file system that keeps times of access, Linux changes them once a day."""
    if os.statvfs(tmp_path).f_flag & os.ST_NOATIME:
        pytest.skip("this file system keeps no times of access")
    (tmp_path / "folder").mkdir()
    file = tmp_path / "folder/module.py"
    file.write_text("x = 1")
    os.utime(file, (0, 0))
    python_files.read_all([str(tmp_path / "missing"), str(tmp_path / "folder")])
    time_of_access = file.stat().st_atime_ns
    assert time_of_access > 0
    file.read_text()
    assert file.stat().st_atime_ns == time_of_access


def test_empty_files_are_counted(isolation):
    """They take no space of a file system in memory, but a kilobyte each of the kernel's."""
    program = "import os\nfor number in range({}):\n    os.close(os.open(str(number), os.O_CREAT))\nprint('done')"
    assert stdio(program.format(4_000), "done", seconds=20.0, isolation=isolation).ok
    assert not stdio(program.format(40_000), "done", seconds=20.0, isolation=isolation).ok


# The filter of system calls, by an interpreter of its own: no machine has both processors


def run_filter(filter_bytes, audit_arch, call_number, *args):
    """Return what a seccomp filter decides about a system call."""
    data = struct.pack("<IIQ6Q", call_number, audit_arch, 0, *args, *[0] * (6 - len(args)))
    position = accumulator = 0
    while True:
        opcode, if_true, if_false, operand = struct.unpack_from("<HBBI", filter_bytes, 8 * position)
        position += 1
        if opcode == 0x20:
            accumulator = struct.unpack_from("<I", data, operand)[0]
        elif opcode == 0x05:
            position += operand
        elif opcode == 0x54:
            accumulator &= operand
        elif opcode == 0x06:
            return operand
        else:
            tests = {0x15: accumulator == operand, 0x25: accumulator > operand, 0x45: accumulator & operand}
            position += if_true if tests[opcode] else if_false


ALLOWED, EPERM, ENOTTY = 0x7FFF0000, 0x00050001, 0x00050019
CALLS = {  # numbers of x86-64 and aarch64, from the headers of Linux
    "vmsplice": (278, 75),
    "tee": (276, 77),
    "splice": (275, 76),
    "sendfile": (40, 71),
    "sendmsg": (46, 211),
    "sendmmsg": (307, 269),
    "io_setup": (206, 0),
    "io_submit": (209, 2),
    "seccomp": (317, 277),
    "landlock_create_ruleset": (444, 444),
    "setsockopt": (54, 208),
    "sync": (162, 81),
    "syncfs": (306, 267),
}


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_of_each_processor_denies_what_pins_memory_and_unknown_commands(machine, column):
    filter_bytes, arch = seccomp.build_seccomp_filter(machine), seccomp.MACHINES[machine].audit_arch
    decisions = {name: run_filter(filter_bytes, arch, numbers[column]) for name, numbers in CALLS.items()}
    assert decisions == dict.fromkeys(CALLS, EPERM)
    clone_call = (56, 220)[column]
    assert run_filter(filter_bytes, arch, clone_call, 0x3D0F00) == ALLOWED  # as the C library makes a thread
    for flags in (0x3D0B00, 0x3D0D00, 0x3D0E00, 0x1200011):  # without CLONE_FILES, _FS, _VM; a process
        assert run_filter(filter_bytes, arch, clone_call, flags) == EPERM
    fcntl_call, ioctl_call, read_call = (72, 25)[column], (16, 29)[column], (0, 63)[column]
    assert run_filter(filter_bytes, arch, read_call) == ALLOWED
    for command in (0, 1, 2, 3, 4, 1030):
        assert run_filter(filter_bytes, arch, fcntl_call, 0, command) == ALLOWED
    for command in (8, 10, 1024, 1031, 1033, 99):  # 1031: F_SETPIPE_SZ
        assert run_filter(filter_bytes, arch, fcntl_call, 0, command) == EPERM
    for command in (0x5401, 0x5413, 0x541B):
        assert run_filter(filter_bytes, arch, ioctl_call, 0, command) == ALLOWED
    for command in (0x8912, 0x40086602, 0x401C5820, 0x5412, 0x1_0000_8912):
        assert run_filter(filter_bytes, arch, ioctl_call, 0, command) == ENOTTY


def test_warnings_of_the_compiler_do_not_fill_a_pipe_that_nobody_reads(isolation):
    box = start.start_box(isolation)
    try:
        box.load_program("print(1)\n" + "0 is 1\n" * 3_000)
        assert box.has_loaded
        assert box.run_test({"kind": "stdio", "stdin": b""}, 5.0).printed == b"1\n"
    finally:
        box.end()
