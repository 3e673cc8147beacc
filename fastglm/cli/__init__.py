"""The command `fastglm`."""
