"""`midstream whatif`: what two latency models change of recorded files, as a table, as JSON and as a page."""
