"""What `./wanbound explain` says: questions as an operator writes them, answers in words."""

import re
from collections.abc import Iterator, Sequence
from ipaddress import ip_address

from planner.config import Address, Protocol, Stack
from planner.explain import Answer, Explainer, QuestionError, Target

_TARGET = re.compile(r"(?:\[([^]]+)\]|([^:\[\]]+)):([0-9]{1,5})(?:/(tcp|udp))?")
_FORM = "write ADDRESS:PORT/PROTOCOL, such as 203.0.113.20:25/tcp or [2001:db8::20]:25/tcp"
_ALONE = "write an address such as 203.0.113.7 or 2001:db8::7, without port or prefix"


def explain(
    stack: Stack, where: Sequence[str], source: str | None = None, to: Sequence[str] = ()
) -> str:
    """Return the answer to a question. Raises QuestionError."""
    explainer = Explainer(stack)
    if to:
        if len(where) != 2 or source is not None:
            raise QuestionError(
                "--to is about traffic that leaves a network\n"
                "  Fix: write explain STACK HOST NETWORK --to ADDRESS, without --from"
            )
        host, network = where
        asked = [_address(each) for each in to]
        blocks = [
            _block(f"{network} on {host} to {each}", explainer.leaving(host, network, each))
            for each in asked
        ]
    else:
        if len(where) != 1:
            raise QuestionError(
                f"{len(where)} words after the stack\n"
                f"  Fix: {_FORM}; or HOST NETWORK --to ADDRESS for what leaves"
            )
        target = _target(where[0])
        caller = None if source is None else _address(source)
        title = f"{target} from {'the internet' if caller is None else caller}"
        blocks = [_block(title, each) for each in explainer.arriving(target, caller)]
    return "\n".join(blocks)


def _address(text: str, form: str = _ALONE) -> Address:
    try:
        return ip_address(text)
    except ValueError:
        raise QuestionError(
            f"{text!r} is no IPv4 or IPv6 address\n  Fix: {form}; names are not looked up"
        ) from None


def _target(text: str) -> Target:
    found = _TARGET.fullmatch(text)
    if found is None:
        raise QuestionError(f"{text!r} is not a port of an address\n  Fix: {_FORM}")
    six, four, port, protocol = found.groups()
    word: Protocol = "udp" if protocol == "udp" else "tcp"
    return Target(_address(six or four, _FORM), int(port), word)


def _block(title: str, answer: Answer) -> str:
    """Return one answer: the question, who answers, the lines, the notes."""
    return "".join(f"{line}\n" for line in (title, *_lines(answer)))


def _lines(answer: Answer) -> Iterator[str]:
    if answer.caller:
        yield f"  if the caller is on host {answer.caller}:"
    yield f"  {_who(answer)}"
    if answer.verdict != "dropped":
        yield f"  {_sees(answer)}"
    if answer.lines:
        yield "  through these lines:"
    width = max((len(line.path) for line in answer.lines), default=0)
    for line in answer.lines:
        yield f"    {line.path:{width}}  {line.text}"
    for note in answer.notes:
        yield f"  note: {note}"


def _who(answer: Answer) -> str:
    because = f", because {answer.because}" if answer.because else ""
    match answer.verdict:
        case "dropped":
            return f"dropped on host {answer.host}{because}"
        case "host":
            return f"the host {answer.host} itself answers{because}"
        case "leaves":
            return f"leaves network {answer.network} of host {answer.host}{because}"
    at = f" at {answer.address}" if answer.address else ""
    place = f"network {answer.network}, host {answer.host}"
    return f"{answer.container} answers{at} ({place}){because}"


def _sees(answer: Answer) -> str:
    if answer.sees:
        return f"the other side sees {answer.sees}"
    return "the other side sees the caller's own address"
