"""After a failure: what is finished is summed up all the same, and what is not is named with its reason."""


def sum_up_finished_cases():
    """Write the summary of the finished cases where a failure withholds others; it is made anew by the next run."""
    # here, because it is slow to import and every job of a cluster reads this file
    from n2amd.analysis.withheld import Withheld, ends_with_sentence, last_words

    unfinished = {str(file): job for job in workflow.dag.needrun_jobs() for file in job.output}
    if str(JOB.results / "summary.json") not in unfinished:
        return  # it was not asked for, or is there
    # jobs that a cluster runs as a group fail together
    failed = {job for entry in workflow.scheduler.failed for job in getattr(entry, "jobs", [entry])}

    def withheld(case):
        job = unfinished[case]
        labels = (job.wildcards.material, job.wildcards.supercell, job.wildcards.variant)
        behind = [other for other in workflow.dag.bfs(workflow.dag.dependencies, job) if other in failed]
        if not behind:
            return Withheld(*labels, "", "the run was stopped before", "")
        guilty = next((other for other in behind if ends_with_sentence(other.log[0])), behind[0])
        return Withheld(*labels, guilty.rule.name, last_words(guilty.log[0]), str(guilty.log[0]))

    cases = every_case(f"{JOB.results}/{{material}}/{{supercell}}/{{variant}}/analysis/case.json")
    missing = [withheld(case) for case in cases if case in unfinished]
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
