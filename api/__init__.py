"""The HTTP edge: parse a request, call `jobs`, return a schema.

`app.create_app` puts it together, `routes/` has an endpoint per line of the API, `schemas` the bodies, `errors` the
way from an exception to problem details. No rule about jobs and no SQL lives here, and torch is never loaded.
"""
