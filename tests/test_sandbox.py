"""The sandbox with the isolation that works on this machine: bubblewrap if it is installed, else Landlock."""

import contextlib
import os
import threading
import time
from pathlib import Path

import psutil
import pytest

from r1kit.sandbox import box, pool
from r1kit.sandbox import isolation as isolations
from r1kit.sandbox.judge import ProgramVerdict, judge_program, judge_programs


def call(program, *pairs, function="f"):
    """Judge `program` by calls: (arguments, expected) pairs."""
    tests = []
    for args, expected in pairs:
        tests.append({"kind": "call", "function": function, "args": list(args), "expected": expected})
    return judge_program(program, tests, count_all=True)


def stdio(program, stdin="", expected_output=""):
    """Judge `program` by what it prints."""
    return judge_program(program, [{"kind": "stdio", "input": stdin, "output": expected_output}])


def asserts(program, code):
    """Judge `program` by test code."""
    return judge_program(program, [{"kind": "assert", "code": code}])


# Honest programs


def test_right_and_wrong_answers_to_calls():
    program = "def f(x, y):\n    return x + y"
    assert call(program, ((1, 2), 3), ((0, 0), 0)) == ProgramVerdict(2, 2)
    assert call(program, ((1, 2), 3), ((1, 1), 3)) == ProgramVerdict(1, 2)
    assert call(program, ((1, 2), 4)) == ProgramVerdict(0, 1)


def test_a_call_can_be_of_a_method_of_class_solution():
    assert call("class Solution:\n    def twice(self, x):\n        return 2 * x", ((4,), 8), function="twice").ok


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("[1, [2.5, None]]", [1, [2.5, None]]),
        ("(1, 2)", [1, 2]),
        ("{'a': True}", {"a": True}),
        ("'س'", "س"),
        ("2", 2.0),
    ],
)
def test_a_call_passes_with_an_equal_value(returned, expected):
    assert call(f"def f(): return {returned}", ((), expected)).ok


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("True", 1),
        ("1", True),
        ("1.0", 1),
        ("'1'", 1),
        ("1", "1"),
        ("None", 0),
        ("0", None),
        ("[]", 0),
        ("[1]", [1, 1]),
        ("[1, True]", [1, 1]),
        ("{'a': 1}", {"a": 2}),
        ("{'a': 1, 'b': 2}", {"a": 1}),
        ("0.5001", 0.5),
        ("float('nan')", 1.0),
        ("type('Yes', (), {'__eq__': lambda s, o: True})()", 1),
        ("type('Yes', (int,), {'__eq__': lambda s, o: True})(2)", 1),
    ],
)
def test_a_call_must_return_the_right_type_and_value(returned, expected):
    assert not call(f"def f(): return {returned}", ((), expected)).ok


def test_a_call_that_fails_does_not_fail_the_others():
    program = "def f(x):\n    if x == 1: raise ValueError\n    if x == 2: return {3}\n    return x"
    assert call(program, ((0,), 0), ((3,), 3), ((1,), 1)) == ProgramVerdict(2, 3)
    assert call(program, ((0,), 0), ((3,), 3), ((2,), 2)) == ProgramVerdict(2, 3)  # a set is no JSON


def test_right_and_wrong_output():
    program = "a, b = map(int, input().split())\nprint(a + b)"
    assert stdio(program, "1 2\n", "3\n").ok
    assert stdio(program, "1 2\n", "3").ok
    assert not stdio(program, "1 2\n", "4").ok
    assert not stdio("print(3); raise SystemExit(1)", "", "3").ok
    assert not stdio("print(3); 1 / 0", "", "3").ok
    assert not stdio("print('1 2')", "", "12").ok


def test_white_space_separates_tokens_and_counts_no_further():
    for printed in ("1  \\n2\\n\\n", "1\\n\\n2", " 1\\t2", "1\\r\\n2\\r\\n", "\\n1 2"):
        assert stdio(f"print('{printed}')", "", "1\n2").ok, printed
    assert not stdio("print('12')", "", "1\n2").ok
    assert not stdio("print('1\\n2\\n2')", "", "1\n2").ok


