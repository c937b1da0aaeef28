"""One step each: retries, timeout, slot, artifact and log line around one lsntp call."""
