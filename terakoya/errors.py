"""Everything that can go wrong and that a person can mend.

The docstring of a class is its message: the first paragraph says what happened, the second what to do next.
Both are templates; the facts are given by name. Pages translate the templates, not the finished sentences.
An exception that is not a `TerakoyaError` is a bug and is shown as one.
"""

from __future__ import annotations

import inspect
from typing import ClassVar


class TerakoyaError(Exception):
    """Something went wrong.

    Look at the log for the cause.
    """

    status: ClassVar[int] = 400

    def __init__(self, **facts: object) -> None:
        """`facts` fill the `{names}` of the docstring; a missing one is a bug and raises KeyError."""
        self.facts = facts
        super().__init__(self.what)

    @classmethod
    def texts(cls) -> tuple[str, str]:
        """The two templates, what happened and what to do next, each as one line."""
        paragraphs = inspect.cleandoc(cls.__doc__ or "").split("\n\n")
        what, cure = (" ".join(part.split()) for part in paragraphs[:2])
        return what, cure

    @property
    def code(self) -> str:
        """A stable name for scripts: the class's own name."""
        return type(self).__name__

    @property
    def what(self) -> str:
        """What happened, in English."""
        return self.texts()[0].format(**self.facts)

    @property
    def cure(self) -> str:
        """What to do next, in English."""
        return self.texts()[1].format(**self.facts)


# -- settings ---------------------------------------------------------------------------------------------------------


class SettingsError(TerakoyaError):
    """{path} can't be used.

    Mend the file and start again.
    """


class SettingsUnreadable(SettingsError):
    """{path} can't be read: {reason}.

    Check that the file exists and that the account that runs terakoya may read it.
    """


class SettingsNotToml(SettingsError):
    """{path} is not valid TOML: {reason}.

    Mend the line that is named; https://toml.io shows how TOML is written.
    """


class UnknownSetting(SettingsError):
    """{path}, line {line}: there is no setting "{key}".

    {hint}
    """


class BadSetting(SettingsError):
    """{path}, line {line}: "{key}" can't be {value}: {reason}.

    Write {expected}; `terakoya config show` lists every setting with its meaning.
    """


# -- running ----------------------------------------------------------------------------------------------------------


class AlreadyRunning(TerakoyaError):
    """terakoya is already running here (process {pid}).

    Use `terakoya status` to see it, `terakoya down` to stop it, or give this one other folders with --config.
    """


class NotRunning(TerakoyaError):
    """terakoya is not running here.

    Start it with `terakoya up`.
    """


class PortTaken(TerakoyaError):
    """{program} already listens on {address}.

    Stop that program, or set another `listen` under [edge] in {path}.
    """


class AddressUnusable(TerakoyaError):
    """Nothing can listen on {address}: {reason}.

    Set an address that this machine has as `listen` under [edge] in {path}; 0.0.0.0 and [::] mean all of them.
    """


class FolderUnsafe(TerakoyaError):
    """{path} can't be used as a folder of terakoya: {reason}.

    Mend its owner and rights, remove it, or set another folder under [storage] in terakoya.toml.
    """


class AccountUnusable(TerakoyaError):
    """The account "{name}" can't be used for the web-facing processes: {reason}.

    Make it with `useradd --system {name}`, or set another `account` under [processes] in terakoya.toml.
    """


class KeepsDying(TerakoyaError):
    """The {process} does not start ({reason}). It last said "{said}".

    Read {log} for the whole story, and run `terakoya doctor`.
    """


class NotReady(TerakoyaError):
    """terakoya did not answer on {address} within {seconds} seconds.

    Read the logs in {logs}, and run `terakoya doctor`.
    """


class HubSlow(TerakoyaError):
    """The hub did not do it within {seconds} seconds.

    It may still happen: see `terakoya server list`. The hub's log is {log}.
    """

    status = 503


class StillRunning(TerakoyaError):
    """Process {pid} did not end within {seconds} seconds.

    End it with `kill -9 {pid}`; users' servers and their kernels are not touched by that.
    """


class NeedsRoot(TerakoyaError):
    """This needs root, because {reason}.

    Run it again with sudo.
    """


class CertificateUnusable(TerakoyaError):
    """The certificate {path} can't be used: {reason}.

    Set `certificate` and `certificate_key` under [edge] to a chain and its key in PEM form, or leave both empty for a
    certificate of terakoya's own authority.
    """


# -- the database -----------------------------------------------------------------------------------------------------


class DatabaseTooNew(TerakoyaError):
    """The database is from a newer terakoya (revision {revision}).

    Install that version again; this one changes nothing in it.
    """


class DatabaseUnavailable(TerakoyaError):
    """The database can't be used: {reason}.

    Nothing was changed. Free some disk space or start the database server again, then retry.
    """

    status = 503


# -- accounts ---------------------------------------------------------------------------------------------------------


class NoSuchUser(TerakoyaError):
    """There is no user "{name}".

    Check the spelling; the list of users shows every name.
    """

    status = 404


class UserExists(TerakoyaError):
    """There is already a user "{name}".

    Choose another name; names that differ only in case or in the form of their letters count as one.
    """

    status = 409


class BadUserName(TerakoyaError):
    """A user can't be called "{name}": {reason}.

    Use letters, digits, ".", "-" and "_", starting with a letter or digit, at most 32 characters.
    """


class NoSystemAccount(TerakoyaError):
    """This machine has no account "{name}" that may be used.

    Make it first (for example with: adduser {name}); system accounts with a number below {minimum_uid} are never used.
    """

    status = 409


