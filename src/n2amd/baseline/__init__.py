"""H0 of a geometry from atoms alone: exact two-centre parts and mesh potentials of model densities."""
