"""terakoya up: what the person at the terminal sees."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel
from rich.text import Text

from terakoya.config import Config


class Terminal:
    """Tells on the terminal what the supervisor does; a terminal that is gone stops nothing."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)

    def _print(self, thing: object) -> None:
        try:
            self.console.print(thing, soft_wrap=not isinstance(thing, Panel))
        except OSError:
            self.console = Console(quiet=True)

    def step(self, text: str) -> None:
        self._print(f"[dim]{escape(text)} ...[/]")

    def ready(self, config: Config, link: str) -> None:
        lines = Text()
        lines.append("terakoya is running at ")
        lines.append(config.public_url, style=f"bold cyan link {config.public_url}")
        if link:
            lines.append("\n\nOpen this link to begin. It works once, for 15 minutes:\n")
            lines.append(link, style=f"bold cyan link {link}")
        for line in notes(config):
            lines.append(f"\n\n{line}")
        lines.append("\n\nCtrl-C stops terakoya; users' notebooks keep running.", style="dim")
        if self.console.is_terminal:
            # Only what fits is framed: a link must stay whole for whoever copies it.
            longest = max(len(line) for line in lines.plain.splitlines())
            if longest + 4 <= self.console.width:
                self._print(Panel(lines, expand=False, border_style="cyan", padding=(0, 1)))
                return
        self._print(lines)

    def died(self, name: str, cause: str, log: str, wait: float) -> None:
        soon = f"starting it again in {wait:.0f} s" if wait >= 1 else "starting it again"
        self._print(f"[yellow]The {name} ended ({escape(cause)}): {soon}.[/] [dim]{escape(log)}[/]")

    def back(self, name: str) -> None:
        self._print(f"[green]The {name} is back.[/]")

    def note(self, text: str) -> None:
        self._print(escape(text))

    def stopped(self, servers: int | None) -> None:
        self._print("terakoya has stopped.")
        if servers is None:
            self._print("Users' notebooks that were running still run; [bold]terakoya down[/] stops them.")
        elif servers == 1:
            self._print("1 user's notebook server still runs; [bold]terakoya down[/] stops it.")
        elif servers:
            self._print(f"{servers} users' notebook servers still run; [bold]terakoya down[/] stops them.")


def notes(config: Config) -> list[str]:
    """What else the person must know: whose certificate it is, that it is personal."""
    made = []
    if config.personal:
        made.append("Personal mode: only you sign in. Run it as root for all accounts of this machine.")
    if config.tls and not config.edge.certificate:
        from terakoya.ops import certificates

        fingerprint = certificates.ca_fingerprint(config)
        made.append(f"Browsers warn until they trust terakoya's own authority. SHA-256 fingerprint:\n{fingerprint}")
    return made
