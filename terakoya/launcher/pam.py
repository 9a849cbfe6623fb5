"""One sign-in through PAM. Runs in a helper process that ends right after: PAM's modules change their process.

python-pam gives the binding; the conversation is our own, because a new password needs more than one answer. All
refusals look the same to who asked; only the launcher's log says what was wrong: name, password or account.
"""

from __future__ import annotations

import ctypes
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pam
from pam import __internals as binding  # type: ignore[attr-defined,unused-ignore]

from terakoya.launcher.people import Who

LONGEST_PASSWORD = 511
"""Bytes: what PAM's answers may hold."""
LONGEST_NAME = 256
FOLDERS = (Path("/etc/pam.d"), Path("/usr/lib/pam.d"), Path("/usr/etc/pam.d"))

_FAIL_DELAY = 10  # the item's number in security/_pam_types.h
_OLD = re.compile(r"\b(current|old)\b", re.IGNORECASE)
_NEW = re.compile(r"\bnew\b|re-?(type|enter)|again|confirm", re.IGNORECASE)
_BROKEN = {
    pam.PAM_OPEN_ERR, pam.PAM_SYMBOL_ERR, pam.PAM_SERVICE_ERR, pam.PAM_SYSTEM_ERR, pam.PAM_BUF_ERR,
    pam.PAM_AUTHINFO_UNAVAIL, pam.PAM_ABORT, pam.PAM_MODULE_UNKNOWN, pam.PAM_BAD_ITEM,
}  # fmt: skip


def service(wanted: str) -> str:
    """The PAM service to use: the wanted one, or `login` where it is not set up."""
    usable = re.fullmatch(r"[A-Za-z0-9_-]{1,64}", wanted)
    return wanted if usable and any((folder / wanted).is_file() for folder in FOLDERS) else "login"


def load() -> None:
    """Load libpam, so that helpers find it loaded."""
    binding.PamAuthenticator._ensure_libs()  # noqa: SLF001 its constructor would do it, in every helper


@dataclass(frozen=True)
class Attempt:
    """What somebody sent in order to sign in."""

    name: str
    password: str = field(repr=False)
    new_password: str | None = field(default=None, repr=False)
    address: str = ""


def sign_in(attempt: Attempt, who: Who, pam_service: str) -> dict[str, Any]:
    """The answer of the verb `authenticate`, and `log`: what really happened, for the launcher's log only."""
    secrets = [attempt.password] if attempt.new_password is None else [attempt.password, attempt.new_password]
    if problem := _unusable(attempt.name, LONGEST_NAME) or next(
        (problem for secret in secrets if (problem := _unusable(secret, LONGEST_PASSWORD))), ""
    ):
        return answer("denied", problem)
    person = who.find(attempt.name)
    if person is None:
        return answer("denied", "no such account, or one that may not be used")
    with_pam = Transaction(pam_service, person.name, attempt)
    result, log, message = with_pam.run()
    if result in {"denied", "unavailable"}:
        return answer(result, log)
    return answer(result, log, message) | {"os_name": person.name, "uid": person.uid, "groups": person.groups}


def answer(result: str, log: str, message: str = "") -> dict[str, Any]:
    return {"result": result, "os_name": "", "uid": -1, "groups": [], "message": message, "log": log}


def _unusable(text: str, longest: int) -> str:
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return "not text"
    if b"\0" in raw:
        return "a NUL in it"
    return f"longer than {longest} bytes" if len(raw) > longest else ""


