"""Reader of OpenMX runs: .scfout, .out, .Band, .md and the .pao tables of the basis."""
