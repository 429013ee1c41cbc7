"""Run untrusted programs and judge them by tests: `judge_program` (judge.py) is the entry.

    from r1kit.sandbox.judge import judge_program
    tests = [{"kind": "call", "function": "add", "args": [2, 3], "expected": 5}]
    judge_program("def add(a, b): return a + b", tests).ok      True

What is covered:
- files outside of the program's own directory, other processes, the network, the environment, dangerous system calls
- limits on time, memory, threads, open files, bytes written and output
- programs that cheat: expected values are out of their reach, and an exit code alone is never a pass
- what one test or one program could leave behind for the next

What is not covered:
- faults of the kernel, and timing seen through the processor
- programs that slow down others on the same machine
- programs that recognise the arguments of a test's calls and answer by them

The files outside of a box: judge.py (verdicts), outputs.py (comparisons), checkers.py (a row's own checker),
prompt_code.py (what a prompt gives a program), assert_code.py (what test code needs), packages.py (what programs may
import), python_files.py (what Python itself needs), pool.py (boxes that wait for the next program), isolation.py (which
isolation works here), start.py (start a box), box.py (talk to a box), directories.py (where a box may write), usage.py
(what a box takes). Inside of it: boot.py, confinement.py, script.py and finder.py; for calls leetcode.py; for test code
remote.py (its two processes), objects.py (how values go between them), shared.py (containers that both have),
known_values.py (values of the standard library), errors.py (exceptions), stand_ins.py (what stands for an object of the
other process) and pytest_stand_in.py. On both sides: values.py, pipes.py. The filter: seccomp.py.
"""