@pytest.mark.parametrize(
    "program",
    [
        "import sys\nprint(sys.stdin.read().strip())",
        "import sys\nfor line in sys.stdin: print(line.strip())",
        "print(open(0).read().strip())",
        "if __name__ == '__main__':\n    print(input())",
        "from __future__ import annotations\nprint(input())",
        "'''What it does.'''\nprint(input())",
        "import sys\nprint(input())\nsys.exit()",
        "print(input())\nexit()",
        "import threading\nt = threading.Thread(target=lambda: print(input()))\nt.start()\nt.join()",
    ],
)
def test_a_program_may_read_stdin_and_end_in_all_usual_ways(program):
    assert stdio(program, "7\n", "7").ok


def test_right_and_wrong_programs_under_asserts():
    tests = "def check(candidate):\n    assert candidate(2) == 4\ncheck(f)"
    assert asserts("def f(x): return 2 * x", tests).ok
    assert not asserts("def f(x): return 3 * x", tests).ok
    assert not asserts("def g(x): return 2 * x", tests).ok
    assert not asserts("def f(x) return", tests).ok
    assert not asserts("def f(x): return 3 * x", "if __name__ == '__main__':\n    assert f(2) == 4").ok
    assert asserts("from __future__ import annotations\ndef f(x: Any): return 2 * x", tests).ok


def test_kinds_of_tests_can_be_mixed_and_an_unknown_kind_is_refused():
    program = "def f(x): return 2 * x\nprint(6)"
    tests = [
        {"kind": "call", "function": "f", "args": [2], "expected": 4},
        {"kind": "stdio", "input": "", "output": "6"},
        {"kind": "assert", "code": "assert f(1) == 3"},
    ]
    assert judge_program(program, tests, count_all=True) == ProgramVerdict(2, 3)
    with pytest.raises(ValueError, match="use stdio, call, checker, assert"):
        judge_program(program, [{"kind": "pytest", "code": ""}])


def test_a_program_without_tests_does_not_pass():
    assert not judge_program("x = 1", []).ok


@pytest.mark.parametrize(
    "program",
    [
        "print('hello')\ndef f(x):\n    return x",
        "def f(x):\n    print(x)\n    return x",
        "def f(x):\n    print(x, flush=True)\n    return x",
        "def f(x):\n    print('a' * 100_000)\n    return x",
        "import sys\ndef f(x):\n    sys.stdout.write('[[1]]')\n    sys.stderr.write('oh')\n    return x",
        "import logging\ndef f(x):\n    logging.warning('oh')\n    return x",
    ],
)
def test_what_a_program_prints_does_not_change_the_answer_of_a_call(program):
    assert call(program, ((1,), 1), ((2,), 2)).ok


def test_the_standard_library_can_be_imported():
    names = (
        "bisect, collections, dataclasses, decimal, fractions, functools, heapq, itertools, math, random, re, typing"
    )
    assert call(f"import {names}\ndef f(): return math.gcd(4, 6)", ((), 2)).ok


def test_several_programs_at_once_keep_their_order():
    test = [{"kind": "call", "function": "f", "args": [], "expected": 1}]
    jobs = [(f"def f(): return {n}", test) for n in (0, 1, 2, 1, 1)]
    assert [v.passed for v in judge_programs(jobs)] == [0, 1, 0, 1, 1]


def test_many_tests_of_one_program_are_divided_and_end_at_the_first_failure():
    program = "import time\ndef f(x):\n    time.sleep(0.05)\n    return x"
    tests = [{"kind": "call", "function": "f", "args": [n], "expected": n} for n in range(20)]
    assert judge_program(program, tests, count_all=True) == ProgramVerdict(20, 20)
    wrong = [*tests[:2], {**tests[2], "expected": -1}, *tests[3:]]
    assert judge_program(program, wrong, count_all=True) == ProgramVerdict(19, 20)
    assert judge_program(program, wrong).passed < 10
    assert not judge_program(program, wrong).ok


# Programs that do not end, or end too soon


@pytest.mark.parametrize(
    "test",
    [
        {"kind": "stdio", "input": "", "output": ""},
        {"kind": "call", "function": "f", "args": [], "expected": 1},
        {"kind": "assert", "code": "assert f() == 1"},
    ],
)
def test_an_endless_loop_is_ended(test):
    assert judge_program("def f():\n    while True: pass\nf()", [test], seconds=1.0) == ProgramVerdict(
        0, 1, timed_out=True
    )


def test_sleeping_is_ended_too():
    assert judge_program(
        "import time\ntime.sleep(600)", [{"kind": "stdio", "input": "", "output": ""}], seconds=1.0
    ).timed_out


