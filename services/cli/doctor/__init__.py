"""`midstream doctor`: what is wrong with this machine or with these settings, each with its fix."""
