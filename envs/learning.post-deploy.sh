#!/usr/bin/env bash
# Snakemake runs this once in the new environment: the package itself, from this checkout.
set -euo pipefail
python -m pip install --no-deps --editable .
