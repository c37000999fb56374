"""The command line: run, dev, check, schema."""

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from gateway import __version__, config
from gateway import app as composition
from gateway.errors import Misconfigured
from gateway.settings import Settings

if TYPE_CHECKING:
    from gateway.dev.world import Prepared

app = typer.Typer(
    name="gateway",
    help="A session gateway for single-page apps: tokens stay here, the browser holds a cookie.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
)
_errors = Console(stderr=True)

ConfigFile = Annotated[
    Path,
    typer.Option("--config", "-c", help="The configuration file (YAML).", show_default=False),
]


@app.command(epilog="Example: `gateway run --config /etc/gateway/gateway.yaml`")
def run(config_file: ConfigFile) -> None:
    """Serve, as the configuration file says, until SIGTERM or Ctrl-C."""
    settings = _load(config_file)
    _serve(settings)


@app.command(epilog="Example: `gateway check --config config/minimal.yaml && echo fine`")
def check(config_file: ConfigFile) -> None:
    """Read the configuration and say everything that is wrong with it; start nothing."""
    settings, findings = config.check(config_file, os.environ)  # noqa: TID251  handed to config
    if findings:
        typer.echo(config.render(findings))
    if settings is None:
        raise typer.Exit(1)
    typer.echo(f"{config_file} is valid: {_in_brief(settings)}")


@app.command(epilog="Example: `gateway schema > config/schema.json`")
def schema() -> None:
    """Print the JSON Schema of the configuration file, for editors and pipelines."""
    typer.echo(json.dumps(config.json_schema(), indent=2, sort_keys=True))


@app.command(epilog="Example: `gateway dev --port 8081`")
def dev(
    port: Annotated[int, typer.Option(help="The gateway's port on localhost.")] = 8080,
    provider_port: Annotated[int, typer.Option(help="The identity provider's port.")] = 9400,
    api_port: Annotated[int, typer.Option(help="The sample API's port.")] = 9500,
    admin_port: Annotated[int, typer.Option(help="The admin listener's port.")] = 9090,
    directory: Annotated[
        Path, typer.Option(help="Where keys and sessions of this machine are kept.")
    ] = Path(".gateway"),
) -> None:
    """Everything on this machine: store, identity provider with test users, API, app, gateway."""
    from gateway.dev import world  # noqa: PLC0415  production never loads the development world

    ports = world.Ports(port, provider_port, api_port, admin_port)
    _stop_if_busy(world.busy(ports))
    prepared = world.prepare(directory, ports)
    settings = _load(prepared.config_file)
    _welcome(prepared)
    _serve(settings, prepared)
    typer.echo("\nStopped. Sessions and keys stay in " + str(directory.resolve()))


@app.callback(invoke_without_command=True)
def main(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,  # noqa: FBT002
) -> None:
    """Options that stand before a command."""
    if version:
        typer.echo(f"gateway {__version__}")
        raise typer.Exit


def _load(config_file: Path) -> Settings:
    settings, findings = config.check(config_file, os.environ)  # noqa: TID251  handed to config
    if findings:
        _errors.print(config.render(findings), markup=False, highlight=False, soft_wrap=True)
    if settings is None:
        _errors.print(f"[bold red]Not started:[/] {config_file} has to be corrected first.")
        raise typer.Exit(1)
    return settings


def _serve(settings: Settings, prepared: "Prepared | None" = None) -> None:
    listeners = prepared.listeners() if prepared else ()
    try:
        composition.start(settings, *listeners)
    except Misconfigured as failure:
        for finding in failure.findings:
            _errors.print(f"[bold red]Not started:[/] {finding}")
        raise typer.Exit(1) from None
    except OSError as failure:
        _errors.print(f"[bold red]Not started:[/] {failure.strerror or failure}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        sys.exit(130)


def _stop_if_busy(busy: list[tuple[str, int]]) -> None:
    if not busy:
        return
    for option, port in busy:
        _errors.print(
            f"[bold red]Port {port} is in use.[/] Stop what uses it, or choose another: "
            f"gateway dev --{option} {port + 1}"
        )
    raise typer.Exit(1)


def _in_brief(settings: Settings) -> str:
    providers = ", ".join(client.provider for client in settings.clients)
    return f"{settings.public_origin}, providers: {providers}, routes: {len(settings.routes)}"


def _welcome(prepared: "Prepared") -> None:
    ports = prepared.ports
    table = Table(show_header=False, box=None, padding=(0, 2))
    table.add_row("[bold]Open[/]", f"[bold green]http://localhost:{ports.gateway}[/]")
    table.add_row("Log in as", ", ".join(prepared.account_names) + "  (one click, no password)")
    table.add_row("Identity provider", prepared.provider.settings.issuer)
    table.add_row("Sample API", f"http://127.0.0.1:{ports.api}  (asks for a bearer token)")
    table.add_row("Health, metrics", f"http://127.0.0.1:{ports.admin}/readyz  /metrics")
    table.add_row("Configuration", str(prepared.config_file))
    table.add_row("Stop", "Ctrl-C")
    Console().print("\n[bold]The session gateway, on this machine[/]\n", table, "")
    Console().print(
        "[dim]Safari keeps no Secure cookies on plain http: use Chrome, Edge or Firefox here, "
        "or see docs/development.md.[/]\n"
    )
