"""Run untrusted programs and judge them by tests: `judge_program` (judge.py) is the entry.

    from r1kit.sandbox.judge import judge_program
    tests = [{"kind": "call", "function": "add", "args": [2, 3], "expected": 5}]
    judge_program("def add(a, b): return a + b", tests).ok      True

Outside of a box: judge.py (verdicts), assert_code.py (what test code needs), pool.py (boxes that wait for the next
program), isolation.py (which isolation works here), start.py (start a box), box.py (talk to a box), usage.py (what a
box takes). Inside of it: boot.py, remote.py, confinement.py. On both sides: values.py, pipes.py. The filter:
seccomp.py.
"""
