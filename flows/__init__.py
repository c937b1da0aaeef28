"""When and in what order: one module per schedule, and the command line."""

import logging

# A run's log tells what our own code is about, not its warnings alone; Prefect takes the lines of
# the loggers it is told of (infra/prefect.yaml), and leaves their level to us.
logging.getLogger("lsntp").setLevel(logging.INFO)
