"""Scripted faults: which can be ordered, and which one is due."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from airflow_provider_koreai.emulator import checks
from airflow_provider_koreai.emulator.checks import ControlError, Rule

CALLS = (
    "start",
    "status",
    "download",
    "linked_apps",
    "import",
    "import_status",
    "train",
    "train_status",
    "test",
    "test_status",
    "analytics",
)
#: Calls that are about the account, not about one bot.
ACCOUNT_CALLS = ("bots", "upload")
#: Kinds whose call is not carried out (no export starts), unless ``carried_out`` says otherwise.
_NOT_CARRIED_OUT = frozenset({"http", "html", "redirect", "expired"})

_PLACE = Rule(
    lambda value: value in ("before_headers", "in_headers") or checks.INTEGER.accepts(value),
    '"before_headers", "in_headers" or a number of body bytes (negative: before the end)',
)


@dataclass(frozen=True)
class Kind:
    """A kind of fault."""

    rules: dict[str, Rule] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    calls: tuple[str, ...] = ()


KINDS: dict[str, Kind] = {
    "http": Kind(
        {
            "status": checks.STATUS,
            "msg": checks.TEXT,
            "code": checks.INTEGER,
            "body": checks.TEXT,
            "headers": checks.HEADERS,
        }
    ),
    "html": Kind({"body": checks.TEXT}),
    "empty": Kind(),
    "json_shape": Kind({"value": checks.ANYTHING}, ("value",)),
    "truncated_json": Kind(),
    "huge": Kind({"size": checks.COUNT}, ("size",)),
    "drop": Kind({"at": _PLACE}),
    "reset": Kind({"at": _PLACE}),
    "stall": Kind(
        {"at": _PLACE, "seconds": checks.SECONDS, "then": checks.one_of("continue", "close")}, ("seconds",)
    ),
    "drip": Kind(
        {"bytes_per_second": checks.more_than_zero(), "of": checks.one_of("body", "headers")},
        ("bytes_per_second",),
    ),
    "lie_length": Kind({"delta": checks.INTEGER}, ("delta",)),
    "changed": Kind({"content_b64": checks.BASE64}, calls=("download",)),
    "redirect": Kind({"location": checks.HEADER_VALUE, "status": checks.STATUS}, ("location",)),
    "expired": Kind(calls=("download",)),
    "gzip": Kind(),
    "wrong_content_range": Kind({"delta": checks.INTEGER, "value": checks.HEADER_VALUE}, calls=("download",)),
}
_COMMON: dict[str, Rule] = {
    "kind": checks.one_of(*KINDS),
    "times": Rule(
        lambda value: checks.INTEGER.accepts(value) and (value == -1 or value > 0),
        "a number of calls, or -1 for always",
    ),
    "after": checks.COUNT,
    "carried_out": checks.BOOLEAN,
}


@dataclass
class Fault:
    """One order.

    :param call: the call that it happens to.
    :param kind: what happens.
    :param times: how often it still happens; -1: always.
    :param after: how many calls it still lets pass.
    :param carried_out: whether the server does what the call asks for, whatever it answers.
    :param params: parameters of the kind.
    """

    call: str
    kind: str
    times: int
    after: int
    carried_out: bool
    params: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """Return the order as the control endpoints show it."""
        return {
            "call": self.call,
            "kind": self.kind,
            "times": self.times,
            "after": self.after,
            "carried_out": self.carried_out,
            **self.params,
        }


def parse(document: Any, calls: tuple[str, ...] = CALLS) -> Fault:
    """Return the fault that a request orders."""
    rules = {"call": checks.one_of(*calls), **_COMMON}
    if not isinstance(document, dict):
        raise ControlError("the body must be a JSON object")
    for key in ("call", "kind"):
        if key not in document:
            raise ControlError(f'"{key}" is missing; it must be {rules[key].meaning}')
    checks.check("fault field", {key: document[key] for key in ("call", "kind")}, rules)
    call, name = document["call"], document["kind"]
    kind = KINDS[name]
    checks.check(f"{name} fault field", document, {**kind.rules, **rules})
    if missing := [key for key in kind.required if key not in document]:
        raise ControlError(f'a {name} fault needs "{missing[0]}": {kind.rules[missing[0]].meaning}')
    if kind.calls and call not in kind.calls:
        raise ControlError(f"a {name} fault cannot happen to {call}, only to {', '.join(kind.calls)}")
    return Fault(
        call=call,
        kind=name,
        times=document.get("times", 1),
        after=document.get("after", 0),
        carried_out=document.get("carried_out", name not in _NOT_CARRIED_OUT),
        params={key: value for key, value in document.items() if key not in rules},
    )


class FaultList:
    """The orders for one bot, or for the account. One call has one fault: the oldest that is due."""

    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def take(self, call: str) -> Fault | None:
        """Return the fault that happens to a call, which is thereby counted.

        :param call: one of :data:`CALLS` or :data:`ACCOUNT_CALLS`.
        """
        due: Fault | None = None
        for fault in self.faults:
            if fault.call != call:
                continue
            if fault.after > 0:
                fault.after -= 1
            elif due is None:
                due = fault
        if due is not None and due.times > 0:
            due.times -= 1
            if due.times == 0:
                self.faults.remove(due)
        return due
