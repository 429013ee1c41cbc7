"""The line that `r1kit watch` prints on a remote machine, by which a browser elsewhere reaches its page."""

import getpass
import os
import signal
import subprocess

import pytest
from helpers import COMMAND

from r1kit.report.serve import tunnel_command

ME = getpass.getuser()


@pytest.mark.parametrize(
    ("environment", "command"),
    [
        ({}, None),
        ({"SSH_CONNECTION": ""}, None),
        ({"SSH_CONNECTION": "10.0.0.9 50000 10.0.0.1 22"}, f"ssh -N -L 8000:127.0.0.1:8000 {ME}@10.0.0.1"),
        ({"SSH_CONNECTION": "10.0.0.9 50000 10.0.0.1 2222"}, f"ssh -N -L 8000:127.0.0.1:8000 -p 2222 {ME}@10.0.0.1"),
        (
            {"SSH_CONNECTION": "10.0.0.9 50000 10.0.0.1 22", "SLURMD_NODENAME": "gpu7"},
            f"ssh -N -L 8000:127.0.0.1:8000 -J {ME}@10.0.0.1:22 {ME}@gpu7",
        ),
        (
            {"SSH_CONNECTION": "fd00::9 50000 fd00::1 22", "SLURMD_NODENAME": "gpu7"},
            f"ssh -N -L 8000:127.0.0.1:8000 -J '{ME}@[fd00::1]:22' {ME}@gpu7",
        ),
        ({"SLURMD_NODENAME": "gpu7"}, None),
    ],
)
def test_the_command_leads_to_this_machine(environment, command):
    assert tunnel_command(8000, environment) == command


def test_watch_prints_the_address_alone_on_stdout_and_the_command_beside_it(here):
    (here / "run").mkdir()
    (here / "run/run.json").write_text('{"stage": "sft", "status": "finished"}')
    environment = {**os.environ, "SSH_CONNECTION": "10.0.0.9 50000 10.0.0.1 22"}
    watch = subprocess.Popen(
        [*COMMAND, "watch", "run", "--port", "0"],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    address = watch.stdout.readline().strip()
    note = watch.stderr.readline()
    watch.send_signal(signal.SIGINT)
    watch.communicate()
    port = address.partition("127.0.0.1:")[2].partition("/")[0]
    assert note == (
        f"note: this is a remote machine: run `ssh -N -L {port}:127.0.0.1:{port} {ME}@10.0.0.1` on yours, and open the "
        "address there\n"
    )
