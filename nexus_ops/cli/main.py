"""The root command, and the one place where errors turn into exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from nexus_ops import __version__
from nexus_ops.cli.app import Application
from nexus_ops.cli.apply import apply, plan
from nexus_ops.cli.bootstrap import bootstrap
from nexus_ops.cli.demo import demo
from nexus_ops.cli.init import init
from nexus_ops.cli.inventory import inventory
from nexus_ops.cli.node import node
from nexus_ops.cli.runs import runs
from nexus_ops.cli.sandbox import sandbox
from nexus_ops.errors import ExitCode, NexusError

cli = typer.Typer(
    name="nexus-ops",
    help="High availability and monitoring for plain Linux machines, without Kubernetes.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

for command in (init, bootstrap, inventory, plan, apply, demo):
    cli.command()(command)
for group in (node, runs):
    cli.add_typer(group)
cli.add_typer(sandbox, name="sandbox")


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"nexus-ops {__version__}")
        raise typer.Exit


@cli.callback()
def root(
    context: typer.Context,
    env: Annotated[
        str | None, typer.Option("--env", "-e", help="Environment (or NEXUS_ENV); default: the only one.")
    ] = None,
    inventories: Annotated[
        Path | None, typer.Option(help="Folder of the environments; default: inventories/ here or above.")
    ] = None,
    verbose: Annotated[
        int, typer.Option("--verbose", "-v", count=True, help="Say more; repeat for Ansible's own output.")
    ] = 0,
    version: Annotated[  # noqa: ARG001  the callback shows it
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Read the global options."""
    application: Application = context.obj
    application.environment_name = env
    application.inventories_given = inventories
    application.verbosity = verbose


def _fail(application: Application, error: NexusError) -> int:
    for line in error.lines():
        application.complain(f"error: {line}")
    if application.json and not application.answered:
        application.answer({"ok": False, "error": {"message": "; ".join(error.lines())}})
    return error.exit_code


def _crash(error: BaseException) -> int:
    import tempfile
    import traceback

    with tempfile.NamedTemporaryFile("w", prefix="nexus-ops-crash-", suffix=".log", delete=False) as report:
        report.write(f"nexus-ops {__version__} {sys.version}\n")
        traceback.print_exception(error, file=report)
    reason = (str(error).splitlines() or ["no message"])[0]
    sys.stderr.write(
        f"error: nexus-ops has a bug ({type(error).__name__}: {reason}); please report it with {report.name}\n"
    )
    return ExitCode.FAILED


def main() -> NoReturn:
    """Run the command line and exit with one of `ExitCode`."""
    application = Application()
    try:
        result = typer.main.get_command(cli)(obj=application, standalone_mode=False, prog_name="nexus-ops")
        code = result if isinstance(result, int) else ExitCode.DONE
    except NexusError as error:
        code = _fail(application, error)
    except typer.Abort:
        code = ExitCode.INTERRUPTED
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        code = ExitCode.INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        code = ExitCode.FAILED
    except Exception as error:
        show = getattr(error, "show", None)  # a usage error of click, which typer carries under changing names
        if show is None:
            code = _crash(error)
        else:
            show()
            code = ExitCode.USAGE
    sys.exit(int(code))