@pytest.mark.parametrize(
    "end",
    ["import os; os._exit(0)", "raise SystemExit(0)", "import sys; sys.exit()", "g = lambda: g(); g()"],
)
def test_a_program_that_ends_early_does_not_pass(end):
    assert not call(f"def f(): return 2\n{end}", ((), 1)).ok
    assert not call(f"def f():\n    {end}", ((), 1)).ok
    assert not asserts(f"def f(): return 2\n{end}", "assert f() == 1").ok
    assert not asserts(f"def f():\n    {end}", "assert f() == 1").ok
    assert not stdio(end, "", "1").ok


def test_a_program_that_takes_too_much_memory_or_output_does_not_pass():
    assert not call("def f(): return len(bytearray(4 * 2**30))", ((), 4 * 2**30)).ok
    assert not stdio("for _ in range(10_000): print('a' * 1000)", "", "a").ok


def test_a_program_with_too_many_threads_does_not_pass():
    """Threads of all processes have numbers from one store: where it is empty, nothing on the machine can start."""
    start = "import _thread, time\n_thread.stack_size(32768)\nfor _ in range({}):\n"
    start += "    _thread.start_new_thread(time.sleep, (20,))\ntime.sleep(0.5)\nprint('ok')"
    assert stdio(start.format(100), "", "ok").ok
    assert not stdio(start.format(5000), "", "ok").ok


def test_the_compiler_has_no_more_memory_than_a_program():
    """Each level of try and finally doubles the code: less than a kilobyte of text would take gigabytes."""
    depth = 19
    lines = [f"{' ' * i}try:\n{' ' * (i + 1)}pass\n{' ' * i}finally:" for i in range(depth)]
    program = "\n".join([*lines, " " * depth + "pass"])
    assert len(program) < 1000
    verdicts = []
    peak_bytes = 0
    thread = threading.Thread(target=lambda: verdicts.append(stdio(program, "", "1")))
    thread.start()
    while thread.is_alive():
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                peak_bytes = max(peak_bytes, child.memory_info().rss)
        time.sleep(0.005)
    assert not verdicts[0].ok
    assert 2**26 < peak_bytes < 1.1 * 2**30


@pytest.mark.parametrize(
    "program", ["print(1)\x00", "print(1)  # \ud800", f"print(1)\n#{'a' * 200_000}", "print(1", "\t\tx", ""]
)
def test_any_text_gets_a_verdict(program):
    for verdict in (stdio(program, "", "2"), asserts(program, "assert False"), call(program, ((), 1))):
        assert verdict == ProgramVerdict(0, 1)


def test_a_long_program_is_judged_as_any_other():
    long = f"def f(): return 1\nprint(1)\n#{'a' * 200_000}"
    assert stdio(long, "", "1").ok
    assert call(long, ((), 1)).ok
    assert asserts(long, "assert f() == 1").ok


# Programs that cheat


@pytest.mark.parametrize(
    "program",
    [
        "print('[[1]]')",
        "print('1'); print('true'); print('passed')",
        "import sys\nprint(sys.stdin.readline())\nprint('[[1]]')",
        "import os\nfor d in range(1, 9):\n    try: os.write(d, b'[[1]]')\n    except OSError: pass\nos._exit(0)",
        "import json\njson.dumps = lambda *a, **k: '[[1]]'",
        "import sys\nsys.modules['json'] = None",
        "import builtins\nbuiltins.len = lambda x: 1",
    ],
)
def test_a_forged_answer_to_a_call_does_not_pass(program):
    assert not call(f"def f(): return 2\n{program}", ((), 3)).ok
    assert not call(f"{program}", ((), 3)).ok


LEAVE = "import os\nos._exit(0)\n"


@pytest.mark.parametrize(
    "program",
    [
        f"print('ok', flush=True)\n{LEAVE}",
        f"print(_r, flush=True)\n{LEAVE}",
        "print(_r)\nraise SystemExit(0)",
        f"for v in list(globals().values()): print(v, flush=True)\n{LEAVE}",
        f"import sys\nprint(sys.stdin.read(), sys.argv, flush=True)\n{LEAVE}",
        f"import os\nprint(os.environ, flush=True)\n{LEAVE}",
        "import os\ndef f():\n    print(_r, flush=True)\n    os._exit(0)",
        "import os\ndef f():\n    for v in list(globals().values()): print(v, flush=True)\n    os._exit(0)",
    ],
)
def test_a_forged_end_of_the_asserts_does_not_pass(program):
    assert not asserts(program, "assert f() == 1").ok


