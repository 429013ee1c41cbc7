"""What is posted to a webhook, against a server on the loopback; a webhook that fails changes nothing of the run."""

import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from helpers import r1kit, read_info, write_recipe
from servers import free_port

from r1kit import run_stage
from r1kit.errors import EXIT_AGAIN, EXIT_DONE, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USER, UserError
from r1kit.messages import logger
from r1kit.recipe import load_recipe
from r1kit.runs import webhook as webhook_module
from r1kit.runs.run import Run
from r1kit.runs.webhook import Webhook, post_alerts, post_end
from r1kit.safe_text import MASK, mask_secrets, mask_text

DATA = {"data": {"train": [{"path": "world:arithmetic", "rows": 4}]}}


class Receiver:
    """Keeps the messages that are posted to it, and answers with `status`, after `seconds`."""

    def __init__(self):
        self.bodies = []
        self.status = 200
        self.seconds = 0.0
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                time.sleep(receiver.seconds)
                receiver.bodies.append(body)
                self.send_response(receiver.status)
                self.send_header("Location", self.path)
                self.end_headers()

            def log_message(self, *args):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_address[1]}/services/T0/B0/s3cretpath"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def texts(self):
        return [body["text"] for body in self.bodies]


@pytest.fixture
def receiver(monkeypatch):
    monkeypatch.setattr(webhook_module, "SECONDS_BETWEEN_ATTEMPTS", 0.01)
    receiver = Receiver()
    yield receiver
    receiver.server.shutdown()
    receiver.server.server_close()


def test_a_message_is_one_that_slack_and_discord_take(receiver, tmp_path):
    webhook = Webhook(receiver.address, "rl", tmp_path)
    webhook.post("a" * 5000 + "@everyone")
    webhook.wait()
    [body] = receiver.bodies
    assert body["text"] == body["content"]
    assert body["text"].startswith(f"r1kit rl {tmp_path} (")
    assert len(body["content"]) <= 2000
    assert body["allowed_mentions"] == {"parse": []}


def test_alerts_are_posted_in_their_order_and_other_warnings_are_not(receiver, tmp_path):
    webhook = Webhook(receiver.address, "rl", tmp_path)
    with post_alerts(webhook):
        for number in range(3):
            logger.warning(f"rl, step {number}: kl", extra={"warning_name": "kl", "warning_text": "kl"})
        logger.warning("2 broken lines are skipped")
    logger.warning("rl, step 9: kl", extra={"warning_name": "kl", "warning_text": "kl"})
    webhook.wait()
    assert [text.partition("): ")[2] for text in receiver.texts] == [f"warning: rl, step {n}: kl" for n in range(3)]


def test_the_end_of_a_run_is_posted(receiver, tmp_path):
    run = Run(tmp_path)
    run.update(rows=7, samples=9, seconds=75)
    for code in (EXIT_DONE, EXIT_INTERRUPTED, EXIT_FAILED, EXIT_AGAIN):
        post_end(Webhook(receiver.address, "data", tmp_path), run, code, "it broke; token=abc123def")
    assert [text.partition("): ")[2] for text in receiver.texts] == [
        "finished in 75 s: 7 rows of 9 samples",
        "stopped (7 rows of 9 samples); the same command goes on",
        f"failed: it broke; token={MASK}",
    ]


@pytest.mark.parametrize("status", [404, 500, 307])
def test_a_webhook_that_refuses_is_reported_once_without_its_address(receiver, tmp_path, capsys, status):
    receiver.status = status
    webhook = Webhook(receiver.address, "rl", tmp_path)
    for _ in range(3):
        webhook.post("text")
    webhook.wait()
    [line] = capsys.readouterr().err.splitlines()
    assert line == f"warning: the webhook at 127.0.0.1 takes no messages (status {status}); the run goes on without it"
    assert len(receiver.bodies) == 6


