"""The StatsD receiver: what Airflow emits, kept as short time series in memory and readable as JSON.

``parser`` and ``store`` do no input or output; ``server`` puts them behind UDP and HTTP. Run it with
``python -m backpressure_lab.metrics --port N --token-file F``.
"""
