"""The command line: run, dev, check, schema."""

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer
from typer.models import OptionInfo

from gateway import __version__
from gateway.errors import Misconfigured

if TYPE_CHECKING:
    from rich.console import Console

    from gateway.dev.world import Prepared
    from gateway.settings import Settings

app = typer.Typer(
    name="gateway",
    help="A session gateway for single-page apps: tokens stay here, the browser holds a cookie.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,  # they would print local variables, and those hold secrets
)


def _errors() -> "Console":
    from rich.console import Console  # noqa: PLC0415  as in run

    return Console(stderr=True)


def _port(help_text: str) -> OptionInfo:
    option: OptionInfo = typer.Option(min=1, max=65535, help=help_text)
    return option


ConfigFile = Annotated[
    Path,
    typer.Option("--config", "-c", help="The configuration file (YAML).", show_default=False),
]


@app.command(epilog="Example: `gateway run --config /etc/gateway/gateway.yaml`")
def run(config_file: ConfigFile) -> None:
    """Serve, as the configuration file says, until SIGTERM or Ctrl-C.

    **SIGTERM**, **SIGINT** (Ctrl-C): not ready from now on; finish what has begun, then end. A
    second one: end at once.

    **SIGHUP**: read the configuration again. If it is fine, new workers take over and the old ones
    finish; if not, nothing changes.
    """
    _become("gateway.workers", str(config_file))


@app.command(epilog="Example: `gateway check --config config/minimal.yaml && echo fine`")
def check(config_file: ConfigFile) -> None:
    """Read the configuration and say everything that is wrong with it; start nothing."""
    from gateway import config  # noqa: PLC0415  as in run

    settings, findings = config.check(config_file, os.environ)  # noqa: TID251  handed to config
    if findings:
        typer.echo(f"{config_file}:")
        typer.echo(config.render(findings))
    if settings is None:
        raise typer.Exit(1)
    typer.echo(f"{config_file} is valid: {_in_brief(settings)}")


@app.command(epilog="Example: `gateway schema > config/schema.json`")
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors and pipelines."""
    from gateway import config  # noqa: PLC0415  as in run

    typer.echo(json.dumps(config.json_schema(), indent=2, sort_keys=True))


@app.command(
    epilog="Example: `gateway dev --app http://localhost:5173` or `gateway dev --port 8081`"
)
def dev(  # noqa: PLR0913, PLR0917  one per option
    port: Annotated[int, _port("The gateway's port on localhost.")] = 8080,
    provider_port: Annotated[int, _port("The identity provider's port.")] = 9400,
    api_port: Annotated[int, _port("The sample API's port.")] = 9500,
    admin_port: Annotated[int, _port("The admin listener's port.")] = 9090,
    app_place: Annotated[
        str, typer.Option("--app", help="Your app: a built folder or a development server's URL.")
    ] = "",
    api: Annotated[str, typer.Option(help="Your API's URL, instead of the sample API.")] = "",
    token_lifetime: Annotated[
        int,
        typer.Option(
            min=5, max=86400, help="Seconds an access token lives: few, to watch them renewed."
        ),
    ] = 300,
    directory: Annotated[
        Path, typer.Option(help="Where keys and sessions of this machine are kept.")
    ] = Path(".gateway"),
) -> None:
    """Everything on this machine: store, identity provider with test users, API, app, gateway."""
    from gateway import app as composition  # noqa: PLC0415  as in run
    from gateway import config  # noqa: PLC0415  as in run
    from gateway.dev import places, world  # noqa: PLC0415  production never loads these

    if mistakes := places.mistakes(app_place, api):
        _not_started(*mistakes)
    ports = world.Ports(port, provider_port, None if api else api_port, admin_port)
    _stop_if_busy(world.busy(ports))
    try:
        prepared = world.prepare(
            directory, ports, app=app_place, api=api, token_lifetime=token_lifetime
        )
    except OSError as failure:
        _not_started(f"{directory}: {failure.strerror or failure}")
    settings, findings = config.check(prepared.config_file, os.environ)  # noqa: TID251  as above
    if settings is None:
        _show(prepared.config_file, config.render(findings))
        _not_started(
            f"{prepared.config_file}: it is written from the options and the environment: "
            "correct those"
        )
    if findings:
        _show(prepared.config_file, config.render(findings))
    _welcome(prepared)
    with _explained():
        composition.start(settings, *prepared.listeners())
    typer.echo("\nStopped. Sessions and keys stay in " + str(directory.resolve()))


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,  # noqa: FBT002
) -> None:
    """Options that stand before a command."""
    if version:
        typer.echo(f"gateway {__version__}")
        raise typer.Exit


_OPTIONS = {
    "isolated": "-I",
    "ignore_environment": "-E",
    "no_user_site": "-s",
    "safe_path": "-P",
    "no_site": "-S",
    "dont_write_bytecode": "-B",
    "dev_mode": "-Xdev",
    "utf8_mode": "-Xutf8",
}
"""The interpreter's options a process can be told to hand on, by their names in `sys.flags`."""