@pytest.mark.parametrize(
    "reading",
    [
        "open('/etc/passwd').read()",
        "__import__('pathlib').Path('/etc/passwd').read_text()",
        "__import__('os').read(__import__('os').open('/etc/passwd', 0), 100).decode()",
        "open(__import__('sys').path[1] + '/..' * 20 + '/etc/passwd').read()",
        "__import__('io').open_code('/etc/passwd').read().decode()",
        "__import__('subprocess').run(['cat', '/etc/passwd'], capture_output=True, text=True).stdout",
        "__import__('linecache').getline('/etc/passwd', 1)",
    ],
)
def test_a_program_cannot_read_files_of_the_system(reading):
    assert Path("/etc/passwd").read_text().startswith("root")
    assert not call(f"def f(): return {reading}[:4]", ((), "root")).ok


@pytest.mark.parametrize(
    "writing",
    [
        "open(PATH, 'w').write('x')",
        "open(PATH, 'a').close()",
        "open(PATH, 'x').close()",
        "__import__('pathlib').Path(PATH).write_text('x')",
        "__import__('os').open(PATH, 0o101)",
        "__import__('os').mkdir(PATH)",
        "__import__('os').symlink('/', PATH)",
        "__import__('os').mkfifo(PATH)",
        "__import__('os').mknod(PATH)",
        "__import__('os').system('touch ' + PATH)",
        "__import__('subprocess').run(['touch', PATH])",
        "__import__('shutil').copy(__import__('os').__file__, PATH)",
        "__import__('sqlite3').connect(PATH).execute('create table t (x)')",
        "__import__('os').rename(KEPT, PATH)",
        "__import__('os').remove(KEPT)",
        "__import__('os').truncate(KEPT, 0)",
        "__import__('os').chmod(KEPT, 0)",
    ],
)
def test_a_program_cannot_write_outside_its_directory(tmp_path, writing):
    (tmp_path / "kept").write_text("kept")
    program = (
        f"PATH, KEPT = {str(tmp_path / 'new')!r}, {str(tmp_path / 'kept')!r}\ndef f():\n    {writing}\n    return 1"
    )
    call(program, ((), 1))
    stdio(program + "\nf()")
    assert [p.name for p in tmp_path.iterdir()] == ["kept"]
    assert (tmp_path / "kept").read_text() == "kept"
    assert (tmp_path / "kept").stat().st_mode & 0o400


@pytest.mark.parametrize(
    "forking",
    [
        "os.fork()",
        "os.forkpty()",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.execv('/bin/true', ['true'])",
        "__import__('subprocess').run('true')",
        "__import__('multiprocessing').Process(target=print).start()",
        "os.kill(os.getppid(), 0)",
        "os.killpg(0, 0)",
    ],
)
def test_a_program_cannot_start_or_signal_a_process(forking):
    assert not call(f"import os\ndef f():\n    {forking}\n    return 1", ((), 1)).ok


def test_a_program_cannot_open_a_socket():
    assert not call("import socket\ndef f():\n    socket.socket()\n    return 1", ((), 1)).ok


def test_a_program_cannot_reach_the_network():
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        program = f"import socket\ndef f():\n    socket.create_connection(('127.0.0.1', {port}), 1)\n    return 1"
        assert not call(program, ((), 1)).ok


def test_a_program_cannot_see_our_environment(monkeypatch):
    monkeypatch.setenv("R1KIT_TEST_TOKEN", "hush")
    assert call("import os\ndef f(): return os.environ.get('R1KIT_TEST_TOKEN')", ((), None)).ok


# Attacks on the filter, the comparison and the box


@pytest.mark.parametrize("isolation", ["bubblewrap", "landlock"])
@pytest.mark.parametrize(
    "attack",
    [
        "import fcntl\nfcntl.fcntl(0, fcntl.F_SETOWN, os.getppid())",
        "import fcntl\nfcntl.fcntl(0, 10, 9)",
        "import fcntl, struct\nfcntl.ioctl(0, 0x8901, struct.pack('i', os.getppid()))",
        "import socket\nsocket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)",
        "os.chmod('/dev/null', 0o666)",
        "os.truncate('/dev/null', 0)",
    ],
)
def test_ways_around_the_filter_are_closed(isolation, attack):
    if isolations.self_test(isolation):
        pytest.skip(f"{isolation} does not work here")
    program = f"import os\n{attack}\nprint('escaped')"
    assert not judge_program(program, [{"kind": "stdio", "input": "", "output": "escaped"}], isolation=isolation).ok


