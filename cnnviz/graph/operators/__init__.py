"""The rows of the schema table, a file a family."""
