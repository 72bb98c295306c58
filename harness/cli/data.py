"""``harness data ...``: a group like the main one, each command in a module of its own, imported when it is called."""

from __future__ import annotations

from importlib import import_module

import click

# command -> one line of help; harness.cli.data_NAME holds the click command ``command`` (a hyphen becomes an underscore)
COMMANDS = {
    "validate": "Look at every row: what is wrong, what the trainer would do with it.",
    "score": "Have a judge grade every row by a rubric, with its reasons.",
    "distribution": "Say what the data is made of, and what to add to it.",
    "convert": "Write training data in another format or kind of file.",
    "dedup": "Drop rows that say again what an earlier row said.",
    "decontaminate": "Say which rows repeat what a suite asks.",
    "review": "Let people accept or reject a sample of the rows, in a browser.",
    "label-errors": "Say which class labels look wrong (extra `labels`).",
    "self-instruct": "Make new tasks with a model, from a few written by people.",
}


class LazyDataGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        found: click.Command = import_module(f"harness.cli.data_{cmd_name.replace('-', '_')}").command
        return found

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=2)
            hint = f"Did you mean {' or '.join(near)}?" if near else "See harness data --help."
            raise click.UsageError(f"no command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group("data", cls=LazyDataGroup, context_settings={"help_option_names": ["-h", "--help"]})
def command() -> None:
    """Training data: check it, look at it, thin it out, convert it, make more of it."""
