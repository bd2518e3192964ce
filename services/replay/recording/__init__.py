"""Live feeds to recordings: what a recording holds, how it is written, and how it is continued. It is read in `services.replay.sources`."""
