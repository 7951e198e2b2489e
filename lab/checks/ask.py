"""Asks the questions of a matrix by real requests, and compares the answers."""

import base64
import json
import shlex
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from lab.acme import root
from lab.api import Lab
from lab.checks.matrix import NOTHING, Check, Origin, Question, Result
from lab.errors import LabError
from lab.settings import CLIENT_IPV4, CLIENT_IPV6

AT_A_TIME = 8
"""Requests that one place makes at a time: each makes whoami ask two echo services, within 2 s."""

PATIENCE = 30.0
"""Seconds in which a load balancer must notice a container and get its certificate."""

INCOMPLETE_TRIES = 3
"""How often whoami may not have been answered by one of its echo services."""

# curl(1), EXIT CODES.
_COULD_NOT_CONNECT, _TIMED_OUT = 7, 28


@dataclass(frozen=True)
class Answer:
    """How curl or ping ended, and its output."""

    status: int
    text: str


def run(lab: Lab, checks: Sequence[Check]) -> list[Result]:
    """Run every check, in order.

    A request without an answer is repeated for a while, and twice if whoami itself was not answered
    or was busy; one with a wrong answer is not.
    """
    answers = ask(lab, {check.question for check in checks})
    end = time.monotonic() + PATIENCE
    tries = 0
    while time.monotonic() < end:
        tries += 1
        results = [Result(check, seen(check, answers[check.question])) for check in checks]
        again = {
            result.check.question
            for result in results
            if result.check.expected != NOTHING
            and _unanswered(answers[result.check.question], tries < INCOMPLETE_TRIES)
        }
        if not again:
            break
        time.sleep(0.5)
        answers |= ask(lab, again)
    return [Result(check, seen(check, answers[check.question])) for check in checks]


def ask(lab: Lab, questions: Iterable[Question]) -> dict[Question, Answer]:
    """Ask each question once; hosts and the internet ask at the same time."""
    groups: dict[str, list[Question]] = {}
    strangers: dict[str, list[Question]] = {}
    for question in questions:
        groups_of = strangers if question.origin.stranger else groups
        groups_of.setdefault(question.origin.host, []).append(question)
    with ThreadPoolExecutor(max_workers=len(groups) + 1) as pool:
        of_strangers = pool.submit(_ask_as_strangers, lab, strangers)
        parts = list(pool.map(lambda item: _ask_from(lab, *item), groups.items()))
    parts += of_strangers.result()
    return {question: answer for part in parts for question, answer in part.items()}


def _ask_as_strangers(
    lab: Lab, questions: Mapping[str, Sequence[Question]]
) -> list[dict[Question, Answer]]:
    parts = []
    # One after the other: hosts may share private subnets, and the internet has one routing table.
    for host, asked in questions.items():
        with _routes(lab, host, [question.address for question in asked]):
            parts.append(_ask_from(lab, "", asked))
    return parts


def _unanswered(answer: Answer, again: bool) -> bool:
    missing = answer.status != 0 or answer.text == "404 page not found"
    return missing or (again and _is_incomplete(answer.text))


def _is_incomplete(text: str) -> bool:
    """Whether a whoami was not answered itself, or has too many requests at a time."""
    return (text.startswith("{") and '"errors":' in text) or text.startswith("too many requests")


def seen(check: Check, answer: Answer) -> str:
    """Return what was seen, in the words of a check's expectation."""
    if answer.status != 0:
        if "refused" in answer.text:
            return "connection refused"
        if answer.status in (_COULD_NOT_CONNECT, _TIMED_OUT) or check.question.ping:
            return NOTHING
        return f"curl's status {answer.status}: {answer.text}"
    if check.question.ping:
        return "an answer"
    if not check.field:
        return answer.text
    try:
        found = json.loads(answer.text)
    except ValueError:
        return answer.text
    return str(found.get(check.field)) if isinstance(found, dict) else answer.text


def _ask_from(lab: Lab, host: str, questions: Sequence[Question]) -> dict[Question, Answer]:
    pem = root(lab.settings).read_text() if any(each.tls for each in questions) else ""
    script = shell_script(questions, pem)
    if host:
        said = lab.host(host).run("bash -s", stdin=script, timeout=120).stdout
    else:
        said = lab.internet.run(["bash", "-s"], stdin=script, timeout=120).stdout
    answers = dict(_answers(said, questions))
    if len(answers) != len(questions):
        raise LabError(f"{host or 'the internet'} answers {len(answers)} of {len(questions)}")
    return answers


