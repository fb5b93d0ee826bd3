"""The command line: what commands there are, their options, and how an error is shown."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from backpressure_lab.cli import stopping
from backpressure_lab.errors import WRONG_USAGE, LabError

app = typer.Typer(
    name="lab",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich help costs a quarter of a second at every call
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A local Airflow under one supervisor, and lessons that prove themselves on it.",
)
dev = typer.Typer(no_args_is_help=True, rich_markup_mode=None, help="For authors of lessons.")
app.add_typer(dev, name="dev")

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON and nothing else.")]
Exercise = Annotated[str, typer.Argument(help="An exercise's id, such as 14.1.")]
Url = Annotated[
    str | None,
    typer.Option("--url", help="Another Airflow than this lab's; with LAB_TOKEN, or LAB_USER and LAB_PASSWORD."),
]


@app.command()
def up(
    *,
    detach: Annotated[bool, typer.Option("--detach", "-d", help="Return when the lab is ready; it runs on.")] = False,
    light: Annotated[bool, typer.Option("--light", help="Without Celery and its broker.")] = False,
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Airflow's port; the next free one from 8080.")
    ] = None,
) -> None:
    """Start the lab: Airflow, PostgreSQL, Celery workers, the upstream simulator and the metrics receiver."""
    from backpressure_lab.cli import stack

    raise typer.Exit(stack.up(detach=detach, light=light, port=port))


@app.command()
def down() -> None:
    """Stop the lab and everything that it started."""
    from backpressure_lab.cli import stack

    raise typer.Exit(stack.down())


@app.command()
def status(*, as_json: AsJson = False) -> None:
    """Show what runs, what does not, and DAG files that Airflow cannot load."""
    from backpressure_lab.cli import stack

    raise typer.Exit(stack.status(as_json=as_json))


@app.command()
def logs(
    part: Annotated[str | None, typer.Argument(help="A part that ./lab status lists; none lists the logs.")] = None,
    *,
    lines: Annotated[int, typer.Option("--lines", "-n", min=1, help="How many of the last lines.")] = 50,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until Ctrl-C.")] = False,
) -> None:
    """Show the log of a part."""
    from backpressure_lab.cli import maintenance

    raise typer.Exit(maintenance.logs(part, lines=lines, follow=follow))


@app.command()
def start(exercise: Exercise) -> None:
    """Begin an exercise: its task, and a file of your own in work/."""
    from backpressure_lab.cli import exercises

    raise typer.Exit(exercises.start(exercise))


@app.command(name="check")
def check_exercise(
    exercise: Exercise,
    *,
    file: Annotated[Path | None, typer.Option("--file", help="Another file than yours in work/.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Check your file: first as it is written, then as it runs on the lab's scheduler."""
    from backpressure_lab.cli import exercises

    raise typer.Exit(exercises.check(exercise, file=file, as_json=as_json, url=url))


@app.command()
def grade(
    folder: Annotated[Path, typer.Argument(help="Holds what students handed in.")],
    *,
    exercise: Annotated[
        list[str] | None, typer.Option("--exercise", "-e", help="Only this one; may be given several times.")
    ] = None,
    template: Annotated[
        str, typer.Option(help="How files are called below the folder; {any} stands for what does not matter.")
    ] = "{student}/{exercise}.py",
    students: Annotated[Path | None, typer.Option(help="A file with a name a line: who is to have a grade.")] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write the grades as CSV.")] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the grades as JSON; - is standard output.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the grades as JUnit XML.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one page with all of it.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, help="How many run at once.")] = 2,
    seed: Annotated[int | None, typer.Option(help="Draw the work from this, instead of at random.")] = None,
    fresh: Annotated[bool, typer.Option("--fresh", help="Grade again what was graded before.")] = False,
    trusted: Annotated[bool, typer.Option("--trusted", help="Run the files as they are, with your rights.")] = False,
) -> None:
    """Grade a class: every student's file, in a sandbox; the same command goes on where it was cut off."""
    from backpressure_lab.cli import grading

    asked = grading.Asked(tuple(exercise or ()), template, students, jobs, seed, trusted=trusted, fresh=fresh)
    raise typer.Exit(grading.grade(folder, asked, grading.Outputs(csv, json_file, junit, html)))


@app.command()
def hint(exercise: Exercise) -> None:
    """Show one hint more."""
    from backpressure_lab.cli import exercises

    raise typer.Exit(exercises.hint(exercise))


@app.command()
def predict(
    ref: Annotated[str, typer.Argument(help="A lesson or an exercise, as ./lab list names it.")],
    *,
    scenario: Annotated[str | None, typer.Option(help="Of a lesson; its default one if left out.")] = None,
    peak: Annotated[int | None, typer.Option(min=0, help="The most of its tasks that run at once.")] = None,
    waiting: Annotated[int | None, typer.Option(min=0, help="How many wait until another has ended.")] = None,
    order: Annotated[str | None, typer.Option(help="Tasks, as they first start: a,b,c.")] = None,
) -> None:
    """Say what the next run will do; it is shown beside what happened."""
    from backpressure_lab.cli import predictions

    raise typer.Exit(predictions.predict(ref, scenario=scenario, numbers=(peak, waiting), order=order))


@app.command()
def watch() -> None:
    """Work on the exercises: your file is read at every save, and run when you press l."""
    from backpressure_lab.cli import watching

    raise typer.Exit(watching.watch())