@pytest.mark.parametrize(
    ("returned", "expected"),
    [
        ("10**400", 2.5),
        ("{10**5000: 1}", {"a": 1}),
        ("{frozenset([10**5000]): 1}", {"a": 1}),
        ("{1: 2, '1': 2}", {"1": 2}),
    ],
)
def test_no_answer_breaks_the_comparison(returned, expected):
    assert call(f"def f(): return {returned}", ((), expected)) == ProgramVerdict(0, 1)


@pytest.mark.alone
def test_values_with_colliding_hashes_do_not_slow_the_judge():
    program = """
import os, time
def f():
    data = b"".join(b"i%d:%x" % (len(b"%x" % (k * (2**61 - 1))), k * (2**61 - 1)) for k in range(1, 20000))
    os.write(3, b"e19999:" + data[:200000])
    os._exit(0)
"""
    started = time.monotonic()
    assert not call(program, ((), [1])).ok
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(
    "breaking",
    [
        "os.rmdir(os.getcwd())",
        "os.chmod('/tmp', 0)",
        "os.mkdir('../2')",
        "[(os.mkdir('d'), os.chdir('d')) for _ in range(1500)]",
    ],
)
@pytest.mark.parametrize("isolation", ["bubblewrap", "landlock"])
def test_a_program_that_breaks_its_box_fails_and_is_no_fault(isolation, breaking):
    if isolations.self_test(isolation):
        pytest.skip(f"{isolation} does not work here")
    tests = [{"kind": "call", "function": "f", "args": [], "expected": n} for n in (1, 2)]
    verdict = judge_program(f"import os\ndef f():\n    {breaking}\n    return 1", tests, isolation=isolation)
    assert not verdict.ok
    assert not verdict.fault


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("def f(x): raise StopIteration", "assert all(map(lambda c: f(c[0]) == c[1], [(1, 2)]))"),
        ("def f(x): raise StopIteration", "for a, b in zip(map(f, [1]), [2]): assert a == b"),
        ("def f(x): return 0\nclass M: isclose = lambda s, *a: True\nmath = M()", "assert math.isclose(f(2), 4.0)"),
        ("def f(x): return 0\ndef Counter(x): return 0", "assert Counter(f([1])) == Counter([1, 2])"),
    ],
)
def test_a_program_cannot_replace_what_the_test_code_uses(program, tests):
    assert not asserts(program, tests).ok


def test_if_a_test_names_its_function_the_program_gives_no_other_name():
    program = "def poly(*a): return 0\ndef find_zero(x): return 0"
    tests = (
        "def poly(xs, x): return sum(c * x**i for i, c in enumerate(xs))\nassert poly([1, 2], find_zero([1, 2])) == 0"
    )
    assert not asserts(program, tests).ok
    bare = {"kind": "assert", "code": "assert poly([1, 2], find_zero([1, 2])) == 0", "function": "find_zero"}
    assert not judge_program(program, [bare]).ok


@pytest.mark.parametrize(
    ("program", "tests"),
    [
        ("def f(x): return x + 2", "def check(f):\n    assert f(2) == 4\ncheck(f)"),
        ("def f(x): x.append(2)", "a = [1]\nf(a)\nassert a == [1, 2]"),
        ("def f(x): return -0.0", "assert str(f(1)) == '-0.0'"),
        ("import math\ndef f(x): return x / 3", "assert math.isclose(f(1), 1 / 3)"),
    ],
)
def test_honest_programs_pass_their_asserts(program, tests):
    assert asserts(program, tests).ok


def test_the_prelude_of_leetcode_hides_no_builtins_and_no_methods():
    power = "class Solution:\n    def f(self, x): return pow(x, 3, 1000)"
    assert call(power, ((12,), 728)).ok
    merge = "class Solution:\n    def merge(self, x: List[int]): return x + [1]"
    assert call(merge, (([2],), [2, 1]), function="merge").ok


