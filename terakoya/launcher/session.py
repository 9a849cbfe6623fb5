"""A PAM session: limits, environment, mounts and scopes that the machine's administrator gives to a login.

It changes the process that opens it for good, so each server has a keeper process that does nothing else.
"""

from __future__ import annotations

import importlib
from typing import Any

import pam

_internals: Any = importlib.import_module("pam.__internals")


class SessionRefusedError(Exception):
    """A PAM module did not let the session begin."""


class Session:
    """An open PAM session of `user`. No password is involved: who may enter was decided before."""

    def __init__(self, service: str, user: str) -> None:
        """Open it, or raise SessionRefusedError."""
        self.messages: list[str] = []
        self._pam: Any = pam.PamAuthenticator()
        self._answer = _internals.conv_func(self._converse)  # PAM keeps a pointer: must live as long as the handle
        conversation = _internals.PamConv(self._answer, None)
        handle = _internals.PamHandle()
        code = self._pam.pam_start(service.encode(), user.encode(), conversation, handle)
        if code != pam.PAM_SUCCESS:
            raise SessionRefusedError(f"pam_start({service!r}) failed with code {code}")
        self._pam.handle = handle
        self._check("pam_setcred", self._pam.pam_setcred(handle, pam.PAM_ESTABLISH_CRED))
        self._check("pam_open_session", self._pam.open_session())

    def environment(self) -> dict[str, str]:
        """What modules such as pam_env and pam_systemd set for the user's programs."""
        return dict(self._pam.getenvlist())

    def close(self) -> None:
        """End the session. Errors are only of interest to the modules, which log them."""
        self._pam.close_session()
        self._pam.pam_setcred(self._pam.handle, pam.PAM_DELETE_CRED)
        self._pam.end()

    def _check(self, step: str, code: int) -> None:
        if code == pam.PAM_SUCCESS:
            return
        reason = self._pam.pam_strerror(self._pam.handle, code).decode(errors="replace")
        self._pam.code = code
        self._pam.end()
        raise SessionRefusedError("; ".join([f"{step}: {reason}", *self.messages]))

    def _converse(self, count: int, messages: Any, responses: Any, _data: Any) -> int:
        """Collect what modules have to say; nobody is there to answer a question."""
        styles = [messages[i].contents.msg_style for i in range(count)]
        texts = [(messages[i].contents.msg or b"").decode(errors="replace") for i in range(count)]
        self.messages += [text for text in texts if text]
        if any(style in {pam.PAM_PROMPT_ECHO_OFF, pam.PAM_PROMPT_ECHO_ON} for style in styles):
            return int(pam.PAM_CONV_ERR)
        address = self._pam.calloc(count, _internals.sizeof(_internals.PamResponse))
        responses[0] = _internals.cast(address, _internals.POINTER(_internals.PamResponse))
        return int(pam.PAM_SUCCESS)
