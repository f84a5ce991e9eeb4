"""What people see and type: commands, the worker's screen, its control socket."""
