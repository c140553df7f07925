"""How Restyle is deployed, and the checks of it: `deploy.lint` (files), `deploy.settings_reference` (settings).

The only place that may import the API's and the worker's settings together; nothing imports it in turn.
"""
