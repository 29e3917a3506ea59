"""Force field: Allegro through nequip's own command line, and molecular dynamics through ASE."""
