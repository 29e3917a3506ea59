"""Files of Hefei-NAMD in and out: the public `namd`, `namdK` (FSSH) and `dish`, and Hefei-NAMD-DEV.

What all of them share: frames and bands count from one; NATXT holds <i(t)|j(t+dt)> - <j(t)|i(t+dt)>,
dimensionless, a frame a line, i slow and j fast, which is 2 dt d_ij at t + dt/2. What they do not share (time
grid, lap, default lengths, formats) stands in `docs/hefei.md`. Files may be compressed (.xz, .gz, .bz2) and
are found under either name.
"""

from n2amd.interop.hefei.folder import HefeiInput, read
from n2amd.interop.hefei.namelist import Namelist, read_namelist
from n2amd.interop.hefei.output import (
    read_psict,
    read_recomb,
    read_shprop,
    write_psict,
    write_recomb,
    write_shprop,
)
from n2amd.interop.hefei.programs import PROGRAMS, Code, Program
from n2amd.interop.hefei.series import read_series
from n2amd.interop.hefei.writer import draw_start_frames, export, write

__all__ = [
    "PROGRAMS",
    "Code",
    "HefeiInput",
    "Namelist",
    "Program",
    "draw_start_frames",
    "export",
    "read",
    "read_namelist",
    "read_psict",
    "read_recomb",
    "read_series",
    "read_shprop",
    "write",
    "write_psict",
    "write_recomb",
    "write_shprop",
]
