"""When and in what order: one module per schedule, and the command line."""

import logging

# A run's log tells what lsntp does, not its warnings alone: Prefect takes the lines of the loggers
# that it is told of (infra/prefect.yaml), and leaves their level to them.
if logging.getLogger("lsntp").level == logging.NOTSET:
    logging.getLogger("lsntp").setLevel(logging.INFO)
