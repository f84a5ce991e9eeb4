"""What the operator writes: settings, followers and credentials, checked before anything acts on them.

Import from the rooms below; nothing is imported here, so that a command line that only prints its help stays
fast.

    model        every setting with its default, range and meaning
    yaml_file    config/copytrade.yaml, read strictly
    users        config/users/*.json, read strictly
    credentials  API keys from the environment and .env
    load         all of it at once
    watch        all of it again, when a file changes
    redaction    keeps secrets out of logs
    describe     prints docs/settings.md
"""
