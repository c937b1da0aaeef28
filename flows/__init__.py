"""When and in what order: one module per schedule, and the command line."""
