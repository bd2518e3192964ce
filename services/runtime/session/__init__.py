"""The contract between the processes of one session: values in Redis, written by one and read by all."""