@pytest.mark.alone
def test_a_program_that_always_hangs_is_given_up():
    tests = [{"kind": "call", "function": "f", "args": [n], "expected": n} for n in range(40)]
    started = time.monotonic()
    verdict = judge_program("def f(x):\n    while True: pass", tests, seconds=0.3, count_all=True)
    assert verdict == ProgramVerdict(0, 40, timed_out=True)
    assert time.monotonic() - started < 12


@pytest.fixture(params=["bubblewrap", "landlock"])
def isolation(request):
    """An isolation that works on this machine."""
    if isolations._find_working_isolation(request.param)[0] is None:
        pytest.skip(f"{request.param} does not work here")
    return request.param


@pytest.fixture
def started_boxes(monkeypatch):
    """Return the boxes that are started from here on; none waits at the beginning."""
    isolations.require_isolation()  # its test of itself starts one
    boxes = []
    start = pool.start_box
    monkeypatch.setattr(pool, "start_box", lambda *kind: boxes.append(start(*kind)) or boxes[-1])
    pool.close_boxes()
    yield boxes
    pool.close_boxes()


ADD = "def f(a, b):\n    return a + b\n"
TAKE = "def f(a, b):\n    return a - b\n"
CALL = {"kind": "call", "function": "f", "args": [3, 2], "expected": 5}


def test_programs_that_run_one_after_another_share_a_box(isolation, started_boxes):
    for number in range(5):
        assert judge_program(f"{ADD}# {number}\n", [CALL], isolation=isolation).ok
        assert not judge_program(f"{TAKE}# {number}\n", [CALL], isolation=isolation).ok
    assert not judge_program("def f(:", [CALL], isolation=isolation).ok  # no Python
    assert judge_program(f"{ADD}# last\n", [CALL], isolation=isolation).ok
    assert len(started_boxes) == 1


LEAVINGS = {
    "a file": "open('left', 'w').write('x')",
    "a file outside of its folder": "open('../left', 'w').write('x')",
    "a folder": "import os; os.mkdir('../more')",
    "a test that takes too long": "while True: pass",
    "too much printed": "print('x' * 10**8)",
    "a compiler that dies": "f(" * 10**5,
}


@pytest.mark.parametrize("leaving", LEAVINGS.values(), ids=LEAVINGS)
def test_a_box_in_which_something_happened_is_not_used_again(isolation, leaving, started_boxes):
    judge_program(leaving, [{"kind": "stdio", "input": "", "output": ""}], seconds=0.5, isolation=isolation)
    used = len(started_boxes)
    assert judge_program(f"{ADD}# after {leaving[:9]!r}\n", [CALL], isolation=isolation).ok
    assert len(started_boxes) == used + 1 or leaving.startswith("f(")  # a compiler that only refuses leaves nothing


def test_a_program_finds_nothing_in_memory_of_the_one_before(isolation, started_boxes):
    """What a program does to its own process, its parent must not show to the next one."""
    first = "import builtins, sys\nbuiltins.left = sys.left = 1\nsum = min = None\nprint('first')\n"
    second = "import builtins, sys\nprint(hasattr(builtins, 'left'), hasattr(sys, 'left'), sum([1, 2]))\n"
    assert judge_program(first, [{"kind": "stdio", "input": "", "output": "first"}], isolation=isolation).ok
    assert judge_program(second, [{"kind": "stdio", "input": "", "output": "False False 3"}], isolation=isolation).ok
    assert len(started_boxes) == 1


def test_a_waiting_box_that_dies_changes_no_verdict(isolation, started_boxes):
    for number in range(3):
        assert judge_program(f"{ADD}# {isolation} {number}\n", [CALL], isolation=isolation).ok
        os.killpg(started_boxes[-1]._process.pid, 9)
    assert len(started_boxes) == 3


def test_a_box_outlives_the_thread_that_requested_it(started_boxes):
    """The kernel ends a box with the thread that started it, which is therefore none that may end."""
    for number in range(3):
        verdicts = []
        thread = threading.Thread(
            target=lambda n=number, v=verdicts: v.append(judge_program(f"{ADD}# in {n}\n", [CALL]))
        )
        thread.start()
        thread.join()
        assert verdicts[0].ok
    assert len(started_boxes) == 1


def test_a_box_is_replaced_after_its_number_of_programs(started_boxes, monkeypatch):
    monkeypatch.setattr(box, "PROGRAMS_PER_BOX", 4)
    for number in range(8):
        assert judge_program(f"{ADD}# of many {number}\n", [CALL]).ok
    assert len(started_boxes) == 2
