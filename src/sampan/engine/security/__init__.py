"""What a container may do: capabilities, seccomp profile, security options. Pure functions over values."""
