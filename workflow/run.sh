#!/usr/bin/env bash
# Run the workflow, write its report and say its answer: workflow/run.sh "CONFIG ..." [options of snakemake]
# A run that was killed leaves Snakemake's lock behind; it is removed here, but only when no live run holds the folder.
set -euo pipefail

busy() {
  echo "error: another run is active in this folder; wait for it or stop it" >&2
  exit 1
}

mkdir -p .snakemake
if [ "${1:-}" != --locked ]; then
  # --close: the lock belongs to this script and not to jobs that outlive it
  status=0
  flock --nonblock --close --conflict-exit-code 75 .snakemake/make.lock "$0" --locked "$@" || status=$?
  [ "$status" != 75 ] || busy
  exit "$status"
fi
shift

read -r -a config <<<"$1"
shift
n2amd config check "${config[@]}"
results=$(n2amd config show "${config[@]}" --field results)

# jobs of a run that was killed go on in SLURM: what they finish is kept, and nothing is submitted a second time
if [ ! -e .snakemake/run.lock ] || flock --nonblock --close .snakemake/run.lock true; then
  n2amd cluster wait
fi

# run.lock is held by every live Snakemake run of this folder, whoever started it (workflow/rules/common.smk)
if [ -n "$(ls -A .snakemake/locks 2>/dev/null)" ]; then
  flock --nonblock --close --conflict-exit-code 75 .snakemake/run.lock \
    snakemake --unlock --cores 1 --quiet all --configfile "${config[@]}" || { [ $? != 75 ] || busy; exit 1; }
fi

# written where cases failed and others are finished (workflow/rules/withheld.smk)
rm -f .snakemake/withheld.json
status=0
snakemake --profile "${PROFILE:-profiles/local}" "$@" --configfile "${config[@]}" || status=$?

# a dry run or a part of the graph has no answer of its own
case " $* " in *" -n "* | *" --dry-run "* | *" --until"* | *" -U "* | *" --omit-from"* | *" -O "*) exit "$status" ;; esac
[ "$status" = 0 ] || [ -e .snakemake/withheld.json ] || exit "$status"

page=$results/report.html
if [ "$status" != 0 ] || [ "$results/summary.json" -nt "$page" ] || [ -n "$(find "$results" -name '*.svg' -newer "$page" -print -quit)" ]; then
  workflow/report.sh "${config[*]}" >/dev/null
fi
n2amd analysis verdict "$results/summary.json"
echo "report: $page"
exit "$status"
