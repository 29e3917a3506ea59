"""After a failure: what is finished is summed up all the same, and what is not is named with its reason."""


def sum_up_finished_cases():
    """Write the summary of the finished cases where a failure withholds others; it is made anew by the next run."""
    # here, because it is slow to import and every job of a cluster reads this file
    from n2amd.analysis.withheld import Withheld, last_words

    unfinished = {str(file): job for job in workflow.dag.needrun_jobs() for file in job.output}

    def withheld(case):
        job = unfinished[case]
        labels = (job.wildcards.material, job.wildcards.supercell, job.wildcards.variant)
        behind = workflow.dag.bfs(workflow.dag.dependencies, job)
        failed = next((other for other in behind if other in workflow.scheduler.failed), None)
        if failed is None:
            return Withheld(*labels, "", "the run was stopped before", "")
        return Withheld(*labels, failed.rule.name, last_words(failed.log[0]), str(failed.log[0]))

    cases = every_case(f"{JOB.results}/{{material}}/{{supercell}}/{{variant}}/analysis/case.json")
    missing = [withheld(case) for case in cases if case in unfinished]
    if not missing:
        return
    for case in missing:
        logger.error(case.sentence())
    finished = [case for case in cases if case not in unfinished]
    if not finished:
        return
    told = Path(".snakemake/withheld.json")
    told.write_text(json.dumps([case.document() for case in missing]))
    folder = JOB.results / "tables"
    folder.mkdir(exist_ok=True)
    command = ["n2amd", "analysis", "summary", "--withheld", str(told), "--tables", str(folder)]
    command += ["--out", str(JOB.results / "summary.json"), "--table", str(JOB.results / "summary.csv")]
    done = subprocess.run([*command, "--case", *finished], capture_output=True, text=True)
    if done.returncode:
        logger.error(f"the finished cases could not be summed up: {done.stderr.strip()}")
        return
    # older than what they are made of: the next run makes them again, whatever cases it is asked for
    before = min(os.stat(case).st_mtime for case in finished) - 1
    for file in (*JOB.results.glob("summary.*"), *folder.iterdir()):
        os.utime(file, (before, before))
    logger.error(f"{len(finished)} of {len(cases)} cases are finished: {JOB.results / 'summary.json'}")