def _become(module: str, *arguments: str) -> NoReturn:
    """Replace this process by a module's program: workers are copies of it, without all this.

    It looks for modules where this process does, and is shut off from the environment and the
    user's own modules where this one is. In particular, a command that does not have the current
    directory among those places does not get it: a file called `ssl.py` may lie there.
    """
    here = sys.path[0] == os.getcwd()  # noqa: PTH109  octet by octet, as the interpreter put it
    options = [option for name, option in _OPTIONS.items() if getattr(sys.flags, name)]
    if not here:
        options.append("-P")
    options += ["-O"] * sys.flags.optimize
    options += [f"-W{warning}" for warning in sys.warnoptions]
    argv = (sys.executable, *options, "-m", module, *arguments)
    os.execv(sys.executable, argv)  # noqa: S606  our own interpreter and module


def _not_started(*reasons: str) -> NoReturn:
    from rich.markup import escape  # noqa: PLC0415  as in run

    for reason in reasons:
        _errors().print(f"[bold red]Not started:[/] {escape(reason)}", soft_wrap=True)
    raise typer.Exit(1) from None


def _show(config_file: Path, findings: str) -> None:
    _errors().print(f"{config_file}:", markup=False, highlight=False, soft_wrap=True)
    _errors().print(findings, markup=False, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    """Turn the ways in which a start fails into one line and an exit code."""
    try:
        yield
    except Misconfigured as failure:
        _not_started(*(str(finding) for finding in failure.findings))
    except OSError as failure:
        _not_started(failure.strerror or str(failure))
    except KeyboardInterrupt:
        sys.exit(130)


def _stop_if_busy(busy: list[tuple[str, int, int]]) -> None:
    if not busy:
        return
    for _, port, _ in busy:
        _errors().print(
            f"[bold red]Port {port} is in use[/], asked for twice or not allowed to you."
        )
    options = " ".join(f"--{option} {free}" for option, _, free in busy)
    _errors().print(f"Stop what uses it, or choose others: gateway dev {options}", soft_wrap=True)
    raise typer.Exit(1)


def _in_brief(settings: "Settings") -> str:
    providers = ", ".join(client.provider for client in settings.clients)
    return f"{settings.public_origin}, providers: {providers}, routes: {len(settings.routes)}"


def _welcome(prepared: "Prepared") -> None:
    from rich.console import Console  # noqa: PLC0415  as in run
    from rich.markup import escape  # noqa: PLC0415  as in run
    from rich.table import Table  # noqa: PLC0415  as in run

    ports = prepared.ports
    people = ", ".join(prepared.account_names)
    rows = [
        ("[bold]Open[/]", f"[bold green]{ports.origin}[/]"),
        ("Log in as", f"{people}: one click, no password"),
        ("Identity provider", prepared.provider.settings.issuer),
        ("App, at /", escape(prepared.app) or "the sample app"),
        ("API, at /api/", f"{escape(prepared.api)}, called with a bearer token"),
        ("Health, metrics", f"http://127.0.0.1:{ports.admin}/readyz and /metrics"),
        ("Configuration", escape(str(prepared.config_file))),
        ("Stop", "Ctrl-C; a restart logs nobody out"),
    ]
    table = Table(show_header=False, box=None, padding=(0, 2), expand=False)
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False)
    console.print("\n[bold]The session gateway, on this machine[/]\n", table, "", sep="\n")
    console.print(
        "[dim]Safari keeps no Secure cookies on plain http: use Chrome, Edge or Firefox here, "
        "or see docs/development.md.[/]"
    )
    for path in prepared.kept.damaged:
        console.print(
            f"[yellow]Begun anew:[/] {escape(str(path))} is damaged or from another version. "
            "Whoever is logged in has to log in again.",
            soft_wrap=True,
        )
    for option in prepared.silent:
        console.print(
            f"[yellow]Nothing answers yet[/] at {escape(option)}: start it, too. "
            "Until it answers, the gateway says 502 there.",
            soft_wrap=True,
        )
    console.print()
