"""A graph made into a plan of the core, for one shape of its inputs: one table row for each operator."""
