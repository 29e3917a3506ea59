#!/usr/bin/env bash
# Write the report of finished results: workflow/report.sh "CONFIG ..."
set -euo pipefail

read -r -a config <<<"$1"
results=$(n2amd config show "${config[@]}" --field results)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# --quiet would hide errors too
snakemake --rulegraph dot --configfile "${config[@]}" >"$scratch/rules.dot" 2>"$scratch/said" ||
  { cat "$scratch/said" >&2; exit 1; }
n2amd analysis report "$results" --graph "$scratch/rules.dot"