@app.command(name="next")
def next_exercise() -> None:
    """Begin the first exercise that you have not passed."""
    from backpressure_lab.cli import exercises

    raise typer.Exit(exercises.following())


@app.command()
def solution(exercise: Exercise) -> None:
    """Show a solution, once you have passed or ask twice."""
    from backpressure_lab.cli import exercises

    raise typer.Exit(exercises.solution(exercise))


@app.command()
def reset(
    exercise: Annotated[str | None, typer.Argument(help="Put this exercise's starter back; your file is kept.")] = None,
    *,
    pools: Annotated[bool, typer.Option("--pools", help="Set the course's pools back to their sizes.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Remove .lab/: database, logs, passwords.")] = False,
) -> None:
    """Set an exercise or the pools back, or start afresh; your own files in work/ are kept."""
    from backpressure_lab.cli import exercises, maintenance

    if exercise and not (pools or everything):
        raise typer.Exit(exercises.reset(exercise))
    raise typer.Exit(maintenance.reset(pools=pools, everything=everything))


@app.command(name="list")
def list_items(*, as_json: AsJson = False) -> None:
    """List the lessons and what you have run of them."""
    from backpressure_lab.cli import lessons

    raise typer.Exit(lessons.list_items(as_json=as_json))


@app.command()
def run(
    item: Annotated[str, typer.Argument(help="An id such as 106.2.1, or a dag_id.")],
    *,
    scenario: Annotated[str | None, typer.Option("--scenario", "-s", help="Another than the default one.")] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Run one lesson and show what happened, finding by finding."""
    from backpressure_lab.cli import lessons

    raise typer.Exit(lessons.run(item, scenario=scenario, as_json=as_json, url=url))


@app.command()
def prove(
    items: Annotated[list[str] | None, typer.Argument(help="Ids or dag_ids.")] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="Every lesson that is written.")] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write the results as JSON; - is standard output.")
    ] = None,
    junit: Annotated[Path | None, typer.Option("--junit", help="Write the results as JUnit XML.")] = None,
    html: Annotated[Path | None, typer.Option("--html", help="Write one page with findings and pictures.")] = None,
    jobs: Annotated[
        int | None,
        typer.Option("--jobs", "-j", min=1, help="How many lessons at once; what the machine bears if left out."),
    ] = None,
    repeat: Annotated[int, typer.Option(min=1, help="How often each scenario is run.")] = 1,
    url: Url = None,
) -> None:
    """Run every scenario of each lesson, several side by side, and compare with what the manifest says."""
    from backpressure_lab.cli import proofs

    reports = proofs.Reports(json_file, junit, html)
    raise typer.Exit(
        proofs.prove(items or [], everything=everything, jobs=jobs, repeat=repeat, reports=reports, url=url)
    )


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def test(
    context: typer.Context,
    *,
    fast: Annotated[bool, typer.Option("--fast", help="Leave out what needs a running lab or long.")] = False,  # noqa: PT028 - not a test
    full: Annotated[bool, typer.Option("--full", help="Prove every lesson, not a third in turn.")] = False,  # noqa: PT028 - the same
) -> None:
    """Run the tests; further arguments go to pytest."""
    from backpressure_lab.cli import maintenance

    raise typer.Exit(maintenance.test(context.args, fast=fast, full=full))


@app.command(name="compose-env")
def compose_env() -> None:
    """Generate the secrets of the cluster into .env, for docker compose."""
    from backpressure_lab.cli import cluster

    raise typer.Exit(cluster.compose_env())


@dev.command()
def check(*, fix: Annotated[bool, typer.Option("--fix", help="Bring the pages' excerpts in step.")] = False) -> None:
    """Check that manifest, DAG files, pages and links agree."""
    from backpressure_lab.cli import maintenance

    raise typer.Exit(maintenance.dev_check(fix=fix))


@dev.command(name="new-exercise")
def new_exercise(
    number: Annotated[str, typer.Argument(help="Its id, such as 14.4.")],
    title: Annotated[str, typer.Argument(help="In a few words; its folder is called after it.")],
    *,
    like: Annotated[str, typer.Option("--like", help="The exercise that it is most like; it begins as a copy.")],
) -> None:
    """Begin an exercise: all its parts, in the course, and working; then change them."""
    from backpressure_lab.cli import exercises

    raise typer.Exit(exercises.new(number, title, like))


@dev.command()
def accept(
    items: Annotated[list[str] | None, typer.Argument(help="Ids or dag_ids; every written lesson if left out.")] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """Check on the last results that proofs are honest: other records, no work, other sources, repeats."""
    from backpressure_lab.cli import proofs

    raise typer.Exit(proofs.accept(items or [], as_json=as_json))


def main() -> None:
    """Run a command; an error that a user can do something about is shown without a traceback."""
    try:
        with stopping.as_by_ctrl_c():
            app(prog_name="./lab")
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        sys.exit(error.code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:  # noqa: BLE001 - the last resort: a user gets a sentence, the author the traceback
        print(f"lab: {_report(error)}", file=sys.stderr)
        sys.exit(WRONG_USAGE)


def _report(error: Exception) -> str:
    """Keep the traceback in a file, and say where."""
    import traceback

    from backpressure_lab.stack.layout import Layout

    text = "".join(traceback.format_exception(error))
    path = Layout.of().logs / "error.log"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError:
        return text
    return f"a defect of the lab itself: {error!r}.\nIts details are in {path}; please report them."