class Transaction:
    """pam_start to pam_end. Used once."""

    def __init__(self, pam_service: str, os_name: str, attempt: Attempt) -> None:
        self._attempt = attempt
        self._service = pam_service
        self._name = os_name
        self._messages: list[str] = []
        self._complaint = ""
        self._changing = False
        self._asked_new = 0
        self._lib = binding.PamAuthenticator
        self._handle = binding.PamHandle()

    def run(self) -> tuple[str, str, str]:
        """The result, a line for the log, a line for the user."""
        # Kept in variables until the end: libpam keeps pointers to them.
        callback = binding.conv_func(self._converse)
        conversation = binding.PamConv(callback, None)
        no_delay = ctypes.CFUNCTYPE(None, ctypes.c_int, ctypes.c_uint, ctypes.c_void_p)(lambda *_: None)
        code = self._lib.pam_start(
            self._service.encode(), self._name.encode(), ctypes.byref(conversation), ctypes.byref(self._handle)
        )
        if code != pam.PAM_SUCCESS:
            return "unavailable", f"pam_start of {self._service}: error {code}", ""
        try:
            self._lib.pam_set_item(self._handle, _FAIL_DELAY, ctypes.cast(no_delay, ctypes.c_void_p))
            if self._attempt.address:
                self._lib.pam_set_item(self._handle, pam.PAM_RHOST, self._attempt.address.encode())
            code, result, message = self._steps()
            return result, self._log(code), message
        finally:
            self._lib.pam_end(self._handle, code)

    def _steps(self) -> tuple[int, str, str]:
        code = self._lib.pam_authenticate(self._handle, 0)
        if code == pam.PAM_SUCCESS:
            code = self._lib.pam_acct_mgmt(self._handle, 0)
        if code == pam.PAM_SUCCESS:
            return code, "ok", ""
        if code != pam.PAM_NEW_AUTHTOK_REQD:
            return code, "unavailable" if code in _BROKEN else "denied", ""
        if self._attempt.new_password is None:
            return code, "must_change", " ".join(self._messages)
        return self._change()

    def _change(self) -> tuple[int, str, str]:
        self._changing, self._messages = True, []
        change = ctypes.CDLL("libpam.so.0").pam_chauthtok  # not in the binding
        change.argtypes, change.restype = [binding.PamHandle, ctypes.c_int], ctypes.c_int
        code = change(self._handle, pam.PAM_CHANGE_EXPIRED_AUTHTOK)
        if code == pam.PAM_SUCCESS:
            code = self._lib.pam_acct_mgmt(self._handle, 0)
            return code, "ok" if code == pam.PAM_SUCCESS else "denied", ""
        return code, "refused_new_password", " ".join(self._messages) or self._strerror(code)

    def _log(self, code: int) -> str:
        return "; ".join([f"{self._strerror(code)} ({code})", *filter(None, [self._complaint])])

    def _strerror(self, code: int) -> str:
        return str(self._lib.pam_strerror(self._handle, code).decode(errors="replace"))

    def _converse(self, number: int, messages: Any, responses: Any, _data: Any) -> int:
        """Called by PAM. The answers are C memory, which PAM frees."""
        try:
            answers = [self._reply(messages[i].contents) for i in range(number)]
        except Exception as error:  # noqa: BLE001 an exception can't pass through C
            self._complaint = self._complaint or type(error).__name__
            return int(pam.PAM_CONV_ERR)
        memory = self._lib.calloc(number, ctypes.sizeof(binding.PamResponse))
        response = ctypes.cast(memory, ctypes.POINTER(_Response))
        for i, answer in enumerate(answers):
            if answer is not None:
                raw = answer.encode()
                response[i].resp = self._lib.calloc(len(raw) + 1, 1)
                ctypes.memmove(response[i].resp, raw, len(raw))
        responses[0] = ctypes.cast(memory, ctypes.POINTER(binding.PamResponse))
        return int(pam.PAM_SUCCESS)

    def _reply(self, message: Any) -> str | None:
        text = (message.msg or b"").decode(errors="replace").strip()
        if message.msg_style in (pam.PAM_ERROR_MSG, pam.PAM_TEXT_INFO):
            self._messages.append(text)
            return None
        if message.msg_style == pam.PAM_PROMPT_ECHO_OFF:
            answer = self._new(text) if self._changing else self._attempt.password
            if answer is not None:
                return answer
        self._complaint = f"PAM asked for something other than a password: {text[:80]!r}"
        raise ValueError

    def _new(self, prompt: str) -> str | None:
        """The answer to a prompt while the password is changed. Asked a third time, the new one was not liked."""
        if _OLD.search(prompt):
            return self._attempt.password
        self._asked_new += 1
        return self._attempt.new_password if _NEW.search(prompt) and self._asked_new <= 2 else None  # noqa: PLR2004


class _Response(ctypes.Structure):
    """pam_response with a plain pointer: as c_char_p, Python would hand over a copy's address."""

    _fields_ = (("resp", ctypes.c_void_p), ("resp_retcode", ctypes.c_int))
