"""What Prometheus, Alertmanager and Grafana need."""
