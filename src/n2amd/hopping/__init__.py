"""Surface hopping on a classical path: propagators, DISH, exact renewal, FSSH, the ensemble.

Under the classical-path approximation the nuclei do not feel the carrier, so the electronic propagator of a
frame interval is one matrix for all samples, trajectories and laps; everything here is built on that.
"""