class SignInRefused(TerakoyaError):
    """The name or the password is not right, or this account may not enter.

    Try again. If you are sure of your password, ask whoever runs this server whether your account may enter.
    """

    status = 403


class PasswordMustChange(TerakoyaError):
    """Your password is right, but it has expired and must be changed.

    Choose a new password below.
    """

    status = 403


class NewPasswordRefused(TerakoyaError):
    """The new password was not taken: {reason}.

    Choose another one; a longer password is more likely to be accepted.
    """


class SignInUnavailable(TerakoyaError):
    """Passwords can't be checked at the moment: {reason}.

    Wait a few seconds and try again. If it stays so, the administrator finds the cause with `terakoya doctor`.
    """

    status = 503


class TooManyAttempts(TerakoyaError):
    """There were too many wrong passwords for this account from where you are.

    Wait {seconds} seconds and try again. Signing in from another place is not held up.
    """

    status = 429


class CodeUsedUp(TerakoyaError):
    """This link was used already, has run out, or is not complete.

    Make a new one on the server with `terakoya user link`, or sign in with your password.
    """

    status = 403


class NotAllowed(TerakoyaError):
    """You may not {action}.

    Ask an administrator to do it or to give you the right.
    """

    status = 403


class LastAdministrator(TerakoyaError):
    """ "{name}" is the last administrator.

    Make somebody else administrator first.
    """  # noqa: D210 a quotation begins it

    status = 409


class BadTokenRequest(TerakoyaError):
    """A token can't be made like this: {reason}.

    Mend the request and send it again.
    """


class NoSuchToken(TerakoyaError):
    """There is no such token.

    It may have been removed already; reload the list.
    """

    status = 404


# -- servers ----------------------------------------------------------------------------------------------------------


class NoSuchServer(TerakoyaError):
    """{user} has no server "{server}".

    Start it first, or check the name.
    """

    status = 404


class BadServerName(TerakoyaError):
    """A server can't be called "{name}".

    Use at most 32 letters, digits, "-" and "_", and no word of Jupyter's own addresses such as "lab" or "files".
    """


class BadServerOptions(TerakoyaError):
    """The server can't be started like this: {reason}.

    Leave the option out, or mend it.
    """


class TooManyServers(TerakoyaError):
    """{user} has {limit} servers already, which is the most allowed.

    Stop and remove one of them first.
    """


class ServerAlreadyRunning(TerakoyaError):
    """{user}'s server is already running.

    Nothing needs to be done; open it.
    """


class StartFailed(TerakoyaError):
    """The server did not start: {reason}.

    {hint}
    """

    status = 500


class ServerBusy(TerakoyaError):
    """{user}'s server is stopping at this moment.

    Wait until it has stopped, then try again.
    """

    status = 409


class LauncherUnavailable(TerakoyaError):
    """The part of terakoya that starts servers does not answer.

    It restarts by itself within seconds: try again. If it stays so, run `terakoya doctor` on the server.
    """

    status = 503


class VisitingOff(TerakoyaError):
    """Visiting another user's server is off here.

    Set `user_domain` under [site] so that every user's server has a web address of its own; without that a page of
    one user could act as another.
    """

    status = 403


class CrossSite(TerakoyaError):
    """This request came from another web site and was refused.

    Open the page in terakoya itself and try again.
    """

    status = 403


# -- the API ----------------------------------------------------------------------------------------------------------


class BadApiRequest(TerakoyaError):
    """This request can't be answered: {reason}.

    Mend it and send it again; /hub/api/docs says what each address takes.
    """


class ApiRequestTooLarge(TerakoyaError):
    """This request is larger than {limit} bytes.

    Send less at once.
    """

    status = 413


class NotIdentified(TerakoyaError):
    """This needs a sign-in or a token, and there was none that is valid.

    Send "Authorization: token ..." with a token from /hub/token.
    """

    # Not 401: the ecosystem's clients take 403 and 404 for "this token is not good any more".
    status = 403


class NotInApi(TerakoyaError):
    """There is nothing at this address.

    See /hub/api/docs for what there is.
    """

    status = 404


class WrongMethod(TerakoyaError):
    """This address does not take {method}.

    See /hub/api/docs for what it takes.
    """

    status = 405


# -- pages ------------------------------------------------------------------------------------------------------------


class SignInNeeded(TerakoyaError):
    """You are not signed in, or your sign-in has ended.

    Sign in and open the page again.
    """

    status = 401


class AdministratorsOnly(TerakoyaError):
    """This page is for administrators.

    Ask an administrator to do it or to make you one.
    """

    status = 403


class NoSuchPage(TerakoyaError):
    """There is no page {path}.

    Check the address, or begin again at the start page.
    """

    status = 404


class MethodNotAllowed(TerakoyaError):
    """This address does not take {method}.

    Open the page in the browser and use its buttons.
    """

    status = 405


class BadRequest(TerakoyaError):
    """The request can't be understood: {reason}.

    Go back, check what you entered and send it again.
    """


class RequestTooLarge(TerakoyaError):
    """The request is larger than a form of these pages can be.

    Upload files in JupyterLab instead.
    """

    status = 413


class NobodyWouldEnter(TerakoyaError):
    """No group was chosen, so nobody could enter.

    Choose at least one group, or let everybody with an account enter.
    """


class AlreadySetUp(TerakoyaError):
    """terakoya is set up already.

    Sign in; administrators find everything under "Admin".
    """

    status = 409


class Bug(TerakoyaError):
    """Something in terakoya itself went wrong ({kind}).

    Try again. If it happens again, tell whoever runs this server the number below: the log has the details under it.
    """

    status = 500
