"""The running system: master desk, fan-out, lanes, recovery, kill switch. It reaches the world through `ports`."""
