"""The operator's web console: pages, an API with the same powers, and one stream that keeps both fresh.

Nothing here is imported until the console starts; the packages it stands on are imported then, and not with the worker.
"""
