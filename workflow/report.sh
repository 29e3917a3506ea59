#!/usr/bin/env bash
# Write the report of finished results: workflow/report.sh "CONFIG ..."
set -euo pipefail

read -r -a config <<<"$1"
results=$(n2amd config show "${config[@]}" --field results)
graph=$(mktemp)
trap 'rm -f "$graph"' EXIT
snakemake --quiet all --rulegraph dot --configfile "${config[@]}" >"$graph"
n2amd analysis report "$results" --graph "$graph"
