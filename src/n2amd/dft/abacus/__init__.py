"""Files of ABACUS runs in a basis of numerical atomic orbitals."""
