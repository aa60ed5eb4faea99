"""The root command, and the one place where errors turn into exit codes."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from nexus_ops import __version__
from nexus_ops.cli.app import Application
from nexus_ops.cli.lazy import LazyGroup
from nexus_ops.errors import ExitCode, NexusError

cli = typer.Typer(
    name="nexus-ops",
    cls=LazyGroup,
    help="High availability and monitoring for plain Linux machines, without Kubernetes.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


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
    application.reason = "; ".join(error.lines())
    return error.exit_code


def _explain(error: OSError) -> NexusError:
    """Return what the machine refused in the words of a person: the path, the reason, the next step."""
    remedies = {
        errno.ENOSPC: "make room there",
        errno.EDQUOT: "make room there",
        errno.EROFS: "make it writable",
        errno.EACCES: "make it yours, or run this as its owner",
        errno.EPERM: "make it yours, or run this as its owner",
        errno.EEXIST: "move what is there out of the way",
        errno.ENOTDIR: "move what is there out of the way",
        errno.EISDIR: "move what is there out of the way",
    }
    where = error.filename2 or error.filename or "writing"  # of a move, the place it was to go
    return NexusError(
        f"{where}: {(error.strerror or 'it failed').lower()}",
        next_step=remedies.get(error.errno or 0, "correct that") + ", then run this again",
    )


def _crash(application: Application, error: BaseException) -> int:
    import tempfile
    import traceback

    try:
        with tempfile.NamedTemporaryFile("w", prefix="nexus-ops-crash-", suffix=".log", delete=False) as report:
            report.write(f"nexus-ops {__version__} {sys.version}\n")
            traceback.print_exception(error, file=report)
        where = report.name
    except OSError:
        where = "what you did"
    reason = (str(error).splitlines() or ["no message"])[0]
    application.complain(
        f"error: nexus-ops has a bug ({type(error).__name__}: {reason}); please report it with {where}"
    )
    return ExitCode.FAILED


def _misused(application: Application, error: Exception) -> int | None:
    """Show the usage error of click that `error` may be, under the changing names by which typer carries those."""
    show = getattr(error, "show", None)
    if show is None:
        return None
    show()
    application.reason = str(getattr(error, "format_message", lambda: error)()).strip()
    return ExitCode.USAGE


def _run(application: Application) -> int:
    """Run the command line and return its exit code; every error was shown."""
    try:
        result = typer.main.get_command(cli)(obj=application, standalone_mode=False, prog_name="nexus-ops")
        sys.stdout.flush()  # a full disk shows here at the latest
        return result if isinstance(result, int) else ExitCode.DONE
    except NexusError as error:
        return _fail(application, error)
    except (KeyboardInterrupt, typer.Abort):
        application.complain("interrupted")
        return ExitCode.INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception as error:
        code = _misused(application, error)
        if code is not None:
            return code
        if isinstance(error, OSError) and error.errno is not None:
            return _fail(application, _explain(error))
        return _crash(application, error)


def main() -> NoReturn:
    """Run the command line and exit with one of `ExitCode`; with --json, every failure is a document on stdout."""
    application = Application(json="--json" in sys.argv[1:])
    wants_json = application.json
    try:
        code = _run(application)
        if "SUDO_UID" in os.environ:
            from nexus_ops.sandbox.environment import hand_over

            for environment in application.opened:
                hand_over(environment)
        if code and wants_json and not application.answered:
            application.answer({"ok": False, "error": {"message": application.reason or "it failed"}})
        sys.stdout.flush()
    except OSError:  # nobody reads, or the disk is full; python would complain again on its way out
        code = ExitCode.FAILED
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    sys.exit(int(code))
