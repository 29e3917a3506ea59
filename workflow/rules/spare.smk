"""What Snakemake would do again for each of thousands of jobs, done once."""

import atexit
import gc
import inspect

from snakemake.common import overwrite_function_params
from snakemake.jobs import Job
from snakemake.resources import Resource


def spare_searches():
    """Let Python look for garbage seldom: the graph's objects all stay. A tenth of a dry run, and a sixth at its end."""
    gc.set_threshold(100_000, 50, 50)
    atexit.register(gc.freeze)


def spare_signatures():
    """Tell Snakemake once what each function of a rule takes; it would ask Python again for every job."""
    for each in workflow.rules:
        for given in (*each.input, *each.params, *each.resources.values()):
            function = getattr(given, "_evaluator", None) or given
            # those of Snakemake itself take anything, and say so in their own way
            if inspect.isfunction(function) and not (function.__module__ or "").startswith("snakemake."):
                overwrite_function_params(function, inspect.signature(function).parameters)
    # a method, of which Snakemake sees no `self`
    _, *parameters = inspect.signature(Resource.evaluate).parameters.items()
    overwrite_function_params(Resource.evaluate, dict(parameters))


def spare_commands():
    """Put together the shell command of a job once where a dry run tells of it; Snakemake does so three times."""
    tell, command = Job.log_info, Job.shellcmd

    def tell_with_one_command(job, *args, **options):
        # jobs that run are told of while threads start others
        if not workflow.dryrun:
            return tell(job, *args, **options)
        text = command.fget(job)
        Job.shellcmd = property(lambda _: text)
        try:
            tell(job, *args, **options)
        finally:
            Job.shellcmd = command

    Job.log_info = tell_with_one_command
