"""The command line: a skin. One file per command, imported when that command is called, so that ``harness --help`` is instant.

Only this package wires the floors together. A HarnessError becomes one line and its exit code; anything else is a bug and shows
its traceback.
"""

from __future__ import annotations

import sys
from importlib import import_module

import click

from harness import __version__
from harness.errors import HarnessError

# command -> one line of help; the module of the same name holds the click command ``command``
COMMANDS = {
    "run": "Run a suite and give the verdict: ship or optimize.",
    "validate": "Check a suite without running it.",
    "init": "Write a commented starter suite.",
    "choose": "Before tuning: ask prompts x examples x candidates; does a prompt reach it?",
    "compare": "Compare two stored runs or two score files, without generating anything.",
    "explain": "Make a stored verdict again from the store alone, down to single answers; what-if.",
    "report": "Write the report of a run: HTML, markdown, JUnit XML, JSON.",
    "review": "Let people rate, compare, rank and adjudicate in a browser on this machine.",
    "runs": "List the runs in the store.",
    "health": "Find the cases that tell nothing, from the stored runs of a suite.",
    "history": "Show which capabilities move against each other over checkpoints.",
    "promote": "Make a run the baseline of its suite.",
    "export": "Write responses or scores to Parquet, JSONL or CSV.",
    "size": "Size a model: parameters, memory term by term, storage, what it fits on.",
    "data": "Check, convert, thin out and look at training data.",
    "judge": "Hold judges against people: kappa, biases, cost.",
    "curate": "Turn failures of a run into training pairs and rows, guarded.",
    "train": "Train from a recipe: SFT, DPO or a reward model, LoRA or full.",
    "loop": "Look, curate, train, look again, until a candidate ships or a budget is spent.",
    "trainings": "List trainings; lead from weights back to the cases that caused them.",
    "merge": "Merge an adapter into its base: one model in safetensors.",
    "demo": "Watch one candidate be refused and another ship.",
}

EXIT_CODES = """\
Exit codes: 0 ship (or done), 1 optimize further, 2 inconclusive, 3 usage or configuration error, 4 infrastructure failed or
the run is incomplete (running the same command again continues it)."""


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        return import_module(f"harness.cli.{cmd_name}").command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=2)
            raise click.UsageError(
                f"no command {args[0]!r}." + (f" Did you mean {' or '.join(near)}?" if near else " See harness --help.")
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(
    cls=LazyGroup,
    epilog=EXIT_CODES,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="harness")
def group() -> None:
    """Ship this checkpoint, or optimize further - and where?"""


def main(args: list[str] | None = None) -> None:
    """Entry point of the ``harness`` script."""
    sys.exit(call(args))


def call(args: list[str] | None = None) -> int:
    """Call one command line and return its exit code; errors for people are printed to stderr as they read."""
    try:
        result = group.main(args=args, prog_name="harness", standalone_mode=False)
        return result if isinstance(result, int) else 0
    except click.exceptions.Exit as stop:
        return stop.exit_code
    except click.ClickException as error:
        error.show()
        return 3
    except HarnessError as error:
        from reports.text import visible  # what a file or a model wrote into the message must not steer the terminal

        line = visible(error.line())
        click.echo(f"error: {line}" if "\n" not in line else line, err=True)
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted: what was done is stored; running the same command again continues it", err=True)
        return 4
    except SystemExit:
        return 4  # click's answer to a reader that went away (`| head`); its own code, 1, would read as OPTIMIZE
