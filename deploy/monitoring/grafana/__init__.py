"""The code that makes the dashboards."""