def test_a_webhook_that_hangs_or_is_not_there_holds_nobody_up(receiver, tmp_path, capsys, monkeypatch):
    receiver.seconds = 2.0
    webhook = Webhook(receiver.address, "rl", tmp_path)
    started = time.time()
    webhook.post("text")
    assert time.time() - started < 0.2
    webhook.wait(seconds=0.3)
    assert time.time() - started < 1
    absent = Webhook(f"http://127.0.0.1:{free_port()}/secretpath", "rl", tmp_path)
    absent.post("text")
    absent.wait()
    err = capsys.readouterr().err
    assert "takes no messages (Connection refused)" in err
    assert "secretpath" not in err


def test_a_run_posts_its_end_and_keeps_the_address_to_itself(receiver, here):
    r1kit("data", write_recipe(here / "d.yaml", **DATA), "output=run", f"webhook={receiver.address}")
    [text] = receiver.texts
    assert "finished in" in text
    assert text.endswith(": 4 rows")
    for file in (here / "run").rglob("*"):
        assert not file.is_file() or b"s3cretpath" not in file.read_bytes()
    assert f"webhook: '{MASK}'" in (here / "run/recipe.yaml").read_text()


def test_the_address_may_stand_in_the_environment(receiver, here, monkeypatch):
    monkeypatch.setenv("TEAM_WEBHOOK", receiver.address)
    r1kit("data", write_recipe(here / "d.yaml", **DATA), "output=run", "webhook=TEAM_WEBHOOK")
    assert len(receiver.texts) == 1
    assert "webhook: TEAM_WEBHOOK" in (here / "run/recipe.yaml").read_text()


def test_a_run_inside_a_python_process_posts_its_end(receiver, here):
    run_stage("data", DATA, output="run", webhook=receiver.address)
    (here / "bad.jsonl").write_text('{"prompt": "a"\n')
    with pytest.raises(UserError):
        run_stage("data", {"data": {"train": "bad.jsonl"}}, output="bad", webhook=receiver.address)
    finished, failed = receiver.texts
    assert finished.endswith(": 4 rows")
    assert "failed: data.train" in failed


def test_a_run_that_fails_posts_why(receiver, here):
    values = {"data": {"train": ["bad.jsonl"]}}
    (here / "bad.jsonl").write_text('{"prompt": "a"\n')
    r1kit("data", write_recipe(here / "d.yaml", **values), "output=run", f"webhook={receiver.address}", code=EXIT_USER)
    [text] = receiver.texts
    assert "failed: data.train" in text
    assert read_info(here / "run")["status"] == "failed"


def exit_at_once(completions, **columns):
    os._exit(0)


def test_a_process_that_dies_is_posted_by_the_one_above_it(receiver, here):
    row = {"prompt": "1 + 1?", "answer": "2", "completion": "<answer>2</answer>"}
    (here / "rows.jsonl").write_text(json.dumps(row) + "\n")
    values = {"data": {"train": ["rows.jsonl"]}, "rewards": [{"name": "test_webhook.exit_at_once"}]}
    file = write_recipe(here / "d.yaml", **values)
    r1kit("data", file, "output=run", f"webhook={receiver.address}", code=EXIT_FAILED)
    [text] = receiver.texts
    assert "failed: the process ended with exit code 0 before its work was done" in text


@pytest.mark.parametrize("value", ["hooks.example.com", "NO_SUCH_VARIABLE", "ftp://a/b", "https://", "http://["])
def test_what_is_no_address_is_refused(value):
    with pytest.raises(UserError, match=r"^webhook = .*; must be an address, or the name of an environment variable"):
        load_recipe("data", None, {"data.train": ["world:arithmetic"], "output": "run", "webhook": value})


def test_addresses_of_webhooks_are_masked_everywhere():
    assert mask_secrets({"webhook": "https://example.com/hook/1"}) == {"webhook": MASK}
    assert mask_secrets({"webhook": "TEAM_WEBHOOK"}) == {"webhook": "TEAM_WEBHOOK"}
    discord = "https://discord.com/api/webhooks/123456/abcDEF-123_x"
    assert mask_text(f"posted to {discord} twice") == f"posted to https://{MASK} twice"
