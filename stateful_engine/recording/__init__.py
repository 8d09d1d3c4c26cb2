"""From a call to a commit: the threads, spool files and the Redis stream of the engine live here and only here."""