def _answers(said: str, questions: Sequence[Question]) -> Iterator[tuple[Question, Answer]]:
    for line in said.splitlines():
        number, status, encoded = line.split(" ")
        text = base64.b64decode(encoded).decode(errors="replace").strip()
        yield questions[int(number)], Answer(int(status), text)


def shell_script(questions: Sequence[Question], root_pem: str = "") -> str:
    """Return the bash program that asks `questions`; it prints "number status base64" for each.

    Only certificates that go back to `root_pem` are accepted.
    """
    names = sorted({question.origin.container for question in questions} - {""})
    pids = {name: f"pid{number}" for number, name in enumerate(names)}
    lines = ["set -u", "work=$(mktemp -d)", 'trap \'rm -rf "$work" "$work.pem"\' EXIT']
    if root_pem:
        # curl(1), ENVIRONMENT.
        packed = base64.b64encode(root_pem.encode()).decode()
        lines.append(f'base64 -d <<<{packed} >"$work.pem" && export CURL_CA_BUNDLE="$work.pem"')
    lines += [
        f"{pids[name]}=$(docker inspect -f '{{{{.State.Pid}}}}' {shlex.quote(name)}) || exit 1"
        for name in names
    ]
    lines.append(
        'ask() { number=$1; shift; said=$("$@" 2>&1);'
        ' printf \'%s %s %s\\n\' "$number" $? "$(printf %s "$said" | base64 -w0)"'
        ' >"$work/$number"; }'
    )
    asked = list(enumerate(questions))
    patient = [_command(number, question, pids) for number, question in asked if question.refused]
    quick = [_command(number, question, pids) for number, question in asked if not question.refused]
    # Questions without an expected answer only wait, so they all run at once.
    lines.append(_together(patient) + " &")
    lines += [_together(quick[at : at + AT_A_TIME]) for at in range(0, len(quick), AT_A_TIME)]
    lines += ["wait", 'cat "$work"/*']
    return "\n".join(lines) + "\n"


def _together(commands: Sequence[str]) -> str:
    return "( " + " ".join(f"{command} &" for command in commands) + " wait )"


def _command(number: int, question: Question, pids: Mapping[str, str]) -> str:
    seconds = 1 if question.refused else 5
    if question.ping:
        words = ["ping", "-n", "-c", "1", "-W", str(seconds), question.address]
    else:
        # As a real client: no proxy, no look-up, and the body whatever the status.
        words = ["curl", "-sS", "-g", "--noproxy", "*", "-m", str(seconds)]
        if question.refused:
            # curl's last message is the same for "refused", which is an answer, and "no route".
            words.append("-v")
        if question.origin == Origin() or question.origin.stranger:
            words += ["--interface", _client(question)]
        if question.tls:
            at = f"[{question.address}]" if question.family == 6 else question.address
            words += ["--resolve", f"{question.domain}:443:{at}"]
        elif question.domain:
            words += ["-H", f"Host: {question.domain}"]
        words.append(question.url)
    command = shlex.join(words)
    if question.origin.container:
        # In the container's network with the host's curl: an image may have no program at all.
        command = f'nsenter --target "${pids[question.origin.container]}" --net -- {command}'
    return f"ask {number} {command}"


def _client(question: Question) -> str:
    return CLIENT_IPV4 if question.family == 4 else CLIENT_IPV6


@contextmanager
def _routes(lab: Lab, host: str, addresses: Sequence[str]) -> Iterator[None]:
    """Give the internet's router routes to private addresses through a host's wan."""
    edge = lab.host(host)
    routes = [
        f"{address} via {edge.wan_ipv6 if ':' in address else edge.wan_ipv4}"
        for address in sorted(set(addresses))
    ]
    lab.internet.run(["ip", "-batch", "-"], stdin="".join(f"route replace {r}\n" for r in routes))
    try:
        yield
    finally:
        lab.internet.run(["ip", "-batch", "-"], stdin="".join(f"route del {r}\n" for r in routes))
